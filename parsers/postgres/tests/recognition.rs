//! What is taken for PostgreSQL, at every length of the prefix.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::{complete, execute_all, message, packet, query, ready, rows, sync};
use wirespan_parser_postgres::Postgres;
use wirespan_sdk::Recognition::{self, NeedMore, No, Yes};
use wirespan_sdk::testkit::recognise_prefixes;

/// The last answer; before the first decision nothing but `NeedMore`, and no other after it.
fn verdict(client: &[u8], server: &[u8]) -> Recognition {
    let answers = recognise_prefixes::<Postgres>(client, server);
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
fn startup_packets_and_messages_in_mid_connection_are_recognised() {
    let clients = [
        packet(80_877_103, b""),
        packet(80_877_104, b""),
        packet(80_877_102, &[7; 8]),
        packet(80_877_102, &[7; 36]),
        packet(0x3_0000, b"user\0alice\0\0"),
        packet(0x3_0002, b"application_name\0a\0user\0alice\0\0"),
        query("select 1"),
        query(""),
        [execute_all("s", "select $1"), sync()].concat(),
    ];
    for client in clients {
        assert!(is_yes(verdict(&client, b""), false), "{client:?}");
        assert!(is_yes(verdict(b"", &client), true), "{client:?}");
    }
    let server = [rows(3), complete("SELECT 3"), ready(b'I')].concat();
    assert!(is_yes(verdict(b"", &server), false));
    assert!(is_yes(verdict(&server, b""), true));
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
        b"J\x00\x00\x00\x0a8.0.36\x00",
        b"\x21\x00\x00\x00\x03select @@version_comment limit 1",
        // Kafka: Metadata 0, ApiVersions 3.
        b"\x00\x00\x00\x14\x00\x03\x00\x00\x00\x00\x00\x01\x00\x04test\x00\x00\x00\x00\x00\x00",
        b"\x00\x00\x00\x14\x00\x12\x00\x03\x00\x00\x00\x01\x00\x04test\x00\x00\x00\x00",
        b"Q\x00\x00\x00\x03\x00\x00\x00\x00",
        b"Q\x00\x00\x00\x08abc\x01\x00",
        b"D\x7f\xff\xff\xff\x00\x00",
        b"INFO {\"server_id\":\"x\"}\r\n",
        // MongoDB: a message of 81 bytes, the fifth.
        b"Q\0\0\0\x06\0\0\0\0\0\0\0\xdd\x07\0\0",
    ];
    for bytes in others {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(verdict(bytes, b""), No, "{shown:?} from the client");
        assert_eq!(verdict(b"", bytes), No, "{shown:?} from the server");
    }
    let plain = message(b'd', b"data that is copied");
    assert!(!is_yes(verdict(&plain, b""), false));
}
