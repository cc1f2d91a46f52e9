//! Events in any order and shape through the streams, against a model that knows every byte by its
//! position.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use wirespan_capture::{
    Close, CloseReason, Confirmed, ConnectionKey, Data, Direction, End, Executed, Held, Layer,
    Missing, Nanos, Open, Process, ProcessKey, Role, Secured, SocketEvent, Transport,
};
use wirespan_stream::{Connections, Limits, StreamEvent};

/// Actions of one input.
const ACTIONS: usize = 200;

#[derive(Arbitrary, Debug)]
enum Action {
    Open {
        key: u8,
        /// Where each direction begins; not known where odd.
        positions: [u8; 2],
        mid_stream: bool,
    },
    Data {
        key: u8,
        sent: bool,
        plaintext: bool,
        position: u16,
        len: u16,
        /// Bytes at the end that were not copied.
        missing: u16,
        earlier: u8,
    },
    /// As damaged records could have it.
    Wild {
        key: u8,
        sent: bool,
        position: u64,
        len: u64,
        copied: u8,
        time: u64,
    },
    Secured {
        key: u8,
        positions: [u8; 2],
    },
    Confirmed {
        key: u8,
        sent: bool,
        position: u16,
    },
    End {
        key: u8,
        sent: bool,
        position: Option<u16>,
    },
    Close {
        key: u8,
        positions: [Option<u16>; 2],
        reset: bool,
    },
    Process {
        pid: u8,
    },
    Executed {
        pid: u8,
    },
    Held {
        key: u8,
        pid: u8,
    },
    Tick {
        millis: u16,
    },
}

#[derive(Arbitrary, Debug)]
struct Script {
    /// Nothing is given up before the end, so what comes out is known exactly.
    patient: bool,
    tight: bool,
    actions: Vec<Action>,
}

