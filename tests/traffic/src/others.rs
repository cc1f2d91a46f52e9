//! Protocols that nobody here parses, each from its own document, and noise.

use crate::conversation::{Conversation, Protocol, Speaker};
use crate::random::Random;

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Other);
    match random.below(6) {
        0 => nats(&mut conversation, random),
        1 => mongodb(&mut conversation, random),
        2 => amqp(&mut conversation, random),
        3 => mqtt(&mut conversation, random),
        4 => memcached(&mut conversation, random),
        _ => rtsp(&mut conversation, random),
    }
    conversation.exchanged();
    conversation
}

fn nats(conversation: &mut Conversation, random: &mut Random) {
    conversation
        .server("INFO {\"server_id\":\"NA\",\"version\":\"2.9.10\",\"max_payload\":1048576}\r\n");
    conversation.client("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
    conversation.server("PONG\r\n");
    for _ in 0..random.between(1, 5) {
        let (subject, payload) = (random.word(), random.prose(60));
        conversation.client(format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()));
        conversation.server(format!(
            "MSG {subject} 1 {}\r\n{payload}\r\n",
            payload.len()
        ));
    }
}

/// OP_MSG of the "MongoDB Wire Protocol": little-endian lengths, a BSON document.
fn mongodb(conversation: &mut Conversation, random: &mut Random) {
    for number in 1..random.between(2, 6) as u32 {
        for (speaker, answered) in [(Speaker::Client, 0), (Speaker::Server, number)] {
            let text = random.prose(40);
            let mut element = b"\x02find\0".to_vec();
            element.extend((text.len() as u32 + 1).to_le_bytes());
            element.extend(text.bytes());
            element.extend([0, 0]);
            let mut message = vec![0; 4];
            message.push(0);
            message.extend((element.len() as u32 + 4).to_le_bytes());
            message.extend(element);
            let mut bytes = (message.len() as u32 + 16).to_le_bytes().to_vec();
            bytes.extend(number.to_le_bytes());
            bytes.extend(u32::to_le_bytes(answered));
            bytes.extend(2013_u32.to_le_bytes());
            bytes.extend(message);
            conversation.say(speaker, bytes);
        }
    }
}

/// AMQP 0-9-1: the protocol header, then frames.
fn amqp(conversation: &mut Conversation, random: &mut Random) {
    conversation.client(b"AMQP\0\0\x09\x01");
    for _ in 0..random.between(1, 6) {
        for speaker in [Speaker::Server, Speaker::Client] {
            let len = random.between(10, 300);
            let mut bytes = vec![1, 0, random.below(2) as u8];
            bytes.extend((len as u32).to_be_bytes());
            bytes.extend([0, 10, 0, 10]);
            bytes.extend(random.bytes(len - 4));
            bytes.push(0xce);
            conversation.say(speaker, bytes);
        }
    }
}

/// MQTT 3.1.1.
fn mqtt(conversation: &mut Conversation, random: &mut Random) {
    let client = random.word();
    let mut connect = b"\0\x04MQTT\x04\x02\0\x3c\0".to_vec();
    connect.push(client.len() as u8);
    connect.extend(client.bytes());
    conversation.client([&[0x10, connect.len() as u8], &connect[..]].concat());
    conversation.server([0x20, 2, 0, 0]);
    for _ in 0..random.between(1, 6) {
        let (topic, payload) = (random.word(), random.prose(40));
        let mut publish = vec![0, topic.len() as u8];
        publish.extend(topic.bytes());
        publish.extend(payload.bytes());
        let speaker = *random.pick(&[&Speaker::Client, &Speaker::Server]);
        conversation.say(
            speaker,
            [&[0x30, publish.len() as u8], &publish[..]].concat(),
        );
    }
}

fn memcached(conversation: &mut Conversation, random: &mut Random) {
    for _ in 0..random.between(1, 6) {
        let (key, value) = (random.word(), random.prose(40));
        conversation.client(format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()));
        conversation.server("STORED\r\n");
        conversation.client(format!("get {key}\r\n"));
        conversation.server(format!(
            "VALUE {key} 0 {}\r\n{value}\r\nEND\r\n",
            value.len()
        ));
    }
}

/// RTSP and SIP look like HTTP with another name: RFC 7826, RFC 3261.
fn rtsp(conversation: &mut Conversation, random: &mut Random) {
    let (name, version) = (
        random.word(),
        random.pick(&["RTSP/1.0", "SIP/2.0", "RTSP/2.0"]),
    );
    for number in 0..random.between(1, 4) {
        let method = random.pick(&["OPTIONS", "DESCRIBE", "INVITE", "REGISTER"]);
        conversation.client(format!(
            "{method} rtsp://{name}.example/a {version}\r\nCSeq: {number}\r\n\r\n"
        ));
        conversation.server(format!("{version} 200 OK\r\nCSeq: {number}\r\n\r\n"));
    }
}

/// Bytes of no protocol: at random, of one value, of few values, or frames of a length.
pub(crate) fn noise(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Noise);
    let form = random.below(7);
    for _ in 0..random.between(1, 8) {
        let speaker = *random.pick(&[&Speaker::Client, &Speaker::Server]);
        let len = random.between(1, 600);
        let value = *random.pick(&[&0_u8, &1, &0x20, &0x7f, &0xff]);
        let bytes = match form {
            0 => random.bytes(len),
            1 => vec![value; len],
            2 => (0..len)
                .map(|_| *random.pick(&[&0, &0, &1, &0xff]))
                .collect(),
            3 => [&(len as u32).to_be_bytes()[..], &random.bytes(len)].concat(),
            4 => [&(len as u32).to_le_bytes()[..3], &[0], &random.bytes(len)].concat(),
            5 => [
                &[random.byte()],
                &(len as u32 + 4).to_be_bytes()[..],
                &random.bytes(len),
            ]
            .concat(),
            _ => random.prose(len).into_bytes(),
        };
        conversation.say(speaker, bytes);
    }
    conversation.exchanged();
    conversation
}
