//! What passed on some connections, in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use wirespan_capture::{
    Clock, Close, CloseReason, ConnectionKey, Data, Direction, Layer, Missing, Nanos, Open,
    Perspective, Progress, Role, SocketEvent, Transport, open_any,
};
use wirespan_traffic::{Conversation, Speaker};

/// Between two things that are said.
const PAUSE: Nanos = 1_000_000;

#[derive(Clone, Debug)]
pub enum Item {
    Event(SocketEvent),
    /// No event before this time follows.
    Watermark(Nanos),
}

#[derive(Clone, Debug)]
pub struct Capture {
    pub clock: Clock,
    pub items: Vec<Item>,
}

impl Capture {
    /// A recording, pcap or pcapng, seen from the server's end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(file: &Path) -> Result<Self> {
        let mut source = open_any(file, Perspective::Server)?;
        let clock = source.clock();
        let (mut items, mut events) = (Vec::new(), Vec::new());
        loop {
            let progress = source.poll(Duration::from_secs(1), &mut events)?;
            items.extend(events.drain(..).map(Item::Event));
            items.push(Item::Watermark(source.watermark()));
            if progress == Progress::End {
                return Ok(Self { clock, items });
            }
        }
    }

    /// Conversations side by side, each on a connection of its own, whose turns alternate.
    #[must_use]
    pub fn of(conversations: &[Conversation]) -> Self {
        let mut items = Vec::new();
        let mut positions = vec![[0_u64; 2]; conversations.len()];
        let mut time = PAUSE;
        for number in 0..conversations.len() {
            let open = Box::new(open(number as u64, time));
            items.push(Item::Event(SocketEvent::Open(open)));
        }
        let longest = conversations.iter().map(|c| c.turns.len()).max();
        for turn in 0..longest.unwrap_or(0) {
            for (number, conversation) in conversations.iter().enumerate() {
                let Some(turn) = conversation.turns.get(turn) else {
                    continue;
                };
                time += PAUSE;
                let direction = match turn.speaker {
                    Speaker::Client => Direction::Received,
                    Speaker::Server => Direction::Sent,
                };
                let len = turn.bytes.len() as u64;
                let position = &mut positions[number][direction.index()];
                items.push(Item::Event(SocketEvent::Data(Data {
                    key: key(number as u64),
                    direction,
                    layer: Layer::Socket,
                    position: *position,
                    len,
                    bytes: turn.bytes.clone().into(),
                    entry: time,
                    exit: time,
                    missing: Missing::default(),
                })));
                *position += len;
            }
            items.push(Item::Watermark(time));
        }
        for (number, positions) in positions.iter().enumerate() {
            time += PAUSE;
            items.push(Item::Event(SocketEvent::Close(Close {
                key: key(number as u64),
                time,
                reason: CloseReason::Finished,
                positions: positions.map(Some),
            })));
        }
        items.push(Item::Watermark(time));
        Self {
            clock: Clock {
                capture_id: 1,
                unix_offset: 0,
            },
            items,
        }
    }

    /// Bytes that were copied.
    #[must_use]
    pub fn len(&self) -> usize {
        let bytes = |item: &Item| match item {
            Item::Event(SocketEvent::Data(data)) => data.bytes.len(),
            _ => 0,
        };
        self.items.iter().map(bytes).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn key(connection: u64) -> ConnectionKey {
    ConnectionKey {
        socket: 0xffff_8880_0000_0000 + connection * 2_048,
        generation: connection + 1,
    }
}

fn open(connection: u64, time: Nanos) -> Open {
    let port = 20_000 + u16::try_from(connection).unwrap_or(0);
    Open {
        key: key(connection),
        time,
        transport: Transport::Tcp,
        local: Some(SocketAddr::from(([10, 0, 0, 1], 7_777))),
        remote: Some(SocketAddr::from(([10, 0, 0, 2], port))),
        role: Some(Role::Server),
        positions: [Some(0), Some(0)],
        mid_stream: false,
        process: None,
        cgroup_id: 0,
        network_namespace: 0,
    }
}
