//! SSH: the version lines and binary packets of RFC 4253.

use crate::conversation::{Conversation, Protocol, Speaker};
use crate::random::Random;

const ALGORITHMS: [&str; 8] = [
    "curve25519-sha256,ecdh-sha2-nistp256",
    "ssh-ed25519,rsa-sha2-512",
    "chacha20-poly1305@openssh.com,aes128-ctr",
    "chacha20-poly1305@openssh.com,aes128-ctr",
    "umac-64-etm@openssh.com,hmac-sha2-256",
    "umac-64-etm@openssh.com,hmac-sha2-256",
    "none,zlib@openssh.com",
    "none,zlib@openssh.com",
];

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Ssh);
    let mut greetings = [
        (Speaker::Client, "SSH-2.0-OpenSSH_9.6\r\n"),
        (
            Speaker::Server,
            "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        ),
    ];
    if random.one_in(2) {
        greetings.reverse();
    }
    for (speaker, line) in greetings {
        conversation.say(speaker, line);
    }
    for speaker in [Speaker::Client, Speaker::Server] {
        let exchange = key_exchange(random);
        conversation.say(speaker, packet(&exchange, random));
    }
    let key = [&[30, 0, 0, 0, 32][..], &random.bytes(32)].concat();
    conversation.client(packet(&key, random));
    let answer = [&[31][..], &random.bytes(300)].concat();
    let new_keys = packet(&[21], random);
    conversation.server([packet(&answer, random), new_keys.clone()].concat());
    conversation.client(new_keys);
    conversation.exchanged();
    for _ in 0..random.below(8) {
        let speaker = *random.pick(&[&Speaker::Client, &Speaker::Server]);
        let len = random.between(28, 400);
        conversation.say(speaker, random.bytes(len));
    }
    conversation
}

fn key_exchange(random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![20];
    bytes.extend(random.bytes(16));
    for names in ALGORITHMS {
        bytes.extend((names.len() as u32).to_be_bytes());
        bytes.extend(names.bytes());
    }
    bytes.extend([0; 13]);
    bytes
}

fn packet(payload: &[u8], random: &mut Random) -> Vec<u8> {
    let padding = 4 + (8 - (payload.len() + 9) % 8) % 8;
    let mut bytes = ((payload.len() + padding + 1) as u32)
        .to_be_bytes()
        .to_vec();
    bytes.push(padding as u8);
    bytes.extend(payload);
    bytes.extend(random.bytes(padding));
    bytes
}
