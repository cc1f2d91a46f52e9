//! Results of every form.

use super::*;

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
