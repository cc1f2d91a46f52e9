//! Who takes a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use wirespan_capture::{Clock, ConnectionKey, Direction, Role, Transport};
use wirespan_runtime::{Output, ParserCounters, RuntimeCounters, Worker};
use wirespan_stream::{ConnectionInfo, StreamClose, StreamEvent};
use wirespan_traffic::{Conversation, Speaker};

use crate::road::Road;

/// Where a connection that was joined in the middle has come to.
const JOINED_AT: [u64; 2] = [70_000, 5_000];

/// What is known of a connection beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub port: u16,
    pub role: Option<Role>,
    pub mid_stream: bool,
    /// It ends, rather than being still open when the question is asked.
    pub closed: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            port: 7_777,
            role: Some(Role::Server),
            mid_stream: false,
            closed: true,
        }
    }
}

/// What became of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Parsers that took it, also those that gave it back.
    pub taken: Vec<String>,
    /// Of these, those that said that it was not theirs.
    pub given_back: Vec<String>,
    /// Set aside as TLS.
    pub encrypted: bool,
    /// Left as nobody's.
    pub unknown: bool,
}

/// Presents connections to the runtime, one after the other.
#[derive(Debug)]
pub struct Recogniser<'a> {
    road: &'a Road,
    worker: Worker,
    counters: Arc<RuntimeCounters>,
    parsers: Vec<(String, Arc<ParserCounters>)>,
    next: u64,
    output: Output,
}

impl<'a> Recogniser<'a> {
    #[must_use]
    pub fn new(road: &'a Road) -> Self {
        let counters = Arc::new(RuntimeCounters::default());
        let clock = Clock {
            capture_id: 1,
            unix_offset: 0,
        };
        let named = |label: &str| {
            let name = label.split('@').next().unwrap_or(label);
            (name.to_owned(), counters.parser(label))
        };
        Self {
            road,
            worker: road.worker(clock, &counters),
            parsers: road.parsers().iter().map(|p| named(p.label())).collect(),
            counters,
            next: 1,
            output: Output::default(),
        }
    }

    /// Presents a conversation turn by turn, the parsers run after each.
    ///
    /// # Errors
    /// When a parser failed over it.
    pub fn present(
        &mut self,
        conversation: &Conversation,
        setting: Setting,
    ) -> anyhow::Result<Finding> {
        let before = self.numbers();
        let id = self.next;
        self.next += 1;
        // A day between two connections: no timer of one is due in another.
        let mut time = id * 86_400_000_000_000;
        let mut positions = if setting.mid_stream {
            JOINED_AT
        } else {
            [0; 2]
        };
        self.worker.handle(StreamEvent::Open {
            info: info(id, time, setting),
            positions: positions.map(Some),
            mid_stream: setting.mid_stream,
        });
        for turn in &conversation.turns {
            time += 1_000_000;
            let direction = match (turn.speaker, setting.role) {
                (Speaker::Client, Some(Role::Client)) => Direction::Sent,
                (Speaker::Server, Some(Role::Client)) => Direction::Received,
                (Speaker::Client, _) => Direction::Received,
                (Speaker::Server, _) => Direction::Sent,
            };
            let position = &mut positions[direction.index()];
            self.worker.handle(StreamEvent::Data {
                id,
                direction,
                position: *position,
                bytes: turn.bytes.clone().into(),
                time,
                order_uncertain: false,
            });
            *position += turn.bytes.len() as u64;
            self.worker.run(&mut self.output);
        }
        if !setting.closed {
            let finding = self.finding(&before);
            self.close(id, time);
            self.road.alive(&self.counters)?;
            return Ok(finding);
        }
        self.close(id, time);
        self.road.alive(&self.counters)?;
        Ok(self.finding(&before))
    }

    fn close(&mut self, id: u64, time: u64) {
        self.worker.handle(StreamEvent::Close {
            id,
            reason: StreamClose::Finished,
            time: time + 1_000_000,
        });
        self.worker.run(&mut self.output);
        self.output.spans.clear();
        self.output.verdicts.clear();
    }

    fn numbers(&self) -> Numbers {
        let of = |(_, counters): &(String, Arc<ParserCounters>)| {
            [counters.recognised.get(), counters.not_mine.get()]
        };
        Numbers {
            parsers: self.parsers.iter().map(of).collect(),
            encrypted: self.counters.encrypted.get(),
            unknown: self.counters.unknown.get(),
        }
    }

    fn finding(&self, before: &Numbers) -> Finding {
        let now = self.numbers();
        let risen = |index: usize| {
            let pairs = self
                .parsers
                .iter()
                .zip(before.parsers.iter().zip(&now.parsers));
            pairs
                .filter(|(_, (before, now))| now[index] > before[index])
                .map(|((name, _), _)| name.clone())
                .collect()
        };
        Finding {
            taken: risen(0),
            given_back: risen(1),
            encrypted: now.encrypted > before.encrypted,
            unknown: now.unknown > before.unknown,
        }
    }
}

struct Numbers {
    /// Taken and given back.
    parsers: Vec<[u64; 2]>,
    encrypted: u64,
    unknown: u64,
}

fn info(id: u64, time: u64, setting: Setting) -> Arc<ConnectionInfo> {
    let server = SocketAddr::from(([10, 0, 0, 1], setting.port));
    let client = SocketAddr::from(([10, 0, 0, 2], 40_000));
    let (local, remote) = match setting.role {
        Some(Role::Client) => (client, server),
        _ => (server, client),
    };
    Arc::new(ConnectionInfo {
        key: ConnectionKey {
            socket: id,
            generation: id,
        },
        id,
        opened: time,
        transport: Transport::Tcp,
        names: None,
        local: Some(local),
        remote: Some(remote),
        role: setting.role,
        process: None,
        cgroup_id: 0,
        network_namespace: 0,
        before: None,
    })
}
