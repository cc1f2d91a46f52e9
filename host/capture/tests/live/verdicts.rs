//! What the host asks for is what it gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use wirespan_capture::{ConnectionKey, Direction, Layer, Missing, Source, Verdict};

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

#[test]
fn nothing_is_copied_of_what_is_ignored() {
    let Some(config) = config() else { return };
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server, at, key) = begun(&mut bench);
    bench.source.verdicts().set(key, Verdict::Ignored);
    client.write_all(&[1; 500]).unwrap();
    server.read_exact(&mut [0; 500]).unwrap();
    drop((client, server));
    bench.until_closed();
    let seen = bench.end_at(at);
    assert_eq!(seen.bytes(Direction::Sent, Layer::Socket, 0), b"a");
    assert_eq!(
        seen.close.unwrap().positions[0],
        Some(501),
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
    bench.source.verdicts().set(key, verdict);
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
    bench.source.verdicts().set(key, Verdict::Wanted);
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
