//! What begins behind an exchange that is the last of its protocol.

use wirespan_sdk::testkit::{Conversation, End};

use crate::{closed, lines, run};

#[test]
fn an_upgrade_is_one_exchange_and_ends_the_connection() {
    let request =
        "GET /chat?x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n";
    let conversation = Conversation::new()
        .client(request)
        .server(format!("{response}\x01\x05hello"))
        .client("\x01");
    let report = run(&conversation);
    assert_eq!(lines(&report), ["GET /chat?x 101"]);
    let end = End::Upgraded {
        protocol: "websocket".into(),
        client: request.len() as u64,
        server: response.len() as u64,
        context: Vec::new(),
    };
    assert_eq!(report.end, Some(end));
}

#[test]
fn an_upgrade_to_http2_hands_the_request_over() {
    let conversation = Conversation::new()
        .client("GET /h2 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
        .server(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n\0\0\0",
        );
    let Some(End::Upgraded {
        protocol, context, ..
    }) = run(&conversation).end
    else {
        panic!("upgraded")
    };
    assert_eq!(protocol, "h2c");
    assert_eq!(
        context,
        b"GET /h2 HTTP/1.1\r\nhost: a\r\nstart-nanos: 1000\r\n\r\n"
    );
}

#[test]
fn a_refused_upgrade_goes_on_as_http() {
    let conversation = closed(
        Conversation::new()
            .client("GET /1 HTTP/1.1\r\nUpgrade: h2c\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
            .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 OK\r\n\r\n"),
    );
    assert_eq!(lines(&run(&conversation)), ["GET /1 200", "GET /2 204"]);
}

#[test]
fn a_tunnel_ends_with_its_connect() {
    let request = "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n";
    let response = "HTTP/1.1 200 Connection established\r\n\r\n";
    let conversation = Conversation::new()
        .client(request)
        .server(response)
        .client("GET /inside HTTP/1.1\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let report = run(&conversation);
    assert_eq!(lines(&report), ["CONNECT - 200"]);
    assert_eq!(report.spans[0].text("server.address"), Some("db.example"));
    let Some(End::Upgraded {
        protocol,
        client,
        server,
        ..
    }) = report.end
    else {
        panic!("upgraded")
    };
    assert_eq!(
        (protocol.as_str(), client, server),
        ("", request.len() as u64, response.len() as u64)
    );

    let refused = closed(
        Conversation::new()
            .client(request)
            .server("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno")
            .client(request)
            .server("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
    );
    assert_eq!(lines(&run(&refused)), ["CONNECT - 407", "CONNECT - 403"]);
}

/// The client need not wait for the answer: what it sent ahead is the next protocol's, or a request
/// after all.
#[test]
fn what_is_sent_ahead_of_a_switch_is_behind_it() {
    let cases = [
        (
            "CONNECT db.example:5432 HTTP/1.1\r\n\r\n",
            "GET /inside HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 Connection established\r\n\r\n",
        ),
        (
            "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "\x01\x05hello",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        ),
    ];
    for (request, ahead, response) in cases {
        let together = Conversation::new()
            .client(format!("{request}{ahead}"))
            .server(format!("{response}first bytes of the server"));
        let apart = Conversation::new()
            .client(request)
            .client(ahead)
            .server(response)
            .server("more");
        for conversation in [together, apart] {
            let report = run(&conversation);
            assert_eq!(report.spans.len(), 1);
            let Some(End::Upgraded { client, server, .. }) = report.end else {
                panic!("upgraded: {report}")
            };
            let ends = (request.len() as u64, response.len() as u64);
            assert_eq!((client, server), ends, "{request:?}");
        }
    }
}
