//! HTTP/1.1 on kept-alive connections: requests of 350 bytes with eight headers, responses of 500.

use super::{Chunk, Traffic, client, server};

pub(super) const TRAFFIC: Traffic = Traffic {
    name: "http",
    what: "HTTP/1.1: GET of 350 B with 8 header fields, response of 500 B with 8; a chunk each",
    port: 8080,
    opening: Vec::new,
    exchange,
};

const REQUEST_BYTES: usize = 350;
const RESPONSE_BYTES: usize = 500;

fn exchange(number: u64) -> Vec<Chunk> {
    let request = padded(
        format!(
            "GET /api/v1/users/{}?page={number} HTTP/1.1\r\nHost: users.example:8080\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: application/json\r\n\
             Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\
             X-Request-Id: {:016x}\r\nAuthorization: Bearer {:032x}\r\nCookie: session=",
            number % 97,
            scattered(number),
            scattered(number + 1),
        ),
        "\r\n\r\n",
        REQUEST_BYTES,
    );
    let head = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 03:00:00 GMT\r\n\
         Content-Type: application/json\r\nContent-Length: 250\r\nConnection: keep-alive\r\n\
         ETag: \"65a0-400\"\r\nCache-Control: no-store\r\nX-Trace: ";
    let response = padded(head.to_owned(), "\r\n\r\n", RESPONSE_BYTES - 250) + &"x".repeat(250);
    vec![client(request), server(response)]
}

fn padded(head: String, tail: &str, len: usize) -> String {
    let padding = len.saturating_sub(head.len() + tail.len());
    head + &"x".repeat(padding) + tail
}

/// Numbers that look like identifiers.
pub(super) const fn scattered(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
