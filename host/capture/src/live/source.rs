//! The running kernel as a source.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cgroups::Cgroups;
use super::config::{LiveConfig, LiveReport};
use super::counters::LiveCounters;
use super::decode::Decoder;
use super::later::Later;
use super::links::Links;
use super::load::{self, Loaded};
use super::notices::Notices;
use super::reconcile::Reconciler;
use super::ring::{Drained, Ring};
use super::tls::TlsScanner;
use super::tls_probes::{Tables, TlsProbes};
use super::uprobes::Uprobes;
use super::verdicts::LiveVerdicts;
use super::waking::{Waking, Woken};
use crate::error::CaptureError;
use crate::event::{Nanos, SocketEvent};
use crate::process;
use crate::source::{Clock, Progress, Source, Verdicts};

/// Between two drains. Wakeups by the kernel cost the observed program a microsecond a record.
const DRAIN_INTERVAL: Duration = Duration::from_millis(1);
/// The same while every connection is old and decided and little is waiting: each drain takes a turn from
/// the observed program and leaves it cold caches, and in one that comes seldom so much waits that a client on the
/// same CPU is held up until its server has nothing to do. The kernel wakes the host before when that changes.
const CALM_INTERVAL: Duration = Duration::from_millis(2);
/// How long it stays hurried by that.
const HURRIED_FOR: Duration = Duration::from_millis(20);
/// After so long without a record the kernel is asked to wake the host, and the timer stops.
const IDLE_AFTER: Duration = Duration::from_millis(20);
/// A probe takes the time first and hands its record over a little later; what is younger than this
/// waits for the next drain. A probe that is preempted for longer puts its record out of order,
/// which the positions heal.
const HOLD_BACK: Nanos = 2_000_000;
/// A record that stays unfinished for longer does not hold back the others.
const MAX_BUSY: Nanos = 50_000_000;
/// Records taken from one ring before the next one has its turn.
const BATCH: usize = 4096;

/// The probes at their places.
struct Attached {
    tls: Tls,
    /// Those that are not in user space.
    links: Links,
}

enum Tls {
    Off(#[expect(dead_code, reason = "held for its drop")] Uprobes),
    Watched(TlsProbes),
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Both at the same time: each takes a while.
        if let Tls::Watched(probes) = &self.tls {
            probes.stop();
        }
        drop(std::mem::take(&mut self.links));
    }
}

/// Socket events of the running kernel.
///
/// Everything is detached when it is dropped.
pub struct LiveSource {
    _reconciler: Reconciler,
    // Before the rings, so that the probes are gone before these are.
    attached: Attached,
    /// Programs that wait for a Unix socket.
    later: Later,
    rings: Vec<Ring>,
    waking: Waking,
    cgroups: Option<Cgroups>,
    verdicts: Arc<LiveVerdicts>,
    counters: LiveCounters,
    decoder: Decoder,
    clock: Clock,
    /// Up to here everything has been handed out.
    horizon: Nanos,
    /// When the last record came.
    active: Instant,
    /// When the kernel last woke the host in a calm interval.
    hurried: Instant,
    warnings: Vec<String>,
}

impl std::fmt::Debug for LiveSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LiveSource")
            .field("rings", &self.rings.len())
            .finish_non_exhaustive()
    }
}

impl LiveSource {
    /// Loads and attaches the kernel side.
    ///
    /// # Errors
    /// [`CaptureError::Kernel`] where the kernel lacks or refuses something without which there is
    /// no capture at all. A probe set that cannot be attached is in the report.
    pub fn open(config: &LiveConfig) -> Result<(Self, LiveReport), CaptureError> {
        let clock = clock()?;
        let Loaded {
            uprobes,
            links,
            later,
            rings,
            control,
            cgroups,
            tls,
            tls_since,
            go_calls,
            rustls_watched,
            starts_watched,
            verdicts,
            sockets,
            question,
            skipped,
            leftovers,
            counters,
            report,
        } = load::load(config)?;
        let ended = leftovers.ended();
        let reconciler =
            Reconciler::start(sockets, question, leftovers, skipped, counters.clone())?;
        let (notices, heard) = Notices::new();
        let tls = if tls {
            let host = Arc::clone(&counters.host);
            let tables = Tables {
                since: tls_since,
                go_calls,
                rustls_watched,
                starts_watched,
            };
            // Nobody hears of what the agent does, so its rustls need not be probed.
            let scanner = TlsScanner::new(process::proc_root(), config.deny.clone())
                .without(std::process::id())
                .memory_bios_of(&config.pids);
            let told = (notices.clone(), heard);
            Tls::Watched(TlsProbes::start(
                uprobes, tables, scanner, told, ended, host,
            )?)
        } else {
            Tls::Off(uprobes)
        };
        let warnings = report
            .sets
            .iter()
            .filter_map(|set| {
                let why = set.left_out.as_ref()?;
                Some(format!(
                    "probe set {} is left out ({why}): {} cannot be seen",
                    set.name, set.without
                ))
            })
            .collect();
        let source = Self {
            _reconciler: reconciler,
            attached: Attached { tls, links },
            later,
            waking: Waking::new(control, &rings),
            rings,
            cgroups,
            verdicts: Arc::new(verdicts),
            decoder: Decoder::new(Arc::clone(&counters.host), !config.ports.is_empty())
                .telling(notices),
            counters,
            clock,
            horizon: monotonic(),
            active: Instant::now(),
            hurried: Instant::now(),
            warnings,
        };
        Ok((source, report))
    }

