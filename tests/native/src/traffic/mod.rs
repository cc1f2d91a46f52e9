//! What clients and servers say: one exchange of a connection after the other, in chunks as they are
//! seen live, where a program reads and writes a message in one call if it fits its buffer.

mod grpc;
mod hpack;
mod http;
mod mysql;
mod postgres;
mod statement;

/// Bytes that one side sent in one call.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub from_client: bool,
    pub bytes: Vec<u8>,
}

/// A protocol and its exchanges.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Of the parser.
    pub name: &'static str,
    pub what: &'static str,
    /// Where a server of this protocol listens.
    pub port: u16,
    /// What comes before the first exchange.
    pub opening: fn() -> Vec<Chunk>,
    /// The exchange of this number on its connection: one span.
    pub exchange: fn(u64) -> Vec<Chunk>,
}

pub const ALL: [Traffic; 4] = [
    http::TRAFFIC,
    grpc::TRAFFIC,
    mysql::TRAFFIC,
    postgres::TRAFFIC,
];

impl Traffic {
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|traffic| traffic.name == name)
    }
}

/// Events of several connections that take turns.
#[derive(Debug)]
pub struct Turns {
    traffic: Traffic,
    positions: Vec<[u64; 2]>,
    round: u64,
}

/// One chunk of a [`Turns`].
#[derive(Clone, Debug)]
pub struct Turn {
    pub connection: usize,
    pub from_client: bool,
    pub position: u64,
    pub time: u64,
    pub bytes: Vec<u8>,
}

/// Between two exchanges of a connection.
const PAUSE_NANOS: u64 = 100_000;

impl Turns {
    #[must_use]
    pub fn new(traffic: Traffic, connections: usize) -> Self {
        Self {
            traffic,
            positions: vec![[0; 2]; connections],
            round: 0,
        }
    }

    /// What comes before the first exchange of each connection.
    pub fn opening(&mut self) -> Vec<Turn> {
        let chunks = (self.traffic.opening)();
        self.take(&chunks)
    }

    /// One exchange of each connection.
    pub fn round(&mut self) -> Vec<Turn> {
        let chunks = (self.traffic.exchange)(self.round.saturating_sub(1));
        self.take(&chunks)
    }

    fn take(&mut self, chunks: &[Chunk]) -> Vec<Turn> {
        self.round += 1;
        let mut turns = Vec::with_capacity(chunks.len() * self.positions.len());
        for (connection, positions) in self.positions.iter_mut().enumerate() {
            let mut time = self.round * PAUSE_NANOS + connection as u64 * 1_500;
            for Chunk { from_client, bytes } in chunks {
                time += 400;
                let position = &mut positions[usize::from(!from_client)];
                turns.push(Turn {
                    connection,
                    from_client: *from_client,
                    position: *position,
                    time,
                    bytes: bytes.clone(),
                });
                *position += bytes.len() as u64;
            }
        }
        turns
    }
}

fn client(bytes: impl Into<Vec<u8>>) -> Chunk {
    Chunk {
        from_client: true,
        bytes: bytes.into(),
    }
}

fn server(bytes: impl Into<Vec<u8>>) -> Chunk {
    Chunk {
        from_client: false,
        bytes: bytes.into(),
    }
}
