//! The same bytes of both sides in other orders.

use super::{Conversation, Random};
use crate::Side;

/// Every order of the pieces of both sides that is possible after `begin` where a piece of the server
/// is sent only once so many pieces of the client were: the first of each pair.
#[must_use]
pub fn orders(
    begin: &Conversation,
    client: &[Vec<u8>],
    server: &[(usize, Vec<u8>)],
) -> Vec<Conversation> {
    let mut found = Vec::new();
    let mut open = vec![(begin.clone(), 0, 0)];
    while let Some((so_far, asked, answered)) = open.pop() {
        let (ask, answer) = (client.get(asked), server.get(answered));
        if ask.is_none() && answer.is_none() {
            found.push(so_far);
            continue;
        }
        if let Some((_, piece)) = answer.filter(|(after, _)| *after <= asked) {
            open.push((so_far.clone().server(piece), asked, answered + 1));
        }
        if let Some(piece) = ask {
            open.push((so_far.client(piece), asked + 1, answered));
        }
    }
    found
}

/// Some order of the bytes of both sides, in pieces of all sizes: what answers something comes behind it.
/// Some of the pieces are lost.
#[must_use]
pub fn disorder(
    begin: &Conversation,
    client: &[Vec<u8>],
    server: &[Vec<u8>],
    random: &mut Random,
) -> Conversation {
    let mut pieces = |messages: &[Vec<u8>]| {
        let mut pieces = Vec::new();
        for (number, message) in messages.iter().enumerate() {
            let longest = 1 + random.below(2 * message.len() as u64);
            let mut rest = &message[..];
            while !rest.is_empty() {
                let len = (1 + random.below(longest) as usize).min(rest.len());
                let (piece, after) = rest.split_at(len);
                pieces.push((number, piece.to_vec()));
                rest = after;
            }
        }
        pieces.into_iter().peekable()
    };
    let (mut asks, mut answers) = (pieces(client), pieces(server));
    let loss = 3 + random.below(200);
    let mut result = begin.clone();
    loop {
        let waits = match (asks.peek(), answers.peek()) {
            (None, None) => return result,
            (Some((asked, _)), Some((answered, _))) => asked <= answered,
            (_, None) => true,
            (None, _) => false,
        };
        let ask = match (asks.peek(), answers.peek()) {
            (None, _) => false,
            (_, None) => true,
            _ if waits => true,
            _ => random.once_in(2),
        };
        let (side, piece) = if ask {
            (Side::Client, asks.next())
        } else {
            (Side::Server, answers.next())
        };
        let Some((_, piece)) = piece else {
            return result;
        };
        if random.once_in(loss) {
            result = if random.once_in(4) {
                result.gap_unknown(side)
            } else {
                result.gap(side, piece.len() as u64)
            };
            continue;
        }
        result = result.data(side, piece);
    }
}
