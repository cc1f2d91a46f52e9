//! Pieces of both sides in every order.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::*;
use wirespan_parser_postgres::Postgres;
use wirespan_sdk::testkit::{Conversation, Random, SeenSpan, check_cuts, disorder, orders, replay};
use wirespan_sdk::{Cause, Side};

/// Conversations in some order.
const ROUNDS: usize = 1_000;

fn said(spans: &[SeenSpan]) -> String {
    let one = |s: &SeenSpan| {
        let code = s.text("db.response.status_code");
        let rows = s.integer("db.response.returned_rows");
        format!(
            "{:?} {code:?} {rows:?} {:?}",
            s.text("db.query.text"),
            s.flags
        )
    };
    spans.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// In two pieces, the first within the header or behind it.
fn halves(bytes: &[u8], at: usize) -> [Vec<u8>; 2] {
    let (first, second) = bytes.split_at(at.min(bytes.len()));
    [first.to_vec(), second.to_vec()]
}

#[test]
fn the_order_of_pieces_changes_nothing() {
    for header in [1, 3, 5, 8, 40] {
        let client = [
            halves(&query("select 1"), header),
            halves(&[execute_all("", "select 2"), sync()].concat(), header),
            halves(&query("selec"), header),
            halves(&[execute_all("a", "select 4"), sync()].concat(), header),
        ]
        .concat();
        let answer =
            |at: usize, bytes: Vec<u8>| halves(&bytes, header).map(|piece| (2 * at, piece));
        let server = [
            answer(1, [rows(2), complete("SELECT 2"), ready(b'I')].concat()),
            answer(2, [executed("SELECT 1"), ready(b'I')].concat()),
            answer(3, [error("42601"), ready(b'I')].concat()),
            answer(4, [executed("SELECT 1"), ready(b'I')].concat()),
        ]
        .concat();
        let orders = orders(&started(), &client, &server);
        assert!(orders.len() > 100, "{}", orders.len());
        let mut first = None;
        for order in orders {
            let order = order.close(Cause::Finished);
            for batch in [1, 3, 1000] {
                let report = replay::<Postgres>(&order, batch);
                let said = said(&report.spans);
                assert_eq!(*first.get_or_insert_with(|| said.clone()), said, "{order}");
                assert_eq!(report.spans.len(), 4, "{said}");
            }
        }
    }
}

/// A message that drips in is shown now and then only; what passes unseen on the other side meanwhile
/// comes behind it all the same.
#[test]
fn what_drips_in_comes_before_the_end_of_what_is_stepped_over() {
    let row = message(b'D', &[b'x'; 60]);
    let (begun, rest) = row.split_at(20);
    let no_kind = message(b'C', &[b's'; 60]);
    let order = started()
        .client(query("select 1"))
        .server([message(b'T', b"\0\x01a\0"), begun.to_vec()].concat())
        .client(no_kind)
        .server(rest)
        .close(Cause::Finished);
    let whole = check_cuts::<Postgres>(&order, 400, 4);
    let [span] = &whole.spans[..] else {
        panic!("{whole}");
    };
    assert!(span.end < order.steps[5].time(), "{span:?}");
}

/// An answer that came before what it answers waits, and a loss behind it with it: by the time that is
/// known the client has gone on, which ends the server's turn as it would have then.
#[test]
fn a_loss_that_waits_behind_an_answer_ends_where_the_client_went_on() {
    let order = Conversation::new()
        .server("N")
        .gap(Side::Server, 40)
        .client(packet(0x4d2_162f, b""))
        .client(packet(0x3_0000, b"user\0alice\0database\0shop\0\0"))
        .server([message(b'R', &[0; 4]), ready(b'I')].concat())
        .client([execute_all("", "select 1"), sync()].concat())
        .server([executed("SELECT 1"), ready(b'I')].concat())
        .close(Cause::Finished);
    let whole = check_cuts::<Postgres>(&order, 400, 40);
    assert_eq!(whole.spans.len(), 1);
}

/// Whatever is sent ahead, and whatever is lost.
#[test]
fn cuts_change_nothing_in_any_order() {
    let mut random = Random::fresh();
    for _ in 0..ROUNDS {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        for number in 0..1 + random.below(6) {
            let text = format!(
                "select {number} from {}",
                "x".repeat(random.below(90) as usize)
            );
            let some = rows(random.below(4) as usize);
            let (ask, answer) = match random.below(6) {
                0 => (
                    [execute_all("", &text), sync()].concat(),
                    [executed("SELECT 1"), ready(b'I')].concat(),
                ),
                1 => (query("selec"), [error("42601"), ready(b'I')].concat()),
                2 => (
                    [parse("a", &text), sync()].concat(),
                    [parsed(), ready(b'I')].concat(),
                ),
                3 => (
                    [bind("", "a"), execute("", 0), sync()].concat(),
                    [message(b'2', b""), row(), complete("SELECT 1"), ready(b'I')].concat(),
                ),
                _ => (
                    query(&text),
                    [some, complete("SELECT 1"), notice(), ready(b'I')].concat(),
                ),
            };
            client.push(ask);
            server.push(answer);
        }
        let order = disorder(&started(), &client, &server, &mut random).close(Cause::Finished);
        check_cuts::<Postgres>(&order, 2, 2);
    }
}
