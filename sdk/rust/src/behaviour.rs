//! What a parser can rely on, shown with a small protocol: `<len>:` and as many bytes of payload,
//! a message of the client answered by one of the server.

use std::collections::VecDeque;

use crate::bindings::wirespan::parser::types as wit;
use crate::driver::Driver;
use crate::testkit::{Conversation, End, check_cuts, removals, replay};
use crate::{
    Cause, Context, Flags, Gap, Input, Manifest, Opening, Parser, Prefix, Recognition, Side,
    Skipped, fields,
};

fields! {
    /// Bytes of the request.
    REQUEST: integer "demo.request", "3", unbounded, public;
    /// Bytes of the response.
    RESPONSE: integer "demo.response", "3", unbounded, public;
}

#[derive(Debug, Default)]
struct Demo {
    /// Position and length of requests that wait.
    requests: VecDeque<(u64, u64, u64)>,
    /// Payload being stepped over: its length.
    payload: [Option<u64>; 2],
    gap: bool,
}

impl Demo {
    fn message(&mut self, side: Side, len: u64, time: u64, cx: &mut Context<'_>) {
        match side {
            Side::Client => {
                if let Some(last) = self.requests.back_mut() {
                    last.2 = time;
                }
            }
            Side::Server => {
                let Some((position, request, start)) = self.requests.pop_front() else {
                    return;
                };
                let mut span = cx.span("demo");
                span.starts(position, start)
                    .ends(time)
                    .count(REQUEST, request)
                    .count(RESPONSE, len);
                if std::mem::take(&mut self.gap) {
                    span.flags(Flags::GAP);
                }
                span.emit();
            }
        }
    }
}

impl Parser for Demo {
    const MANIFEST: Manifest = Manifest {
        name: "demo",
        version: "0.1.0",
        protocols: &["demo"],
        patterns: &[],
        ports: &[],
        fields: FIELDS,
    };

    fn recognise(_: &Prefix<'_>) -> Recognition {
        Recognition::yes(1)
    }

    fn open(_: &Opening<'_>, _: &mut Context<'_>) -> Self {
        Self::default()
    }

    fn data(&mut self, side: Side, input: Input<'_>, cx: &mut Context<'_>) {
        if side == Side::Server && self.requests.is_empty() {
            return cx.hold(side);
        }
        let Some(digits) = input.bytes().iter().position(|&b| b == b':') else {
            return;
        };
        let number = input
            .bytes()
            .get(..digits)
            .and_then(|n| std::str::from_utf8(n).ok());
        let Some(len) = number.and_then(|n| n.parse::<u64>().ok()) else {
            return cx.ignore("no length");
        };
        if side == Side::Client {
            self.requests.push_back((input.position(), len, 0));
        }
        let body = input.position() + digits as u64 + 1;
        cx.consumed(side, body);
        self.payload[side.index()] = Some(len);
        if len == 0 {
            self.payload[side.index()] = None;
            self.message(side, 0, input.time_at(body - 1), cx);
        }
        cx.skip_to(side, body + len);
    }

    fn skipped(&mut self, side: Side, skipped: Skipped, cx: &mut Context<'_>) {
        self.gap |= skipped.lost;
        if let Some(len) = self.payload[side.index()].take() {
            self.message(
                side,
                len.min(skipped.end - skipped.position),
                skipped.time,
                cx,
            );
        }
    }

    fn gap(&mut self, _: Side, _: Gap, cx: &mut Context<'_>) {
        cx.ignore("lost");
    }

    fn end(&mut self, _: Side, _: u64, time: u64, cx: &mut Context<'_>) {
        if time > 1 << 40 {
            cx.upgrade("next", 1, 2, b"context");
        }
    }
}

fn exchanges() -> Conversation {
    Conversation::new()
        .client("3:abc0:")
        .server("5:")
        .server("hello")
        .server("0:")
        .server("2:")
        .client("10:0123")
        .client("456789")
        .server("ok")
}

