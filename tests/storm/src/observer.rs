//! Captures what the actor does, and compares.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use wirespan_capture::live::{CallPlaces, LiveConfig, LiveCounters, LiveSource};
use wirespan_capture::{
    Data, Direction, Open, Process, ProcessKey, Role, SocketEvent, Source, Transport,
};
use wirespan_stream::{Connections, GapCause, Limits, StreamClose, StreamEvent};

use crate::actor::half::CALL_BYTES;
use crate::content::{self, UNKNOWN_CONTENT};
use crate::journal::{Ending, Opening, Stretch, Truth};
use crate::run::Storm;

/// Differences that are told; more are only counted.
const MAX_TOLD: usize = 40;

/// What the capture has shown of one direction.
#[derive(Debug, Default)]
struct Shown {
    /// Captured bytes, as the kernel's records had them: end by start.
    covered: BTreeMap<u64, u64>,
    /// Where the stream has got to.
    next: Option<u64>,
    captured: u64,
    gaps: Vec<(u64, u64, GapCause)>,
    ended: Option<u64>,
    /// What follows is not known: right where the capture has cut the connection off.
    open_ended: bool,
    /// Bytes of a stream whose content only the other end knows.
    kept: Vec<(u64, Vec<u8>)>,
}

/// One end of a connection, as the capture has shown it.
#[derive(Debug)]
struct Watch {
    opening: Opening,
    open: Box<Open>,
    shown: [Shown; 2],
    closed: Option<StreamClose>,
}

/// What came of a storm.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub operations: u64,
    pub connections: u64,
    pub captured_bytes: u64,
    /// Bytes that could not be seen, or that the capture need not have shown.
    pub expected_gap_bytes: u64,
    /// Bytes that found no room, or whose memory was gone: told as such.
    pub lost_bytes: u64,
    pub differences: Vec<String>,
    pub more_differences: u64,
    pub counters: Vec<(String, u64)>,
}

impl Report {
    fn differ(&mut self, opening: Option<&Opening>, what: &str) {
        if self.differences.len() >= MAX_TOLD {
            self.more_differences += 1;
            return;
        }
        let about = opening.map_or_else(String::new, |opening| {
            format!("{} (socket {}): ", opening.episode, opening.inode)
        });
        self.differences.push(format!("{about}{what}"));
    }
}

/// Captures, and remembers what came.
pub struct Observer {
    source: LiveSource,
    counters: LiveCounters,
    truth: Truth,
    streams: Connections,
    watches: HashMap<u64, Watch>,
    inodes: HashMap<u64, u64>,
    processes: HashMap<ProcessKey, u32>,
    events: Vec<SocketEvent>,
    stream_events: Vec<StreamEvent>,
    report: Report,
    tight: bool,
    /// io_uring is seen too.
    sees_every_road: bool,
}

impl Observer {
    /// Attaches the probes.
    ///
    /// # Errors
    /// They cannot be attached, or there is no journal.
    pub fn start(object: Vec<u8>, journal: &Path, storm: &Storm) -> Result<Self> {
        let mut config = LiveConfig::new(object);
        config.copy_all = true;
        config.call_bytes = CALL_BYTES as u32;
        config.tls = false;
        config.rings_bytes = storm.rings_bytes;
        config.calls = storm.calls;
        let (source, found) = LiveSource::open(&config)?;
        if let Some(why) = &found.without_functions {
            eprintln!("io_uring is not seen: {why}");
        }
        for set in &found.sets {
            if let Some(why) = &set.left_out {
                eprintln!("probe set {} is left out: {why}", set.name);
            }
        }
        Ok(Self {
            counters: source.counters(),
            source,
            truth: Truth::read(journal)?,
            streams: Connections::new(Limits::default()),
            watches: HashMap::new(),
            inodes: HashMap::new(),
            processes: HashMap::new(),
            events: Vec::new(),
            stream_events: Vec::new(),
            report: Report::default(),
            tight: storm.tight,
            sees_every_road: found.calls == CallPlaces::Functions,
        })
    }

    /// Takes what is there, or comes within `wait`.
    ///
    /// # Errors
    /// The capture has ended, or the journal is damaged.
    pub fn step(&mut self, wait: Duration) -> Result<()> {
        let mut events = std::mem::take(&mut self.events);
        self.source.poll(wait, &mut events)?;
        for event in events.drain(..) {
            self.take(event)?;
        }
        self.events = events;
        let watermark = self.source.watermark();
        self.streams.tick(watermark, &mut self.stream_events);
        self.look();
        Ok(())
    }

