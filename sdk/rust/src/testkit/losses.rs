//! The same conversation with a piece of it lost.

use std::collections::BTreeSet;

use super::cuts::{cut, removals, without};
use super::{Conversation, Random, Report, SeenSpan, Step, replay};
use crate::Parser;

/// Exchanges after the loss that may be missing or flagged too.
const HARMED_AFTER: usize = 2;

/// Presents the conversation with each step of data lost, and `rounds` times cut at random with a
/// random piece lost, in batches of several sizes. Against the report without a loss, which is
/// returned,
///
/// - a span that was over before the loss is the same;
/// - of those that began after it, all but two at most are the same;
/// - a span that is not the same has a flag which it had not, and says nothing that was not said
///   without the loss: each of its values belongs to the exchange at its position, or to one whose
///   response began when it starts. `partial` names the fields that may have another value on such
///   a span (counts of what was seen).
///
/// # Panics
/// With the loss, the seed and the spans, when one of these does not hold.
pub fn check_losses<P: Parser>(
    conversation: &Conversation,
    random: &mut Random,
    rounds: usize,
    partial: &[&str],
) -> Report {
    let whole = replay::<P>(conversation, 1);
    for (step, damaged) in removals(conversation) {
        let report = replay::<P>(&damaged, 1 + step % 5);
        compare(&whole, &report, &damaged, step, random.seed(), partial);
    }
    for _ in 0..rounds {
        let often = 1 + random.below(200);
        let pieces = cut(conversation, |_| random.once_in(often));
        let step = random.below(pieces.steps.len() as u64) as usize;
        let Some(damaged) = without(&pieces, step) else {
            continue;
        };
        let report = replay::<P>(&damaged, 1 + random.below(20) as usize);
        compare(&whole, &report, &damaged, step, random.seed(), partial);
    }
    whole
}

fn compare(
    whole: &Report,
    report: &Report,
    damaged: &Conversation,
    step: usize,
    seed: u64,
    partial: &[&str],
) {
    let time = damaged.steps.get(step).map_or(0, Step::time);
    let explain = || {
        format!(
            "\nseed {seed}, lost is step {step} of\n{damaged}undamaged\n{whole}damaged\n{report}"
        )
    };
    let changed = || whole.spans.iter().filter(|s| !report.spans.contains(s));
    if let Some(span) = changed().find(|span| span.end < time) {
        panic!("over before the loss, not the same: {span:?}{}", explain());
    }
    let after: Vec<_> = changed().filter(|span| span.start > time).collect();
    assert!(
        after.len() <= HARMED_AFTER,
        "{} exchanges after the loss are not the same{}",
        after.len(),
        explain()
    );
    let mut told = BTreeSet::new();
    for span in &report.spans {
        let place = (span.side.index(), span.position);
        assert!(told.insert(place), "told twice: {span:?}{}", explain());
        if whole.spans.contains(span) {
            continue;
        }
        let known = whole.spans.iter().any(|of| {
            let same = (of.side.index(), of.position) == place;
            let answer = of.response_start != 0
                && [span.start, span.response_start].contains(&of.response_start);
            (same || answer)
                && span.flags.bits() & !of.flags.bits() != 0
                && says_no_more(span, of, partial)
        });
        assert!(known, "this was never said: {span:?}{}", explain());
    }
}

fn says_no_more(span: &SeenSpan, of: &SeenSpan, partial: &[&str]) -> bool {
    span.values
        .iter()
        .all(|(field, value)| partial.contains(field) || of.values.get(field) == Some(value))
}
