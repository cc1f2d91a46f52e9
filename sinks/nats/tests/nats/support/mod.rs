//! A real nats-server on a free port, ended with its test, and spans to send through it.

pub(crate) mod subscriber;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wirespan_span::{Attribute, Flags, Kind, Resource, Span, Status, Value, fields};

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    directory: tempfile::TempDir,
}

impl Server {
    /// `config` goes into its configuration file.
    pub(crate) fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        std::fs::write(directory.path().join("nats.conf"), config).unwrap();
        let child = run(directory.path(), port);
        Self {
            child,
            port,
            directory,
        }
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn start_again(&mut self, config: &str) {
        std::fs::write(self.directory.path().join("nats.conf"), config).unwrap();
        self.child = run(self.directory.path(), self.port);
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// None twice: a client whose server was stopped would find that of another test in its place.
pub(crate) fn free_port() -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        if TAKEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

fn run(directory: &Path, port: u16) -> Child {
    let mut child = Command::new("nats-server")
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"])
        .arg(directory.join("nats.conf"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("these tests need the program `nats-server` on PATH (Debian: apt-get install nats-server)");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = Vec::new();
    loop {
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("nats-server has ended: {log:#?}"))
            .unwrap();
        if line.contains("Server is ready") {
            break;
        }
        log.push(line);
    }
    // It is to find a reader for as long as it runs.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// Spans of `service`, their ids counted from `first`.
pub(crate) fn spans(service: &str, first: u64, count: u64) -> Vec<Arc<Span>> {
    spans_with(service, first, count, "GET")
}

pub(crate) fn spans_with(service: &str, first: u64, count: u64, name: &str) -> Vec<Arc<Span>> {
    let resource = Arc::new(Resource {
        service_name: service.into(),
        ..Resource::default()
    });
    let span = |id: u64| Span {
        trace_id: u128::from(id),
        span_id: id,
        parent_span_id: None,
        trace_flags: 0,
        name: name.into(),
        kind: Kind::Server,
        start_unix_nano: 1_763_769_600_000_000_000,
        request_end_unix_nano: None,
        response_start_unix_nano: None,
        end_unix_nano: 1_763_769_600_000_000_000 + id,
        status: Status::Unset,
        attributes: vec![Attribute::new(&fields::SERVER_PORT, Value::Integer(80))],
        resource: Arc::clone(&resource),
        flags: Flags::default(),
        protocol: "http".into(),
        parser: "http@0.1.0".into(),
    };
    (first..first + count)
        .map(|id| Arc::new(span(id)))
        .collect()
}

/// Waits for what is to become true soon.
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what} did not happen in a minute"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
