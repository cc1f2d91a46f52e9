//! TLS 1.2 and 1.3 as seen from outside: RFC 8446, records of RFC 8446 section 5.

use crate::conversation::{Conversation, Protocol, Speaker};
use crate::random::Random;

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Tls);
    handshake(&mut conversation, random);
    conversation.exchanged();
    conversation
}

/// From the client's hello to some application data.
pub(crate) fn handshake(conversation: &mut Conversation, random: &mut Random) {
    conversation.client(record(22, 1, &hello(1, random)));
    let finished = random.bytes(40);
    let certificate = random.between(600, 2000);
    let mut answer = record(22, 3, &hello(2, random));
    answer.extend(record(20, 3, &[1]));
    answer.extend(record(23, 3, &random.bytes(certificate)));
    conversation.server(answer);
    conversation.client([record(20, 3, &[1]), record(23, 3, &finished)].concat());
    for _ in 0..random.between(1, 6) {
        let speaker = *random.pick(&[&Speaker::Client, &Speaker::Server]);
        let len = random.between(20, 900);
        conversation.say(speaker, record(23, 3, &random.bytes(len)));
    }
}

fn hello(kind: u8, random: &mut Random) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(random.bytes(32));
    body.push(32);
    body.extend(random.bytes(32));
    let mut extensions = Vec::new();
    if kind == 1 {
        body.extend([0, 6, 0x13, 1, 0x13, 2, 0x13, 3, 1, 0]);
        let name = format!("{}.example", random.word());
        let len = name.len() as u16;
        extensions.extend([0, 0]);
        extensions.extend((len + 5).to_be_bytes());
        extensions.extend((len + 3).to_be_bytes());
        extensions.push(0);
        extensions.extend(len.to_be_bytes());
        extensions.extend(name.bytes());
        extensions.extend(b"\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1");
    } else {
        body.extend([0x13, 1, 0]);
    }
    extensions.extend(b"\0\x2b\0\x02\x03\x04");
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![kind];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    message
}

fn record(kind: u8, minor: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 3, minor];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}
