//! HTTP/1.x: RFC 9110 and 9112.

use crate::conversation::{Conversation, Protocol};
use crate::random::Random;

const METHODS: [&str; 9] = [
    "GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH",
];

const TYPES: [&str; 5] = [
    "application/json",
    "text/html; charset=utf-8",
    "application/octet-stream",
    "text/plain",
    "image/png",
];

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Http);
    let exchanges = random.between(1, 8);
    if random.one_in(5) {
        pipelined(exchanges, &mut conversation, random);
        return conversation;
    }
    for number in 0..exchanges {
        exchange(number + 1 == exchanges, &mut conversation, random);
    }
    conversation
}

fn pipelined(exchanges: usize, conversation: &mut Conversation, random: &mut Random) {
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..exchanges {
        requests.extend(head(&request_line("GET", random), &[], random));
        answers.extend(sized("HTTP/1.1 200 OK", random));
    }
    conversation.client(requests);
    conversation.server(answers);
    conversation.exchanged();
}

fn exchange(last: bool, conversation: &mut Conversation, random: &mut Random) {
    let method = random.pick(&METHODS);
    let line = request_line(method, random);
    let body = match method {
        "POST" | "PUT" | "PATCH" => body(random),
        _ => Vec::new(),
    };
    if body.is_empty() {
        conversation.client(head(&line, &[], random));
    } else if random.one_in(6) {
        let length = format!("Content-Length: {}", body.len());
        conversation.client(head(&line, &[&length, "Expect: 100-continue"], random));
        conversation.server("HTTP/1.1 100 Continue\r\n\r\n");
        conversation.client(&body);
    } else if random.one_in(3) {
        let mut request = head(&line, &["Transfer-Encoding: chunked"], random);
        request.extend(chunked(&body, random));
        conversation.client(request);
    } else {
        let length = format!("Content-Length: {}", body.len());
        conversation.client([head(&line, &[&length], random), body].concat());
    }
    answer(method, last, conversation, random);
    conversation.exchanged();
}

fn answer(method: &str, last: bool, conversation: &mut Conversation, random: &mut Random) {
    if random.one_in(12) {
        conversation.server("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
    }
    match random.below(8) {
        _ if method == "HEAD" => {
            conversation.server(head("HTTP/1.1 200 OK", &["Content-Length: 4096"], random));
        }
        0 => conversation.server(head("HTTP/1.1 204 No Content", &[], random)),
        1 => conversation.server(head("HTTP/1.1 304 Not Modified", &["ETag: \"1\""], random)),
        2 | 3 => {
            let content = body(random);
            let mut response = head(
                "HTTP/1.1 200 OK",
                &["Transfer-Encoding: chunked", &media(random)],
                random,
            );
            response.extend(chunked(&content, random));
            conversation.server(response);
        }
        4 if last => {
            // Ends with the connection.
            let response = head("HTTP/1.1 200 OK", &["Connection: close"], random);
            conversation.server([response, body(random)].concat());
        }
        5 => conversation.server(sized("HTTP/1.1 404 Not Found", random)),
        6 => conversation.server(sized("HTTP/1.1 500 Internal Server Error", random)),
        _ => conversation.server(sized("HTTP/1.1 200 OK", random)),
    }
}

fn request_line(method: &str, random: &mut Random) -> String {
    let mut target = String::new();
    for _ in 0..random.between(1, 4) {
        target.push('/');
        target.push_str(&random.word());
    }
    if random.one_in(3) {
        target.push_str(&format!("?{}={}", random.word(), random.below(10_000)));
    }
    format!("{method} {target} HTTP/1.1")
}

/// First line, some fields, those that are needed, and the empty line.
fn head(line: &str, needed: &[&str], random: &mut Random) -> Vec<u8> {
    let mut text = format!("{line}\r\n");
    if !line.starts_with("HTTP/") {
        text.push_str(&format!("Host: {}.example\r\n", random.word()));
    }
    for _ in 0..random.below(8) {
        let value = random.between(2, 40);
        text.push_str(&format!("x-{}: {}\r\n", random.word(), random.prose(value)));
    }
    for field in needed {
        text.push_str(&format!("{field}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn sized(line: &str, random: &mut Random) -> Vec<u8> {
    let content = body(random);
    let length = format!("Content-Length: {}", content.len());
    let media = media(random);
    [head(line, &[&length, &media], random), content].concat()
}

fn media(random: &mut Random) -> String {
    format!("Content-Type: {}", random.pick(&TYPES))
}

fn body(random: &mut Random) -> Vec<u8> {
    let len = random.between(1, 1500);
    match random.below(3) {
        0 => random.bytes(len),
        1 => format!("{{\"{}\": \"{}\"}}", random.word(), random.prose(len)).into_bytes(),
        _ => random.prose(len).into_bytes(),
    }
}

fn chunked(content: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(random.between(1, 400).min(rest.len()));
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
        rest = after;
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}
