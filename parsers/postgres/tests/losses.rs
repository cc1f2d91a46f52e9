//! What was not seen: connections joined in the middle, gaps, restarts.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::{
    complete, error, execute_all, executed, message, query, ready, row, rows, started, sync,
};
use wirespan_parser_postgres::Postgres;
use wirespan_sdk::testkit::{Conversation, SeenSpan, check_cuts, removals, replay};
use wirespan_sdk::{Cause, Flags, Side};

fn closed(conversation: Conversation) -> Conversation {
    conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished)
}

fn spans(conversation: Conversation) -> Vec<SeenSpan> {
    check_cuts::<Postgres>(&closed(conversation), 400, 40).spans
}

#[test]
fn joined_in_a_result_the_next_query_is_found() {
    let spans = spans(
        Conversation::mid_stream()
            .server(
                [
                    &b"rest of a row"[..],
                    &row(),
                    &complete("SELECT 9"),
                    &ready(b'I'),
                ]
                .concat(),
            )
            .client(query("select 1"))
            .server([rows(1), complete("SELECT 1"), ready(b'I')].concat())
            .client([execute_all("", "select 2"), sync()].concat())
            .server([executed("SELECT 1"), ready(b'I')].concat()),
    );
    let texts: Vec<_> = spans
        .iter()
        .map(|s| (s.text("db.query.text"), s.flags))
        .collect();
    assert_eq!(
        texts,
        [
            (Some("select 1"), Flags::MID_STREAM),
            (Some("select 2"), Flags::empty())
        ]
    );
}

#[test]
fn an_error_at_the_end_of_what_is_seen_is_told() {
    let spans = spans(
        Conversation::mid_stream()
            .client(query("selec"))
            .server(error("42601")),
    );
    let texts: Vec<_> = spans.iter().map(|s| s.text("db.query.text")).collect();
    assert_eq!(texts, [Some("selec")]);
    assert_eq!(spans[0].text("db.response.status_code"), Some("42601"));
    assert!(spans[0].has(Flags::MID_STREAM));
}

#[test]
fn lost_rows_are_stepped_over() {
    let result = [rows(1), row(), complete("SELECT 2"), ready(b'I')].concat();
    let (before, after) = result.split_at(20);
    let spans = spans(
        started()
            .client(query("select 1"))
            .server(before)
            .gap(Side::Server, 4)
            .server(after.get(4..).expect("more than a gap")),
    );
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].integer("db.response.returned_rows"), Some(2));
    assert_eq!(spans[0].flags, Flags::GAP);
}

/// The end of a copy that was lost, told or not, is not the end of its request.
#[test]
fn a_copy_of_which_data_was_lost_says_so() {
    let copying = || {
        started()
            .client(query("copy t from stdin"))
            .server(message(b'G', &[0, 0, 0]))
    };
    let copied = |conversation: Conversation| {
        conversation.server([complete("COPY 2"), ready(b'I')].concat())
    };
    let [data, done] = [message(b'd', b"1\n2\n"), message(b'c', b"")];
    let all = [data.clone(), done.clone()].concat();
    let whole = spans(copied(copying().client(&all[..])));
    assert_eq!((whole.len(), whole[0].flags), (1, Flags::empty()));
    for lost in [
        copied(copying()),
        copied(copying().client(&data[..])),
        copied(copying().gap(Side::Client, all.len() as u64)),
        copied(
            copying()
                .gap(Side::Client, data.len() as u64)
                .client(&done[..]),
        ),
        copied(copying().gap_unknown(Side::Client)),
    ] {
        let spans = spans(lost);
        assert_eq!((spans.len(), spans[0].flags), (1, Flags::GAP));
    }
    let failed = spans(
        copying()
            .gap(Side::Client, all.len() as u64)
            .server([error("22P02"), ready(b'I')].concat()),
    );
    assert_eq!((failed.len(), failed[0].flags), (1, Flags::GAP));
}

/// Its answer is one byte, and not a message.
#[test]
fn a_request_for_encryption_that_was_lost_costs_the_login() {
    let beginnings = [
        Conversation::new().gap(Side::Client, 8).server(b"N"),
        Conversation::new().server(b"N").gap(Side::Client, 8),
        Conversation::new().gap_unknown(Side::Client).server(b"N"),
    ];
    for beginning in beginnings {
        let mut conversation = beginning
            .client([&[0, 0, 0, 16, 0, 3, 0, 0][..], b"user\0me\0"].concat())
            .server([message(b'R', &[0; 4]), ready(b'I')].concat());
        for n in 0..3 {
            conversation = conversation
                .client(query(&format!("select {n}")))
                .server([rows(n), complete(&format!("SELECT {n}")), ready(b'I')].concat());
        }
        let texts: Vec<_> = spans(conversation)
            .iter()
            .map(|s| s.text("db.query.text").map(str::to_owned))
            .collect();
        assert_eq!(texts, [0, 1, 2].map(|n| Some(format!("select {n}"))));
    }
}

