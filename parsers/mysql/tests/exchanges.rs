//! Queries and executions, as the protocol documentation says they are framed.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::*;
use wirespan_parser_mysql::Mysql;
use wirespan_sdk::testkit::{Conversation, End, Report, SeenSpan, check_cuts};
use wirespan_sdk::{Cause, Flags, Side, Status};

fn run(conversation: Conversation) -> Report {
    let conversation = conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished);
    check_cuts::<Mysql>(&conversation, 400, 40)
}

/// Text, outcome, and rows, one string a span.
fn brief(spans: &[SeenSpan]) -> Vec<String> {
    let one = |s: &SeenSpan| {
        let outcome = match (s.text("db.response.status_code"), s.has(Flags::NO_RESPONSE)) {
            (Some(code), _) => code,
            (None, true) => "unanswered",
            (None, false) => "ok",
        };
        let rows = s.integer("db.response.returned_rows");
        let rows = rows.map_or(String::new(), |rows| format!(" {rows}"));
        format!("{} {outcome}{rows}", s.text("db.query.text").unwrap_or("-"))
    };
    spans.iter().map(one).collect()
}

#[test]
fn a_query_has_its_attributes_and_times() {
    let report = run(started(0)
        .client(query("select * from users"))
        .server(result(1, &rows(1), false, 2))
        .client(query("update t set a = 1"))
        .server(packet(1, &ok(3, 2)))
        .client(query("selec"))
        .server(packet(1, &error(1064, "42000"))));
    let [select, update, failed] = &report.spans[..] else {
        panic!("three spans: {report:?}")
    };
    assert_eq!(select.protocol, "mysql");
    assert_eq!(select.text("db.system.name"), Some("mysql"));
    assert_eq!(select.text("db.query.text"), Some("select * from users"));
    assert_eq!(select.text("db.namespace"), Some("shop"));
    assert_eq!(select.integer("db.response.returned_rows"), Some(1));
    assert_eq!(select.integer("wirespan.db.affected_rows"), None);
    assert_eq!(
        (select.status, select.flags),
        (Status::Unset, Flags::empty())
    );
    assert_eq!((select.start, select.request_end), (4000, 4000));
    assert_eq!((select.response_start, select.end), (5000, 5000));
    assert_eq!(update.integer("wirespan.db.affected_rows"), Some(3));
    assert_eq!(update.integer("db.response.returned_rows"), None);
    assert_eq!(failed.text("db.response.status_code"), Some("1064"));
    assert_eq!(failed.text("error.type"), Some("1064"));
    assert_eq!(failed.text("wirespan.db.sqlstate"), Some("42000"));
    assert_eq!(failed.status, Status::Error);
    let debug = format!("{report:?}");
    assert!(
        !debug.contains("alice") && !debug.contains("secret"),
        "{debug}"
    );
}