    fn take(&mut self, event: SocketEvent) -> Result<()> {
        match &event {
            SocketEvent::Process(process) => self.process(process),
            SocketEvent::Open(open) => {
                if !self.open(open)? {
                    return Ok(());
                }
            }
            _ => {
                let Some(key) = event.key() else {
                    return Ok(());
                };
                if !self.watches.contains_key(&key.generation) {
                    return Ok(());
                }
            }
        }
        if let SocketEvent::Data(data) = &event {
            self.data(data);
        }
        self.streams.push(event, &mut self.stream_events);
        self.look();
        Ok(())
    }

    fn process(&mut self, process: &Process) {
        let key = ProcessKey {
            pid: process.pid,
            started: process.started,
        };
        self.processes.insert(key, process.pid);
    }

    /// Whether this is one of the actor's.
    fn open(&mut self, open: &Open) -> Result<bool> {
        let inode = open.key.generation;
        if !self.truth.openings.contains_key(&inode) {
            self.truth.refresh()?;
        }
        if u64::from(open.network_namespace) != self.truth.namespace {
            return Ok(false);
        }
        let Some(opening) = self.truth.openings.get(&inode) else {
            let what = format!("a connection that nobody made: {open:?}");
            self.report.differ(None, &what);
            return Ok(false);
        };
        if self.watches.contains_key(&inode) {
            self.report.differ(Some(opening), "opened twice");
            return Ok(false);
        }
        let watch = Watch {
            opening: opening.clone(),
            open: Box::new(open.clone()),
            shown: Default::default(),
            closed: None,
        };
        self.watches.insert(inode, watch);
        Ok(true)
    }

    /// Bytes as they were copied: right, and never twice.
    fn data(&mut self, data: &Data) {
        let Some(watch) = self.watches.get_mut(&data.key.generation) else {
            return;
        };
        let direction = data.direction.index();
        let shown = &mut watch.shown[direction];
        let (start, end) = (data.position, data.position + data.bytes.len() as u64);
        if start == end {
            return;
        }
        let before = shown.covered.range(..end).next_back();
        if let Some((from, to)) = before
            && *to > start
        {
            let what = format!("bytes {start}..{end} of {direction} come after {from}..{to}");
            self.report.differ(Some(&watch.opening), &what);
        }
        match shown.covered.range_mut(..=start).next_back() {
            Some((_, to)) if *to == start => *to = end,
            _ => {
                shown.covered.insert(start, end);
            }
        }
    }

    /// What has left the streams.
    fn look(&mut self) {
        for event in std::mem::take(&mut self.stream_events) {
            if let StreamEvent::Open { info, .. } = &event {
                self.inodes.insert(info.id, info.key.generation);
            }
            let inode = self.inodes.get(&event.id()).copied().unwrap_or_default();
            if let Some(watch) = self.watches.get_mut(&inode) {
                watch.take(event, &mut self.report);
            }
        }
    }

