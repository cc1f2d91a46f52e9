//! HTTP/2 and gRPC: RFC 9113, RFC 7541, and gRPC over HTTP/2.

use crate::conversation::{Conversation, Protocol, Speaker};
use crate::random::Random;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Bytes of the tables at the beginning.
const TABLE_BYTES: usize = 4096;

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Http2);
    let mut tables = [Encoder::default(), Encoder::default()];
    let window = frame(WINDOW_UPDATE, 0, 0, &1_000_000_u32.to_be_bytes());
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 4, 0, 1, 0, 0]);
    let mut opening = [PREFACE, &settings, &window].concat();
    if random.one_in(2) {
        conversation.client(std::mem::take(&mut opening));
        conversation.server(&settings);
        conversation.client(frame(SETTINGS, ACK, 0, &[]));
    }
    let mut stream = 1;
    let rounds = random.between(1, 5);
    for round in 0..rounds {
        let calls = random.between(1, 4);
        let streams: Vec<u32> = (0..calls).map(|n| stream + 2 * n as u32).collect();
        stream += 2 * calls as u32;
        let methods: Vec<_> = streams.iter().map(|_| random.one_in(2)).collect();
        let mut bytes = std::mem::take(&mut opening);
        for (&stream, &grpc) in streams.iter().zip(&methods) {
            bytes.extend(request(stream, grpc, &mut tables[0], random));
        }
        conversation.client(bytes);
        let mut bytes = Vec::new();
        if round == 0 {
            bytes.extend(frame(SETTINGS, ACK, 0, &[]));
        }
        // Answers come in another order.
        let mut calls: Vec<_> = streams.iter().zip(&methods).collect();
        if random.one_in(2) {
            calls.reverse();
        }
        for (&stream, &grpc) in calls {
            if random.one_in(10) {
                bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            } else {
                bytes.extend(response(stream, grpc, &mut tables[1], random));
            }
        }
        conversation.server(bytes);
        conversation.exchanged();
        if random.one_in(4) {
            let payload = random.bytes(8);
            conversation.say(Speaker::Client, frame(PING, 0, 0, &payload));
            conversation.say(Speaker::Server, frame(PING, ACK, 0, &payload));
        }
    }
    if random.one_in(3) {
        conversation.client(frame(GOAWAY, 0, 0, &[0; 8]));
    }
    conversation
}

fn request(stream: u32, grpc: bool, table: &mut Encoder, random: &mut Random) -> Vec<u8> {
    let path = format!(
        "/{}.{}/{}",
        random.pick(&["shop", "users"]),
        random.pick(&["Cart", "Stock", "Login"]),
        random.pick(&["Get", "List", "Put", "Watch"])
    );
    let number = random.below(1000).to_string();
    let mut fields = vec![
        (":method", if grpc { "POST" } else { "GET" }),
        (":scheme", "http"),
        (":path", path.as_str()),
        (":authority", "shop.example"),
    ];
    if grpc {
        fields.extend([("content-type", "application/grpc"), ("te", "trailers")]);
    }
    fields.extend([
        ("user-agent", "generated/1.0"),
        ("x-number", number.as_str()),
    ]);
    let block = table.block(&fields);
    if !grpc {
        return header_frames(stream, END_STREAM, &block, random);
    }
    let mut bytes = header_frames(stream, 0, &block, random);
    bytes.extend(messages(stream, END_STREAM, random));
    bytes
}

fn response(stream: u32, grpc: bool, table: &mut Encoder, random: &mut Random) -> Vec<u8> {
    let status = random.pick(&["200", "200", "404", "500"]);
    if !grpc {
        let fields = [(":status", status), ("content-type", "text/plain")];
        let mut bytes = header_frames(stream, 0, &table.block(&fields), random);
        let len = random.below(900);
        bytes.extend(frame(DATA, END_STREAM, stream, &random.bytes(len)));
        return bytes;
    }
    let code = random.pick(&["0", "0", "5", "13"]);
    let opening = [(":status", "200"), ("content-type", "application/grpc")];
    if random.one_in(5) {
        let fields = [opening[0], opening[1], ("grpc-status", code)];
        return header_frames(stream, END_STREAM, &table.block(&fields), random);
    }
    let mut bytes = header_frames(stream, 0, &table.block(&opening), random);
    bytes.extend(messages(stream, 0, random));
    let trailers = table.block(&[("grpc-status", code), ("grpc-message", "")]);
    bytes.extend(header_frames(stream, END_STREAM, &trailers, random));
    bytes
}

/// One or more messages of gRPC in one or more frames.
fn messages(stream: u32, last: u8, random: &mut Random) -> Vec<u8> {
    let mut content = Vec::new();
    for _ in 0..random.between(1, 3) {
        let len = random.below(300);
        content.push(0);
        content.extend((len as u32).to_be_bytes());
        content.extend(random.bytes(len));
    }
    let (first, second) = content.split_at(random.below(content.len()));
    let mut bytes = frame(DATA, 0, stream, first);
    if random.one_in(4) {
        let padded = [&[3], second, &[0; 3]].concat();
        bytes.extend(frame(DATA, last | PADDED, stream, &padded));
    } else {
        bytes.extend(frame(DATA, last, stream, second));
    }
    bytes
}

fn header_frames(stream: u32, flags: u8, block: &[u8], random: &mut Random) -> Vec<u8> {
    if random.one_in(5) && block.len() > 2 {
        let (first, second) = block.split_at(random.between(1, block.len() - 1));
        let mut bytes = frame(HEADERS, flags, stream, first);
        bytes.extend(frame(CONTINUATION, END_HEADERS, stream, second));
        return bytes;
    }
    frame(HEADERS, flags | END_HEADERS, stream, block)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Puts every field that is not in the static table into the dynamic one, and takes it from there
/// the next time.
#[derive(Default)]
struct Encoder(Vec<(String, String)>);

impl Encoder {
    fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(name, value) in fields {
            let fixed = match (name, value) {
                (":method", "GET") => Some(2),
                (":method", "POST") => Some(3),
                (":scheme", "http") => Some(6),
                (":status", "200") => Some(8),
                (":status", "404") => Some(13),
                (":status", "500") => Some(14),
                _ => None,
            };
            let entry = |(n, v): &(String, String)| n == name && v == value;
            let known = self.0.iter().position(entry).map(|index| 62 + index);
            if let Some(index) = fixed.or(known) {
                integer(0x80, 7, index, &mut bytes);
                continue;
            }
            bytes.push(0x40);
            for text in [name, value] {
                integer(0, 7, text.len(), &mut bytes);
                bytes.extend(text.bytes());
            }
            self.0.insert(0, (name.into(), value.into()));
            let size = |(name, value): &(String, String)| name.len() + value.len() + 32;
            while self.0.iter().map(size).sum::<usize>() > TABLE_BYTES {
                self.0.pop();
            }
        }
        bytes
    }
}

fn integer(first: u8, prefix: u32, value: usize, bytes: &mut Vec<u8>) {
    let most = (1_usize << prefix) - 1;
    if value < most {
        bytes.push(first | value as u8);
        return;
    }
    bytes.push(first | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
}
