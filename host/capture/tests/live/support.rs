//! Opens the source for one port, and puts together what it reports.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wirespan_capture::live::{LiveConfig, LiveReport, LiveSource};
use wirespan_capture::{
    Close, ConnectionKey, Data, Direction, End, Executed, Layer, Open, Process, Secured,
    SocketEvent, Source,
};

/// Ends a wait for what does not come, however busy the machine is.
const SOON: Duration = Duration::from_secs(30);

/// Everything that was reported of one end.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) open: Open,
    /// Whose it is, as it was described before.
    pub(crate) process: Option<Arc<Process>>,
    /// What that process has become since, and when.
    pub(crate) executed: Vec<Executed>,
    pub(crate) data: Vec<Data>,
    pub(crate) secured: Vec<Secured>,
    pub(crate) ends: Vec<End>,
    pub(crate) close: Option<Close>,
}

impl Seen {
    /// The bytes of one direction; they must lie side by side from `start` on.
    pub(crate) fn bytes(&self, direction: Direction, layer: Layer, start: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for data in self.of(direction, layer) {
            assert_eq!(
                data.position,
                start + bytes.len() as u64,
                "hole in {direction:?}"
            );
            assert_eq!(data.len, data.bytes.len() as u64, "{data:?}");
            bytes.extend_from_slice(&data.bytes);
        }
        bytes
    }

    /// Data of one direction by position.
    pub(crate) fn of(&self, direction: Direction, layer: Layer) -> Vec<&Data> {
        let mut all: Vec<_> = self
            .data
            .iter()
            .filter(|data| data.direction == direction && data.layer == layer)
            .collect();
        all.sort_by_key(|data| data.position);
        all
    }

    /// No byte of the socket lies behind its last position, nor before its first.
    fn assert_ends(&self) {
        for data in self.data.iter().filter(|data| data.layer == Layer::Socket) {
            let last = self
                .close
                .and_then(|close| close.positions[data.direction.index()]);
            let first = self.open.positions[data.direction.index()];
            assert!(
                first.is_none_or(|first| data.position >= first)
                    && last.is_none_or(|last| data.position + data.len <= last),
                "{:?}: {:?} at {} of {} in {first:?} to {last:?}",
                self.open.key,
                data.direction,
                data.position,
                data.len
            );
        }
    }

    pub(crate) fn end(&self, direction: Direction) -> Option<u64> {
        self.ends
            .iter()
            .find(|end| end.direction == direction)?
            .position
    }
}

/// A listener, and the source that watches its port.
pub(crate) struct Bench {
    listener: Option<TcpListener>,
    pub(crate) source: LiveSource,
    pub(crate) report: LiveReport,
    seen: HashMap<ConnectionKey, Seen>,
    processes: HashMap<u32, Arc<Process>>,
    port: u16,
}

/// `None` when these tests are left out on purpose.
pub(crate) fn config() -> Option<LiveConfig> {
    if std::env::var_os("WIRESPAN_SKIP_KERNEL").is_some_and(|value| value == "1") {
        eprintln!("SKIPPED: WIRESPAN_SKIP_KERNEL=1");
        return None;
    }
    let directory = std::env::var_os("WIRESPAN_ARTEFACTS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../target/artefacts"
            ))
        },
        PathBuf::from,
    );
    let object = std::fs::read(directory.join("probes.o")).unwrap_or_else(|error| {
        panic!(
            "no kernel side in {}: {error}; run `cargo xtask build`",
            directory.display()
        )
    });
    let mut config = LiveConfig::new(object);
    config.observe_self = true;
    config.rings_bytes = 4 << 20;
    // Those of all others on this machine count too, of tests with thousands of them at the same time.
    config.connections = 16 * 1024;
    Some(config)
}

impl Bench {
    pub(crate) fn listen() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    pub(crate) fn new(listener: TcpListener, mut config: LiveConfig) -> Self {
        config.ports = vec![listener.local_addr().unwrap().port()];
        let mut bench = Self::for_ports(config);
        bench.listener = Some(listener);
        bench
    }

