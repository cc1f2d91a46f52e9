//! Conversations shaped as real ones are: what clients and servers in use send, in random order.

use wirespan_sdk::testkit::{Conversation, Random};
use wirespan_sdk::{Cause, Side};

const TARGETS: &[&str] = &[
    "/",
    "/users/7",
    "/search?q=a%20b&page=2",
    "/a/very/long/path/with/many/parts.html?x",
    "http://shop.example:8080/cart",
];

const REQUEST_HEADERS: &[&str] = &[
    "Host: shop.example:8080\r\n",
    "User-Agent: curl/8.5.0\r\n",
    "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n",
    "Accept-Encoding: gzip, deflate, br\r\n",
    "Cookie: session=0123456789abcdef; theme=dark\r\n",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    "Connection: keep-alive\r\n",
    "Upgrade-Insecure-Requests: 1\r\n",
    "X-Empty:\r\n",
];

const RESPONSE_HEADERS: &[&str] = &[
    "Server: nginx/1.22.1\r\n",
    "Date: Sun, 22 Nov 2026 03:00:00 GMT\r\n",
    "Content-Type: application/json\r\n",
    "Set-Cookie: session=0123456789abcdef; Path=/; HttpOnly\r\n",
    "Vary: Accept-Encoding\r\n",
];

/// One exchange: what the client sends before the server says anything, the interim response it
/// waits for, the rest of the request, and the response.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    pub(crate) request: Vec<u8>,
    pub(crate) interim: Vec<u8>,
    pub(crate) rest: Vec<u8>,
    pub(crate) response: Vec<u8>,
}

/// Requests that go on only after the response to the one before, and an end of any kind.
pub(crate) fn sequential(random: &mut Random, exchanges: u64) -> Conversation {
    let mut conversation = Conversation::new();
    for number in 0..exchanges {
        let shape = shape(random, number);
        conversation = pieces(conversation, random, Side::Client, &shape.request);
        conversation = pieces(conversation, random, Side::Server, &shape.interim);
        conversation = pieces(conversation, random, Side::Client, &shape.rest);
        conversation = pieces(conversation, random, Side::Server, &shape.response);
        if random.once_in(10) {
            conversation = conversation.pause(random.below(5_000_000_000));
        }
    }
    ending(conversation, random)
}

/// Bursts of requests, each answered to the end before the next.
pub(crate) fn pipelined(random: &mut Random, bursts: u64) -> Conversation {
    let mut conversation = Conversation::new();
    let mut number = 0;
    for _ in 0..bursts {
        let shapes: Vec<_> = (0..=random.below(5))
            .map(|_| {
                number += 1;
                shape(random, number)
            })
            .collect();
        let requests: Vec<_> = shapes
            .iter()
            .flat_map(|shape| [&shape.request[..], &shape.rest].concat())
            .collect();
        conversation = pieces(conversation, random, Side::Client, &requests);
        for shape in &shapes {
            let response = [&shape.interim[..], &shape.response].concat();
            conversation = pieces(conversation, random, Side::Server, &response);
        }
    }
    ending(conversation, random)
}

/// A request and its response, with the number in its target.
fn shape(random: &mut Random, number: u64) -> Shape {
    let target = format!("{}#{number}", random.pick(TARGETS))
        .replace('#', if random.once_in(3) { "?n=" } else { "/" });
    let headers = some(random, REQUEST_HEADERS);
    let line = |method: &str| format!("{method} {target} HTTP/1.1\r\n{headers}");
    let mut shape = Shape::default();
    let mut head = false;
    match random.below(9) {
        0 => {
            head = true;
            shape.request = format!("{}\r\n", line("HEAD")).into();
        }
        1 | 2 => {
            let body = text(random);
            let length = body.len();
            shape.request =
                format!("{}Content-Length: {length}\r\n\r\n{body}", line("POST")).into();
        }
        3 => {
            let body = chunked(random);
            shape.request =
                format!("{}Transfer-Encoding: chunked\r\n\r\n{body}", line("PUT")).into();
        }
        4 => {
            let body = text(random);
            let length = body.len();
            shape.request = format!(
                "{}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n",
                line("POST")
            )
            .into();
            shape.interim = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
            shape.rest = body.into();
        }
        5 => shape.request = format!("{}\r\n", line("DELETE")).into(),
        6 => shape.request = format!("\r\n{}\r\n", line("PURGE")).into(),
        _ => shape.request = format!("{}\r\n", line("GET")).into(),
    }
    let early = match random.below(10) {
        0 => "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
        1 => "HTTP/1.1 102 Processing\r\n\r\n",
        _ => "",
    };
    shape.response = format!("{early}{}", response(random, head)).into();
    shape
}