/// With any one piece lost, an exchange that does not overlap it is as before, but for two after
/// it, and none has a text or an outcome that is another's.
#[test]
fn what_is_lost_harms_only_its_neighbourhood() {
    let mut conversation = started();
    for n in 0..8 {
        let text = format!("select {n}");
        conversation = if n % 2 == 0 {
            conversation
                .client(query(&text))
                .server(rows(n))
                .server([complete(&format!("SELECT {n}")), ready(b'I')].concat())
        } else {
            conversation
                .client([execute_all(&format!("s{n}"), &text), sync()].concat())
                .server([executed("SELECT 1"), ready(b'I')].concat())
        };
    }
    let conversation = closed(conversation);
    let whole = replay::<Postgres>(&conversation, 1).spans;
    assert_eq!(whole.len(), 8);
    for (step, damaged) in removals(&conversation) {
        let report = check_cuts::<Postgres>(&damaged, 40, 4);
        let time = damaged.steps[step].time();
        let harmed = whole
            .iter()
            .position(|s| s.end >= time)
            .unwrap_or(whole.len());
        for (n, span) in whole.iter().enumerate() {
            if n >= harmed && n <= harmed + 2 {
                continue;
            }
            let mut expected = span.clone();
            if step == 0 {
                expected.values.remove("db.namespace");
            }
            assert!(
                report.spans.contains(&expected),
                "without step {step}, exchange {n} is not as before: {report:#?}"
            );
        }
        for span in &report.spans {
            let known = whole.iter().any(|other| {
                let same = |field| other.text(field) == span.text(field);
                let rows = span.integer("db.response.returned_rows");
                same("db.query.text")
                    && (rows.is_none() || rows == other.integer("db.response.returned_rows"))
            });
            assert!(
                known || span.flags != Flags::empty(),
                "without step {step}, this is wrong: {span:#?}"
            );
        }
    }
}

#[test]
fn what_was_held_back_of_an_earlier_turn_begins_no_message() {
    let wrong = [&b"Q\0\0\0\xd6"[..], b"select 2"].concat();
    let answer = |n: usize| [rows(n), complete(&format!("SELECT {n}")), ready(b'I')].concat();
    let long = format!("select 3 /* {} */", "x".repeat(300));
    // More is said to come of the second query than does; the rest of it is shown with the third.
    let spans = spans(
        started()
            .client(query("select 1"))
            .server(answer(1))
            .client(wrong)
            .client(" from t\0")
            .server(answer(2))
            .client(query(&long))
            .server(answer(3)),
    );
    let told: Vec<_> = spans
        .iter()
        .map(|s| (s.text("db.query.text"), s.flags))
        .collect();
    assert_eq!(
        told,
        [
            (Some("select 1"), Flags::empty()),
            (Some(&*long), Flags::GAP)
        ]
    );
}

/// What is sent behind it in the same turn is not what the server answers first.
#[test]
fn a_request_that_was_lost_leaves_its_answer_to_nobody() {
    let group = |text: &str| [execute_all("", text), sync()].concat();
    let answer = |count: usize| {
        let mut told = executed(&format!("SELECT {count}"));
        let command = complete(&format!("SELECT {count}"));
        told.truncate(told.len() - command.len());
        [told, row().repeat(count - 1), command, ready(b'I')].concat()
    };
    let lost = group("select 'lost'");
    for told in [true, false] {
        let begun = started()
            .client(query("select 0"))
            .server([rows(1), complete("SELECT 1"), ready(b'I')].concat());
        let conversation = if told {
            begun.gap(Side::Client, lost.len() as u64)
        } else {
            begun.gap_unknown(Side::Client)
        };
        let spans = spans(
            conversation
                .client(group("select 'behind'"))
                .server([answer(7), answer(3)].concat())
                .client(group("select 'next'"))
                .server(answer(2)),
        );
        for span in &spans {
            let rows = span.integer("db.response.returned_rows");
            let expected: &[Option<i64>] = match span.text("db.query.text") {
                Some("select 0") => &[Some(1)],
                Some("select 'behind'") => &[Some(3), None],
                Some("select 'next'") => &[Some(2)],
                text => panic!("{text:?}"),
            };
            assert!(expected.contains(&rows), "{span:?}");
        }
        assert!(
            spans
                .iter()
                .any(|s| s.text("db.query.text") == Some("select 'next'"))
        );
    }
}
