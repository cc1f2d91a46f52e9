use super::*;

fn opened(sk: u64, time: u64) -> wirespan_events::Open {
    wirespan_events::Open {
        header: wirespan_events::Header {
            sk,
            inode: 7,
            time,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// One process opens two connections on two CPUs: the ring of the later one is drained first.
#[test]
fn a_process_is_described_before_any_of_its_connections() {
    let mut decoder = Decoder::new(Arc::default(), false);
    let kernel = 1 << 63;
    for (sk, time) in [(kernel | 1, 200), (kernel | 2, 100)] {
        decoder.record(&Record::Open(wirespan_events::Open {
            tgid: std::process::id(),
            ..opened(sk, time)
        }));
    }
    let mut events = Vec::new();
    decoder.release(1_000, &mut events);
    let [
        SocketEvent::Process(process),
        SocketEvent::Open(first),
        SocketEvent::Open(second),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (first.key.socket, second.key.socket),
        (kernel | 2, kernel | 1)
    );
    assert_eq!(first.process.unwrap().pid, process.pid);
    assert!(first.process.unwrap().started == process.started);
}

/// A child that is gone opens a connection, its parent another one before: the parent's ring is drained
/// last.
#[test]
fn a_fork_that_is_gone_is_the_program_of_one_that_was_told_of_in_another_ring() {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (command, fields) = stat.rsplit_once(')').unwrap();
    let command = command.split_once('(').unwrap().1;
    let fields: Vec<u64> = fields
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let (task_started, image) = (fields[19] * 10_000_000, fields[25]);
    let mut comm = [0; 16];
    comm[..command.len()].copy_from_slice(command.as_bytes());
    let mut decoder = Decoder::new(Arc::default(), false);
    let kernel = 1 << 63;
    // No process has an id this large.
    let (child, parent) = (u32::MAX, std::process::id());
    for (sk, time, tgid) in [(kernel | 1, 200, child), (kernel | 2, 100, parent)] {
        decoder.record(&Record::Open(wirespan_events::Open {
            task_started,
            comm,
            tgid,
            image,
            ..opened(sk, time)
        }));
    }
    let mut events = Vec::new();
    decoder.release(1_000, &mut events);
    let [
        SocketEvent::Process(of_parent),
        SocketEvent::Open(_),
        SocketEvent::Process(of_child),
        SocketEvent::Open(last),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert!(!of_parent.executable.is_empty());
    let expected = Process {
        pid: child,
        ..Process::clone(of_parent)
    };
    assert_eq!(**of_child, expected);
    assert_eq!(last.process.unwrap().pid, child);
}

/// Of a connection that is not known, for there was no room to tell of it, and of one that is, a process moves
/// bytes before it opens one itself.
#[test]
fn a_process_that_has_used_a_connection_is_described_before_one_that_it_opens() {
    let kernel = 1 << 63;
    let moves = |sk, time| {
        Record::Held(wirespan_events::Exec {
            header: opened(sk, time).header,
            tgid: std::process::id(),
            ..Default::default()
        })
    };
    let of_another = wirespan_events::Open {
        tgid: u32::MAX,
        ..opened(kernel | 2, 100)
    };
    for used in [kernel | 1, kernel | 2] {
        let mut decoder = Decoder::new(Arc::default(), false);
        decoder.record(&Record::Open(of_another));
        decoder.record(&moves(used, 200));
        decoder.record(&Record::Open(wirespan_events::Open {
            tgid: std::process::id(),
            ..opened(kernel | 3, 300)
        }));
        let mut events = Vec::new();
        decoder.release(1_000, &mut events);
        let described = events.iter().filter(|event| {
            matches!(event, SocketEvent::Process(process) if process.pid == std::process::id())
        });
        assert_eq!(described.count(), 1, "{events:?}");
    }
}
