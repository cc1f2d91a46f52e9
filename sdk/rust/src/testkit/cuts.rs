//! The same conversation in other pieces.

use super::{Conversation, Random, Report, Step, replay};
use crate::Parser;

/// Presents the conversation cut at every single place (up to `singles` places, evenly spread),
/// byte by byte, and `randoms` times at random places, in batches of several sizes, and compares
/// the reports with the uncut one. Returns that.
///
/// # Panics
/// With the cuts and both reports when two differ.
pub fn check_cuts<P: Parser>(
    conversation: &Conversation,
    singles: usize,
    randoms: usize,
) -> Report {
    let whole = replay::<P>(conversation, 1);
    let check = |cut: &Conversation, batch: usize, how: &str| {
        let report = replay::<P>(cut, batch);
        assert!(
            report == whole,
            "cut {how}, in batches of {batch}, gives something else than uncut\n{cut}{report}uncut\n{whole}"
        );
    };
    for batch in [2, 3, 1000] {
        check(conversation, batch, "nowhere");
    }
    let total = bytes_of(conversation);
    let stride = total.div_ceil(singles.max(1)).max(1);
    for at in (1..total).step_by(stride) {
        let cut = cut(conversation, |offset| offset == at);
        check(&cut, 1, &format!("at {at}"));
        check(&cut, 1000, &format!("at {at}"));
    }
    let bytewise = cut(conversation, |_| true);
    for batch in [1, 7, 1000] {
        check(&bytewise, batch, "at every byte");
    }
    let seed = match randoms {
        0 => 0,
        _ => Random::fresh().seed(),
    };
    for round in 0..randoms {
        let mut random = Random::of(seed.wrapping_add(round as u64));
        let often = 1 + random.below(40);
        let cut = cut(conversation, |_| random.once_in(often));
        let batch = 1 + random.below(20) as usize;
        check(
            &cut,
            batch,
            &format!("at random (seed {seed}, round {round})"),
        );
    }
    whole
}

/// The conversation with one step of data lost, for each of them.
pub fn removals(conversation: &Conversation) -> impl Iterator<Item = (usize, Conversation)> {
    (0..conversation.steps.len()).filter_map(|step| Some((step, without(conversation, step)?)))
}

/// The conversation with a step of data lost, if it is one.
pub(super) fn without(conversation: &Conversation, step: usize) -> Option<Conversation> {
    let Some(Step::Data { side, time, bytes }) = conversation.steps.get(step) else {
        return None;
    };
    let gap = Step::Gap {
        side: *side,
        time: *time,
        len: bytes.len() as u64,
        cause: crate::Cause::Lost,
    };
    let mut damaged = conversation.clone();
    *damaged.steps.get_mut(step)? = gap;
    Some(damaged)
}

fn bytes_of(conversation: &Conversation) -> usize {
    let len = |step: &Step| {
        if let Step::Data { bytes, .. } = step {
            bytes.len()
        } else {
            0
        }
    };
    conversation.steps.iter().map(len).sum()
}

/// Cuts before each byte for whose number (over all data steps) `here` is true. Pieces keep the
/// time of the step.
pub(super) fn cut(
    conversation: &Conversation,
    mut here: impl FnMut(usize) -> bool,
) -> Conversation {
    let mut offset = 0;
    let mut result = conversation.clone();
    result.steps.clear();
    for step in &conversation.steps {
        let Step::Data { side, time, bytes } = step else {
            result.steps.push(step.clone());
            continue;
        };
        let mut piece = Vec::new();
        for &byte in bytes {
            if here(offset) && !piece.is_empty() {
                result.steps.push(Step::Data {
                    side: *side,
                    time: *time,
                    bytes: std::mem::take(&mut piece),
                });
            }
            piece.push(byte);
            offset += 1;
        }
        result.steps.push(Step::Data {
            side: *side,
            time: *time,
            bytes: piece,
        });
    }
    result
}