    /// Up to when everything has been taken, on the monotonic clock.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.source.watermark()
    }

    /// Connections that have been closed, by their own account, and are open to the capture.
    ///
    /// # Errors
    /// The journal is damaged.
    pub fn unfinished(&mut self) -> Result<usize> {
        self.truth.refresh()?;
        let open = self
            .watches
            .iter()
            .filter(|(_, watch)| watch.closed.is_none());
        Ok(open
            .filter(|(inode, _)| self.truth.endings.contains_key(inode))
            .count())
    }

    /// The verdict.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let mut report = std::mem::take(&mut self.report);
        report.operations = self.truth.operations;
        let mut received: HashMap<u64, Vec<(u64, Vec<u8>)>> = HashMap::new();
        for watch in self.watches.values_mut() {
            if watch.opening.keys[1] & UNKNOWN_CONTENT != 0 {
                let kept = std::mem::take(&mut watch.shown[1].kept);
                received.insert(watch.opening.keys[1], kept);
            }
        }
        for (inode, opening) in &self.truth.openings {
            let Some(ending) = self.truth.endings.get(inode) else {
                report.differ(Some(opening), "has no end in the journal");
                continue;
            };
            let mut ending = ending.clone();
            ending.unwatched &= !self.sees_every_road;
            match self.watches.get(inode) {
                Some(watch) => {
                    report.connections += 1;
                    let pid = watch.open.process.and_then(|key| self.processes.get(&key));
                    // A child of the one that made it may be the first to use it.
                    let by_child = ["two-processes", "road"]
                        .iter()
                        .any(|episode| opening.episode.starts_with(episode));
                    // And where what came before was lost, any later one.
                    let any = by_child || self.tight;
                    if pid != Some(&opening.pid) && !(any && pid.is_some()) {
                        let what = format!("of process {pid:?} instead of {}", opening.pid);
                        report.differ(Some(opening), &what);
                    }
                    watch.compare(&ending, self.tight, &mut report);
                    if let Some(other) = received.get(&opening.keys[0]) {
                        compare_kept(opening, &watch.shown[0].kept, other, &mut report);
                    }
                }
                None if ending.totals == [0, 0] || ending.unwatched => {}
                // Its opening was among what found no room.
                None if self.tight => {}
                None => report.differ(Some(opening), "was never seen"),
            }
        }
        let books = self.streams.counters();
        if !books.is_balanced() || books.closed != books.balanced {
            report.differ(None, &format!("the books do not balance: {books:?}"));
        }
        report.counters = self.counters.read();
        report
            .counters
            .push(("skipped_runs".to_owned(), skipped_runs()));
        report
    }
}

/// Times that the kernel did not run a program of this process, as another was running on that CPU.
fn skipped_runs() -> u64 {
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fdinfo") else {
        return 0;
    };
    descriptors
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .filter_map(|text| {
            let count = text
                .lines()
                .find_map(|line| line.strip_prefix("recursion_misses:"))?;
            count.trim().parse::<u64>().ok()
        })
        .sum()
}

/// What one end sent, as far as it is known, is what the other has received there.
fn compare_kept(
    opening: &Opening,
    sent: &[(u64, Vec<u8>)],
    received: &[(u64, Vec<u8>)],
    report: &mut Report,
) {
    let end = received.iter().map(|(at, bytes)| at + bytes.len() as u64);
    let mut whole = vec![None; end.max().unwrap_or_default() as usize];
    for (at, bytes) in received {
        for (place, byte) in whole[*at as usize..].iter_mut().zip(bytes) {
            *place = Some(*byte);
        }
    }
    for (at, bytes) in sent {
        let known = whole.get(*at as usize..).unwrap_or_default();
        let differs = known
            .iter()
            .zip(bytes)
            .position(|(known, byte)| known.is_some_and(|known| known != *byte));
        if let Some(ahead) = differs {
            let what = format!("sent bytes at {} are others", at + ahead as u64);
            report.differ(Some(opening), &what);
        }
    }
}

impl Watch {
    fn take(&mut self, event: StreamEvent, report: &mut Report) {
        match event {
            StreamEvent::Open { positions, .. } => {
                for (shown, position) in self.shown.iter_mut().zip(positions) {
                    shown.next = position;
                }
            }
            StreamEvent::Data {
                direction,
                position,
                bytes,
                ..
            } => {
                let key = self.opening.keys[direction.index()];
                self.go_on(direction, position, bytes.len() as u64, report);
                let shown = &mut self.shown[direction.index()];
                shown.captured += bytes.len() as u64;
                if key & UNKNOWN_CONTENT != 0 {
                    shown.kept.push((position, bytes.to_vec()));
                } else if let Some(at) = content::difference(key, position, &bytes) {
                    let what = format!(
                        "{direction:?} bytes at {position} are wrong from {} on, of {}",
                        position + at as u64,
                        bytes.len()
                    );
                    report.differ(Some(&self.opening), &what);
                }
            }
            StreamEvent::Gap {
                direction,
                position,
                len,
                cause,
                ..
            } => {
                self.go_on(direction, position, len.unwrap_or_default(), report);
                let shown = &mut self.shown[direction.index()];
                match len {
                    Some(len) => shown.gaps.push((position, len, cause)),
                    None => shown.open_ended = true,
                }
            }
            StreamEvent::End {
                direction,
                position,
                ..
            } => self.shown[direction.index()].ended = Some(position),
            StreamEvent::Close { reason, .. } => self.closed = Some(reason),
            StreamEvent::Secured { .. } => report.differ(Some(&self.opening), "became TLS"),
            StreamEvent::Executed { .. } => {}
        }
    }

