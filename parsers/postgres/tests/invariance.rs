//! The same spans however the bytes are cut, and all but the nearest whatever is lost of them:
//! over sessions that differ in each run. `WIRESPAN_SEED` repeats one.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::{
    bind, close, complete, error, execute, message, notice, packet, parameter_status, parse, query,
    ready, row, rows, sync,
};
use wirespan_parser_postgres::Postgres;
use wirespan_sdk::testkit::{Conversation, Random, check_cuts, check_losses};
use wirespan_sdk::{Cause, Side};

/// One exchange, or a group of them: what the client sends and what the server answers.
fn exchange(random: &mut Random, number: u64) -> (Vec<u8>, Vec<u8>) {
    let count = random.below(4) as usize;
    let tag = format!("SELECT {count}");
    let text = format!(
        "select {number} /* {} */",
        "x".repeat(random.below(90) as usize)
    );
    let unasked = if random.once_in(4) {
        [notice(), parameter_status()].concat()
    } else {
        Vec::new()
    };
    let (client, server) = match random.below(6) {
        0 => (query(&text), [error("42P01"), ready(b'I')].concat()),
        1 => {
            let several = format!("begin; {text}; insert into t values ({number}); commit");
            let answer = [
                complete("BEGIN"),
                rows(count),
                complete(&tag),
                complete("INSERT 0 1"),
                complete("COMMIT"),
                ready(b'I'),
            ];
            (query(&several), answer.concat())
        }
        2 => {
            let name = format!("s{}", random.below(3));
            let asked = [
                close(b'S', &name),
                parse(&name, &text),
                bind("", &name),
                message(b'D', b"P\0"),
                execute("", 0),
                sync(),
            ];
            let answer = [
                message(b'3', b""),
                message(b'1', b""),
                message(b'2', b""),
                rows(count),
                complete(&tag),
                ready(b'I'),
            ];
            (asked.concat(), answer.concat())
        }
        3 => {
            let part = |text: &str| [parse("", text), bind("", ""), execute("", 0)].concat();
            let done = || {
                [
                    message(b'1', b""),
                    message(b'2', b""),
                    row().repeat(count),
                    complete(&tag),
                ]
                .concat()
            };
            let asked = [part(&text), part(&format!("{text} again")), sync()];
            (asked.concat(), [done(), done(), ready(b'I')].concat())
        }
        4 => {
            let asked = [parse("", "selec"), bind("", ""), execute("", 0), sync()];
            (asked.concat(), [error("42601"), ready(b'I')].concat())
        }
        _ => (
            query(&text),
            [rows(count), complete(&tag), ready(b'I')].concat(),
        ),
    };
    (client, [unasked, server].concat())
}

/// Without a database, which is told once: who misses that cannot say it ever after.
fn session(random: &mut Random, exchanges: u64) -> Conversation {
    let mut conversation = Conversation::new()
        .client(packet(0x3_0000, b"user\0alice\0\0"))
        .server([message(b'R', &[0; 4]), message(b'K', &[0; 8]), ready(b'I')].concat());
    for number in 0..exchanges {
        let (client, server) = exchange(random, number);
        conversation = conversation.client(client).server(server);
    }
    conversation
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished)
}

#[test]
fn any_split_gives_the_same_spans() {
    let mut random = Random::fresh();
    for _ in 0..60 {
        let session = session(&mut random, 6);
        assert!(check_cuts::<Postgres>(&session, 20, 20).spans.len() >= 6);
    }
}

#[test]
fn a_lost_piece_harms_what_is_around_it_and_no_more() {
    let mut random = Random::fresh();
    for _ in 0..60 {
        let session = session(&mut random, 8);
        check_losses::<Postgres>(&session, &mut random, 60, &[]);
    }
}
