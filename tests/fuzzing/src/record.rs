//! Records of the kernel side: bytes from elsewhere as far as the host is concerned.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use wirespan_capture::SocketEvent;
use wirespan_capture::live::fuzzing::Records;
use wirespan_events::{Close, End, Exec, Header, Open, Record, Secured, flag, is_stand_in};

/// Records one behind the other, as in a ring, each with its length before it. The first byte says
/// whether what has no socket is wanted.
pub(crate) fn run(input: &[u8]) {
    let Some((&how, input)) = input.split_first() else {
        return;
    };
    let mut records = Records::new(PathBuf::from("/nonexistent"), how & 1 == 1);
    // Whether nothing stood in for a socket: some of that is dropped, and some ends early.
    let mut exact = true;
    // Threads that use a new socket at the same moment each announce it: one of these is told.
    let (mut opened, mut repeated) = (HashSet::new(), 0);
    let (mut pushed, mut sound, mut payloads) = (0, 0, Vec::new());
    let mut rest = input;
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(after.len());
        let (record, after) = after.split_at(len);
        rest = after;
        records.push(record);
        pushed += 1;
        match Record::parse(record) {
            Ok(Record::Data(data, payload)) => {
                assert_eq!(payload.len(), data.captured as usize, "not what was copied");
                let said = data.header.len as usize;
                assert!(said <= record.len() && payload.len() <= said);
                sound += 1;
                payloads.push(payload);
                exact &= !is_stand_in(data.header.sk);
            }
            Ok(Record::Open(open)) => {
                sound += 1;
                repeated += u64::from(!opened.insert((open.header.sk, open.header.inode)));
                exact &= !is_stand_in(open.header.sk);
            }
            Ok(Record::End(end)) => {
                sound += 1;
                exact &= !is_stand_in(end.header.sk);
            }
            Ok(Record::Close(close)) => {
                sound += 1;
                exact &= !is_stand_in(close.header.sk);
            }
            Ok(Record::Unix(unix)) => {
                let room = unix.names[0].len();
                assert!(
                    unix.lens.iter().all(|len| *len as usize <= room),
                    "a name too long"
                );
                sound += 1;
                exact &= !is_stand_in(unix.header.sk);
            }
            Ok(Record::Secured(secured)) => {
                sound += 1;
                let unsaid = flag::HIDDEN | flag::JOINED;
                exact &= secured.stand_in == [0; 2] && secured.flags & unsaid == 0;
                exact &= !is_stand_in(secured.header.sk);
            }
            // Of a process that nobody has heard of it is of no interest.
            Ok(Record::Exec(_)) => {
                sound += 1;
                exact = false;
            }
            // Names a socket, but is no news of one that nobody has opened.
            Ok(Record::Held(held)) => {
                sound += 1;
                exact &= !is_stand_in(held.header.sk);
            }
            Err(_) => {}
        }
    }
    let count = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Relaxed);
    let malformed = count(&records.counters().malformed);
    assert_eq!(
        count(&records.counters().records),
        pushed,
        "not all are counted"
    );
    assert!(malformed >= pushed - sound, "what is refused is counted");
    // In two steps, as between two looks at the clocks.
    let mut events = Vec::new();
    records.release(1 << 40, &mut events);
    records.release(u64::MAX, &mut events);
    assert!(records.is_empty(), "something waits for ever");
    let (mut bytes, mut out, mut described) = (0, 0, 0);
    for event in &events {
        match event {
            SocketEvent::Data(data) => {
                assert!(data.bytes.len() as u64 <= data.len, "more than passed");
                assert!(
                    data.bytes.is_empty() || payloads.contains(&&data.bytes[..]),
                    "bytes that no record had"
                );
                bytes += data.bytes.len() as u64;
                out += 1;
            }
            SocketEvent::Process(_) | SocketEvent::Executed(_) => described += 1,
            _ => out += 1,
        }
    }
    assert!(bytes <= count(&records.counters().payload_bytes));
    let accounted = out + count(&records.counters().stale) + malformed;
    assert!(
        !exact || accounted <= pushed && accounted + repeated >= pushed,
        "each record is an event, stale, malformed or an opening told before"
    );
    assert!(out <= 2 * pushed, "more events than records can tell of");
    assert!(described <= pushed, "a process is described once a record");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let of = |sk: u64, kind: u16, time: u64, rest: &[u8]| {
        let mut record = wirespan_events::MAGIC.to_ne_bytes().to_vec();
        record.extend(wirespan_events::VERSION.to_ne_bytes());
        record.extend(kind.to_ne_bytes());
        record.extend((40 + rest.len() as u32).to_ne_bytes());
        record.extend([0; 4]);
        for number in [sk, 9, time] {
            record.extend(u64::to_ne_bytes(number));
        }
        record.extend(rest);
        let len = record.len() as u16;
        [&len.to_le_bytes()[..], &record].concat()
    };
    let record = |kind, time, rest: &[u8]| of(1 << 63 | 7, kind, time, rest);
    let header = size_of::<Header>();
    let zeros = |size: usize| vec![0; size - header];
    let open = zeros(size_of::<Open>());
    let data = |payload: &[u8]| {
        let len = payload.len();
        let mut rest = Vec::new();
        for number in [5, 0, len as u64, 0] {
            rest.extend(u64::to_ne_bytes(number));
        }
        rest.extend((len as u32).to_ne_bytes());
        rest.extend([0; 20]);
        rest.extend(payload);
        rest
    };
    let all = [
        record(1, 1, &open),
        record(3, 2, &zeros(size_of::<Secured>())),
        record(2, 3, &data(b"GET / HTTP/1.1\r\n\r\n")),
        record(2, 4, &data(b"")),
        record(4, 5, &zeros(size_of::<End>())),
        of(0, 7, 6, &zeros(size_of::<Exec>())),
        record(8, 6, &zeros(size_of::<Exec>())),
        record(5, 6, &zeros(size_of::<Close>())),
    ];
    let mut seeds = all.to_vec();
    seeds.push(all.concat());
    seeds.push([record(2, 3, &data(b"abc")), record(9, 1, &[0; 64])].concat());
    // Of a TLS object without a socket, which is found then.
    let object = 1 << 40;
    let mut found = zeros(size_of::<Secured>());
    for place in found.as_chunks_mut::<8>().0 {
        *place = u64::to_ne_bytes(object);
    }
    let unbound = [
        of(object, 1, 1, &open),
        of(object, 2, 2, &data(b"plain")),
        record(1, 3, &open),
        record(3, 4, &found),
        of(object, 5, 5, &zeros(size_of::<Close>())),
    ];
    seeds.push(unbound.concat());
    seeds
        .iter()
        .map(|seed| [&[0], &seed[..]].concat())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_the_seeds_are_sound() {
        let mut records = Records::new(PathBuf::from("/nonexistent"), false);
        for seed in &seeds()[..8] {
            records.push(&seed[3..]);
        }
        assert_eq!(records.counters().malformed.load(Ordering::Relaxed), 0);
    }
}
