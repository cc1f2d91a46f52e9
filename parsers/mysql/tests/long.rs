//! Payloads of more than a packet holds, of which the agent has copied the beginning of each call.

#[expect(dead_code, reason = "not all messages are needed here")]
mod messages;

use messages::*;
use wirespan_parser_mysql::Mysql;
use wirespan_sdk::testkit::{Conversation, SeenSpan, check_cuts};
use wirespan_sdk::{Cause, Flags, Side};

/// A payload of this length goes on in the next packet.
const FULL: usize = 0xff_ffff;

/// Bytes of the second packet.
const REST: usize = 222_785;

/// Of each call, so much is seen.
const SEEN: usize = 200_000;

fn header(len: usize, sequence: u8) -> Vec<u8> {
    let [a, b, c, _] = (len as u32).to_le_bytes();
    vec![a, b, c, sequence]
}

/// Both packets of a payload that begins like this.
fn long(conversation: Conversation, side: Side, sequence: u8, begins: &[u8]) -> Conversation {
    let first = [header(FULL, sequence), begins.to_vec(), vec![b'w'; SEEN]].concat();
    let second = [header(REST, sequence + 1), vec![b'w'; 100]].concat();
    conversation
        .data(side, first)
        .gap(side, (FULL - SEEN - begins.len()) as u64)
        .data(side, second)
        .gap(side, REST as u64 - 100)
}

fn spans(conversation: Conversation) -> Vec<SeenSpan> {
    let conversation = conversation
        .client(query("select 4"))
        .server(result(1, &rows(1), false, 2))
        .close(Cause::Finished);
    check_cuts::<Mysql>(&conversation, 40, 10).spans
}

#[test]
fn a_statement_of_two_packets_leaves_the_session_known() {
    let conversation = started(MULTI_STATEMENTS);
    let spans = spans(
        long(conversation, Side::Client, 0, b"\x03select length('").server(result(
            2,
            &rows(1),
            false,
            2,
        )),
    );
    let flags = Flags::GAP | Flags::REQUEST_TRUNCATED;
    assert_eq!(
        (spans[0].flags, spans[0].text("db.namespace")),
        (flags, Some("shop"))
    );
    assert_eq!(spans[0].request_bytes, (FULL + REST + 8) as u64);
    let next = &spans[1];
    assert_eq!(
        (next.flags, next.text("db.namespace")),
        (Flags::empty(), Some("shop"))
    );
}

#[test]
fn a_row_of_two_packets_is_one_row() {
    let head = packets(1, &[vec![1], definition(), eof(2)]);
    let conversation = started(0)
        .client(query("select repeat('w', 17000000)"))
        .server(head);
    let spans =
        spans(long(conversation, Side::Server, 4, b"\xfd\x40\x66\x03").server(packet(6, &eof(2))));
    let row = |span: &SeenSpan| (span.flags, span.integer("db.response.returned_rows"));
    assert_eq!(row(&spans[0]), (Flags::GAP, Some(1)));
    assert_eq!(row(&spans[1]), (Flags::empty(), Some(1)));
}
