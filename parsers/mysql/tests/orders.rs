//! Pieces of both sides in every order.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::*;
use wirespan_parser_mysql::Mysql;
use wirespan_sdk::testkit::{Random, SeenSpan, check_cuts, disorder, orders, replay};
use wirespan_sdk::{Cause, Side};

/// Conversations in some order.
const ROUNDS: usize = 1_000;

fn said(spans: &[SeenSpan]) -> String {
    let one = |s: &SeenSpan| {
        let code = s.text("db.response.status_code");
        let rows = s.integer("db.response.returned_rows");
        let text = s.text("db.query.text");
        format!("{text:?} {code:?} {rows:?} {:?}", s.flags)
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
    for (header, compression) in [(2, 0), (4, 0), (6, 0), (6, COMPRESS), (12, COMPRESS)] {
        let wrap = |bytes: Vec<u8>| match compression {
            0 => bytes,
            _ => stored(0, &bytes),
        };
        let ask = |text: &str| halves(&wrap(query(text)), header);
        let client = [
            ask("select 1"),
            ask("select 2"),
            ask("update t set a = 3"),
            ask("select 4"),
        ]
        .concat();
        let answer =
            |at: usize, bytes: Vec<u8>| halves(&wrap(bytes), header).map(|piece| (2 * at, piece));
        let server = [
            answer(1, result(1, &rows(2), false, 2)),
            answer(2, packet(1, &error(1064, "42000"))),
            answer(3, packet(1, &ok(3, 2))),
            answer(4, result(1, &rows(1), false, 2)),
        ]
        .concat();
        let orders = orders(&started(compression), &client, &server);
        assert!(orders.len() > 100, "{}", orders.len());
        let mut first = None;
        for order in orders {
            let order = order.close(Cause::Finished);
            for batch in [1, 3, 1000] {
                let report = replay::<Mysql>(&order, batch);
                let said = said(&report.spans);
                assert_eq!(*first.get_or_insert_with(|| said.clone()), said, "{order}");
                assert_eq!(report.spans.len(), 4);
            }
        }
    }
}

/// What came before a server asked for a file, and too little of it to be a command, is of the file: it
/// is read before what the server goes on with.
#[test]
fn the_beginning_of_a_file_comes_before_what_the_server_goes_on_with() {
    let order = started(0)
        .client(query("load data local infile 'a' into table t"))
        .client([6, 0, 0, 0])
        .server([packet(1, b"\xfba"), packet(b'4', b"no answer")].concat())
        .close(Cause::Finished);
    let whole = check_cuts::<Mysql>(&order, 400, 40);
    assert_eq!(whole.spans.len(), 1);
}

/// An answer to half a command is held, and what was lost of it waits behind: it is known as soon as the
/// answer is not held any more, and before what the client goes on with.
#[test]
fn a_loss_that_waits_is_known_before_what_comes_next() {
    let execute = packet(0, &[&[0x17, 1, 0, 0, 0][..], &[0; 60]].concat());
    let (half, rest) = execute.split_at(9);
    let order = started(0)
        .client(half)
        .server(&packet(1, &ok(3, 2))[..5])
        .gap(Side::Server, 4)
        .gap_unknown(Side::Client)
        .client(rest)
        .close(Cause::Finished);
    let whole = check_cuts::<Mysql>(&order, 400, 40);
    assert_eq!(whole.spans.len(), 1);
}

/// Whatever is sent ahead, and whatever is lost.
#[test]
fn cuts_change_nothing_in_any_order() {
    let mut random = Random::fresh();
    for _ in 0..ROUNDS {
        let compression = if random.once_in(4) { COMPRESS } else { 0 };
        let (mut client, mut server) = (Vec::new(), Vec::new());
        for number in 0..1 + random.below(6) {
            let text = format!(
                "select {number} from {}",
                "x".repeat(random.below(90) as usize)
            );
            let some = rows(random.below(4) as usize);
            let (ask, answer) = match random.below(7) {
                0 => (query("update t set a = 1"), packet(1, &ok(1, 2))),
                1 => (query("selec"), packet(1, &error(1064, "42000"))),
                2 => (prepare(&text), prepared(1, 0, 0, false)),
                3 => (execute(1, 0), packet(1, &ok(1, 2))),
                _ => (query(&text), result(1, &some, false, 2)),
            };
            if compression == 0 {
                client.push(ask);
                server.push(answer);
            } else {
                client.push(stored(0, &ask));
                server.push(stored(1, &answer));
            }
        }
        let order =
            disorder(&started(compression), &client, &server, &mut random).close(Cause::Finished);
        check_cuts::<Mysql>(&order, 2, 2);
    }
}