    /// Without a listener: others make the traffic.
    pub(crate) fn for_ports(config: LiveConfig) -> Self {
        let (source, report) = LiveSource::open(&config)
            .unwrap_or_else(|error| panic!("{error} (or set WIRESPAN_SKIP_KERNEL=1)"));
        for set in &report.sets {
            assert_eq!(set.left_out, None, "{}", set.name);
        }
        Self {
            listener: None,
            source,
            report,
            seen: HashMap::new(),
            processes: HashMap::new(),
            port: config.ports.first().copied().unwrap_or_default(),
        }
    }

    /// Both ends of a new connection.
    pub(crate) fn connect(&self) -> (TcpStream, TcpStream) {
        let listener = self.listener.as_ref().unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (client, server)
    }

    /// Reads events until `done`; what has not come within [`SOON`] never will.
    pub(crate) fn until(&mut self, done: impl Fn(&HashMap<ConnectionKey, Seen>) -> bool) {
        self.until_within(SOON, done);
    }

    /// Reads events until `done`.
    pub(crate) fn until_within(
        &mut self,
        limit: Duration,
        done: impl Fn(&HashMap<ConnectionKey, Seen>) -> bool,
    ) {
        let begun = Instant::now();
        let mut events = Vec::new();
        while !done(&self.seen) {
            assert!(
                begun.elapsed() < limit,
                "not seen in time: {:?}\n{:?}",
                self.source.counters(),
                self.seen
            );
            self.source
                .poll(Duration::from_millis(50), &mut events)
                .unwrap();
            for event in events.drain(..) {
                self.take(event);
            }
        }
    }

    /// Reads events until both ends are closed.
    pub(crate) fn until_closed(&mut self) {
        self.until(|seen| seen.len() >= 2 && seen.values().all(|seen| seen.close.is_some()));
    }

    fn take(&mut self, event: SocketEvent) {
        if let SocketEvent::Process(process) = event {
            self.processes.insert(process.pid, process);
            return;
        }
        if let SocketEvent::Executed(executed) = event {
            let pid = executed.process.pid;
            self.processes.insert(pid, Arc::clone(&executed.process));
            let its = |seen: &&mut Seen| {
                let process = seen.process.as_ref();
                seen.close.is_none() && process.is_some_and(|process| process.pid == pid)
            };
            for seen in self.seen.values_mut().filter(its) {
                seen.executed.push(executed.clone());
            }
            return;
        }
        // The names of a Unix socket come before its opening.
        if let SocketEvent::Unix(_) = event {
            return;
        }
        let key = event.key();
        if let SocketEvent::Open(open) = event {
            let process = open.process.and_then(|key| self.processes.get(&key.pid));
            let fresh = Seen {
                process: process.cloned(),
                executed: vec![],
                open: *open,
                data: vec![],
                secured: vec![],
                ends: vec![],
                close: None,
            };
            assert!(
                self.seen.insert(fresh.open.key, fresh).is_none(),
                "opened twice"
            );
            return;
        }
        let Some(key) = key else { return };
        let seen = self.seen.get_mut(&key).expect("an event before its open");
        assert!(seen.close.is_none(), "an event after its close: {event:?}");
        match event {
            SocketEvent::Data(data) => seen.data.push(data),
            SocketEvent::Secured(secured) => seen.secured.push(secured),
            SocketEvent::End(end) => seen.ends.push(end),
            SocketEvent::Close(close) => seen.close = Some(close),
            SocketEvent::Held(held) => assert!(held.time >= seen.open.time),
            other => panic!("{other:?}"),
        }
    }

    /// The port that is watched.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn seen(&self) -> &HashMap<ConnectionKey, Seen> {
        &self.seen
    }

    /// Every end that was seen.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Seen> {
        self.seen.values()
    }

    /// The end that has this local address.
    pub(crate) fn end_at(&self, local: SocketAddr) -> &Seen {
        self.seen
            .values()
            .find(|seen| seen.open.local == Some(local))
            .unwrap_or_else(|| panic!("no end at {local}: {:#?}", self.seen))
    }
}

impl Drop for Bench {
    /// Whatever a test does, every byte that passed is in one of the books, and nothing was told of a
    /// connection beyond where it has ended.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.seen.values().for_each(Seen::assert_ends);
        let begun = Instant::now();
        while self.source.counters().unaccounted_bytes() != 0 {
            assert!(
                begun.elapsed() < SOON,
                "bytes are unaccounted for: {:?}",
                self.source.counters()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Bytes in which every stretch is different.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(len)
        .collect()
}