#[test]
fn results_are_framed_as_the_documentation_says_with_eof_and_without() {
    for deprecate in [false, true] {
        let capabilities = if deprecate { DEPRECATE_EOF } else { 0 };
        let result = |sequence, rows: &[Vec<u8>], status| {
            messages::result(sequence, rows, deprecate, status)
        };
        let end = |status| {
            if deprecate {
                ok_end(status)
            } else {
                eof(status)
            }
        };
        let first = result(1, &rows(2), 2 | MORE);
        let second = if deprecate { 6 } else { 7 };
        let mut failing = vec![vec![1], definition()];
        if !deprecate {
            failing.push(eof(2));
        }
        failing.extend([row(), error(1317, "70100")]);
        type Case<'a> = (&'a str, Conversation, &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (
                "several statements in one query",
                started(capabilities)
                    .client(query("select 1; set @a = 1; select 2"))
                    .server(&first)
                    .server(packet(second, &ok(1, 2 | MORE)))
                    .server(result(second + 1, &rows(3), 2)),
                &["select 1; set @a = 1; select 2 ok 5"],
            ),
            (
                "several statements, the second fails",
                started(capabilities)
                    .client(query("select 1; selec"))
                    .server([first.clone(), packet(second, &error(1064, "42000"))].concat()),
                &["select 1; selec 1064 2"],
            ),
            (
                "a procedure with results and its own end",
                started(capabilities)
                    .client(query("call p()"))
                    .server([first.clone(), packet(second, &ok(0, 2))].concat()),
                &["call p() ok 2"],
            ),
            (
                "an error in the middle of rows, and progress before a result",
                started(capabilities)
                    .client(query("select sleep(9)"))
                    .server(packets(1, &failing))
                    .client(query("alter table t"))
                    .server(packet(1, b"\xff\xff\xff\x01\x01\x02\x00\x00\x00\x00"))
                    .server(packet(2, &ok(0, 2))),
                &["select sleep(9) 1317 1", "alter table t ok"],
            ),
            (
                "no rows",
                started(capabilities)
                    .client(query("select 1 where 0"))
                    .server(result(1, &[], 2)),
                &["select 1 where 0 ok 0"],
            ),
            (
                "prepared, executed, fetched with a cursor, closed",
                started(capabilities)
                    .client(prepare("select a from t where a > ?"))
                    .server(prepared(1, 1, 1, deprecate))
                    .client(execute(1, 0))
                    .server(result(1, &[binary_row(), binary_row()], 2))
                    .client(execute(1, 1))
                    .server(packets(1, &[vec![1], definition(), end(2 | CURSOR)]))
                    .client(command(0x1c, &[1, 0, 0, 0, 5, 0, 0, 0]))
                    .server(packets(1, &[binary_row(), end(2 | CURSOR | 0x80)]))
                    .client([command(0x18, b"\x01\0\0\0\0\0long"), execute(1, 0)].concat())
                    .server(result(1, &[], 2))
                    .client(command(0x1a, &[1, 0, 0, 0]))
                    .server(packet(1, &ok(0, 2)))
                    .client([command(0x19, &[1, 0, 0, 0]), query("select 1")].concat())
                    .server(result(1, &rows(1), 2))
                    .client(execute(1, 0))
                    .server(packet(1, &error(1243, "HY000"))),
                &[
                    "select a from t where a > ? ok 2",
                    "select a from t where a > ? ok",
                    "select a from t where a > ? ok 0",
                    "select 1 ok 1",
                    "- 1243",
                ],
            ),
            (
                "prepares: without parameters, without columns, failing, ahead of its execution",
                started(capabilities)
                    .client(prepare("select 1"))
                    .server(prepared(1, 1, 0, deprecate))
                    .client(prepare("do ?"))
                    .server(prepared(2, 0, 1, deprecate))
                    .client(prepare("begin"))
                    .server(prepared(3, 0, 0, deprecate))
                    .client(prepare("selec"))
                    .server(packet(1, &error(1064, "42000")))
                    .client(execute(2, 0))
                    .server(packet(1, &ok(0, 2)))
                    .client([prepare("set @a = ?"), execute(u32::MAX, 0)].concat())
                    .server([prepared(4, 0, 1, deprecate), packet(1, &ok(0, 2))].concat())
                    .client(command(0xfa, &[4, 0, 0, 0, 128, 0, 3, 0]))
                    .server(packet(1, &ok(9, 2))),
                &["selec 1064", "do ? ok", "set @a = ? ok", "set @a = ? ok"],
            ),
            (
                "other commands are no exchanges",
                started(capabilities)
                    .client(command(0x0e, b""))
                    .server(packet(1, &ok(0, 2)))
                    .client(command(0x09, b""))
                    .server(packet(1, b"Uptime: 1"))
                    .client(command(0x04, b"t\0"))
                    .server(packets(1, &[definition(), definition(), end(2)]))
                    .client(command(0x0a, b""))
                    .server(result(1, &rows(1), 2))
                    .client(command(0x1b, &[0, 0]))
                    .server(packet(1, &eof(2)))
                    .client(command(0x0d, b""))
                    .server(packet(1, &eof(2)))
                    .client(query("select 1"))
                    .server(result(1, &rows(1), 2))
                    .client(command(0x01, b"")),
                &["select 1 ok 1"],
            ),
            (
                "commands that are sent ahead",
                started(capabilities)
                    .client([query("select 1"), query("select 2"), query("selec")].concat())
                    .server(
                        [
                            result(1, &rows(1), 2),
                            result(1, &rows(2), 2),
                            packet(1, &error(1064, "42000")),
                        ]
                        .concat(),
                    ),
                &["select 1 ok 1", "select 2 ok 2", "selec 1064"],
            ),
            (
                "a query that is not answered, and a session that is ended",
                started(capabilities)
                    .client(query("select 1"))
                    .server(result(1, &rows(1), 2))
                    .server(packet(0, &error(1927, "70100")))
                    .client(command(0x01, b"")),
                &["select 1 ok 1"],
            ),
            (
                "a query that is ended by the server, and one in flight at the close",
                started(capabilities)
                    .client([query("select sleep(9)"), query("select 2")].concat())
                    .server(packet(1, &error(1053, "08S01"))),
                &["select sleep(9) 1053", "select 2 unanswered"],
            ),
        ];
        for (what, conversation, expected) in cases {
            let report = run(conversation.clone());
            assert_eq!(brief(&report.spans), *expected, "{what}, {deprecate}");
            assert_eq!(report.end, None, "{what}, {deprecate}");
        }
    }
}

