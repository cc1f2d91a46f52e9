//! Beginnings of sessions, and what comes at any time in them.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::{
    bind, complete, error, execute, execute_all, executed, message, notice, packet,
    parameter_status, parse, query, ready, row, rows, started, sync,
};
use wirespan_parser_postgres::Postgres;
use wirespan_sdk::testkit::{Conversation, End, Report, check_cuts};
use wirespan_sdk::{Cause, Flags, Side};

fn run(conversation: Conversation) -> Report {
    let conversation = conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished);
    check_cuts::<Postgres>(&conversation, 400, 40)
}

fn texts(report: &Report) -> Vec<&str> {
    let spans = report.spans.iter();
    spans
        .map(|span| span.text("db.query.text").unwrap_or("-"))
        .collect()
}

fn startup() -> Vec<u8> {
    packet(0x3_0000, b"user\0alice\0database\0shop\0\0")
}

/// AuthenticationOk, a key, and ReadyForQuery.
fn welcome(key: usize) -> Vec<u8> {
    let mut backend = vec![0, 0, 0x12, 0x34];
    backend.resize(4 + key, 0xa5);
    [message(b'R', &[0; 4]), message(b'K', &backend), ready(b'I')].concat()
}

fn authentication(kind: u8, more: &[u8]) -> Vec<u8> {
    message(b'R', &[&[0, 0, 0, kind], more].concat())
}

/// What a server asks, and what a client answers, for each kind of authentication.
#[test]
fn every_kind_of_authentication_leads_to_a_session() {
    type Turn<'a> = (Vec<u8>, Option<&'a [u8]>);
    let kinds: [(&str, Vec<Turn<'_>>); 7] = [
        ("trust", vec![]),
        (
            "password",
            vec![(authentication(3, b""), Some(b"secret\0"))],
        ),
        (
            "md5",
            vec![(authentication(5, &[1, 2, 3, 4]), Some(b"md5secret\0"))],
        ),
        (
            "scram",
            vec![
                (
                    authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
                    Some(b"SCRAM-SHA-256\0\0\0\0\x12n,,n=,r=secretnonce"),
                ),
                (
                    authentication(11, b"r=secret,s=salt,i=4096"),
                    Some(b"c=biws,r=secret,p=proof"),
                ),
                (authentication(12, b"v=secret"), None),
            ],
        ),
        (
            "gss",
            vec![
                (authentication(7, b""), Some(&[0x60, 0x82, 1, 2])),
                (authentication(8, &[0x60, 0x81]), Some(&[0x60, 0, 0])),
            ],
        ),
        ("sspi", vec![(authentication(9, b""), Some(&[1, 0, 0]))]),
        (
            "oauth",
            vec![(
                authentication(10, b"OAUTHBEARER\0\0"),
                Some(b"OAUTHBEARER\0\0\0\0\x08n,,\x01secret"),
            )],
        ),
    ];
    for (kind, turns) in kinds {
        let mut conversation = Conversation::new().client(startup());
        for (asked, answer) in turns {
            conversation = conversation.server(asked);
            if let Some(answer) = answer {
                conversation = conversation.client(message(b'p', answer));
            }
        }
        let report = run(conversation
            .server(welcome(4))
            .client(query("select 1"))
            .server([rows(1), complete("SELECT 1"), ready(b'I')].concat()));
        assert_eq!(texts(&report), ["select 1"], "{kind}");
        assert_eq!(report.spans[0].flags, Flags::empty(), "{kind}");
        assert!(!format!("{report:?}").contains("secret"), "{kind}");
    }
    let refused = run(Conversation::new()
        .client(startup())
        .server(authentication(3, b""))
        .client(message(b'p', b"secret\0"))
        .server(error("28P01")));
    assert!(
        refused.spans.is_empty() && refused.end.is_none(),
        "{refused:?}"
    );
}

/// A server that has only 3.0 says so, and a client of 3.2 cancels with a longer key.
#[test]
fn protocol_3_2_is_negotiated_and_its_keys_are_longer() {
    for (version, answer) in [
        (0x3_0002, Vec::new()),
        (0x3_0002, message(b'v', &[0, 3, 0, 0, 0, 0, 0, 0])),
        (
            0x3_270f,
            message(
                b'v',
                b"\0\x03\0\x02\0\0\0\x01_pq_.test_protocol_negotiation\0",
            ),
        ),
    ] {
        let report = run(Conversation::new()
            .client(packet(version, b"user\0alice\0database\0shop\0\0"))
            .server([answer, welcome(32)].concat())
            .client(query("select 1"))
            .server([rows(1), complete("SELECT 1"), ready(b'I')].concat()));
        assert_eq!(texts(&report), ["select 1"], "{version:x}");
        assert_eq!(report.spans[0].text("db.namespace"), Some("shop"));
    }
    for key in [4, 32, 256] {
        let report = run(Conversation::new().client(packet(80_877_102, &vec![7; 4 + key])));
        assert_eq!(
            report.end,
            Some(End::Ignored("cancel request".into())),
            "a key of {key} bytes"
        );
    }
}

#[test]
fn encryption_by_gss_is_left_alone_and_refused_encryption_is_not() {
    let granted = run(Conversation::new()
        .client(packet(80_877_104, b""))
        .server("G")
        .client([0, 0, 0, 9, 0x60]));
    assert_eq!(granted.end, Some(End::Ignored("encrypted by gss".into())));
    // A server older than the request ends the connection with an error.
    let unknown = run(Conversation::new()
        .client(packet(80_877_104, b""))
        .server(error("0A000")));
    assert!(
        unknown.spans.is_empty() && unknown.end.is_none(),
        "{unknown:?}"
    );
}