    #[must_use]
    pub fn counters(&self) -> LiveCounters {
        self.counters.clone()
    }

    /// Drains every ring once and hands out what is old enough.
    fn cycle(&mut self, events: &mut Vec<SocketEvent>) {
        let started = monotonic();
        let mut horizon = started.saturating_sub(HOLD_BACK);
        for ring in &mut self.rings {
            loop {
                let decoder = &mut self.decoder;
                match ring.drain(BATCH, |record| decoder.push(record)) {
                    Drained::Empty => break,
                    Drained::Busy => {
                        horizon = horizon.min(self.horizon.max(started.saturating_sub(MAX_BUSY)));
                        break;
                    }
                    Drained::More if self.decoder.is_long() => {
                        // The rest is not known yet: nothing younger than the last cycle goes out.
                        horizon = horizon.min(self.horizon);
                        break;
                    }
                    Drained::More => {}
                }
            }
        }
        if self.decoder.has_unix() {
            self.later.attach(&mut self.attached.links);
        }
        if self.decoder.is_active() {
            self.active = Instant::now();
        }
        // Memory is bounded: what has piled up goes out, in the best order there is.
        if self.decoder.is_long() {
            horizon = started;
        }
        self.horizon = self.horizon.max(horizon);
        self.decoder.release(self.horizon, events);
    }

    /// Waits for the next drain: on a timer while records come, else until the kernel wakes. Whether
    /// the wait was interrupted by a signal: whoever asked may have been told to stop.
    fn sleep(&mut self, left: Duration) -> bool {
        let (woken, otherwise) =
            if !self.decoder.is_pending() && self.active.elapsed() >= IDLE_AFTER {
                (self.waking.until_any(&self.rings, left), IDLE_AFTER)
            } else if self.hurried.elapsed() >= HURRIED_FOR {
                let woken = self.waking.until_needed(CALM_INTERVAL.min(left));
                if woken == Some(Woken::ByKernel) {
                    self.hurried = Instant::now();
                }
                (woken, DRAIN_INTERVAL)
            } else {
                (None, DRAIN_INTERVAL)
            };
        if woken.is_none() {
            std::thread::sleep(otherwise.min(left));
        }
        woken == Some(Woken::BySignal)
    }
}

impl Source for LiveSource {
    fn poll(
        &mut self,
        wait: Duration,
        events: &mut Vec<SocketEvent>,
    ) -> Result<Progress, CaptureError> {
        let begun = Instant::now();
        let before = events.len();
        if let Some(cgroups) = &mut self.cgroups {
            cgroups.refresh();
        }
        loop {
            self.cycle(events);
            if events.len() > before {
                return Ok(Progress::More);
            }
            let left = wait.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(Progress::Idle);
            }
            if self.sleep(left) {
                return Ok(Progress::Idle);
            }
        }
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn verdicts(&self) -> Arc<dyn Verdicts> {
        Arc::clone(&self.verdicts) as Arc<dyn Verdicts>
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn watermark(&self) -> Nanos {
        self.horizon
    }

    fn hold_back(&self) -> Duration {
        Duration::from_nanos(HOLD_BACK.saturating_add(MAX_BUSY))
    }
}

/// The clock of `bpf_ktime_get_ns`.
pub(super) fn monotonic() -> Nanos {
    nanos(rustix::time::clock_gettime(
        rustix::time::ClockId::Monotonic,
    ))
}

fn nanos(time: rustix::time::Timespec) -> Nanos {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

fn clock() -> Result<Clock, CaptureError> {
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(BOOT_ID).map_err(|source| CaptureError::Io {
        path: BOOT_ID.into(),
        source,
    })?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let capture_id = u128::from_str_radix(&digits, 16).map_err(|error| CaptureError::Kernel {
        what: "the kernel's boot id cannot be read".to_owned(),
        reason: format!("{BOOT_ID} has {text:?}: {error}"),
        remedy: "mount /proc of the host".to_owned(),
    })?;
    let unix = nanos(rustix::time::clock_gettime(rustix::time::ClockId::Realtime));
    let unix_offset = unix.cast_signed().saturating_sub(monotonic().cast_signed());
    Ok(Clock {
        capture_id,
        unix_offset,
    })
}
