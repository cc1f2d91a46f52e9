//! Queries and executions, as the protocol documentation says they are framed.

mod lengths;
mod logins;
#[expect(dead_code, reason = "not all messages are needed here")]
#[path = "../messages/mod.rs"]
mod messages;
mod results;

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
