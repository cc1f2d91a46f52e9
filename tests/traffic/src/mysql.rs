//! The MySQL client/server protocol: the chapter "Client/Server Protocol" of MySQL's source
//! documentation, and MariaDB's knowledge base.

use crate::conversation::{Conversation, Protocol};
use crate::random::Random;
use crate::tls;

const CONNECT_WITH_DB: u32 = 8;
const SSL: u32 = 0x800;
const DEPRECATE_EOF: u32 = 0x100_0000;
/// Protocol 4.1, long passwords, transactions, secure connections, several results, plugins.
const USUAL: u32 = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x2_0000 | 0x4_0000 | 0x8_0000;

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const END_OF_ROWS: &[u8] = &[0xfe, 0, 0, 2, 0];
/// The same where EOF packets are deprecated: an OK packet with another first byte.
const END_AS_OK: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];

struct Session {
    conversation: Conversation,
    deprecate_eof: bool,
    statements: u32,
}

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut session = Session {
        conversation: Conversation::empty(Protocol::MySql),
        deprecate_eof: random.one_in(2),
        statements: 0,
    };
    if session.login(random) {
        return session.conversation;
    }
    for _ in 0..random.between(1, 8) {
        match random.below(8) {
            0..=2 => session.query(random),
            3 => session.update(random),
            4 => session.failure(random),
            5 | 6 => session.prepared(random),
            _ => session.command(random),
        }
        session.conversation.exchanged();
    }
    if random.one_in(2) {
        session.conversation.client(packet(0, &[1]));
    }
    session.conversation
}

impl Session {
    /// True when the rest is encrypted.
    fn login(&mut self, random: &mut Random) -> bool {
        let capabilities =
            USUAL | CONNECT_WITH_DB | if self.deprecate_eof { DEPRECATE_EOF } else { 0 };
        let encrypted = random.one_in(10);
        let version = random.pick(&[
            "8.0.36",
            "9.1.0",
            "5.5.5-10.11.6-MariaDB-0+deb12u1",
            "5.7.44-log",
        ]);
        let offered = capabilities | SSL;
        let mut greeting = vec![10];
        greeting.extend(version.bytes());
        greeting.push(0);
        greeting.extend((random.below(100_000) as u32).to_le_bytes());
        greeting.extend(salt(8, random));
        greeting.push(0);
        greeting.extend(&offered.to_le_bytes()[..2]);
        greeting.extend([0xff, 2, 0]);
        greeting.extend(&offered.to_le_bytes()[2..]);
        greeting.push(21);
        greeting.extend([0; 10]);
        greeting.extend(salt(12, random));
        greeting.push(0);
        greeting.extend(b"mysql_native_password\0");
        self.conversation.server(packet(0, &greeting));
        let flags = capabilities | if encrypted { SSL } else { 0 };
        let mut answer = flags.to_le_bytes().to_vec();
        answer.extend(0x100_0000_u32.to_le_bytes());
        answer.push(45);
        answer.extend([0; 23]);
        if encrypted {
            self.conversation.client(packet(1, &answer));
            self.conversation.exchanged();
            tls::handshake(&mut self.conversation, random);
            return true;
        }
        answer.extend(random.word().bytes());
        answer.extend([0, 20]);
        answer.extend(random.bytes(20));
        answer.extend(b"shop\0mysql_native_password\0");
        self.conversation.client(packet(1, &answer));
        if random.one_in(4) {
            let switch = [b"\xfecaching_sha2_password\0", &salt(20, random)[..], b"\0"].concat();
            self.conversation.server(packet(2, &switch));
            self.conversation.client(packet(3, &random.bytes(32)));
            self.conversation
                .server([packet(4, &[1, 3]), packet(5, OK)].concat());
        } else {
            self.conversation.server(packet(2, OK));
        }
        false
    }

    fn query(&mut self, random: &mut Random) {
        let text = format!(
            "select id, name from {} where id > {}",
            random.word(),
            random.below(1000)
        );
        self.conversation
            .client(packet(0, &[b"\x03", text.as_bytes()].concat()));
        let mut sequence = Sequence::default();
        let mut answer = sequence.packet(&[2]);
        answer.extend(self.columns(&["id", "name"], &mut sequence));
        for _ in 0..random.below(20) {
            let mut row = Vec::new();
            put_text(&random.below(10_000).to_string(), &mut row);
            if random.one_in(8) {
                row.push(0xfb);
            } else {
                put_text(&random.prose(20), &mut row);
            }
            answer.extend(sequence.packet(&row));
        }
        answer.extend(sequence.packet(self.end()));
        self.conversation.server(answer);
    }

