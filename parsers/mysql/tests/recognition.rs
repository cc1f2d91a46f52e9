//! What is taken for MySQL, at every length of the prefix.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::*;
use wirespan_parser_mysql::Mysql;
use wirespan_sdk::Recognition::{self, NeedMore, No, Yes};
use wirespan_sdk::testkit::recognise_prefixes;

/// The last answer; before the first decision nothing but `NeedMore`, and no other after it.
fn verdict(client: &[u8], server: &[u8]) -> Recognition {
    let answers = recognise_prefixes::<Mysql>(client, server);
    let mut decided = NeedMore;
    for (len, answer) in answers.iter().enumerate() {
        if decided != NeedMore {
            assert_eq!(*answer, decided, "another answer after {len} bytes");
        }
        decided = *answer;
    }
    decided
}

fn is_yes(answer: Recognition, turned: bool) -> bool {
    matches!(answer, Yes { swapped, .. } if swapped == turned)
}

#[test]
fn greetings_logins_and_commands_in_mid_connection_are_recognised() {
    let select = "select name from users where id = 1";
    let both: &[(Vec<u8>, Vec<u8>)] = &[
        (vec![], greeting("8.4.0", ALL)),
        (vec![], greeting("5.5.5-10.11.2-MariaDB", ALL & !1)),
        (login(1, BASE | CONNECT_WITH_DB), vec![]),
        (login(2, BASE | SSL), vec![]),
        (query(select), vec![]),
        (command(3, format!("\0\x01{select}").as_bytes()), vec![]),
        (prepare("(select ?) union (select ?)"), vec![]),
        (command(0x0e, b""), packet(1, &ok(0, 2))),
        (execute(3, 0), result(1, &rows(1), false, 2)),
        (execute(3, 0), packet(1, &error(1243, "HY000"))),
        (stored(0, &query(select)), vec![]),
        (deflated(0, &query(select)), vec![]),
        (zstandard(0, &query(select)), vec![]),
    ];
    for (client, server) in both {
        let shown = String::from_utf8_lossy(client);
        assert!(is_yes(verdict(client, server), false), "{shown:?}");
        assert!(is_yes(verdict(server, client), true), "{shown:?}, turned");
    }
}

#[test]
fn nothing_else_is() {
    let others: &[&[u8]] = &[
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example ESMTP Postfix\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"Q\x00\x00\x00\x0dselect 1\x00",
        b"Z\x00\x00\x00\x05I",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x00\x00\x00\x23\x00\x03\x00\x00user\x00alice\x00database\x00shop\x00\x00",
        // Kafka: Metadata 0, ApiVersions 3.
        b"\x00\x00\x00\x14\x00\x03\x00\x00\x00\x00\x00\x01\x00\x04test\x00\x00\x00\x00\x00\x00",
        b"\x00\x00\x00\x14\x00\x12\x00\x03\x00\x00\x00\x01\x00\x04test\x00\x00\x00\x00",
        // HTTP/2: SETTINGS.
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
        b"\x04\x00\x00\x00\x03\x01\x02\x03",
        b"\x05\x00\x00\x00\x0aabcd",
        // MongoDB: length, request, response, OP_MSG.
        b"\x30\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\0\0\0\0\0\x1b\0\0\0",
        b"INFO {\"server_id\":\"x\"}\r\n",
    ];
    for bytes in others {
        let shown = String::from_utf8_lossy(bytes);
        let padded = [bytes, &[b'x'; 16][..]].concat();
        assert_eq!(verdict(&padded, b""), No, "{shown:?} from the client");
        assert_eq!(verdict(b"", &padded), No, "{shown:?} from the server");
    }
    // Perhaps a query, if the server takes it for one.
    let unknown = command(3, b"hello, world");
    assert_eq!(verdict(&unknown, b""), NeedMore);
    assert_eq!(verdict(&unknown, b"HTTP/1.1 200 OK\r\n"), No);
    let answer = packet(1, &error(1064, "42000"));
    assert!(is_yes(verdict(&unknown, &answer), false));
}
