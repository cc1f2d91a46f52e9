//! How fast the host reads the records of a ring.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use wirespan_capture::live::fuzzing::Records;
use wirespan_capture::live::measuring::FullRing;
use wirespan_events::{Data, MAGIC, Open, Record, VERSION, direction, kind, layer};

use crate::report::{Figure, Report};

/// A ring of the default size on a machine of two CPUs.
const RING_BYTES: u32 = 16 << 20;
/// Records between two hand-overs, as in the live source.
const BATCH: usize = 4096;
const TURNS: u32 = 8;
const ROUNDS: usize = 12;

/// Of a record with what stands before it in the ring.
const PLACE_BYTES: u32 = 128;
const PAYLOAD: [u8; 24] = *b"GET /users/7 HTTP/1.1\r\n\r";

pub(crate) fn measure() -> Result<Report> {
    let short = crate::short();
    let rounds = if short { 1 } else { ROUNDS };
    let record = data();
    let mut ring = FullRing::new(RING_BYTES, &record)?;
    let records = f64::from(RING_BYTES / PLACE_BYTES) * f64::from(TURNS);
    let (mut read, mut checked, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    ring.drain(BATCH, |_| {})?; // Maps the pages.
    for _ in 0..rounds {
        read.push(rate(records, || {
            let mut sum = 0_u64;
            ring.drain(BATCH, |record| {
                sum += record.first().copied().map_or(0, u64::from)
            })?;
            std::hint::black_box(sum);
            Ok(())
        })?);
        checked.push(rate(records, || {
            let mut bytes = 0_u64;
            ring.drain(BATCH, |record| {
                if let Ok(Record::Data(data, payload)) = Record::parse(record) {
                    bytes += data.bytes + payload.len() as u64;
                }
            })?;
            std::hint::black_box(bytes);
            Ok(())
        })?);
        let mut events = Vec::new();
        let mut decoder = Records::new(PathBuf::from("/proc"), false);
        decoder.push(&header(kind::OPEN, size_of::<Open>()));
        decoder.release(u64::MAX, &mut events);
        decoded.push(rate(records, || {
            let mut pushed = 0_usize;
            ring.drain(BATCH, |record| {
                decoder.push(record);
                pushed += 1;
                if pushed == BATCH {
                    pushed = 0;
                    decoder.release(u64::MAX, &mut events);
                    events.clear();
                }
            })
            .context("the ring")
        })?);
    }
    Ok(Report {
        what: "records of 128 bytes read out of a full ring, by CPU time of one core",
        short,
        figures: vec![
            Figure::alone("read and given back", "M/s", &read),
            Figure::alone("also checked and taken apart", "M/s", &checked),
            Figure::alone("also made events of, in order", "M/s", &decoded),
        ],
    })
}

/// A record with nothing behind its header but zeros.
fn header(kind: u16, len: usize) -> Vec<u8> {
    let (connection, inode, time) = (1_u64, 1_u64, 1_u64);
    let mut bytes = MAGIC.to_ne_bytes().to_vec();
    bytes.extend(VERSION.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((len as u32).to_ne_bytes());
    bytes.extend([0; 4]);
    for field in [connection, inode, time] {
        bytes.extend(field.to_ne_bytes());
    }
    bytes.resize(len, 0);
    bytes
}

/// What a call with [`PAYLOAD`] leaves.
fn data() -> Vec<u8> {
    let mut bytes = header(kind::DATA, size_of::<Data>() + PAYLOAD.len());
    let (passed, captured) = (PAYLOAD.len() as u64, PAYLOAD.len() as u32);
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(std::mem::offset_of!(Data, entry), &1_u64.to_ne_bytes());
    put(std::mem::offset_of!(Data, bytes), &passed.to_ne_bytes());
    put(
        std::mem::offset_of!(Data, captured),
        &captured.to_ne_bytes(),
    );
    put(std::mem::offset_of!(Data, direction), &[direction::SENT]);
    put(std::mem::offset_of!(Data, layer), &[layer::SOCKET]);
    put(size_of::<Data>(), &PAYLOAD);
    bytes
}

/// Millions a second.
fn rate(records: f64, mut turn: impl FnMut() -> Result<()>) -> Result<f64> {
    let begun = thread_time()?;
    for _ in 0..TURNS {
        turn()?;
    }
    let taken = thread_time()?.saturating_sub(begun);
    Ok(records / taken.as_secs_f64() / 1e6)
}

fn thread_time() -> Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}
