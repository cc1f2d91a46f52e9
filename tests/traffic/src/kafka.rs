//! Kafka: requests and responses of the "Kafka protocol guide".

use crate::conversation::{Conversation, Protocol};
use crate::random::Random;

const PRODUCE: u16 = 0;
const FETCH: u16 = 1;
const METADATA: u16 = 3;
const API_VERSIONS: u16 = 18;

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Kafka);
    let client = random.word();
    // A client may begin with what it knows of the broker.
    let first = if random.one_in(3) {
        METADATA
    } else {
        API_VERSIONS
    };
    for number in 0..random.between(1, 8) as u32 {
        let key = if number == 0 {
            first
        } else {
            *random.pick(&[&PRODUCE, &FETCH, &METADATA, &API_VERSIONS])
        };
        let version = random.below(4) as u16;
        let mut request = [key.to_be_bytes(), version.to_be_bytes()].concat();
        request.extend(number.to_be_bytes());
        request.extend(string(&client));
        request.extend(body(key, random));
        conversation.client(sized(&request));
        let mut answer = number.to_be_bytes().to_vec();
        let len = random.between(6, 600);
        answer.extend([0, 0]);
        answer.extend(random.bytes(len));
        conversation.server(sized(&answer));
        conversation.exchanged();
    }
    conversation
}

fn body(key: u16, random: &mut Random) -> Vec<u8> {
    let topic = random.word();
    let mut body = Vec::new();
    match key {
        PRODUCE => {
            body.extend([0, 1, 0, 0, 0x75, 0x30, 0, 0, 0, 1]);
            body.extend(string(&topic));
            let len = random.between(60, 800);
            body.extend([0, 0, 0, 1, 0, 0, 0, 0]);
            body.extend((len as u32).to_be_bytes());
            body.extend(random.bytes(len));
        }
        FETCH => {
            body.extend([
                0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0xf4, 0, 0, 0, 1, 0, 0, 0, 1,
            ]);
            body.extend(string(&topic));
            body.extend([0, 0, 0, 1, 0, 0, 0, 0]);
            body.extend([0, 0, 0, 0, 0, 0, 0, 9, 0, 16, 0, 0]);
        }
        METADATA => {
            body.extend([0, 0, 0, 1]);
            body.extend(string(&topic));
        }
        _ => {}
    }
    body
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn sized(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}
