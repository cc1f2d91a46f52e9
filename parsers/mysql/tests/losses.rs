//! What was not seen: connections joined in the middle, gaps, restarts.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::*;
use wirespan_parser_mysql::Mysql;
use wirespan_sdk::testkit::{Conversation, Random, SeenSpan, check_cuts, check_losses};
use wirespan_sdk::{Cause, Flags, Side};

fn closed(conversation: Conversation) -> Conversation {
    conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished)
}

fn spans(conversation: Conversation) -> Vec<SeenSpan> {
    check_cuts::<Mysql>(&closed(conversation), 400, 40).spans
}

fn texts(spans: &[SeenSpan]) -> Vec<(Option<&str>, Option<i64>, Flags)> {
    let one = |s: &SeenSpan| s.integer("db.response.returned_rows");
    spans
        .iter()
        .map(|s| (s.text("db.query.text"), one(s), s.flags))
        .collect()
}

#[test]
fn joined_in_a_result_the_next_query_is_found_whatever_was_agreed_on() {
    for deprecate in [false, true] {
        for attributes in ["", "\0\x01"] {
            let ask = |text: &str| command(3, format!("{attributes}{text}").as_bytes());
            let first = prepared(5, 1, 1, deprecate);
            let spans = spans(
                Conversation::mid_stream()
                    .server([&b"rest of a row"[..], &packets(9, &[row(), eof(2)])].concat())
                    .client(prepare("select ?"))
                    .server(first)
                    .client(execute(5, 0))
                    .server(result(1, &[binary_row()], deprecate, 2))
                    .client(ask("select 1"))
                    .server(result(1, &rows(2), deprecate, 2))
                    .client(ask("select 2"))
                    .server(result(1, &rows(3), deprecate, 2)),
            );
            let empty = Flags::empty();
            assert_eq!(
                texts(&spans),
                [
                    (Some("select ?"), Some(1), empty),
                    (Some("select 1"), Some(2), empty),
                    (Some("select 2"), Some(3), empty)
                ]
            );
        }
    }
}

#[test]
fn the_first_exchange_after_joining_is_flagged() {
    let spans = spans(
        Conversation::mid_stream()
            .client(query("select 1"))
            .server(result(1, &rows(2), false, 2))
            .client(execute(7, 0))
            .server(packet(1, &ok(1, 2))),
    );
    let flag = Flags::MID_STREAM;
    assert_eq!(
        texts(&spans),
        [(Some("select 1"), Some(2), flag), (None, None, flag)]
    );
}

#[test]
fn joined_a_compressed_connection_is_read_too() {
    for compress in [stored, deflated, zstandard] {
        let spans = spans(
            Conversation::mid_stream()
                .server(b"rest of a frame")
                .client(compress(0, &query("select 1 from t where a = 1")))
                .server(compress(1, &result(1, &rows(2), false, 2)))
                .client(compress(0, &query("select 2")))
                .server(compress(1, &result(1, &rows(3), false, 2))),
        );
        assert_eq!(
            texts(&spans),
            [
                (
                    Some("select 1 from t where a = 1"),
                    Some(2),
                    Flags::MID_STREAM
                ),
                (Some("select 2"), Some(3), Flags::empty())
            ]
        );
    }
}

#[test]
fn a_lost_part_of_a_row_is_stepped_over() {
    let result = result(1, &rows(2), false, 2);
    // Within the first row.
    let at = result.len() - 9 - 11 - 4;
    let (before, after) = result.split_at(at);
    let spans = spans(
        started(0)
            .client(query("select 1"))
            .server(before)
            .gap(Side::Server, 3)
            .server(&after[3..]),
    );
    assert_eq!(texts(&spans), [(Some("select 1"), Some(2), Flags::GAP)]);
}

#[test]
fn what_is_lost_harms_only_its_neighbourhood() {
    let mut random = Random::fresh();
    for (capabilities, compress) in [
        (0, None),
        (DEPRECATE_EOF, None),
        (COMPRESS, Some(deflated as fn(u8, &[u8]) -> Vec<u8>)),
        (COMPRESS, Some(stored)),
    ] {
        let deprecate = capabilities == DEPRECATE_EOF;
        let wrap = |sequence: u8, bytes: Vec<u8>| match compress {
            Some(compress) => compress(sequence, &bytes),
            None => bytes,
        };
        // Which database is in use is said once only.
        let mut conversation = logged_in(BASE | capabilities);
        for n in 0..12_u32 {
            let text = format!("select {n} from users");
            conversation = match n % 4 {
                0 => conversation
                    .client(wrap(0, prepare(&text)))
                    .server(wrap(1, prepared(n, 1, 1, deprecate)))
                    .client(wrap(0, execute(n, 0)))
                    .server(wrap(1, result(1, &[binary_row()], deprecate, 2))),
                1 => conversation
                    .client(wrap(0, query(&text)))
                    .server(wrap(1, packet(1, &error(1064 + n as u16, "42000")))),
                _ => conversation
                    .client(wrap(0, query(&text)))
                    .server(wrap(1, result(1, &rows(n as usize), deprecate, 2))),
            };
        }
        let partial = ["db.response.returned_rows"];
        let report = check_losses::<Mysql>(&closed(conversation), &mut random, 300, &partial);
        assert_eq!(report.spans.len(), 12);
    }
}

#[test]
fn joined_while_commands_are_ahead_no_answer_goes_to_the_next_for_long() {
    let answer = |n| result(1, &rows(n), false, 2);
    let ask = |n: usize| query(&format!("select {n}"));
    // What was asked before is answered when the client goes on, and from then on the server is
    // one behind.
    let mut conversation = Conversation::mid_stream().server(answer(1)).client(ask(3));
    for n in 2..=12 {
        conversation = conversation.server(answer(n));
        if (3..12).contains(&n) {
            conversation = conversation.client(ask(n + 1));
        }
    }
    let spans = spans(conversation);
    for (text, rows, flags) in texts(&spans) {
        let right = text == rows.map(|rows| format!("select {rows}")).as_deref();
        assert!(right || flags != Flags::empty(), "{text:?} {rows:?}");
    }
    let last = texts(&spans).last().copied();
    assert_eq!(last, Some((Some("select 12"), Some(12), Flags::empty())));
}

#[test]
fn what_was_held_back_of_an_earlier_turn_begins_no_packet() {
    // More is said to come of the second query than does; the rest of it is shown with the third.
    let mut wrong = query("select 2");
    wrong[0] = 200;
    let long = format!("select 3 /* {} */", "x".repeat(300));
    let spans = spans(
        started(0)
            .client([query("select 1"), wrong].concat())
            .client(" from t")
            .server(packet(9, &ok(0, 2)))
            .client(query(&long))
            .server(result(1, &rows(3), false, 2)),
    );
    assert_eq!(
        texts(&spans),
        [
            (Some("select 1"), None, Flags::GAP),
            (Some(&*long), Some(3), Flags::GAP)
        ]
    );
}

#[test]
fn an_answer_that_waited_for_the_end_of_its_command_is_told_in_any_batch() {
    // What the client sends after it has to wait for the server.
    let mut command = execute(7, 0);
    command[0] = 30;
    let rest = [vec![0; 34 - command.len()], packet(1, b"what")].concat();
    let spans = spans(
        started(0)
            .client(command)
            .server(result(1, &rows(2), false, 2))
            .client(rest),
    );
    assert_eq!(texts(&spans), [(None, Some(2), Flags::empty())]);
}
