//! What sources read: packet captures, recordings, and records of the kernel side.

use std::io::{Cursor, Write};
use std::path::Path;
use std::time::Duration;

use wirespan_capture::recording::{RecordingSource, RecordingWriter};
use wirespan_capture::{
    Clock, Close, CloseReason, ConnectionKey, Data, Direction, Layer, Missing, Open, Perspective,
    Progress, Role, SocketEvent, Source, Transport, open_any,
};
use wirespan_stream::Connections;
use xxhash_rust::xxh3::xxh3_64;

/// Polls after which an input that never ends is a failure: each gives events or ends.
const POLLS: usize = 100_000;

/// Reads a source to its end, through the streams, whose books must balance.
fn drain(mut source: impl Source) {
    let (mut events, mut out) = (Vec::new(), Vec::new());
    let mut connections = Connections::default();
    for _ in 0..POLLS {
        let Ok(progress) = source.poll(Duration::ZERO, &mut events) else {
            break;
        };
        for event in events.drain(..) {
            connections.push(event, &mut out);
        }
        connections.tick(source.watermark(), &mut out);
        out.clear();
        if progress == Progress::End {
            connections.finish(source.watermark(), &mut out);
            assert!(
                connections.counters().is_balanced(),
                "bytes got lost on the way: {:?}",
                connections.counters()
            );
            let _ = source.warnings();
            return;
        }
    }
}

struct Boxed(Box<dyn Source + Send>);

impl Source for Boxed {
    fn poll(
        &mut self,
        wait: Duration,
        events: &mut Vec<SocketEvent>,
    ) -> Result<Progress, wirespan_capture::CaptureError> {
        self.0.poll(wait, events)
    }

    fn clock(&self) -> Clock {
        self.0.clock()
    }

    fn watermark(&self) -> u64 {
        self.0.watermark()
    }

    fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }
}

pub(crate) fn pcap(input: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    file.write_all(input)
        .expect("a temporary file can be written");
    for perspective in [Perspective::Server, Perspective::Client] {
        if let Ok(source) = open_any(file.path(), perspective) {
            drain(Boxed(source));
        }
    }
}

/// A capture of a request, its answer and their ends, in each of two byte orders and both formats.
pub(crate) fn pcap_seeds() -> Vec<Vec<u8>> {
    let packet = |from_client: bool, sequence: u32, flags: u8, payload: &[u8]| {
        let (source, target) = if from_client {
            ([10, 0, 0, 2, 0x9c, 0x40], [10, 0, 0, 1, 0, 80])
        } else {
            ([10, 0, 0, 1, 0, 80], [10, 0, 0, 2, 0x9c, 0x40])
        };
        let mut bytes = vec![2; 12];
        bytes.extend([8, 0, 0x45, 0]);
        bytes.extend((40 + payload.len() as u16).to_be_bytes());
        bytes.extend([0, 1, 0, 0, 64, 6, 0, 0]);
        bytes.extend(&source[..4]);
        bytes.extend(&target[..4]);
        bytes.extend(&source[4..]);
        bytes.extend(&target[4..]);
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(2_000_u32.to_be_bytes());
        bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(payload);
        bytes
    };
    let packets = [
        packet(true, 1_000, 2, b""),
        packet(false, 1_999, 0x12, b""),
        packet(true, 1_001, 0x18, b"GET / HTTP/1.1\r\n\r\n"),
        packet(false, 2_000, 0x18, b"HTTP/1.1 204 No Content\r\n\r\n"),
        packet(true, 1_019, 0x11, b""),
        packet(false, 2_027, 0x11, b""),
    ];
    [false, true]
        .into_iter()
        .flat_map(|big| {
            let number = |value: u32| {
                if big {
                    value.to_be_bytes()
                } else {
                    value.to_le_bytes()
                }
            };
            let mut file = number(0xa1b2_c3d4).to_vec();
            file.extend(if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
            for value in [0, 0, 65_535, 1] {
                file.extend(number(value));
            }
            for (second, packet) in packets.iter().enumerate() {
                let len = packet.len() as u32;
                for value in [second as u32, 0, len, len] {
                    file.extend(number(value));
                }
                file.extend(packet);
            }
            // Blocks: their type, length, content, length again (pcapng, section 3).
            let block = |kind: u32, content: &[u8]| {
                let padding = content.len().next_multiple_of(4) - content.len();
                let len = number((12 + content.len() + padding) as u32);
                [&number(kind), &len[..], content, &vec![0; padding], &len].concat()
            };
            let version = if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] };
            let link = if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] };
            let section = [&number(0x1a2b_3c4d)[..], &version, &[0xff; 8]].concat();
            let interface = [&link[..], &number(65_535)].concat();
            let mut next = block(0x0a0d_0d0a, &section);
            next.extend(block(1, &interface));
            for (time, packet) in packets.iter().enumerate() {
                let len = packet.len() as u32;
                let head = [0, 0, time as u32, len, len].map(number).concat();
                next.extend(block(6, &[&head[..], packet].concat()));
            }
            [file, next]
        })
        .collect()
}

