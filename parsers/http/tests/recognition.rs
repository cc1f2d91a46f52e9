//! What is taken for HTTP/1.x, at every length of the prefix.

use wirespan_parser_http::Http;
use wirespan_sdk::Recognition::{self, NeedMore, No, Yes};
use wirespan_sdk::testkit::recognise_prefixes;

/// The last answer; before it nothing but `NeedMore`.
fn verdict(client: &[u8], server: &[u8]) -> Recognition {
    let answers = recognise_prefixes::<Http>(client, server);
    let (last, before) = answers
        .split_last()
        .expect("an answer for the empty prefix");
    let decided = before.iter().position(|answer| *answer != NeedMore);
    if let Some(decided) = decided {
        let first = before[decided];
        for (len, answer) in answers.iter().enumerate().skip(decided) {
            assert_eq!(
                *answer, first,
                "decided after {decided} bytes, another answer after {len}"
            );
        }
    }
    *last
}

#[test]
fn requests_and_responses_are_recognised_when_their_first_line_is_complete() {
    for request in [
        "GET / HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.0\r\n",
        "CONNECT a:1 HTTP/1.1\n",
        "M-SEARCH * HTTP/1.1\r\n",
        "get / HTTP/1.1\r\n",
        "GET http://a/b c HTTP/1.1\r\n",
        "POST /é HTTP/1.1\r\n",
    ] {
        let answers = recognise_prefixes::<Http>(request.as_bytes(), b"");
        for (len, answer) in answers.iter().enumerate() {
            let complete = len == request.len();
            assert_eq!(
                matches!(answer, Yes { swapped: false, .. }),
                complete,
                "{request:?} at {len}"
            );
            assert_eq!(*answer == NeedMore, !complete, "{request:?} at {len}");
            let swapped = recognise_prefixes::<Http>(b"", request.as_bytes());
            assert_eq!(matches!(swapped[len], Yes { swapped: true, .. }), complete);
        }
    }
    assert!(matches!(
        verdict(b"", b"HTTP/1.1 200 OK\r\n"),
        Yes { swapped: false, .. }
    ));
    assert!(matches!(
        verdict(b"HTTP/1.0 404\n", b""),
        Yes { swapped: true, .. }
    ));
    assert!(matches!(
        verdict(b"\x00\x01rest of a body", b"HTTP/1.1 200 OK\r\n"),
        Yes { swapped: false, .. }
    ));
}

#[test]
fn nothing_else_is() {
    let others: &[&[u8]] = &[
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example ESMTP Postfix\r\n",
        b"EHLO client.example\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"PING\r\n",
        b"OPTIONS rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n",
        b"RTSP/1.0 200 OK\r\n",
        b"INVITE sip:a@b SIP/2.0\r\n",
        b"SIP/2.0 200 OK\r\n",
        b"ICY 200 OK\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 2x0 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"GET /old\r\n",
        b"GET  HTTP/1.1\r\n",
        b"USER anonymous\r\n",
        b"CAP LS 302\r\nNICK a\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"J\x00\x00\x00\x0a8.0.36\x00",
        b"Q\x00\x00\x00\x0dselect 1\x00",
        b"INFO {\"server_id\":\"x\"}\r\n",
        b"GET / HTTP/1.1\x00\r\n",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    for bytes in others {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(verdict(bytes, b""), No, "{shown:?} from the client");
        // The client may speak HTTP to whatever server it is.
        assert_eq!(verdict(b"", bytes), NeedMore, "{shown:?} from the server");
        let asked = verdict(b"GET / HTTP/1.1\r\n", bytes);
        assert!(
            matches!(asked, Yes { swapped: false, .. }),
            "{shown:?} from the server of a request"
        );
        assert_eq!(verdict(bytes, bytes), No, "{shown:?} from both");
    }
}

/// A request of HTTP/0.9 has no version, its answer no head: neither says what it is, so it is left to nobody.
#[test]
fn requests_without_a_version_are_not_taken() {
    for request in [
        "GET /\r\n",
        "GET /old\r\n",
        "GET /old HTTP/0.9\r\n",
        "GET /a b\n",
    ] {
        assert_eq!(verdict(request.as_bytes(), b""), No, "{request:?}");
        for answer in ["<html>old</html>\n", "+OK\r\n", "220 old\r\n", "old\r\n"] {
            let answers = recognise_prefixes::<Http>(request.as_bytes(), answer.as_bytes());
            assert_eq!(answers.last(), Some(&No), "{request:?} {answer:?}");
            assert!(
                !answers.iter().any(|answer| matches!(answer, Yes { .. })),
                "{request:?} {answer:?}"
            );
        }
    }
}
