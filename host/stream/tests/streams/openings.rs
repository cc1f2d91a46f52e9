//! What is said of a connection when it opens, and what comes before it.

use super::*;

#[test]
fn plaintext_replaces_ciphertext() {
    let mut table = Table::default();
    table.push(open());
    table.push(data(Direction::Received, 0, b"~~~~", 1));
    let secured = Secured {
        key: KEY,
        time: 2,
        positions: [0, 0],
        mid_stream: false,
    };
    table.push(SocketEvent::Secured(secured));
    table.push(plaintext(Direction::Received, 0, b"GET", 3));
    table.push(data(Direction::Received, 4, b"~~~~", 3));
    table.push(plaintext(Direction::Received, 5, b"x", 4));
    table.push(close(5, [Some(0), Some(8)]));
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "~~~~|GET[2 Unknown]x");
    assert_eq!(table.connections.counters().ciphertext, 4);
}

#[test]
fn plaintext_waits_for_the_event_that_announces_it() {
    let mut table = Table::default();
    table.push(open());
    table.push(plaintext(Direction::Received, 0, b"GET", 1));
    assert_eq!(table.order(), "O");
    let secured = Secured {
        key: KEY,
        time: 2,
        positions: [0, 0],
        mid_stream: false,
    };
    table.push(SocketEvent::Secured(secured));
    assert_eq!(table.order(), "OSr");
    // And without it is joined where it was first seen.
    let mut table = Table::default();
    table.push(open());
    table.push(plaintext(Direction::Received, 7, b"GET", 1));
    table.tick(20 * MILLISECOND);
    table.push(plaintext(Direction::Sent, 900, b"200", 21 * MILLISECOND));
    assert_eq!(table.order(), "OSrgs");
    assert!(table.out.iter().any(|event| matches!(
        event,
        StreamEvent::Secured {
            mid_stream: true,
            ..
        }
    )));
}

#[test]
fn data_waits_for_its_opening_and_goes_on_without_a_name_when_that_is_lost() {
    let mut table = Table::default();
    table.push(data(Direction::Received, 3, b"lo", 2));
    table.push(data(Direction::Received, 0, b"hel", 1));
    table.push(open());
    assert_eq!(table.stream(Direction::Received), "hello");
    assert_eq!(table.connections.counters().anonymous, 0);

    let mut table = Table::default();
    table.push(data(Direction::Received, 100, b"hello", 1));
    table.tick(20 * MILLISECOND);
    assert_eq!(table.stream(Direction::Received), "hello");
    let StreamEvent::Open {
        info, mid_stream, ..
    } = &table.out[0]
    else {
        panic!("{:?}", table.out)
    };
    assert!(*mid_stream && info.local.is_none() && info.role.is_none());
    assert_eq!(table.connections.counters().anonymous, 1);
}

#[test]
fn a_connection_knows_the_process_that_was_described_before_it() {
    let mut table = Table::default();
    let process = Process {
        pid: 7,
        started: 70,
        command: "nginx".into(),
        ..Process::default()
    };
    table.push(SocketEvent::Process(Arc::new(process)));
    let SocketEvent::Open(mut event) = open() else {
        unreachable!()
    };
    event.process = Some(ProcessKey {
        pid: 7,
        started: 70,
    });
    table.push(SocketEvent::Open(event));
    let StreamEvent::Open { info, .. } = &table.out[0] else {
        panic!()
    };
    assert_eq!(info.process.as_ref().unwrap().command, "nginx");
}
