//! What is kept, at most.

use super::*;

#[test]
fn more_connections_than_the_limit_forget_the_least_recently_used() {
    let mut table = Table::with(Limits {
        connections: 8,
        ..Limits::default()
    });
    for socket in 0..100 {
        table.push(open_at(
            ConnectionKey {
                socket,
                generation: 0,
            },
            socket,
            [Some(0), Some(0)],
        ));
        assert!(table.connections.len() <= 8);
    }
    let evicted = |event: &&StreamEvent| {
        matches!(
            event,
            StreamEvent::Close {
                reason: StreamClose::Evicted,
                ..
            }
        )
    };
    assert_eq!(table.out.iter().filter(evicted).count(), 92);
    assert_eq!(table.connections.counters().evicted, 92);
    table.finish(1_000);
    assert_eq!(table.connections.counters().closed, 100);
}

#[test]
fn an_idle_connection_is_forgotten() {
    let mut table = Table::with(Limits {
        idle: Duration::from_secs(60),
        ..Limits::default()
    });
    table.push(open());
    table.tick(59_000 * MILLISECOND);
    assert_eq!(table.connections.len(), 1);
    table.tick(70_000 * MILLISECOND);
    assert!(table.connections.is_empty());
}

#[test]
fn what_is_held_back_is_bounded() {
    let limits = Limits {
        held_per_direction: 4_096,
        held_total: 10_000,
        ..Limits::default()
    };
    let mut table = Table::with(limits);
    for socket in 0..10 {
        let key = ConnectionKey {
            socket,
            generation: 0,
        };
        table.push(open_at(key, 0, [Some(0), Some(0)]));
        for n in 0..200_u64 {
            let SocketEvent::Data(mut event) = data(Direction::Sent, 10 + n * 2, b"x", n) else {
                unreachable!()
            };
            event.key = key;
            table.push(SocketEvent::Data(event));
            assert!(table.connections.counters().held_cost <= 10_000 + 256);
        }
    }
    assert!(table.connections.counters().impatient > 0);
    table.finish(1_000);
    assert!(table.connections.counters().gaps.limit > 0);
}

#[test]
fn impossible_positions_and_lengths_do_no_harm() {
    let mut table = Table::default();
    table.push(open());
    for position in [u64::MAX, u64::MAX - 1, 1 << 63, 3] {
        for len in [0, 1, 5, u64::MAX] {
            for bytes in [b"".as_slice(), b"abc"] {
                table.push(shortened(
                    Direction::Sent,
                    position,
                    bytes,
                    len,
                    Missing::Ring,
                    5,
                ));
            }
        }
        table.push(confirmed(Direction::Sent, position, u64::MAX));
        table.push(SocketEvent::End(End {
            key: KEY,
            direction: Direction::Sent,
            time: 0,
            position: Some(position),
        }));
    }
    table.tick(u64::MAX);
    table.push(close(0, [Some(u64::MAX), Some(u64::MAX)]));
    table.connections.finish(0, &mut table.out);
}
