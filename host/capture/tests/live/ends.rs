//! How connections end.

use std::io::{Read, Write};
use std::net::Shutdown;

use wirespan_capture::{CloseReason, Direction, Layer};

use crate::support::{Bench, config};

#[test]
fn half_a_connection_goes_on_after_the_other_has_ended() {
    let Some(config) = config() else { return };
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server) = bench.connect();
    let (client_at, server_at) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = Vec::new();
    server.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    drop(client);

    bench.until_closed();
    let (client, server) = (bench.end_at(client_at), bench.end_at(server_at));
    assert_eq!(client.end(Direction::Sent), Some(8));
    assert_eq!(client.end(Direction::Received), Some(6));
    assert_eq!(server.end(Direction::Sent), Some(6));
    assert_eq!(server.end(Direction::Received), Some(8));
    for end in [client, server] {
        assert_eq!(end.close.unwrap().reason, CloseReason::Finished);
    }
    assert_eq!(client.close.unwrap().positions, [Some(8), Some(6)]);
    assert_eq!(
        client.bytes(Direction::Received, Layer::Socket, 0),
        b"answer"
    );
}

#[test]
fn a_reset_is_told_at_both_ends() {
    let Some(config) = config() else { return };
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server) = bench.connect();
    let (client_at, server_at) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    client.write_all(b"question").unwrap();
    server.read_exact(&mut [0; 4]).unwrap();
    // Unread bytes make the kernel send a reset.
    drop(server);
    assert!(client.read(&mut [0; 1]).is_err());
    drop(client);
    bench.until_closed();
    for at in [client_at, server_at] {
        assert_eq!(
            bench.end_at(at).close.unwrap().reason,
            CloseReason::Reset,
            "{at}"
        );
    }
    assert_eq!(
        bench.end_at(server_at).close.unwrap().positions,
        [Some(0), Some(4)]
    );
}

#[test]
fn a_descriptor_used_again_is_another_connection() {
    let Some(config) = config() else { return };
    let mut bench = Bench::new(Bench::listen(), config);
    let mut ends = Vec::new();
    for round in 0..50u8 {
        let (mut client, mut server) = bench.connect();
        client.write_all(&[round; 3]).unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
        ends.push((client.local_addr().unwrap(), round));
    }
    bench.until(|seen| seen.len() >= 100 && seen.values().all(|seen| seen.close.is_some()));
    for (client, round) in ends {
        let seen = bench.end_at(client);
        assert_eq!(seen.bytes(Direction::Sent, Layer::Socket, 0), [round; 3]);
    }
}

/// TCP gives the port back when it leaves a connection, and what was received is still there to be read.
#[test]
fn a_connection_that_was_over_before_there_was_room_to_tell_of_it_has_its_addresses() {
    let Some(mut config) = config() else { return };
    config.rings = Some(1);
    config.rings_bytes = 256 << 10;
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut filler, mut sink) = bench.connect();
    while !bench
        .source
        .counters()
        .read()
        .iter()
        .any(|(name, count)| name == "kernel_ring_full" && *count > 0)
    {
        filler.write_all(&[0; 200]).unwrap();
        sink.read_exact(&mut [0; 200]).unwrap();
    }
    let (mut client, mut server) = bench.connect();
    let (at, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    client.write_all(b"question").unwrap();
    server.read_exact(&mut [0; 8]).unwrap();
    server.write_all(b"answer").unwrap();
    drop(server);
    client.shutdown(Shutdown::Write).unwrap();
    // Not connected any more, as the kernel says.
    while client.peer_addr().is_ok() {
        std::thread::yield_now();
    }
    bench.until(|seen| seen.len() >= 2);
    client.read_exact(&mut [0; 6]).unwrap();
    drop(client);
    bench.until(|seen| {
        seen.values()
            .any(|seen| seen.open.remote == Some(peer) && seen.close.is_some())
    });
    let seen = bench.end_at(at);
    assert!(seen.open.mid_stream);
    assert_eq!(seen.bytes(Direction::Received, Layer::Socket, 0), b"answer");
}