#[test]
fn files_are_no_commands() {
    let content = query("select 'not a command'");
    let conversation = started(0)
        .client(query("load data local infile 'f' into table t"))
        .server(packet(1, b"\xfbf"))
        .client([packet(2, &content), packet(3, &content)].concat())
        .client(packet(4, b""))
        .server(packet(5, &ok(2, 2)))
        .client(query("load data local infile 'g' into table nosuch"))
        .server(packet(1, b"\xfbg"))
        .client(packets(2, &vec![query("x"); 300]))
        .client(packet(302_u16 as u8, b""))
        .server(packet(303_u16 as u8, &error(1146, "42S02")))
        .client(query("select 1"))
        .server(result(1, &rows(1), false, 2));
    let report = run(conversation);
    assert_eq!(
        brief(&report.spans),
        [
            "load data local infile 'f' into table t ok",
            "load data local infile 'g' into table nosuch 1146",
            "select 1 ok 1"
        ]
    );
    assert_eq!(report.spans[0].request_end, 7000);
    assert!(!format!("{report:?}").contains("not a command"));
}

#[test]
fn the_database_is_followed() {
    let expect = |conversation: Conversation, expected: &[Option<&str>]| {
        let report = run(conversation);
        let seen: Vec<_> = report
            .spans
            .iter()
            .map(|s| s.text("db.namespace"))
            .collect();
        assert_eq!(seen, expected);
    };
    let fine = || packet(1, &ok(0, 2));
    expect(
        started(0)
            .client(query("do 1"))
            .server(fine())
            .client(command(2, b"other"))
            .server(fine())
            .client(query("do 2"))
            .server(fine())
            .client(query("use `third`"))
            .server(fine())
            .client(query("do 3"))
            .server(fine())
            .client(query("use nosuch"))
            .server(packet(1, &error(1049, "42000")))
            .client(command(2, b"nosuch"))
            .server(packet(1, &error(1049, "42000")))
            .client(query("do 4"))
            .server(fine())
            .client(query("drop database third"))
            .server(fine())
            .client(query("do 5"))
            .server(fine())
            .client(command(0x11, b"bob\0\x06secretfourth\0\x2d\0"))
            .server(packet(1, b"\xfemysql_native_password\0abc\0"))
            .client(packet(2, b"secret"))
            .server(packet(3, &ok(0, 2)))
            .client(query("do 6"))
            .server(fine())
            .client(command(0x1f, b""))
            .server(fine())
            .client(query("do 7"))
            .server(fine()),
        &[
            Some("shop"),
            Some("other"),
            Some("other"),
            Some("third"),
            Some("third"),
            Some("third"),
            Some("third"),
            None,
            Some("fourth"),
            Some("fourth"),
        ],
    );
    expect(
        started(SESSION_TRACK)
            .client(query("do 1"))
            .server(packet(1, &ok_schema("tracked")))
            .client(query("do 2"))
            .server(fine()),
        &[Some("shop"), Some("tracked")],
    );
}