#[test]
fn the_same_spans_come_out_wherever_bytes_and_batches_are_cut() {
    let report = check_cuts::<Demo>(&exchanges(), 100, 50);
    let sizes = |n: usize| {
        (
            report.spans[n].integer("demo.request"),
            report.spans[n].integer("demo.response"),
        )
    };
    assert_eq!(report.spans.len(), 3);
    assert_eq!(
        [sizes(0), sizes(1), sizes(2)],
        [(Some(3), Some(5)), (Some(0), Some(0)), (Some(10), Some(2))]
    );
    // The side that was held back is read after the request, with the times of its own bytes.
    assert_eq!((report.spans[2].start, report.spans[2].end), (7000, 8000));
}

#[test]
fn a_gap_in_a_skip_is_told_with_it_and_any_other_gap_in_its_place() {
    for (step, damaged) in removals(&exchanges()) {
        let report = check_cuts::<Demo>(&damaged, 100, 5);
        let in_payload = [2, 6, 7].contains(&step);
        assert_eq!(
            report.end == Some(End::Ignored("lost".into())),
            !in_payload,
            "step {step}: {report:?}"
        );
        if in_payload {
            assert_eq!(
                report
                    .spans
                    .iter()
                    .filter(|span| span.has(Flags::GAP))
                    .count(),
                1
            );
        }
    }
}

#[test]
fn a_skip_that_the_end_cuts_short_says_how_far_it_came() {
    let conversation = Conversation::new()
        .client("1:a")
        .server("100:")
        .server("half")
        .end(Side::Server)
        .close(Cause::Finished);
    let report = check_cuts::<Demo>(&conversation, 20, 5);
    assert_eq!(report.spans[0].integer("demo.response"), Some(4));
    assert_eq!(report.spans[0].end, 3000);
}

#[test]
fn an_upgrade_carries_both_positions_and_the_context() {
    let conversation = Conversation::new()
        .client("0:")
        .pause(1 << 41)
        .end(Side::Client)
        .server("0:");
    let end = End::Upgraded {
        protocol: "next".into(),
        client: 1,
        server: 2,
        context: b"context".to_vec(),
    };
    assert_eq!(replay::<Demo>(&conversation, 1).end, Some(end));
}

#[test]
fn a_long_answer_comes_in_parts_and_loses_nothing() {
    const MESSAGES: usize = 5000;
    let event = |kind, side, len: usize, offset: usize| wit::Event {
        conn: 1,
        time: 1,
        position: 0,
        len: len as u64,
        offset: offset as u32,
        kind,
        side,
        cause: Cause::None,
    };
    let side = b"0:".repeat(MESSAGES);
    let events = vec![
        event(wit::EventKind::Open, Side::Client, 0, 0),
        event(wit::EventKind::Data, Side::Client, side.len(), 0),
        event(wit::EventKind::Data, Side::Server, side.len(), side.len()),
    ];
    let mut driver = Driver::<Demo>::default();
    let mut output = driver.process(events, Vec::new(), [&side[..], &side[..]].concat());
    assert!(output.more && output.spans.len() < MESSAGES);
    let mut spans = output.spans.len();
    while output.more {
        output = driver.process(Vec::new(), Vec::new(), Vec::new());
        spans += output.spans.len();
    }
    assert_eq!(spans, MESSAGES);
    let consumed: Vec<_> = output
        .requests
        .iter()
        .map(|request| (request.side, request.position))
        .collect();
    assert_eq!(consumed, [(Side::Client, 10_000), (Side::Server, 10_000)]);
    assert_eq!(driver.connections(), 1);
    driver.process(
        vec![event(wit::EventKind::Close, Side::Client, 0, 0)],
        Vec::new(),
        Vec::new(),
    );
    assert_eq!(driver.connections(), 0);
}

#[test]
fn ranges_that_a_host_gets_wrong_are_survived() {
    let mut driver = Driver::<Demo>::default();
    for kind in [
        wit::EventKind::Open,
        wit::EventKind::Data,
        wit::EventKind::Gap,
        wit::EventKind::Skipped,
    ] {
        for (position, len, offset) in [(u64::MAX, u64::MAX, u32::MAX), (0, 1 << 40, 7), (5, 3, 0)]
        {
            let (side, cause) = (Side::Client, Cause::None);
            let event = wit::Event {
                conn: 1,
                time: 0,
                position,
                len,
                offset,
                kind,
                side,
                cause,
            };
            driver.process(vec![event], Vec::new(), b"1:".to_vec());
        }
    }
}
