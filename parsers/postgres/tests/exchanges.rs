//! Queries and executions, as the protocol documentation says they are framed.

mod messages;

use messages::*;
use wirespan_parser_postgres::Postgres;
use wirespan_sdk::testkit::{Conversation, End, Report, SeenSpan, check_cuts};
use wirespan_sdk::{Cause, Flags, Side, Status};

fn run(conversation: Conversation) -> Report {
    let conversation = conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished);
    check_cuts::<Postgres>(&conversation, 400, 40)
}

/// Text, outcome, and whether it was answered, one string a span.
fn brief(spans: &[SeenSpan]) -> Vec<String> {
    let one = |s: &SeenSpan| {
        let outcome = match (s.text("db.response.status_code"), s.has(Flags::NO_RESPONSE)) {
            (Some(code), _) => code,
            (None, true) => "unanswered",
            (None, false) => "ok",
        };
        format!("{} {outcome}", s.text("db.query.text").unwrap_or("-"))
    };
    spans.iter().map(one).collect()
}

#[test]
fn a_simple_query_has_its_attributes_and_times() {
    let report = run(started()
        .client(query("select * from users"))
        .server([rows(2), complete("SELECT 2")].concat())
        .server(ready(b'I')));
    let [span] = &report.spans[..] else {
        panic!("one span: {report:?}")
    };
    assert_eq!(span.name, "SELECT");
    assert_eq!(span.protocol, "postgresql");
    assert_eq!(span.text("db.system.name"), Some("postgresql"));
    assert_eq!(span.text("db.query.text"), Some("select * from users"));
    assert_eq!(span.text("db.namespace"), Some("shop"));
    assert_eq!(span.integer("db.response.returned_rows"), Some(2));
    assert_eq!(span.text("db.response.status_code"), None);
    assert_eq!((span.status, span.flags), (Status::Unset, Flags::empty()));
    assert_eq!((span.start, span.request_end), (3000, 3000));
    assert_eq!((span.response_start, span.end), (4000, 5000));
    let debug = format!("{report:?}");
    assert!(
        !debug.contains("alice") && !debug.contains("secret"),
        "{debug}"
    );
}

#[test]
fn messages_are_framed_as_the_documentation_says() {
    type Case<'a> = (&'a str, Conversation, &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (
            "several statements in one query, the second fails",
            started()
                .client(query("begin; selec"))
                .server([complete("BEGIN"), error("42601"), ready(b'E')].concat())
                .client(query(""))
                .server([message(b'I', b""), ready(b'I')].concat()),
            &["begin; selec 42601", " ok"],
        ),
        (
            "a pipeline whose second group fails",
            started()
                .client(
                    [
                        execute_all("", "a"),
                        sync(),
                        execute_all("", "bad"),
                        execute_all("s", "c"),
                        sync(),
                        execute_all("", "d"),
                        sync(),
                    ]
                    .concat(),
                )
                .server(
                    [
                        executed("SELECT 1"),
                        ready(b'I'),
                        parsed(),
                        message(b'2', b""),
                        error("22012"),
                        ready(b'I'),
                        executed("SELECT 1"),
                        ready(b'I'),
                    ]
                    .concat(),
                ),
            &["a ok", "bad 22012", "c unanswered", "d ok"],
        ),
        (
            "a parse that fails is told by its execution",
            started()
                .client([execute_all("", "selec"), sync()].concat())
                .server([error("42601"), ready(b'I')].concat()),
            &["selec 42601"],
        ),
        (
            "a parse that fails alone is told by itself",
            started()
                .client([parse("s", "selec"), sync()].concat())
                .server([error("42601"), ready(b'I')].concat())
                .client([parse("s", "select 1"), sync()].concat())
                .server([message(b'1', b""), ready(b'I')].concat())
                .client([bind("", "s"), execute("", 0), sync()].concat())
                .server([message(b'2', b""), complete("SELECT 1"), ready(b'I')].concat()),
            &["selec 42601", "select 1 ok"],
        ),
        (
            "a portal in parts, in a transaction",
            started()
                .client(
                    [
                        parse("s", "select 1"),
                        bind("p", "s"),
                        execute("p", 2),
                        sync(),
                    ]
                    .concat(),
                )
                .server(
                    [
                        parsed(),
                        message(b'2', b""),
                        row(),
                        row(),
                        message(b's', b""),
                        ready(b'T'),
                    ]
                    .concat(),
                )
                .client([execute("p", 2), close(b'P', "p"), sync()].concat())
                .server([complete("SELECT 1"), message(b'3', b""), ready(b'I')].concat())
                .client([execute("p", 0), sync()].concat())
                .server([error("34000"), ready(b'I')].concat()),
            &["select 1 ok", "select 1 ok", "- 34000"],
        ),
        (
            "an unknown statement has no text",
            started()
                .client([bind("", "elsewhere"), execute("", 0), sync()].concat())
                .server([message(b'2', b""), complete("SELECT 1"), ready(b'I')].concat()),
            &["- ok"],
        ),
        (
            "copies, with what comes unasked",
            started()
                .client(query("copy t from stdin"))
                .server([message(b'G', &[0, 0, 0]), notice()].concat())
                .client(
                    [
                        message(b'd', b"Q\0\0\0\x0dselect 1\0"),
                        message(b'd', b"2\n"),
                        message(b'c', b""),
                    ]
                    .concat(),
                )
                .server([parameter_status(), complete("COPY 2"), ready(b'I')].concat())
                .client(query("copy t to stdout"))
                .server(
                    [
                        message(b'H', &[0, 0, 0]),
                        message(b'd', b"Z\0\0\0\x05I"),
                        message(b'c', b""),
                        complete("COPY 1"),
                        ready(b'I'),
                    ]
                    .concat(),
                )
                .client(query("copy u from stdin"))
                .server(message(b'G', &[0, 0, 0]))
                .client([message(b'd', b"x\n"), message(b'f', b"no\0")].concat())
                .server([error("57014"), ready(b'I')].concat()),
            &[
                "copy t from stdin ok",
                "copy t to stdout ok",
                "copy u from stdin 57014",
            ],
        ),
        (
            "a copy that does not wait to be told to begin",
            started()
                .client(query("copy t from stdin"))
                .client([message(b'd', b"1\n"), message(b'c', b"")].concat())
                .server(message(b'G', &[0, 0, 0]))
                .server([complete("COPY 1"), ready(b'I')].concat())
                .client(query("next"))
                .server([complete("NEXT"), ready(b'I')].concat()),
            &["copy t from stdin ok", "next ok"],
        ),
        (
            "a sync that copying ignores",
            started()
                .client([execute_all("", "copy t from stdin"), sync()].concat())
                .server([parsed(), message(b'2', b""), message(b'G', &[0, 0, 0])].concat())
                .client([message(b'd', b"1\n"), message(b'c', b""), sync()].concat())
                .server([complete("COPY 1"), ready(b'I')].concat())
                .client(query("next"))
                .server([complete("NEXT"), ready(b'I')].concat()),
            &["copy t from stdin ok", "next ok"],
        ),
        (
            "a session that is ended while a query runs",
            started()
                .client(query("select pg_sleep(9)"))
                .server(error("57P01")),
            &["select pg_sleep(9) 57P01"],
        ),
        (
            "a query that is not answered",
            started().client(query("select 1")),
            &["select 1 unanswered"],
        ),
        (
            "a name that SQL gives to another text",
            started()
                .client([parse("s", "select 1"), sync()].concat())
                .server([message(b'1', b""), ready(b'I')].concat())
                .client(query("deallocate s"))
                .server([complete("DEALLOCATE"), ready(b'I')].concat())
                .client(query("prepare s as select 2"))
                .server([complete("PREPARE"), ready(b'I')].concat())
                .client([bind("", "s"), execute("", 0), sync()].concat())
                .server([message(b'2', b""), complete("SELECT 1"), ready(b'I')].concat()),
            &["deallocate s ok", "prepare s as select 2 ok", "- ok"],
        ),
    ];
    for (what, conversation, expected) in cases {
        let report = run(conversation.clone());
        assert_eq!(brief(&report.spans), *expected, "{what}");
        assert_eq!(report.end, None, "{what}");
    }
}