/// The byte of a stream at a position.
fn byte(key: u64, layer: Layer, direction: Direction, position: u64) -> u8 {
    let layer = u64::from(layer == Layer::Plaintext);
    let seed = key << 8 | layer << 4 | direction.index() as u64;
    let mixed = (position ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

pub(crate) fn run(input: &[u8]) {
    let Ok(mut script) = Script::arbitrary(&mut Unstructured::new(input)) else {
        return;
    };
    script.actions.truncate(ACTIONS);
    let limits = if script.tight && !script.patient {
        Limits {
            connections: 2,
            held_per_direction: 2_000,
            held_total: 3_000,
            processes: 2,
            patience: Duration::from_millis(2),
            confirmed_patience: Duration::from_millis(3),
            idle: Duration::from_millis(500),
        }
    } else {
        Limits::default()
    };
    let mut out = Vec::new();
    let mut connections = Connections::new(limits);
    let mut model = Model::default();
    let mut now: Nanos = 1_000_000;
    if script.patient {
        connections.push(
            SocketEvent::Open(Box::new(open(0, [Some(0); 2], 0))),
            &mut out,
        );
    }
    for action in &script.actions {
        now += 1_000;
        if let Action::Tick { millis } = action {
            if !script.patient {
                now += u64::from(*millis) * 1_000_000;
                connections.tick(now, &mut out);
            }
        } else if let Some(event) = event(action, script.patient, now, &mut model) {
            connections.push(event, &mut out);
        }
        let counters = connections.counters();
        assert!(counters.is_balanced(), "bytes got lost: {counters:?}");
        assert!(
            connections.len() <= limits.connections,
            "more connections than allowed"
        );
        model.check(&mut out);
    }
    connections.finish(now, &mut out);
    model.check(&mut out);
    let counters = connections.counters();
    assert!(counters.is_balanced(), "bytes got lost: {counters:?}");
    assert_eq!((counters.held, counters.held_cost), (0, 0), "still held");
    assert_eq!(counters.opened, counters.closed, "opened and closed");
    assert!(model.streams.values().all(|stream| stream.closed));
    if script.patient {
        model.compare_exactly();
    }
}

fn open(key: u64, positions: [Option<u64>; 2], time: Nanos) -> Open {
    Open {
        key: ConnectionKey {
            socket: key,
            generation: 1,
        },
        time,
        transport: Transport::Tcp,
        local: None,
        remote: None,
        role: Some(Role::Server),
        positions,
        mid_stream: false,
        process: Some(ProcessKey { pid: 1, started: 1 }),
        cgroup_id: 0,
        network_namespace: 0,
    }
}

fn event(action: &Action, patient: bool, now: Nanos, model: &mut Model) -> Option<SocketEvent> {
    // One connection, whole pieces, no announcements: everything else makes the streams give up.
    if patient && !matches!(action, Action::Data { .. } | Action::Process { .. }) {
        return None;
    }
    let key = |key: u8| ConnectionKey {
        socket: if patient { 0 } else { u64::from(key % 4) },
        generation: 1,
    };
    let direction = |sent: bool| {
        if sent {
            Direction::Sent
        } else {
            Direction::Received
        }
    };
    Some(match *action {
        Action::Open {
            key: number,
            positions,
            mid_stream,
        } => {
            let known = |at: u8| at.is_multiple_of(2).then_some(u64::from(at));
            let mut open = open(key(number).socket, positions.map(known), now);
            open.mid_stream = mid_stream;
            SocketEvent::Open(Box::new(open))
        }
        Action::Data {
            key: number,
            sent,
            plaintext,
            position,
            len,
            missing,
            earlier,
        } => {
            let (key, direction) = (key(number), direction(sent));
            let layer = if plaintext && !patient {
                Layer::Plaintext
            } else {
                Layer::Socket
            };
            let (position, len) = (u64::from(position % 4_096), u64::from(len % 1_500) + 1);
            let copied = if patient {
                len
            } else {
                len - len.min(u64::from(missing))
            };
            let bytes: Bytes = (position..position + copied)
                .map(|at| byte(key.socket, layer, direction, at))
                .collect();
            model.given(key.socket, layer, direction, position, copied);
            SocketEvent::Data(Data {
                key,
                direction,
                layer,
                position,
                len,
                bytes,
                entry: now - u64::from(earlier) * 100,
                exit: now,
                missing: Missing::Limit,
            })
        }
        Action::Wild {
            key: number,
            sent,
            position,
            len,
            copied,
            time,
        } => {
            model.wild = true;
            SocketEvent::Data(Data {
                key: key(number),
                direction: direction(sent),
                layer: Layer::Socket,
                position,
                len: len.max(u64::from(copied)),
                bytes: Bytes::from(vec![0; usize::from(copied)]),
                entry: time,
                exit: time,
                missing: Missing::Fault,
            })
        }
        Action::Secured {
            key: number,
            positions,
        } => SocketEvent::Secured(Secured {
            key: key(number),
            time: now,
            positions: positions.map(u64::from),
            mid_stream: false,
        }),
        Action::Confirmed {
            key: number,
            sent,
            position,
        } => SocketEvent::Confirmed(Confirmed {
            key: key(number),
            direction: direction(sent),
            position: u64::from(position % 8_192),
            time: now,
        }),
        Action::End {
            key: number,
            sent,
            position,
        } => SocketEvent::End(End {
            key: key(number),
            direction: direction(sent),
            time: now,
            position: position.map(u64::from),
        }),
        Action::Close {
            key: number,
            positions,
            reset,
        } => SocketEvent::Close(Close {
            key: key(number),
            time: now,
            reason: if reset {
                CloseReason::Reset
            } else {
                CloseReason::Finished
            },
            positions: positions.map(|position| position.map(u64::from)),
        }),
        Action::Process { pid } => SocketEvent::Process(process(pid)),
        Action::Executed { pid } => SocketEvent::Executed(Executed {
            time: now,
            process: process(pid),
        }),
        Action::Held { key: number, pid } => SocketEvent::Held(Held {
            key: key(number),
            time: now,
            process: process(pid),
        }),
        Action::Tick { .. } => return None,
    })
}

fn process(pid: u8) -> Arc<Process> {
    Arc::new(Process {
        pid: u32::from(pid),
        started: 1,
        ..Process::default()
    })
}

/// What came out of one connection.
#[derive(Debug)]
struct Stream {
    key: u64,
    layer: Layer,
    /// Where each direction goes on, where that is known.
    next: [Option<u64>; 2],
    ended: [bool; 2],
    closed: bool,
}

/// Positions given of one direction of one layer.
type Given = HashMap<(u64, bool, usize), Vec<bool>>;

#[derive(Debug, Default)]
struct Model {
    streams: HashMap<u64, Stream>,
    given: Given,
    delivered: Given,
    /// Bytes that the model does not know were given.
    wild: bool,
}

fn mark(given: &mut Given, key: u64, layer: Layer, direction: Direction, from: u64, len: u64) {
    let place = (key, layer == Layer::Plaintext, direction.index());
    let all = given.entry(place).or_default();
    for at in from..from + len {
        let at = usize::try_from(at).expect("positions are small");
        if all.len() <= at {
            all.resize(at + 1, false);
        }
        all[at] = true;
    }
}

impl Model {
    fn given(&mut self, key: u64, layer: Layer, direction: Direction, from: u64, len: u64) {
        mark(&mut self.given, key, layer, direction, from, len);
    }

    /// Each connection opens once and closes once; each direction goes on where it was; each byte is
    /// the one of its position, and was given.
    fn check(&mut self, out: &mut Vec<StreamEvent>) {
        for event in out.drain(..) {
            if let StreamEvent::Open {
                info, positions, ..
            } = &event
            {
                let stream = Stream {
                    key: info.key.socket,
                    layer: Layer::Socket,
                    next: *positions,
                    ended: [false; 2],
                    closed: false,
                };
                let known = self.streams.insert(info.id, stream);
                assert!(known.is_none(), "opened twice");
                continue;
            }
            let stream = self.streams.get_mut(&event.id());
            let stream = stream.expect("nothing comes before the opening");
            assert!(!stream.closed, "{event:?} after the close");
            match event {
                StreamEvent::Open { .. } => {}
                StreamEvent::Executed { info, time } => {
                    let (until, before) = info.before.as_ref().expect("there was another program");
                    assert_eq!((info.id, *until), (before.id, time));
                }
                StreamEvent::Data {
                    direction,
                    position,
                    bytes,
                    ..
                } => {
                    assert!(!bytes.is_empty(), "data without bytes");
                    stream.goes_on(direction, position, bytes.len() as u64);
                    if self.wild {
                        continue;
                    }
                    let (key, layer) = (stream.key, stream.layer);
                    for (at, found) in (position..).zip(&bytes) {
                        assert_eq!(*found, byte(key, layer, direction, at), "the byte at {at}");
                    }
                    let len = bytes.len() as u64;
                    mark(&mut self.delivered, key, layer, direction, position, len);
                    let place = (key, layer == Layer::Plaintext, direction.index());
                    let given = self.given.get(&place);
                    let all = given.is_some_and(|given| {
                        (position..position + len)
                            .all(|at| given.get(at as usize).copied().unwrap_or_default())
                    });
                    assert!(all, "bytes that nobody gave");
                }
                StreamEvent::Gap {
                    direction,
                    position,
                    len: Some(len),
                    ..
                } => {
                    assert!(len > 0, "a gap of nothing");
                    stream.goes_on(direction, position, len);
                }
                StreamEvent::Gap {
                    direction,
                    len: None,
                    ..
                } => stream.next[direction.index()] = None,
                StreamEvent::Secured { positions, .. } => {
                    assert_eq!(stream.layer, Layer::Socket, "secured twice");
                    stream.layer = Layer::Plaintext;
                    stream.next = positions.map(Some);
                    stream.ended = [false; 2];
                }
                StreamEvent::End {
                    direction,
                    position,
                    ..
                } => {
                    stream.goes_on(direction, position, 0);
                    stream.ended[direction.index()] = true;
                }
                StreamEvent::Close { .. } => stream.closed = true,
            }
        }
    }

    /// Everything that was given came out, and nothing twice: that positions follow each other was
    /// seen already.
    fn compare_exactly(&self) {
        for (place, given) in &self.given {
            let delivered = self.delivered.get(place).map_or(&[][..], Vec::as_slice);
            assert_eq!(delivered, given, "what came out of {place:?}");
        }
    }
}

impl Stream {
    fn goes_on(&mut self, direction: Direction, position: u64, len: u64) {
        let index = direction.index();
        assert!(!self.ended[index], "{direction:?} goes on after its end");
        if let Some(next) = self.next[index] {
            assert_eq!(position, next, "{direction:?} goes on elsewhere");
        }
        self.next[index] = Some(position.saturating_add(len));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut random = wirespan_traffic::Random::new(11);
    (0..32)
        .map(|seed| {
            let len = random.between(100, 800);
            let mut input = random.bytes(len);
            input[0] = seed & 1;
            input
        })
        .collect()
}
