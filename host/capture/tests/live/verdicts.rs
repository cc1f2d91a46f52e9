//! What the host asks for is what it gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use wirespan_capture::{ConnectionKey, Direction, Layer, Missing, Said, Source, Verdict};

use crate::support::{Bench, config, pattern};

/// A connection on which one byte has passed, so that its key is known.
fn begun(bench: &mut Bench) -> (TcpStream, TcpStream, SocketAddr, ConnectionKey) {
    let (mut client, mut server) = bench.connect();
    client.write_all(b"a").unwrap();
    server.read_exact(&mut [0]).unwrap();
    bench.until(|seen| seen.len() >= 2);
    let at = client.local_addr().unwrap();
    let key = bench.end_at(at).open.key;
    (client, server, at, key)
}

/// A verdict on what is sent and received as it is.
fn said(key: ConnectionKey, verdict: Verdict) -> Said {
    Said {
        key,
        layer: Some(Layer::Socket),
        verdict,
    }
}

#[test]
fn nothing_is_copied_of_what_is_ignored() {
    let Some(config) = config() else { return };
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server, at, key) = begun(&mut bench);
    let verdicts = bench.source.verdicts();
    // Of what is within TLS, which this connection does not carry.
    verdicts.set(Said {
        layer: Some(Layer::Plaintext),
        ..Said::ignored(key)
    });
    client.write_all(b"b").unwrap();
    server.read_exact(&mut [0]).unwrap();
    for ignored in [
        said(key, Verdict::Ignored),
        said(key, Verdict::Wanted),
        Said::ignored(key),
    ] {
        verdicts.set(ignored);
        let byte = u8::from(ignored.verdict == Verdict::Wanted);
        client.write_all(&[byte; 250]).unwrap();
        server.read_exact(&mut [0; 250]).unwrap();
    }
    drop((client, server));
    bench.until_closed();
    let seen = bench.end_at(at);
    let parts: Vec<_> = seen
        .of(Direction::Sent, Layer::Socket)
        .iter()
        .map(|data| (data.position, data.bytes.to_vec()))
        .collect();
    assert_eq!(
        parts,
        [(0, b"a".into()), (1, b"b".into()), (252, vec![1; 250])]
    );
    assert_eq!(
        seen.close.unwrap().positions[0],
        Some(752),
        "but it is counted"
    );
}

#[test]
fn what_is_skipped_is_left_out_to_the_byte_and_its_end_is_told() {
    let Some(config) = config() else { return };
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server, at, key) = begun(&mut bench);
    let verdict = Verdict::SkipUntil {
        direction: Direction::Sent,
        position: 250,
    };
    bench.source.verdicts().set(said(key, verdict));
    let all = pattern(400);
    for part in all.chunks(100) {
        client.write_all(part).unwrap();
        server.read_exact(&mut [0; 100]).unwrap();
    }
    drop((client, server));
    bench.until_closed();
    let seen = bench.end_at(at);
    let sent = seen.of(Direction::Sent, Layer::Socket);
    let parts: Vec<_> = sent
        .iter()
        .map(|data| (data.position, data.len, data.bytes.len()))
        .collect();
    // The first two writes are told of together; the third goes from 201 to 301 and crosses the
    // position.
    assert_eq!(
        parts,
        [
            (0, 1, 1),
            (1, 200, 0),
            (201, 49, 0),
            (250, 51, 51),
            (301, 100, 100)
        ]
    );
    assert!(
        sent[1..3]
            .iter()
            .all(|data| data.missing == Missing::Unwanted)
    );
    assert_eq!(&sent[3].bytes[..], &all[249..300]);
}

#[test]
fn an_undecided_connection_is_copied_up_to_its_budget() {
    let Some(mut config) = config() else { return };
    config.unknown_bytes = 1000;
    config.unknown_more_bytes = 0;
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server, at, key) = begun(&mut bench);
    for _ in 0..3 {
        client.write_all(&[7; 600]).unwrap();
        server.read_exact(&mut [0; 600]).unwrap();
    }
    bench.until(|seen| {
        seen.values()
            .all(|seen| seen.data.iter().map(|data| data.len).sum::<u64>() == 1801)
    });
    bench.source.verdicts().set(said(key, Verdict::Wanted));
    client.write_all(&[8; 600]).unwrap();
    server.read_exact(&mut [0; 600]).unwrap();
    drop((client, server));
    bench.until_closed();
    let sent = bench.end_at(at).of(Direction::Sent, Layer::Socket);
    let undecided = |data: &&&wirespan_capture::Data| data.position < 1801;
    let copied: usize = sent
        .iter()
        .filter(undecided)
        .map(|data| data.bytes.len())
        .sum();
    assert_eq!(copied, 1000);
    assert_eq!(sent.iter().map(|data| data.len).sum::<u64>(), 2401);
    assert_eq!(sent.last().unwrap().bytes.len(), 600, "wanted again");
}

/// Nobody has looked at a ring of 4 MiB meanwhile.
#[test]
fn undecided_bytes_take_half_of_a_ring_and_leave_the_rest_to_others() {
    const PIECE: usize = 16 << 10;
    let Some(mut config) = config() else { return };
    config.rings = Some(1);
    // What others on this machine say would take room of the one ring.
    config.pids = vec![std::process::id()];
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut wanted, mut taker, wanted_at, key) = begun(&mut bench);
    bench.source.verdicts().set(said(key, Verdict::Wanted));
    let (mut client, mut server) = bench.connect();
    let at = client.local_addr().unwrap();
    let mut room = vec![0; PIECE];
    let mut pass = |from: &mut TcpStream, to: &mut TcpStream, pieces: usize| {
        for _ in 0..pieces {
            from.write_all(&[5; PIECE]).unwrap();
            to.read_exact(&mut room).unwrap();
        }
    };
    pass(&mut client, &mut server, 256);
    pass(&mut wanted, &mut taker, 20);
    let copied = |bench: &Bench, at: SocketAddr| -> usize {
        let sent = bench.end_at(at).of(Direction::Sent, Layer::Socket);
        sent.iter().map(|data| data.bytes.len()).sum()
    };
    let all_of = |bench: &mut Bench, at: SocketAddr, total: usize| {
        bench.until(|seen| {
            let mut ends = seen.values().filter(|seen| seen.open.local == Some(at));
            ends.any(|end| {
                let sent = end.of(Direction::Sent, Layer::Socket);
                sent.iter().map(|data| data.len).sum::<u64>() == total as u64
            })
        });
    };
    all_of(&mut bench, at, 256 * PIECE);
    all_of(&mut bench, wanted_at, 20 * PIECE + 1);
    // The other end's are in the other half of that half.
    let first = copied(&bench, at);
    assert!((900 << 10..=(1 << 20) + PIECE).contains(&first), "{first}");
    assert_eq!(copied(&bench, wanted_at), 20 * PIECE + 1, "nothing is lost");
    // It has room again.
    pass(&mut client, &mut server, 10);
    drop((client, server, wanted, taker));
    bench.until(|seen| seen.len() >= 4 && seen.values().all(|seen| seen.close.is_some()));
    assert_eq!(copied(&bench, at), first + 10 * PIECE);
}
