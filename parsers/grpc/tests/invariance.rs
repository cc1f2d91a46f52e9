//! Conversations at random, cut anywhere, with pieces lost. The seed of each run is printed.

#[expect(dead_code, reason = "this file uses a part")]
mod wire;

use wire::generator::{Fields, conversation};
use wirespan_parser_grpc::Http2;
use wirespan_sdk::Flags;
use wirespan_sdk::testkit::{Random, SeenSpan, check_cuts, check_losses, removals, replay};

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

/// Header blocks refer to entries of blocks before them, which may have been lost. Every exchange
/// that began after the loss is still told. What its blocks refer to is unknown then and it has the
/// flag, or it is the same; nothing is ever wrong.
#[test]
fn a_lost_piece_makes_fields_unknown_never_wrong() {
    let mut random = Random::fresh();
    let (mut same, mut flagged) = (0, 0);
    for _ in 0..40 {
        let conversation = conversation(&mut random, Fields::Table, 12);
        let whole = replay::<Http2>(&conversation, 1);
        for (step, damaged) in removals(&conversation) {
            let time = damaged.steps[step].time();
            let report = replay::<Http2>(&damaged, 3);
            assert_eq!(report.end, None, "{damaged}");
            let told = |span: &SeenSpan, of: &SeenSpan| {
                (span.side, span.position) == (of.side, of.position)
                    || of.response_start != 0
                        && [span.start, span.response_start].contains(&of.response_start)
            };
            for span in &report.spans {
                if whole.spans.contains(span) {
                    same += 1;
                    continue;
                }
                flagged += 1;
                let fits = |of: &&SeenSpan| told(span, of) && says_no_more(span, of);
                assert!(
                    span.has(Flags::GAP) && whole.spans.iter().any(|of| fits(&of)),
                    "never said: {span:?}\nstep {step} is lost of\n{damaged}{whole}"
                );
            }
            let missing = |of: &&SeenSpan| !report.spans.iter().any(|span| told(span, of));
            let after = whole.spans.iter().filter(|of| of.start > time);
            assert!(
                after.filter(missing).count() <= 2,
                "too many are missing: step {step} is lost of\n{damaged}{whole}"
            );
        }
    }
    assert!(same > flagged, "{same} are the same, {flagged} are flagged");
}

/// A call whose content type is unknown, and whose outcome does not tell that it is one of gRPC, is
/// told as the HTTP exchange that it is as well.
fn says_no_more(span: &SeenSpan, of: &SeenSpan) -> bool {
    let as_http = of.protocol == "grpc" && span.protocol == "http2";
    span.values.iter().all(|(field, value)| match *field {
        "wirespan.http2.path_ref" | "network.protocol.version" => true,
        "http.request.method" if as_http => span.text(field) == Some("POST"),
        "http.response.status_code" if as_http => span.integer(field) == Some(200),
        "http.request.body.size" | "http.response.body.size" | "url.scheme" if as_http => true,
        "url.path" if as_http => {
            span.text(field).and_then(|path| path.strip_prefix('/')) == of.text("rpc.method")
        }
        _ => of.values.get(field) == Some(value),
    })
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