    fn go_on(&mut self, direction: Direction, position: u64, len: u64, report: &mut Report) {
        let shown = &mut self.shown[direction.index()];
        if shown.next.is_some_and(|next| next != position) {
            let what = format!("{direction:?} goes on at {position}, not {:?}", shown.next);
            report.differ(Some(&self.opening), &what);
        }
        shown.next = Some(position + len);
    }

    fn compare(&self, ending: &Ending, tight: bool, report: &mut Report) {
        let opening = &self.opening;
        self.compare_identity(report);
        if self.open.mid_stream && !ending.unwatched && !tight {
            report.differ(Some(opening), "is told as joined in the middle");
        }
        for (direction, shown) in self.shown.iter().enumerate() {
            report.captured_bytes += shown.captured;
            if shown.open_ended && self.closed != Some(StreamClose::CutOff) {
                report.differ(Some(opening), "a gap of unknown length");
            }
            // Where the opening or the end was lost, the beginning or the end is not known.
            let whole = !self.open.mid_stream && self.closed.is_some();
            if ending.unwatched || (tight && !whole) {
                continue;
            }
            let total = ending.totals[direction];
            let reached = shown.next.unwrap_or_default();
            if reached != total {
                let what = format!("{direction} ends at {reached}, not {total}");
                report.differ(Some(opening), &what);
            }
            if shown.ended.is_some_and(|ended| ended != total) {
                let what = format!(
                    "{direction} is told to end at {:?}, not {total}",
                    shown.ended
                );
                report.differ(Some(opening), &what);
            }
            for gap in &shown.gaps {
                compare_gap(opening, direction, *gap, &ending.stretches, tight, report);
            }
        }
        let expected = match ending.how.as_str() {
            _ if ending.unwatched => Some(StreamClose::CutOff),
            "finished" => Some(StreamClose::Finished),
            "reset" => Some(StreamClose::Reset),
            _ => None,
        };
        match self.closed {
            None if tight => {}
            None => report.differ(Some(opening), "was never closed"),
            Some(how) if expected.is_some_and(|expected| expected != how) => {
                report.differ(Some(opening), &format!("was closed as {how:?}"));
            }
            Some(_) => {}
        }
    }

    fn compare_identity(&self, report: &mut Report) {
        let (opening, open) = (&self.opening, &self.open);
        let expected = match opening.role.as_str() {
            "client" => Some(Role::Client),
            "server" => Some(Role::Server),
            _ => None,
        };
        if open.role != expected {
            report.differ(Some(opening), &format!("has the role {:?}", open.role));
        }
        let transport = if opening.transport == "unix" {
            Transport::Unix
        } else {
            Transport::Tcp
        };
        if open.transport != transport {
            report.differ(Some(opening), &format!("is {:?}", open.transport));
        }
        if transport == Transport::Tcp {
            for (told, is) in [(&opening.local, open.local), (&opening.remote, open.remote)] {
                let is = is.map(|address| address.to_string()).unwrap_or_default();
                if told != "*" && *told != is {
                    report.differ(Some(opening), &format!("has the address {is}, not {told}"));
                }
            }
        }
    }
}

/// A gap is right where the journal has one too; what is left of it was lost.
fn compare_gap(
    opening: &Opening,
    direction: usize,
    (position, len, cause): (u64, u64, GapCause),
    stretches: &[Stretch],
    tight: bool,
    report: &mut Report,
) {
    let end = position + len;
    let expected: u64 = stretches
        .iter()
        .filter(|stretch| stretch.direction == direction)
        .map(|stretch| {
            let last = end.min(stretch.position + stretch.len);
            last.saturating_sub(position.max(stretch.position))
        })
        .sum();
    report.expected_gap_bytes += expected;
    let rest = len.saturating_sub(expected);
    if rest == 0 {
        return;
    }
    // A report that was lost itself leaves a hole in the positions.
    if matches!(cause, GapCause::Ring | GapCause::Fault) || (tight && cause == GapCause::Unknown) {
        report.lost_bytes += rest;
    } else {
        let what = format!("{direction} lacks {rest} bytes in {position}..{end}, cause {cause:?}");
        report.differ(Some(opening), &what);
    }
}