#[test]
fn a_change_of_user_forgets_prepared_statements() {
    for (change, answer) in [
        (
            command(0x11, b"bob\0\x06secretshop\0"),
            packet(1, &ok(0, 2)),
        ),
        (command(0x1f, b""), packet(1, &ok(0, 2))),
    ] {
        let report = run(started(0)
            .client(prepare("do 1"))
            .server(prepared(7, 0, 0, false))
            .client(change)
            .server(answer)
            .client(execute(7, 0))
            .server(packet(1, &error(1243, "HY000"))));
        assert_eq!(brief(&report.spans), ["- 1243"]);
    }
}

#[test]
fn logins_of_every_kind_lead_to_commands_and_leave_no_secret() {
    let capabilities = BASE | CONNECT_WITH_DB;
    let after = |conversation: Conversation, sequence| {
        conversation
            .server(packet(sequence, &ok(0, 2)))
            .client(query("select 1"))
            .server(result(1, &rows(1), false, 2))
    };
    let greeted = || Conversation::new().server(greeting("8.4.0", ALL));
    let cases = [
        after(
            greeted()
                .client(login(1, capabilities))
                .server(packet(2, b"\xfemysql_native_password\0salt\0"))
                .client(packet(3, b"secretsecret")),
            4,
        ),
        after(
            greeted()
                .client(login(1, capabilities))
                .server(packet(2, b"\xfe"))
                .client(packet(3, b"secret\0")),
            4,
        ),
        after(
            greeted()
                .client(login(1, capabilities))
                .server(packet(2, b"\x01\x04"))
                .client(packet(3, b"\x02"))
                .server(packet(4, b"\x01-----BEGIN PUBLIC KEY-----"))
                .client(packet(5, b"secret")),
            6,
        ),
        after(
            greeted()
                .client(login(1, capabilities))
                .server(packet(2, b"\x01\x03")),
            3,
        ),
        after(
            Conversation::new()
                .server(greeting("5.5.5-10.11.2-MariaDB", ALL & !1))
                .client(login(1, capabilities & !1)),
            2,
        ),
    ];
    for conversation in cases {
        let report = run(conversation);
        assert_eq!(brief(&report.spans), ["select 1 ok 1"]);
        assert!(!format!("{report:?}").contains("secret"));
    }
    let mariadb = run(after(
        Conversation::new()
            .server(greeting("5.5.5-10.11.2-MariaDB", ALL & !1))
            .client(login(1, capabilities & !1)),
        2,
    ));
    assert_eq!(mariadb.spans[0].text("db.system.name"), Some("mariadb"));
    let refused = run(greeted()
        .client(login(1, capabilities))
        .server(packet(2, &error(1045, "28000"))));
    assert_eq!((refused.spans.len(), refused.end), (0, None));
    let blocked = run(Conversation::new().server(packet(0, b"\xff\x69\x04Host is blocked")));
    assert_eq!(
        blocked.end,
        Some(End::Ignored("refused by the server".into()))
    );
}

#[test]
fn tls_is_handed_over_and_what_is_within_goes_on() {
    let ask = &login(1, BASE | SSL)[..36];
    let mut ask = ask.to_vec();
    ask[0] = 32;
    let report = run(Conversation::new()
        .server(greeting("5.5.5-10.11.2-MariaDB", ALL))
        .client([&ask[..], b"\x16\x03\x01\x00\x05hello"].concat())
        .server(b"\x16\x03\x03\x00\x05hello"));
    let Some(End::Upgraded {
        protocol,
        client,
        context,
        ..
    }) = &report.end
    else {
        panic!("handed over: {report:?}")
    };
    assert_eq!((&protocol[..], *client), ("", 36));
    let context = String::from_utf8(context.iter().map(|byte| byte & 0x7f).collect());
    assert!(context.is_ok());
    let within = run(Conversation::new()
        .fact(wirespan_sdk::fact::TLS, 1, "")
        .client(login(2, BASE | CONNECT_WITH_DB))
        .server(packet(3, &ok(0, 2)))
        .client(query("select 1"))
        .server(result(1, &rows(1), false, 2)));
    assert_eq!(brief(&within.spans), ["select 1 ok 1"]);
    assert_eq!(within.spans[0].text("db.namespace"), Some("shop"));
}