#[test]
fn what_comes_unasked_changes_nothing_wherever_it_comes() {
    let unasked = || {
        let notification = message(b'A', b"\0\0\0\x07news\0what\0");
        [notice(), parameter_status(), notification].concat()
    };
    let group = [
        parse("s", "select 1"),
        bind("", "s"),
        message(b'D', b"P\0"),
        execute("", 0),
        sync(),
    ];
    let answers = [
        vec![
            message(b'T', b"\0\x01a\0"),
            row(),
            complete("SELECT 1"),
            ready(b'I'),
        ],
        vec![
            message(b'1', b""),
            message(b'2', b""),
            message(b'T', b"\0\x01a\0"),
            row(),
            complete("SELECT 1"),
            ready(b'I'),
        ],
    ];
    for (asked, answer) in [query("select 1"), group.concat()].iter().zip(&answers) {
        for place in 0..=answer.len() {
            let mut answer = answer.clone();
            answer.insert(place, unasked());
            let report = run(started()
                .server(unasked())
                .client(asked)
                .server(answer.concat())
                .server(unasked())
                .client(query("next"))
                .server([complete("NEXT"), ready(b'I')].concat()));
            assert_eq!(texts(&report), ["select 1", "next"], "at {place}");
            let span = &report.spans[0];
            assert_eq!(span.integer("db.response.returned_rows"), Some(1));
            assert_eq!(span.flags, Flags::empty(), "at {place}");
        }
    }
    // A session that the server ends while nothing runs.
    let ended = run(started().server(error("57P01")));
    assert!(ended.spans.is_empty() && ended.end.is_none(), "{ended:?}");
}

#[test]
fn a_function_call_is_an_exchange_without_a_text() {
    let call = message(b'F', b"\0\0\x03\xb9\0\0\0\x01\0\0\0\x04\0\0\0\x07\0\x01");
    let report = run(started()
        .client(&call)
        .server([message(b'V', b"\0\0\0\x04\0\0\0\x07"), ready(b'I')].concat())
        .client(&call)
        .server([error("42883"), ready(b'I')].concat())
        .client(query("next"))
        .server([complete("NEXT"), ready(b'I')].concat()));
    assert_eq!(texts(&report), ["-", "-", "next"]);
    let codes: Vec<_> = report
        .spans
        .iter()
        .map(|span| span.text("db.response.status_code"))
        .collect();
    assert_eq!(codes, [None, Some("42883"), None]);
}

/// Replication: data both ways, ended by either side, and reported before where it goes on.
#[test]
fn copying_both_ways_is_one_exchange() {
    let begun = || {
        started()
            .client(query("START_REPLICATION SLOT s LOGICAL 0/0"))
            .server(message(b'W', &[0, 0, 0]))
            .server(message(b'd', b"w\0\0\0\0\0\0\0\x01Q\0\0\0\x0dselect 1\0"))
            .client(message(b'd', b"r\0\0\0\0\0\0\0\x01"))
    };
    let ended = run(begun()
        .client(message(b'c', b""))
        .server([message(b'c', b""), complete("COPY 0"), ready(b'I')].concat())
        .client(query("next"))
        .server([complete("NEXT"), ready(b'I')].concat()));
    assert_eq!(
        texts(&ended),
        ["START_REPLICATION SLOT s LOGICAL 0/0", "next"]
    );
    assert_eq!(ended.spans[0].flags, Flags::empty());
    let endless = run(begun().pause(61_000_000_000).server(message(b'd', b"k")));
    assert_eq!(texts(&endless), ["START_REPLICATION SLOT s LOGICAL 0/0"]);
    assert_eq!(endless.spans[0].flags, Flags::UNFINISHED);
}

/// A pooler hands the connection from client to client: their statements' names are its own, and
/// what one session leaves behind is discarded before the next.
#[test]
fn a_connection_that_a_pooler_reuses_keeps_to_what_it_was_told() {
    let reset = |conversation: Conversation| {
        conversation
            .client(query("DISCARD ALL"))
            .server([complete("DISCARD ALL"), ready(b'I')].concat())
    };
    let mut conversation = started();
    for (name, text) in [("S_1", "select 1"), ("S_1", "select 2")] {
        conversation = reset(
            conversation
                .client([execute_all(name, text), sync()].concat())
                .server([executed("SELECT 1"), ready(b'I')].concat())
                .client([bind("", name), execute("", 0), sync()].concat())
                .server([message(b'2', b""), row(), complete("SELECT 1"), ready(b'I')].concat()),
        );
    }
    // Discarded, and not prepared anew.
    let report = run(conversation
        .client([bind("", "S_1"), execute("", 0), sync()].concat())
        .server([error("26000"), ready(b'I')].concat()));
    assert_eq!(
        texts(&report),
        [
            "select 1",
            "select 1",
            "DISCARD ALL",
            "select 2",
            "select 2",
            "DISCARD ALL",
            "-"
        ]
    );
}

#[test]
fn rows_are_only_said_to_be_returned_where_they_were() {
    let report = run(started()
        .client([execute_all("", "create table t as select 1"), sync()].concat())
        .server(
            [
                messages::parsed(),
                message(b'2', b""),
                complete("SELECT 1"),
                ready(b'I'),
            ]
            .concat(),
        )
        .client([execute_all("", "select 1 where false"), sync()].concat())
        .server(
            [
                messages::parsed(),
                message(b'2', b""),
                complete("SELECT 0"),
                ready(b'I'),
            ]
            .concat(),
        ));
    let rows: Vec<_> = report
        .spans
        .iter()
        .map(|span| span.integer("db.response.returned_rows"))
        .collect();
    assert_eq!(rows, [None, Some(0)]);
}
