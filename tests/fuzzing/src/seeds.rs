//! Inputs to start from: generated conversations in the form that a target reads.

use wirespan_traffic::{Conversation, Protocol, Random, Speaker};

/// Conversations of each kind.
const SEEDS: u64 = 24;

fn conversations(protocol: Protocol) -> impl Iterator<Item = Conversation> {
    (0..SEEDS).map(move |seed| Conversation::generate(protocol, &mut Random::new(seed)))
}

/// For `component::raw`.
pub(crate) fn raw(protocol: Protocol) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = conversations(protocol)
        .map(|whole| pieces(&whole, 0))
        .collect();
    seeds.extend(conversations(protocol).map(|whole| {
        let joined = whole.joined_after(whole.len() / 3);
        pieces(&joined, 1)
    }));
    seeds
}

fn pieces(conversation: &Conversation, how: u8) -> Vec<u8> {
    let mut input = vec![how];
    for turn in &conversation.turns {
        let side = u8::from(turn.speaker == Speaker::Server);
        let mut rest = &turn.bytes[..];
        while !rest.is_empty() {
            // The largest head whose piece is no longer than what there is.
            let fits = |head: &u8| usize::from(*head) * usize::from(*head) / 4 < rest.len();
            let head = (0..128).rev().find(fits).unwrap_or(0);
            let len = (usize::from(head) * usize::from(head) / 4 + 1).min(rest.len());
            input.push(head << 1 | side);
            input.extend_from_slice(&rest[..len]);
            rest = &rest[len..];
        }
    }
    input
}

/// For `component::compressed`: what follows a login, in frames without compression.
pub(crate) fn compressed() -> Vec<Vec<u8>> {
    conversations(Protocol::MySql)
        .map(|whole| {
            let mut framed = Conversation::empty(Protocol::MySql);
            for turn in whole.turns.iter().skip(3) {
                let len = (turn.bytes.len() as u32).to_le_bytes();
                let header = [len[0], len[1], len[2], 0, 0, 0, 0];
                framed.say(turn.speaker, [&header[..], &turn.bytes].concat());
            }
            pieces(&framed, whole.turns.len() as u8 & 1)
        })
        .collect()
}

/// For `component::structured`: any bytes are a script.
pub(crate) fn structured() -> Vec<Vec<u8>> {
    (0..SEEDS)
        .map(|seed| {
            let mut random = Random::new(seed);
            let len = random.between(4, 80);
            random.bytes(len)
        })
        .collect()
}

/// For `component::recognise`.
pub(crate) fn beginnings() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for protocol in Protocol::ALL {
        for whole in conversations(protocol).take(4) {
            let of = |speaker: Speaker| -> Vec<u8> {
                let turns = whole.turns.iter().filter(|turn| turn.speaker == speaker);
                turns
                    .flat_map(|turn| turn.bytes.iter().copied())
                    .take(250)
                    .collect()
            };
            let (client, server) = (of(Speaker::Client), of(Speaker::Server));
            let all = (client.len() + server.len()).max(1);
            let mut input = vec![(client.len() * 255).div_ceil(all) as u8];
            input.extend(client);
            input.extend(server);
            seeds.push(input);
        }
    }
    seeds
}