    fn update(&mut self, random: &mut Random) {
        let text = format!("update {} set name = '{}'", random.word(), random.word());
        self.conversation
            .client(packet(0, &[b"\x03", text.as_bytes()].concat()));
        let affected = random.below(200) as u8;
        self.conversation
            .server(packet(1, &[0, affected, 0, 2, 0, 0, 0]));
    }

    fn failure(&mut self, random: &mut Random) {
        let text = format!("select * from {}", random.word());
        self.conversation
            .client(packet(0, &[b"\x03", text.as_bytes()].concat()));
        self.conversation.server(packet(
            1,
            b"\xff\x7a\x04#42S02Table 'shop.none' doesn't exist",
        ));
    }

    fn prepared(&mut self, random: &mut Random) {
        self.statements += 1;
        let id = self.statements.to_le_bytes();
        let text = format!("select name from {} where id = ?", random.word());
        self.conversation
            .client(packet(0, &[b"\x16", text.as_bytes()].concat()));
        let mut sequence = Sequence::default();
        let mut answer = sequence.packet(&[&[0], &id[..], &[1, 0, 1, 0, 0, 0, 0]].concat());
        answer.extend(self.columns(&["?"], &mut sequence));
        answer.extend(self.columns(&["name"], &mut sequence));
        self.conversation.server(answer);
        for _ in 0..random.between(1, 3) {
            let mut execute = [&[0x17], &id[..], &[0, 1, 0, 0, 0, 0, 1, 3, 0]].concat();
            execute.extend((random.below(1000) as u32).to_le_bytes());
            self.conversation.client(packet(0, &execute));
            let mut sequence = Sequence::default();
            let mut answer = sequence.packet(&[1]);
            answer.extend(self.columns(&["name"], &mut sequence));
            for _ in 0..random.below(8) {
                let mut row = vec![0, 0];
                put_text(&random.prose(20), &mut row);
                answer.extend(sequence.packet(&row));
            }
            answer.extend(sequence.packet(self.end()));
            self.conversation.server(answer);
        }
        if random.one_in(3) {
            self.conversation
                .client(packet(0, &[&[0x19], &id[..]].concat()));
        }
    }

    fn command(&mut self, random: &mut Random) {
        if random.one_in(2) {
            self.conversation.client(packet(0, &[0x0e]));
        } else {
            self.conversation.client(packet(0, b"\x02shop"));
        }
        self.conversation.server(packet(1, OK));
    }

    fn columns(&self, names: &[&str], sequence: &mut Sequence) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names {
            let mut column = Vec::new();
            for text in ["def", "shop", "items", "items", name, name] {
                put_text(text, &mut column);
            }
            column.extend([0x0c, 45, 0, 0xff, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0]);
            bytes.extend(sequence.packet(&column));
        }
        if !self.deprecate_eof {
            bytes.extend(sequence.packet(END_OF_ROWS));
        }
        bytes
    }

    fn end(&self) -> &'static [u8] {
        if self.deprecate_eof {
            END_AS_OK
        } else {
            END_OF_ROWS
        }
    }
}

/// Numbers of the packets of one answer.
struct Sequence(u8);

impl Default for Sequence {
    fn default() -> Self {
        Self(1)
    }
}

impl Sequence {
    fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let bytes = packet(self.0, payload);
        self.0 = self.0.wrapping_add(1);
        bytes
    }
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(sequence);
    bytes.extend(payload);
    bytes
}

fn put_text(text: &str, bytes: &mut Vec<u8>) {
    // Texts here are shorter than 251 bytes: their length is one byte.
    bytes.push(text.len() as u8);
    bytes.extend(text.bytes());
}

/// Servers send salts without zero bytes.
fn salt(len: usize, random: &mut Random) -> Vec<u8> {
    (0..len).map(|_| random.between(1, 127) as u8).collect()
}
