//! Writes frames and header blocks, as an encoder with a dynamic table does.

pub(crate) mod generator;
mod huffman;

use std::collections::VecDeque;

use wirespan_sdk::testkit::{Conversation, Report};
use wirespan_sdk::{Cause, Flags, Side};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 0x20;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(1, END_HEADERS | flags, stream, block)
}

pub(crate) fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(3, 0, stream, &code.to_be_bytes())
}

pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(key, value)| [&key.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(4, 0, 0, &payload)
}

/// A message of gRPC.
pub(crate) fn message(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend((text.len() as u32).to_be_bytes());
    bytes.extend(text);
    bytes
}

/// One direction's encoder: every field is put into the table, and taken from it the next time.
pub(crate) struct Encoder {
    /// Bytes of the table.
    pub(crate) room: usize,
    /// The newest first.
    entries: VecDeque<(String, String)>,
    size: usize,
    /// Codes its texts, where that makes them shorter.
    codes: Option<huffman::Codes>,
}

fn integer(first: u8, prefix: u32, value: usize) -> Vec<u8> {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        return vec![first | value as u8];
    }
    let mut bytes = vec![first | mask as u8];
    let mut rest = value - mask;
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [integer(0, 7, text.len()), text.as_bytes().to_vec()].concat()
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            room: 4096,
            entries: VecDeque::new(),
            size: 0,
            codes: None,
        }
    }
}

impl Encoder {
    /// With the Huffman code, as most clients and servers do it.
    pub(crate) fn huffman() -> Self {
        Self {
            codes: Some(huffman::Codes::new()),
            ..Self::default()
        }
    }

    pub(crate) fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(name, value) in fields {
            let fixed = match (name, value) {
                (":method", "GET") => Some(2),
                (":method", "POST") => Some(3),
                (":scheme", "http") => Some(6),
                (":status", "200") => Some(8),
                _ => None,
            };
            let known = self
                .entries
                .iter()
                .position(|(n, v)| (&n[..], &v[..]) == (name, value));
            if let Some(index) = fixed.or(known.map(|index| 62 + index)) {
                bytes.extend(integer(0x80, 7, index));
                continue;
            }
            let fixed = match name {
                ":authority" => Some(1),
                ":path" => Some(4),
                "content-type" => Some(31),
                "user-agent" => Some(58),
                _ => None,
            };
            let known = self.entries.iter().position(|(n, _)| n == name);
            match fixed.or(known.map(|index| 62 + index)) {
                Some(index) => bytes.extend(integer(0x40, 6, index)),
                None => {
                    bytes.push(0x40);
                    bytes.extend(self.string(name));
                }
            }
            bytes.extend(self.string(value));
            self.insert(name, value);
        }
        bytes
    }

    fn insert(&mut self, name: &str, value: &str) {
        self.entries.push_front((name.into(), value.into()));
        self.size += name.len() + value.len() + 32;
        while self.size > self.room {
            let Some((name, value)) = self.entries.pop_back() else {
                break;
            };
            self.size -= name.len() + value.len() + 32;
        }
    }

    fn string(&self, text: &str) -> Vec<u8> {
        match &self.codes {
            Some(codes) => {
                let coded = codes.encode(text.as_bytes());
                if coded.len() < text.len() {
                    [integer(0x80, 7, coded.len()), coded].concat()
                } else {
                    string(text)
                }
            }
            None => string(text),
        }
    }

    /// Without touching the table.
    pub(crate) fn plain(fields: &[(&str, &str)]) -> Vec<u8> {
        fields
            .iter()
            .flat_map(|(name, value)| [vec![0], string(name), string(value)].concat())
            .collect()
    }
}

/// Both directions of a connection between a gRPC client and its server.
#[derive(Default)]
pub(crate) struct Peer {
    pub(crate) client: Encoder,
    pub(crate) server: Encoder,
}

impl Peer {
    pub(crate) fn call(&mut self, stream: u32, path: &str) -> Vec<u8> {
        let block = self.client.block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "shop.example:50051"),
            ("content-type", "application/grpc"),
            ("user-agent", "grpc-test/1"),
            ("te", "trailers"),
        ]);
        headers(stream, 0, &block)
    }

    pub(crate) fn get(&mut self, stream: u32, path: &str) -> Vec<u8> {
        let block = self.client.block(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "shop.example"),
        ]);
        headers(stream, END_STREAM, &block)
    }

    pub(crate) fn answer(&mut self, stream: u32) -> Vec<u8> {
        let fields = [(":status", "200"), ("content-type", "application/grpc")];
        headers(stream, 0, &self.server.block(&fields))
    }

    pub(crate) fn status(&mut self, stream: u32, flags: u8, status: &str) -> Vec<u8> {
        headers(stream, flags, &self.server.block(&[(":status", status)]))
    }

    pub(crate) fn trailers(&mut self, stream: u32, code: &str) -> Vec<u8> {
        headers(
            stream,
            END_STREAM,
            &self.server.block(&[("grpc-status", code)]),
        )
    }

    /// A unary call: what the client sends, what the server sends.
    pub(crate) fn unary(&mut self, stream: u32, path: &str) -> (Vec<u8>, Vec<u8>) {
        let request = [
            self.call(stream, path),
            data(stream, END_STREAM, &message(b"ping")),
        ];
        let response = [
            self.answer(stream),
            data(stream, 0, &message(b"pong!")),
            self.trailers(stream, "0"),
        ];
        (request.concat(), response.concat())
    }
}

/// Preface and settings of both sides.
pub(crate) fn begun() -> Conversation {
    Conversation::new()
        .client([PREFACE, &settings(&[])].concat())
        .server(settings(&[]))
}

pub(crate) fn closed(conversation: Conversation) -> Conversation {
    conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished)
}

/// `method path status flags` of each span: for gRPC `rpc method status counts flags`.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    let names = [
        (Flags::MID_STREAM, "mid"),
        (Flags::GAP, "gap"),
        (Flags::REQUEST_TRUNCATED, "request-cut"),
        (Flags::RESPONSE_TRUNCATED, "response-cut"),
        (Flags::NO_RESPONSE, "unanswered"),
        (Flags::RESET, "reset"),
        (Flags::UNFINISHED, "unfinished"),
        (Flags::ORDER_UNCERTAIN, "order"),
        (Flags::PARSER_RESTART, "restart"),
    ];
    let number = |number: Option<i64>| number.map_or("-".into(), |n| n.to_string());
    report
        .spans
        .iter()
        .map(|span| {
            let mut line = if span.protocol == "grpc" {
                let [sent, received] = ["request", "response"]
                    .map(|side| number(span.integer(&format!("wirespan.grpc.{side}.messages"))));
                let method = span.text("rpc.method").unwrap_or("-");
                let status = span.text("rpc.status_code").unwrap_or("-");
                format!("rpc {method} {status} {sent}/{received}")
            } else {
                let method = span.text("http.request.method").unwrap_or("-");
                let mut path = span.text("url.path").unwrap_or("-").to_owned();
                if let Some(query) = span.text("url.query") {
                    path = format!("{path}?{query}");
                }
                let status = number(span.integer("http.response.status_code"));
                format!("{method} {path} {status}")
            };
            for (flag, name) in names {
                if span.has(flag) {
                    line = format!("{line} {name}");
                }
            }
            line
        })
        .collect()
}