#[test]
fn encryption_is_asked_for_and_refused_or_granted() {
    let refused = run(Conversation::new()
        .client(packet(80_877_104, b""))
        .server("N")
        .client(packet(80_877_103, b""))
        .server("N")
        .client(packet(0x3_0002, b"user\0alice\0database\0shop\0\0"))
        .server(
            [
                message(b'v', &[0; 8]),
                message(b'R', &[0; 4]),
                message(b'K', &[0; 36]),
                ready(b'I'),
            ]
            .concat(),
        )
        .client(query("select 1"))
        .server([complete("SELECT 1"), ready(b'I')].concat()));
    assert_eq!(brief(&refused.spans), ["select 1 ok"]);
    let granted = run(Conversation::new()
        .client(packet(80_877_103, b""))
        .server("S")
        .client(b"\x16\x03\x01\x00\x05hello"));
    let upgraded = End::Upgraded {
        protocol: String::new(),
        client: 8,
        server: 1,
        context: Vec::new(),
    };
    assert_eq!(granted.end, Some(upgraded));
}

#[test]
fn a_cancel_request_and_other_protocols_are_let_go() {
    let cancel = run(Conversation::new().client(packet(80_877_102, &[1; 8])));
    assert_eq!(cancel.end, Some(End::Ignored("cancel request".into())));
    let other = run(Conversation::new().client("GET / HTTP/1.1\r\n\r\n"));
    assert_eq!(other.end, Some(End::NotMine));
    for length in [[0x40, 0, 0, 0], [0, 0, 0, 3], [0xff; 4]] {
        let malformed = run(started()
            .client(query("select 1"))
            .server([&b"D"[..], &length].concat()));
        assert_eq!(
            malformed.end,
            Some(End::Ignored("malformed message".into()))
        );
    }
}

#[test]
fn a_long_statement_is_cut_and_flagged() {
    let text = "x".repeat(100_000);
    let conversation = started()
        .client(query(&text))
        .server([complete("SELECT 1"), ready(b'I')].concat())
        .client([execute_all("", &text), sync()].concat())
        .server([executed("SELECT 1"), ready(b'I')].concat())
        .close(Cause::Finished);
    let report = check_cuts::<Postgres>(&conversation, 20, 5);
    assert_eq!(report.spans.len(), 2);
    for span in &report.spans {
        assert!(span.has(Flags::REQUEST_TRUNCATED));
        assert_eq!(span.text("db.query.text").map(str::len), Some(65_536));
    }
}