/// Any bytes as a file; and, since no change of a file gets past its checksums, any bytes as what is
/// in a frame of one.
pub(crate) fn recording(input: &[u8]) {
    read_recording(input.to_vec());
    if let Some((&[kind, extra], block)) = input.split_first_chunk::<2>() {
        read_recording(recorded(kind, extra, block));
    }
}

/// A recording of one frame with this in it.
fn recorded(kind: u8, extra: u8, block: &[u8]) -> Vec<u8> {
    // A clock with a varint for each of its numbers, and no note.
    let header = [1, 0, 0];
    let mut file = b"\x89WSREC\r\n\x01\0\0\0".to_vec();
    file.extend((header.len() as u32).to_le_bytes());
    file.extend(xxh3_64(&header).to_le_bytes());
    file.extend(header);
    let stored = if kind % 4 == 3 {
        block.to_vec()
    } else {
        zstd::bulk::compress(block, 1).expect("bytes can be compressed")
    };
    // Sometimes another length than it has.
    let plain = block.len() + usize::from(extra).saturating_sub(250);
    let mut frame = b"\x89WSF".to_vec();
    frame.extend([1 + kind % 2, 0, 0, 0]);
    frame.extend((stored.len() as u32).to_le_bytes());
    frame.extend((plain as u32).to_le_bytes());
    let checksum = xxh3_64(&[&frame[..], &stored].concat());
    frame.extend(checksum.to_le_bytes());
    frame.extend(stored);
    file.extend(&frame);
    file
}

fn read_recording(bytes: Vec<u8>) {
    let reader = Box::new(Cursor::new(bytes));
    if let Ok(source) = RecordingSource::from_reader(Path::new("input"), reader) {
        drain(source);
    }
}

pub(crate) fn recording_seeds() -> Vec<Vec<u8>> {
    let key = ConnectionKey {
        socket: 7,
        generation: 1,
    };
    let data = |direction, position, bytes: &'static [u8], time| {
        SocketEvent::Data(Data {
            key,
            direction,
            layer: Layer::Socket,
            position,
            len: bytes.len() as u64,
            bytes: bytes.into(),
            entry: time,
            exit: time,
            missing: Missing::Unwanted,
        })
    };
    let events = [
        SocketEvent::Open(Box::new(Open {
            key,
            time: 1,
            transport: Transport::Tcp,
            local: Some(([127, 0, 0, 1], 80).into()),
            remote: Some(([127, 0, 0, 1], 40_000).into()),
            role: Some(Role::Server),
            positions: [Some(0), Some(0)],
            mid_stream: false,
            process: None,
            cgroup_id: 0,
            network_namespace: 0,
        })),
        data(Direction::Received, 0, b"GET / HTTP/1.1\r\n\r\n", 2),
        data(Direction::Sent, 0, b"HTTP/1.1 204 No Content\r\n\r\n", 3),
        SocketEvent::Close(Close {
            key,
            time: 4,
            reason: CloseReason::Finished,
            positions: [Some(27), Some(18)],
        }),
    ];
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let clock = Clock {
        capture_id: 1,
        unix_offset: 0,
    };
    let mut writer = RecordingWriter::create(file.path(), clock).expect("it can be written");
    writer.write(&events).expect("it can be written");
    writer.set_watermark(4);
    writer.finish().expect("it can be written");
    let whole = std::fs::read(file.path()).expect("it can be read");
    // Behind the header of the file and that of the frame.
    let header = whole.get(12..16).and_then(|len| len.try_into().ok());
    let begin = 24 + header.map_or(0, u32::from_le_bytes) as usize + 24;
    let stored = whole
        .get(begin - 16..begin - 12)
        .and_then(|len| len.try_into().ok());
    let end = begin + stored.map_or(0, u32::from_le_bytes) as usize;
    let block = whole.get(begin..end).unwrap_or_default();
    let block = zstd::bulk::decompress(block, 1 << 16).expect("it was compressed");
    vec![[&[0, 0][..], &block].concat(), whole]
}
