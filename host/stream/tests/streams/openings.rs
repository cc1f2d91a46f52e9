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

#[test]
fn a_process_that_becomes_another_program_keeps_its_connections() {
    let process = |pid, command: &str| {
        Arc::new(Process {
            pid,
            started: 70,
            command: command.into(),
            ..Process::default()
        })
    };
    let opened = |socket, pid| {
        let SocketEvent::Open(mut event) = open() else {
            unreachable!()
        };
        event.key.socket = socket;
        event.process = Some(ProcessKey { pid, started: 70 });
        SocketEvent::Open(event)
    };
    let mut table = Table::default();
    table.push(SocketEvent::Process(process(7, "sh")));
    table.push(SocketEvent::Process(process(8, "sh")));
    table.push(opened(1, 7));
    table.push(opened(2, 8));
    for (time, command) in [(100, "env"), (200, "python3")] {
        table.push(SocketEvent::Executed(Executed {
            time,
            process: process(7, command),
        }));
    }
    table.push(opened(3, 7));
    let of_sockets = |socket| {
        let infos = table.out.iter().filter_map(|event| match event {
            StreamEvent::Open { info, .. } | StreamEvent::Executed { info, .. } => Some(info),
            _ => None,
        });
        infos
            .filter(|info| info.key.socket == socket)
            .collect::<Vec<_>>()
    };
    let names = |info: &Arc<ConnectionInfo>| {
        [0, 99, 100, 199, 200, u64::MAX].map(|time| {
            let process = info.at(time).process.clone();
            process.unwrap().command.clone()
        })
    };
    let [_, _, kept] = of_sockets(1)[..] else {
        panic!("{:?}", table.out)
    };
    assert_eq!(
        names(kept),
        ["sh", "sh", "env", "env", "python3", "python3"]
    );
    assert_eq!(names(of_sockets(2)[0]), ["sh"; 6], "another process");
    assert_eq!(names(of_sockets(3)[0]), ["python3"; 6], "opened afterwards");
    // However often: no more is remembered than will be asked for.
    for time in 300..400 {
        let process = process(7, &time.to_string());
        table.push(SocketEvent::Executed(Executed { time, process }));
    }
    let Some(StreamEvent::Executed { info, .. }) = table.out.last() else {
        panic!("{:?}", table.out)
    };
    let mut programs = 0;
    let mut info = info;
    while let Some((_, before)) = &info.before {
        assert!(info.process.is_some());
        (programs, info) = (programs + 1, before);
    }
    assert_eq!(programs, wirespan_stream::limits::PROGRAMS);
    // What it was before those is not known any more.
    assert!(info.process.is_none());
}

#[test]
fn a_connection_that_others_have_from_its_opener_is_of_whoever_uses_it() {
    let process = |pid: u32| {
        Arc::new(Process {
            pid,
            started: 70,
            ..Process::default()
        })
    };
    let SocketEvent::Open(mut opened) = open() else {
        unreachable!()
    };
    let key = opened.key;
    opened.process = Some(ProcessKey {
        pid: 7,
        started: 70,
    });
    let mut table = Table::default();
    table.push(SocketEvent::Process(process(7)));
    table.push(SocketEvent::Open(opened));
    for (time, pid) in [(100, 8), (200, 7), (300, 9)] {
        let process = process(pid);
        table.push(SocketEvent::Held(Held { key, time, process }));
    }
    // The one that has it becomes another program; another one's is nothing to it.
    for (time, pid) in [(400, 9), (500, 8)] {
        let process = process(pid);
        table.push(SocketEvent::Executed(Executed { time, process }));
    }
    let Some(StreamEvent::Executed { info, time: 400 }) = table.out.last() else {
        panic!("{:?}", table.out)
    };
    let holders = [0, 99, 100, 199, 200, 300, 400, u64::MAX].map(|time| {
        let process = info.at(time).process.as_ref();
        process.map(|process| process.pid)
    });
    // As many as are remembered; who was first is not known any more.
    let expected = [
        None,
        None,
        Some(8),
        Some(8),
        Some(7),
        Some(9),
        Some(9),
        Some(9),
    ];
    assert_eq!(holders, expected);
}
