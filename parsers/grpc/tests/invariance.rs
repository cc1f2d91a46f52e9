//! Conversations at random, cut anywhere, with pieces lost. The seed of each run is printed.

#[expect(dead_code, reason = "this file uses a part")]
mod wire;

use wire::generator::{Fields, conversation};
use wirespan_parser_grpc::Http2;
use wirespan_sdk::testkit::{Random, check_cuts, check_losses};

#[test]
fn any_split_gives_the_same_spans() {
    let mut random = Random::fresh();
    for _ in 0..60 {
        let conversation = conversation(&mut random, Fields::Table, 12);
        let report = check_cuts::<Http2>(&conversation, 20, 20);
        assert_eq!(report.end, None);
        assert!(report.spans.len() >= 12);
    }
}

/// What a call is said to be whose request and outcome do not tell that it is one of gRPC.
const PARTIAL: &[&str] = &["network.protocol.version"];

/// Where no header block needs another.
#[test]
fn a_lost_piece_harms_what_overlaps_it_and_at_most_two_after_it() {
    let mut random = Random::fresh();
    for _ in 0..40 {
        let conversation = conversation(&mut random, Fields::Plain, 12);
        check_losses::<Http2>(&conversation, &mut random, 40, PARTIAL);
    }
}