#[test]
fn attributes_stand_before_queries() {
    let attributed = |text: &str| {
        let body = [
            b"\x02\x01\x00\x01\xfe\x00\x01a\xfe\x00\x0btraceparent\x02vv\x37",
            &b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"[..],
            text.as_bytes(),
        ]
        .concat();
        command(3, &body)
    };
    let report = run(started(ATTRIBUTES | DEPRECATE_EOF)
        .client(command(3, b"\0\x01select 1"))
        .server(result(1, &rows(1), true, 2))
        .client(attributed("select 2"))
        .server(result(1, &rows(1), true, 2)));
    assert_eq!(brief(&report.spans), ["select 1 ok 1", "select 2 ok 1"]);
    assert!(report.spans[1].trace.starts_with("00-0af7651916cd43dd"));
    assert!(!format!("{report:?}").contains("vv"));
}

#[test]
fn payloads_of_16_mib_go_on_in_the_next_packet() {
    let full = (1 << 24) - 1;
    // Exactly as long as one packet: an empty one follows.
    let text = "x".repeat(full - 1);
    let exact = [command(3, text.as_bytes()), packet(1, b"")].concat();
    let mut wide = vec![0xfe];
    wide.resize(full, 0);
    let result = [
        packets(2, &[vec![1], definition(), eof(2), wide]),
        packet(6, &[9; 10]),
        packets(7, &[row(), eof(2)]),
    ]
    .concat();
    let conversation = started(0)
        .client(exact)
        .server(result)
        .client(query("select 2"))
        .server(messages::result(1, &rows(1), false, 2))
        .close(Cause::Finished);
    for batch in [1, 100] {
        let report = wirespan_sdk::testkit::replay::<Mysql>(&conversation, batch);
        assert_eq!(report.spans.len(), 2);
        let long = &report.spans[0];
        assert!(long.has(Flags::REQUEST_TRUNCATED));
        assert_eq!(long.text("db.query.text").map(str::len), Some(65_536));
        assert_eq!(long.integer("db.response.returned_rows"), Some(2));
        assert_eq!(long.request_bytes, full as u64 + 8);
        assert_eq!(brief(&report.spans[1..]), ["select 2 ok 1"]);
    }
}

#[test]
fn compressed_frames_have_nothing_to_do_with_packets() {
    let long = format!("select '{}'", "abc ".repeat(20_000));
    let many = result(1, &rows(200), false, 2);
    let (begin, rest) = many.split_at(1001);
    for (capability, compress) in [
        (COMPRESS, deflated as fn(u8, &[u8]) -> Vec<u8>),
        (ZSTD, zstandard),
        (COMPRESS, stored),
    ] {
        let both = [query("select 1"), query("select 2")].concat();
        let (half, other) = both.split_at(7);
        let long_query = query(&long);
        let (first, second) = long_query.split_at(40_000);
        let conversation = started(capability)
            .client(stored(0, &query("select 0")))
            .server(compress(1, &result(1, &rows(1), false, 2)))
            .client([compress(0, half), compress(1, other)].concat())
            .server([compress(1, begin), compress(2, rest)].concat())
            .server(compress(3, &packet(1, &error(1064, "42000"))))
            .client([compress(0, first), compress(1, second)].concat())
            .server(stored(1, &packet(1, &ok(0, 2))))
            .end(Side::Client)
            .end(Side::Server)
            .close(Cause::Finished);
        let report = check_cuts::<Mysql>(&conversation, 200, 20);
        assert_eq!(
            brief(&report.spans[..3]),
            ["select 0 ok 1", "select 1 ok 200", "select 2 1064"]
        );
        let [.., last] = &report.spans[..] else {
            panic!("four spans")
        };
        assert_eq!(last.text("db.query.text").map(str::len), Some(65_536));
        assert!(last.has(Flags::REQUEST_TRUNCATED) && !last.has(Flags::GAP));
        assert_eq!(report.spans.len(), 4);
    }
}

