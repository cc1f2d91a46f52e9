//! Bytes changed as neither end would.

use crate::conversation::{Conversation, Turn};
use crate::random::Random;

/// What was done to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Bit,
    Byte,
    Removed,
    Inserted,
    Repeated,
    /// Bytes of the same conversation at another place.
    Copied,
    Swapped,
    /// A number made very large or very small.
    Extreme,
}

impl Damage {
    const ALL: [Self; 8] = [
        Self::Bit,
        Self::Byte,
        Self::Removed,
        Self::Inserted,
        Self::Repeated,
        Self::Copied,
        Self::Swapped,
        Self::Extreme,
    ];
}

/// The conversation with one to four changes.
#[must_use]
pub fn damaged(conversation: &Conversation, random: &mut Random) -> (Conversation, Vec<Damage>) {
    let mut changed = conversation.clone();
    let mut done = Vec::new();
    for _ in 0..random.between(1, 4) {
        if changed.turns.is_empty() {
            break;
        }
        let damage = Damage::ALL[random.below(Damage::ALL.len())];
        apply(damage, &mut changed.turns, random);
        changed.turns.retain(|turn| !turn.bytes.is_empty());
        done.push(damage);
    }
    (changed, done)
}

fn apply(damage: Damage, turns: &mut [Turn], random: &mut Random) {
    // Mostly near the beginning, where protocols differ.
    let turn = if random.one_in(2) {
        0
    } else {
        random.below(turns.len())
    };
    let other = random.below(turns.len());
    let spare = turns[other].bytes.clone();
    if damage == Damage::Swapped {
        turns.swap(turn, other);
        return;
    }
    let bytes = &mut turns[turn].bytes;
    let reach = if random.one_in(2) { 24 } else { usize::MAX };
    let at = random.below(bytes.len().min(reach));
    let len = random.between(1, 8).min(bytes.len() - at);
    match damage {
        Damage::Bit => bytes[at] ^= 1 << random.below(8),
        Damage::Byte => bytes[at] = random.byte(),
        Damage::Removed => drop(bytes.drain(at..at + len)),
        Damage::Inserted => {
            let noise = random.bytes(len);
            bytes.splice(at..at, noise);
        }
        Damage::Repeated => {
            let again = bytes[at..at + len].to_vec();
            bytes.splice(at..at, again);
        }
        Damage::Copied => {
            let from = random.below(spare.len());
            let copy = &spare[from..(from + len).min(spare.len())];
            bytes.splice(at..at + len, copy.iter().copied());
        }
        Damage::Extreme => {
            let value = *random.pick(&[&0, &1, &0x7f, &0x80, &0xfe, &0xff]);
            bytes[at..at + len.min(4)].fill(value);
        }
        Damage::Swapped => {}
    }
}