/// A response that leaves the connection open.
fn response(random: &mut Random, head: bool) -> String {
    let headers = some(random, RESPONSE_HEADERS);
    let status = *random.pick(&[
        "200 OK",
        "201 Created",
        "302 Found",
        "404 Not Found",
        "500 Error",
        "200",
    ]);
    match random.below(8) {
        0 => format!("HTTP/1.1 204 No Content\r\n{headers}\r\n"),
        1 => format!("HTTP/1.1 304 Not Modified\r\n{headers}Content-Length: 1234\r\n\r\n"),
        2 | 3 => {
            let body = if head { String::new() } else { chunked(random) };
            format!("HTTP/1.1 {status}\r\n{headers}Transfer-Encoding: chunked\r\n\r\n{body}")
        }
        _ => {
            let body = text(random);
            let length = body.len();
            let body = if head { "" } else { &body };
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        }
    }
}

/// How the connection ends: between two exchanges, with an exchange of its own, or cut off.
fn ending(conversation: Conversation, random: &mut Random) -> Conversation {
    let get = "GET /last HTTP/1.1\r\nHost: a\r\n\r\n";
    match random.below(9) {
        0 => conversation
            .client(get)
            .server("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the ")
            .server("end")
            .end(Side::Server)
            .close(Cause::Finished),
        1 => conversation.client(get).close(Cause::Reset),
        2 => conversation
            .client(get)
            .end(Side::Client)
            .close(Cause::Finished),
        3 => conversation
            .client(get)
            .server("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut")
            .close(Cause::CutOff),
        4 => conversation
            .client("GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x05hello"),
        5 => conversation
            .client("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n")
            .server("HTTP/1.1 200 Connection established\r\n\r\n"),
        6 => conversation
            .client("POST /half HTTP/1.1\r\nContent-Le")
            .close(Cause::Finished),
        _ => conversation
            .end(Side::Client)
            .end(Side::Server)
            .close(Cause::Finished),
    }
}

/// The bytes as one to three chunks, as sockets show them.
fn pieces(
    mut conversation: Conversation,
    random: &mut Random,
    side: Side,
    mut bytes: &[u8],
) -> Conversation {
    for _ in 0..random.below(3) {
        let (piece, rest) = bytes.split_at(random.below(bytes.len() as u64) as usize);
        if !piece.is_empty() {
            conversation = conversation.data(side, piece);
        }
        bytes = rest;
    }
    if bytes.is_empty() {
        return conversation;
    }
    conversation.data(side, bytes)
}

fn some(random: &mut Random, headers: &[&str]) -> String {
    headers
        .iter()
        .filter(|_| !random.once_in(3))
        .copied()
        .collect()
}

/// Text that looks like messages: nothing in a body is one.
fn text(random: &mut Random) -> String {
    let phrase = *random.pick(&[
        "{\"id\":7}",
        "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "GET /phantom HTTP/1.1\r\n\r\n",
        "0\r\n\r\n",
        "x",
    ]);
    phrase.repeat(random.below(30) as usize)
}

fn chunked(random: &mut Random) -> String {
    let mut body = String::new();
    for _ in 0..random.below(4) {
        let text = text(random);
        if !text.is_empty() {
            let extension = if random.once_in(4) {
                ";name=\"value\""
            } else {
                ""
            };
            body += &format!("{:x}{extension}\r\n{text}\r\n", text.len());
        }
    }
    let trailer = if random.once_in(4) {
        "Checksum: 1234\r\n"
    } else {
        ""
    };
    body + "0\r\n" + trailer + "\r\n"
}