#[test]
fn replication_and_old_logins_are_set_aside() {
    let ended = |conversation| run(conversation).end;
    let dump = command(0x12, &[4, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'f']);
    let reason = |text: &str| Some(End::Ignored(text.into()));
    let replica = started(0)
        .client(command(0x15, &[0; 17]))
        .server(packet(1, &ok(0, 2)))
        .client(dump)
        .server(packet(1, &[0; 40]));
    assert_eq!(ended(replica), reason("replication"));
    let old = Conversation::new()
        .server(greeting("3.23.58", 0))
        .client(packet(1, b"\x05\0\0\0\x01root\0\0"));
    assert_eq!(ended(old), reason("login before protocol 4.1"));
    let other = Conversation::new().server("SSH-2.0-OpenSSH_9.6\r\n");
    assert_eq!(ended(other), Some(End::NotMine));
}

#[test]
fn hostile_lengths_end_in_nothing_wrong() {
    let answers: &[&[u8]] = &[
        b"\xff\xff\xff\x01\xfe",
        b"\0\0\0\x01",
        b"\x09\0\0\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x03\0\0\x01\xfc\xff\xff",
        b"\x07\0\0\x01\0\xfe\xff\xff\xff\xff\xff",
    ];
    for answer in answers {
        for capability in [0, COMPRESS, ZSTD] {
            let compressed = capability != 0;
            let wrap = |bytes: &[u8]| {
                if compressed {
                    stored(0, bytes)
                } else {
                    bytes.to_vec()
                }
            };
            let report = run(started(capability)
                .client(wrap(&query("select 1")))
                .server(wrap(answer))
                .server([0xff; 64]));
            for span in &report.spans {
                assert_eq!(span.text("db.query.text"), Some("select 1"));
                assert_eq!(span.integer("db.response.returned_rows"), None);
                assert_ne!(span.flags, Flags::empty());
            }
        }
    }
    let bombs: [Vec<u8>; 3] = [
        frame(1, b"\x28\xb5\x2f\xfd\x80\x58\xff\xff\xff\x7f", 1 << 23),
        frame(1, &[0x78, 0x9c, 0xff, 0xff, 0xff, 0xff], 100),
        deflated(1, &vec![0; 1 << 20]),
    ];
    for bomb in bombs {
        let report = run(started(COMPRESS)
            .client(stored(0, &query("select 1")))
            .server(bomb));
        assert!(report.spans.iter().all(|span| span.flags != Flags::empty()));
    }
}

#[test]
fn a_hundred_thousand_prepares_and_commands_ahead_are_bounded() {
    let mut conversation = started(DEPRECATE_EOF);
    for block in 0..100_u32 {
        let ids = block * 1000..(block + 1) * 1000;
        let ask: Vec<u8> = ids
            .clone()
            .flat_map(|id| prepare(&format!("do {id}")))
            .collect();
        let answer: Vec<u8> = ids.flat_map(|id| prepared(id, 0, 0, true)).collect();
        conversation = conversation.client(ask).server(answer);
    }
    conversation = conversation
        .client([execute(99_999, 0), execute(0, 0)].concat())
        .server([packet(1, &ok(0, 2)), packet(1, &ok(0, 2))].concat());
    let report = wirespan_sdk::testkit::replay::<Mysql>(&conversation.close(Cause::Finished), 1);
    assert_eq!(brief(&report.spans), ["do 99999 ok", "- ok"]);
    let ahead = started(0).client(command(0x0e, b"").repeat(40_000));
    let report = wirespan_sdk::testkit::replay::<Mysql>(&ahead.close(Cause::Finished), 1);
    let reason = Some(End::Ignored("too many commands in flight".into()));
    assert_eq!(report.end, reason);
}
