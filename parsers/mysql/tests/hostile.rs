//! Bytes that nobody sane would send: nothing panics, nothing hangs, and what is told of the
//! session's undamaged beginning stays.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::*;
use wirespan_parser_mysql::Mysql;
use wirespan_sdk::testkit::{Conversation, Random, replay};
use wirespan_sdk::{Cause, Facts, Parser, Prefix, Recognition, Side};

type Wrap = fn(u8, &[u8]) -> Vec<u8>;

/// Sessions that have something of everything.
fn sessions() -> Vec<Vec<(Side, Vec<u8>)>> {
    let (client, server) = (Side::Client, Side::Server);
    let wraps: [(u32, Wrap); 5] = [
        (0, |_, bytes| bytes.to_vec()),
        (DEPRECATE_EOF | ATTRIBUTES, |_, bytes| bytes.to_vec()),
        (COMPRESS, stored),
        (COMPRESS, deflated),
        (ZSTD, zstandard),
    ];
    wraps
        .into_iter()
        .map(|(capabilities, wrap)| {
            let deprecate = capabilities & DEPRECATE_EOF != 0;
            let ask = |text: &str| match capabilities & ATTRIBUTES {
                0 => query(text),
                _ => command(3, format!("\0\x01{text}").as_bytes()),
            };
            let mut session = vec![
                (server, greeting("8.4.0", ALL)),
                (client, login(1, BASE | CONNECT_WITH_DB | capabilities)),
                (server, packet(2, &ok(0, 2))),
            ];
            let answered = [
                (ask("select a from t"), result(1, &rows(5), deprecate, 2)),
                (prepare("select ?"), prepared(5, 1, 1, deprecate)),
                (execute(5, 0), result(1, &[binary_row()], deprecate, 2)),
                (
                    execute(5, 1),
                    packets(1, &[vec![1], definition(), eof(2 | CURSOR)]),
                ),
                (
                    ask("call p()"),
                    [
                        result(1, &rows(2), deprecate, 2 | MORE),
                        packet(if deprecate { 6 } else { 7 }, &ok(0, 2)),
                    ]
                    .concat(),
                ),
                (command(0x19, &[5, 0, 0, 0]), Vec::new()),
                (ask("use shop"), packet(1, &ok_schema("shop"))),
                (ask("load data local infile 'x'"), packet(1, b"\xfbx")),
                (
                    packets(2, &[b"a,b\n".to_vec(), vec![]]),
                    packet(4, &ok(1, 2)),
                ),
                (ask("oh no"), packet(1, &error(1064, "42000"))),
            ];
            for (ask, answer) in answered {
                session.push((client, wrap(0, &ask)));
                if !answer.is_empty() {
                    session.push((server, wrap(1, &answer)));
                }
            }
            session
        })
        .collect()
}

fn conversation(session: &[(Side, Vec<u8>)], mid_stream: bool) -> Conversation {
    let start = if mid_stream {
        Conversation::mid_stream()
    } else {
        Conversation::new()
    };
    session
        .iter()
        .fold(start, |to, (side, bytes)| to.data(*side, bytes))
        .close(Cause::Finished)
}

#[test]
fn mutated_sessions_end() {
    let mut random = Random::fresh();
    let sessions = sessions();
    for session in &sessions {
        let report = replay::<Mysql>(&conversation(session, false), 1);
        assert_eq!(report.spans.len(), 7, "{report}");
    }
    for _ in 0..20_000 {
        let mut session = random.pick(&sessions).clone();
        for _ in 0..=random.below(4) {
            let at = random.below(session.len() as u64) as usize;
            let (_, bytes) = &mut session[at];
            let byte = random.below(bytes.len() as u64) as usize;
            match random.below(6) {
                0 => bytes[byte] = random.below(256) as u8,
                1 => bytes[byte] ^= 1 << random.below(8),
                2 => bytes.truncate(byte.max(1)),
                3 => bytes.insert(byte, 0xff),
                // A length.
                4 => bytes[..byte.min(3)].fill(0xff),
                _ => {
                    let other = random.below(session.len() as u64) as usize;
                    session.swap(at, other);
                }
            }
        }
        let commands = session.len();
        let mid_stream = random.once_in(3);
        let batch = 1 + random.below(8) as usize;
        let report = replay::<Mysql>(&conversation(&session, mid_stream), batch);
        assert!(report.spans.len() <= 8 * commands, "{report}");
    }
}

#[test]
fn random_bytes_say_nothing() {
    let mut random = Random::fresh();
    for round in 0..2000_u32 {
        let mut conversation = if round % 2 == 0 {
            Conversation::mid_stream()
        } else {
            started([0, COMPRESS, ZSTD][round as usize % 3])
        };
        for _ in 0..8 {
            let side = *random.pick(&[Side::Client, Side::Server]);
            let len = 1 + random.below(400);
            let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
            conversation = conversation.data(side, bytes);
        }
        let report = replay::<Mysql>(&conversation.close(Cause::Reset), 3);
        assert!(
            report
                .spans
                .iter()
                .all(|s| s.text("db.query.text").is_none()),
            "{report}"
        );
    }
}

#[test]
fn random_bytes_are_not_recognised() {
    let mut random = Random::fresh();
    for _ in 0..200_000 {
        let side = |random: &mut Random| -> Vec<u8> {
            let len = random.below(48);
            (0..len).map(|_| random.below(256) as u8).collect()
        };
        let (client, mut server) = (side(&mut random), side(&mut random));
        if let Some(sequence) = server.get_mut(3) {
            *sequence = 0;
        }
        let prefix = Prefix {
            client: &client,
            server: &server,
            facts: Facts::default(),
        };
        assert!(
            !matches!(Mysql::recognise(&prefix), Recognition::Yes { .. }),
            "{client:?} {server:?}"
        );
    }
}
