//! The same spans however the bytes are cut, and all but the nearest whatever is lost of them:
//! over conversations that differ in each run. `WIRESPAN_SEED` repeats one.

mod shapes;

use wirespan_parser_http::Http;
use wirespan_sdk::testkit::{Random, check_cuts, check_losses, removals, replay};
use wirespan_sdk::{Flags, Side};

#[test]
fn any_split_gives_the_same_spans() {
    let mut random = Random::fresh();
    for round in 0..60 {
        let conversation = match round % 2 {
            0 => shapes::sequential(&mut random, 6),
            _ => shapes::pipelined(&mut random, 3),
        };
        let report = check_cuts::<Http>(&conversation, 20, 20);
        assert!(
            !report.spans.is_empty() || conversation.steps.len() < 4,
            "{conversation:?}"
        );
    }
}

#[test]
fn a_lost_piece_harms_what_is_around_it_and_no_more() {
    let mut random = Random::fresh();
    for _ in 0..60 {
        let conversation = shapes::sequential(&mut random, 8);
        check_losses::<Http>(&conversation, &mut random, 60, &[]);
    }
}

/// Which response is whose cannot be told any more: the connection is given up rather than paired
/// wrongly.
#[test]
fn a_piece_lost_among_pipelined_requests_brings_no_wrong_pair() {
    let mut random = Random::fresh();
    for _ in 0..100 {
        let conversation = shapes::pipelined(&mut random, 4);
        let whole = replay::<Http>(&conversation, 1);
        for (step, damaged) in removals(&conversation) {
            let report = replay::<Http>(&damaged, 3);
            let time = damaged.steps[step].time();
            for span in &whole.spans {
                assert!(
                    span.end >= time || report.spans.contains(span),
                    "without step {step} (seed {}): {span:?}\n{damaged}undamaged\n{whole}damaged\n{report}",
                    random.seed()
                );
            }
            for span in &report.spans {
                let paired = whole
                    .spans
                    .iter()
                    .find(|of| of.position == span.position && of.side == span.side);
                let same = paired.is_some_and(|of| {
                    let status = "http.response.status_code";
                    span == of
                        || (span.has(Flags::GAP) || span.has(Flags::UNFINISHED))
                            && (span.integer(status).is_none()
                                || span.response_start == of.response_start
                                    && span.integer(status) == of.integer(status))
                });
                let orphan = span.side == Side::Server && span.has(Flags::GAP);
                assert!(
                    same || orphan,
                    "without step {step} (seed {}): {span:?}\n{damaged}undamaged\n{whole}damaged\n{report}",
                    random.seed()
                );
            }
        }
    }
}
