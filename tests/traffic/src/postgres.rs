//! PostgreSQL's frontend/backend protocol 3: chapter "Frontend/Backend Protocol" of its manual.

use crate::conversation::{Conversation, Protocol};
use crate::random::Random;

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Postgres);
    login(&mut conversation, random);
    let mut prepared = 0;
    for _ in 0..random.between(1, 8) {
        match random.below(8) {
            0..=2 => simple(&mut conversation, random),
            3 | 4 => extended("", &mut conversation, random),
            5 => {
                prepared += 1;
                let name = format!("s{prepared}");
                extended(&name, &mut conversation, random);
                for _ in 0..random.below(3) {
                    let (request, answer) = bound(&name, random);
                    conversation.client([request, message(b'S', b"")].concat());
                    conversation.server([answer, ready(b'I')].concat());
                }
            }
            6 => failed(&mut conversation, random),
            _ => copied(&mut conversation, random),
        }
        conversation.exchanged();
    }
    if random.one_in(2) {
        conversation.client(message(b'X', b""));
    }
    conversation
}

fn login(conversation: &mut Conversation, random: &mut Random) {
    if random.one_in(3) {
        conversation.client(packet(80_877_103, b""));
        conversation.server(b"N");
    }
    let user = random.word();
    let startup = format!("user\0{user}\0database\0shop\0application_name\0psql\0\0");
    conversation.client(packet(0x3_0000, startup.as_bytes()));
    match random.below(3) {
        0 => {
            let salt = random.bytes(4);
            conversation.server(message(b'R', &[&[0, 0, 0, 5], &salt[..]].concat()));
            conversation.client(message(b'p', b"md50123456789abcdef0123456789abcdef\0"));
        }
        1 => {
            conversation.server(message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"));
            conversation.client(message(b'p', b"SCRAM-SHA-256\0\0\0\0\x10n,,n=,r=abcdefgh"));
            conversation.server(message(b'R', b"\0\0\0\x0br=abcdefghij,s=c2FsdA==,i=4096"));
            conversation.client(message(b'p', b"c=biws,r=abcdefghij,p=cHJvb2Y="));
            conversation.server(message(b'R', b"\0\0\0\x0cv=c2lnbmF0dXJl"));
        }
        _ => {}
    }
    let mut welcome = message(b'R', &[0; 4]);
    for (name, value) in [
        ("server_version", "15.8"),
        ("client_encoding", "UTF8"),
        ("TimeZone", "UTC"),
    ] {
        welcome.extend(message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    welcome.extend(message(b'K', &random.bytes(8)));
    welcome.extend(ready(b'I'));
    conversation.server(welcome);
}

fn simple(conversation: &mut Conversation, random: &mut Random) {
    let text = statement(random);
    conversation.client(message(b'Q', format!("{text}\0").as_bytes()));
    let mut answer = Vec::new();
    if random.one_in(6) {
        answer.extend(message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mwell\0\0"));
    }
    answer.extend(rows(random));
    answer.extend(ready(b'I'));
    conversation.server(answer);
}

fn extended(name: &str, conversation: &mut Conversation, random: &mut Random) {
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    // An unnamed statement may be one of several in a pipeline.
    let count = if name.is_empty() {
        random.between(1, 3)
    } else {
        1
    };
    for _ in 0..count {
        let text = statement(random);
        let parse = format!("{name}\0{text}\0\0\0");
        request.extend(message(b'P', parse.as_bytes()));
        answer.extend(message(b'1', b""));
        let (execution, executed) = bound(name, random);
        request.extend(execution);
        answer.extend(executed);
        if random.one_in(2) {
            request.extend(message(b'S', b""));
            answer.extend(ready(b'I'));
        }
    }
    request.extend(message(b'S', b""));
    answer.extend(ready(b'I'));
    conversation.client(request);
    conversation.server(answer);
}

/// Bind, Describe and Execute, and what answers them.
fn bound(name: &str, random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let bind = format!("\0{name}\0\0\0\0\x01\0\0\0\x02");
    let bind = [bind.as_bytes(), b"42", b"\0\0"].concat();
    let request = [
        message(b'B', &bind),
        message(b'D', b"P\0"),
        message(b'E', b"\0\0\0\0\0"),
    ];
    (
        request.concat(),
        [message(b'2', b""), rows(random)].concat(),
    )
}

fn failed(conversation: &mut Conversation, random: &mut Random) {
    let text = statement(random);
    conversation.client(message(b'Q', format!("{text}\0").as_bytes()));
    let error = message(b'E', b"SERROR\0VERROR\0C42P01\0Mrelation is not there\0\0");
    conversation.server([error, ready(b'I')].concat());
}

fn copied(conversation: &mut Conversation, random: &mut Random) {
    let mut data = Vec::new();
    let count = random.between(1, 5);
    for _ in 0..count {
        data.extend(message(b'd', format!("{}\t1\n", random.word()).as_bytes()));
    }
    let formats = [0, 0, 2, 0, 0, 0, 0];
    let tag = message(b'C', format!("COPY {count}\0").as_bytes());
    if random.one_in(2) {
        conversation.client(message(b'Q', b"copy items to stdout\0"));
        let done = message(b'c', b"");
        conversation.server([message(b'H', &formats), data, done, tag, ready(b'I')].concat());
    } else {
        conversation.client(message(b'Q', b"copy items from stdin\0"));
        conversation.server(message(b'G', &formats));
        conversation.client([data, message(b'c', b"")].concat());
        conversation.server([tag, ready(b'I')].concat());
    }
}

fn statement(random: &mut Random) -> String {
    let table = random.word();
    let number = random.below(100_000);
    match random.below(4) {
        0 => format!("insert into {table} (id) values ({number})"),
        1 => format!(
            "update {table} set name = '{}' where id = {number}",
            random.word()
        ),
        _ => format!("select id, name from {table} where id > {number} order by id"),
    }
}

/// Description, rows and tag.
fn rows(random: &mut Random) -> Vec<u8> {
    let mut bytes = message(
        b'T',
        b"\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
    );
    let count = random.below(12);
    for _ in 0..count {
        let value = random.prose(20);
        let mut row = vec![0, 1];
        row.extend((value.len() as u32).to_be_bytes());
        row.extend(value.bytes());
        bytes.extend(message(b'D', &row));
    }
    bytes.extend(message(b'C', format!("SELECT {count}\0").as_bytes()));
    bytes
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 8;
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 4;
    [&[tag][..], &length.to_be_bytes(), body].concat()
}
