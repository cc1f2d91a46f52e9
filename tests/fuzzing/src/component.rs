//! Parsers as a whole, presented with conversations by the testkit.

use arbitrary::{Arbitrary, Unstructured};
use wirespan_contract::limit::{NAME_BYTES, VALUE_BYTES, VALUES_PER_SPAN};
use wirespan_parser_grpc::Http2;
use wirespan_parser_http::Http;
use wirespan_parser_mysql::Mysql;
use wirespan_parser_postgres::Postgres;
use wirespan_sdk::testkit::{Conversation, Report, SeenSpan, SeenValue, Step, check_cuts, replay};
use wirespan_sdk::{Cause, Facts, Parser, Prefix, Recognition, Side};
use wirespan_traffic::{Protocol, Random, Speaker};

/// Bytes of an input beyond these are left out: each is presented many times.
const RAW_BYTES: usize = 16 << 10;
const STRUCTURED_BYTES: usize = 3 << 9;

/// Places at which a conversation is cut, one at a time.
const CUTS: usize = 2;

/// A gap that a parser is told the length of is no longer than this.
const LONGEST_GAP: u32 = 1 << 20;

/// The first byte says how the connection is seen; then pieces follow, each with a byte for its side
/// and length.
pub(crate) fn raw<P: Parser>(input: &[u8]) {
    let Some((&how, rest)) = input.split_first() else {
        return;
    };
    let start = if how & 1 == 0 {
        Conversation::new()
    } else {
        Conversation::mid_stream()
    };
    let conversation = pieces(start, rest).close(Cause::Finished);
    in_any_batches::<P>(&conversation);
}

/// As [`raw`], behind a login that agrees on compression.
pub(crate) fn compressed(input: &[u8]) {
    let Some((&how, rest)) = input.split_first() else {
        return;
    };
    let zstd = how & 1 == 1;
    let start = login(Conversation::new(), zstd);
    let conversation = pieces(start, rest).close(Cause::Finished);
    in_any_batches::<Mysql>(&conversation);
}

/// A step a call and all in one call give the same. A connection that is given up is given up as
/// soon as its parser sees why, and with more in a call it has seen more by then: such are not compared.
fn in_any_batches<P: Parser>(conversation: &Conversation) {
    let once = replay::<P>(conversation, 1);
    check(conversation, &once);
    let together = replay::<P>(conversation, 1_000);
    check(conversation, &together);
    if once.end.is_none() && together.end.is_none() {
        assert_eq!(once, together, "a step a call, and all in one call");
    }
}

fn login(conversation: Conversation, zstd: bool) -> Conversation {
    let algorithm: u32 = if zstd { 1 << 26 } else { 1 << 5 };
    let capabilities = 1 | 1 << 9 | 1 << 15 | 1 << 19 | algorithm;
    let [a, b, c, d] = capabilities.to_le_bytes();
    let greeting = [
        b"\x0a9.1.0\0\x07\0\0\0abcdefgh\0",
        &[a, b, 45, 2, 0, c, d, 21][..],
        &[0; 10],
        b"ijklmnopqrst\0mysql_native_password\0",
    ];
    let mut answer = [
        &capabilities.to_le_bytes()[..],
        &[0, 0, 0, 1, 45],
        &[0; 23],
        b"app\0\0mysql_native_password\0",
    ]
    .concat();
    if zstd {
        answer.push(3);
    }
    conversation
        .server(packet(0, &greeting.concat()))
        .client(packet(1, &answer))
        .server(packet(2, &[0, 0, 0, 2, 0, 0, 0]))
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

fn pieces(mut conversation: Conversation, input: &[u8]) -> Conversation {
    let mut rest = &input[..input.len().min(RAW_BYTES)];
    while let Some((&head, after)) = rest.split_first() {
        let side = if head & 1 == 0 {
            Side::Client
        } else {
            Side::Server
        };
        // Longer pieces than a byte can tell: powers of two and what lies between them.
        let len = (usize::from(head >> 1) * usize::from(head >> 1) / 4 + 1).min(after.len());
        let (piece, after) = after.split_at(len);
        if !piece.is_empty() {
            conversation = conversation.data(side, piece);
        }
        rest = after;
    }
    conversation
}

/// What is done to a conversation.
#[derive(Arbitrary, Debug)]
enum Edit {
    /// Bytes of a turn are replaced.
    Overwrite {
        turn: u8,
        at: u16,
        bytes: Vec<u8>,
    },
    /// Bytes of a turn are left out, and nobody tells.
    Cut {
        turn: u8,
        at: u16,
        len: u8,
    },
    Gap {
        turn: u8,
        len: u32,
    },
    GapUnknown {
        turn: u8,
    },
    /// A turn is lost.
    Lose {
        turn: u8,
        known: bool,
    },
    End {
        turn: u8,
    },
    Pause {
        turn: u8,
        millis: u16,
    },
    /// A turn comes twice.
    Repeat {
        turn: u8,
    },
    Swap {
        turn: u8,
        with: u8,
    },
}

#[derive(Arbitrary, Debug)]
struct Script {
    seed: u16,
    mid_stream: bool,
    /// Bytes missed at the beginning.
    missed: u16,
    edits: Vec<Edit>,
    reset: bool,
}

/// A generated conversation, edited; then cut in many ways.
pub(crate) fn structured<P: Parser>(protocol: Protocol, input: &[u8]) {
    let Ok(script) = Script::arbitrary(&mut Unstructured::new(input)) else {
        return;
    };
    let mut random = Random::new(u64::from(script.seed));
    let mut generated = wirespan_traffic::Conversation::generate(protocol, &mut random);
    if script.mid_stream {
        let missed = usize::from(script.missed) % generated.len().max(1);
        generated = generated.joined_after(missed);
    }
    let generated = generated.prefix(STRUCTURED_BYTES);
    let opened = || {
        if script.mid_stream {
            Conversation::mid_stream()
        } else {
            Conversation::new()
        }
    };
    let mut conversation = opened();
    for turn in generated.turns {
        let side = match turn.speaker {
            Speaker::Client => Side::Client,
            Speaker::Server => Side::Server,
        };
        conversation = conversation.data(side, turn.bytes);
    }
    for edit in script.edits.iter().take(16) {
        apply(edit, &mut conversation.steps);
    }
    let mut clocked = opened();
    for step in conversation.steps {
        clocked = again(clocked, step);
    }
    let cause = if script.reset {
        Cause::Reset
    } else {
        Cause::Finished
    };
    let conversation = clocked.close(cause);
    in_any_batches::<P>(&conversation);
    let given_up = [1, 3, 1_000]
        .iter()
        .any(|batch| replay::<P>(&conversation, *batch).end.is_some());
    if !given_up {
        check_cuts::<P>(&conversation, CUTS, 0);
    }
}

/// The step, at the time that comes next.
fn again(conversation: Conversation, step: Step) -> Conversation {
    match step {
        Step::Data { side, bytes, .. } if !bytes.is_empty() => conversation.data(side, bytes),
        Step::Gap { side, len, .. } => conversation.gap(side, len),
        Step::GapUnknown { side, .. } => conversation.gap_unknown(side),
        Step::End { side, .. } => conversation.end(side),
        Step::Pause { time } => conversation.pause(time),
        _ => conversation,
    }
}

fn apply(edit: &Edit, steps: &mut Vec<Step>) {
    let count = steps.len().max(1);
    let place = |turn: u8| usize::from(turn) % count;
    let side_at = |steps: &[Step], at: usize| match steps.get(at) {
        Some(Step::Data { side, .. }) => *side,
        _ => Side::Client,
    };
    match edit {
        Edit::Overwrite { turn, at, bytes } => {
            if let Some(Step::Data { bytes: old, .. }) = steps.get_mut(place(*turn)) {
                let at = usize::from(*at) % old.len().max(1);
                for (old, new) in old.iter_mut().skip(at).zip(bytes) {
                    *old = *new;
                }
            }
        }
        Edit::Cut { turn, at, len } => {
            if let Some(Step::Data { bytes, .. }) = steps.get_mut(place(*turn)) {
                let at = usize::from(*at) % bytes.len().max(1);
                let end = (at + usize::from(*len)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
        Edit::Gap { turn, len } => {
            let at = place(*turn);
            let (side, len) = (side_at(steps, at), u64::from(len % LONGEST_GAP) + 1);
            let cause = Cause::Lost;
            steps.insert(
                at,
                Step::Gap {
                    side,
                    time: 0,
                    len,
                    cause,
                },
            );
        }
        Edit::GapUnknown { turn } => {
            let at = place(*turn);
            let (side, cause) = (side_at(steps, at), Cause::Lost);
            steps.insert(
                at,
                Step::GapUnknown {
                    side,
                    time: 0,
                    cause,
                },
            );
        }
        Edit::Lose { turn, known } => {
            let Some(step) = steps.get_mut(place(*turn)) else {
                return;
            };
            if let Step::Data { side, bytes, .. } = step {
                let (side, len, cause) = (*side, bytes.len() as u64, Cause::Lost);
                *step = if *known && len > 0 {
                    Step::Gap {
                        side,
                        time: 0,
                        len,
                        cause,
                    }
                } else {
                    Step::GapUnknown {
                        side,
                        time: 0,
                        cause,
                    }
                };
            }
        }
        Edit::End { turn } => {
            let at = place(*turn);
            let side = side_at(steps, at);
            // Nothing comes of a side that has ended.
            let of_side = |step: &Step| {
                matches!(step,
                    Step::Data { side: of, .. }
                    | Step::Gap { side: of, .. }
                    | Step::GapUnknown { side: of, .. }
                    | Step::End { side: of, .. } if *of == side)
            };
            let mut index = 0;
            steps.retain(|step| {
                index += 1;
                index <= at || !of_side(step)
            });
            if !steps
                .iter()
                .any(|step| matches!(step, Step::End { side: of, .. } if *of == side))
            {
                steps.insert(at.min(steps.len()), Step::End { side, time: 0 });
            }
        }
        Edit::Pause { turn, millis } => {
            let time = u64::from(*millis) * 1_000_000;
            steps.insert(place(*turn), Step::Pause { time });
        }
        Edit::Repeat { turn } => {
            let at = place(*turn);
            if let Some(step @ Step::Data { .. }) = steps.get(at) {
                let step = step.clone();
                steps.insert(at, step);
            }
        }
        Edit::Swap { turn, with } => {
            let (one, other) = (place(*turn), place(*with));
            let both_data = |at: usize| matches!(steps.get(at), Some(Step::Data { .. }));
            if both_data(one) && both_data(other) {
                steps.swap(one, other);
            }
        }
    }
}

/// What holds for every span, whatever the bytes.
fn check(conversation: &Conversation, report: &Report) {
    let first = conversation.steps.first().map_or(0, Step::time);
    let last = conversation.steps.last().map_or(0, Step::time);
    for span in &report.spans {
        assert!(
            span.name.len() <= NAME_BYTES,
            "a name of {} bytes",
            span.name.len()
        );
        assert!(
            span.values.len() <= VALUES_PER_SPAN,
            "{} values",
            span.values.len()
        );
        for (field, value) in &span.values {
            if let SeenValue::Text(text) = value {
                assert!(
                    text.len() <= VALUE_BYTES,
                    "{field} has {} bytes",
                    text.len()
                );
            }
        }
        assert!(times_can_be(span, first, last), "times: {span:?}");
    }
}

/// All times lie within the conversation, and nothing ends before it begins. Whether an answer came
/// before its question is compared by the host, which leaves such a span out: here turns are swapped.
fn times_can_be(span: &SeenSpan, first: u64, last: u64) -> bool {
    let range = first..=last;
    let optional = |time: u64| time == 0 || range.contains(&time);
    range.contains(&span.start)
        && range.contains(&span.end)
        && span.start <= span.end
        && optional(span.request_end)
        && optional(span.response_start)
}

/// The first byte divides the rest between the two sides.
pub(crate) fn recognise(input: &[u8]) {
    let Some((&share, rest)) = input.split_first() else {
        return;
    };
    let (client, server) = rest.split_at(rest.len() * usize::from(share) / 255);
    let (of_client, of_server) = (takers(client, &[]), takers(&[], server));
    assert!(of_client.len() <= 1, "certain of a client: {of_client:?}");
    assert!(of_server.len() <= 1, "certain of a server: {of_server:?}");
    let of_both = takers(client, server);
    // Two sides that are each of another protocol are of none.
    let contradictory = of_client != of_server && !of_client.is_empty() && !of_server.is_empty();
    assert!(
        contradictory || of_both.len() <= 1,
        "certain of the same bytes: {of_both:?}"
    );
}

/// The parsers that are certain of these bytes.
fn takers(client: &[u8], server: &[u8]) -> Vec<&'static str> {
    let prefix = Prefix {
        client,
        server,
        facts: Facts::default(),
    };
    let answers = [
        ("http", Http::recognise(&prefix)),
        ("http2", Http2::recognise(&prefix)),
        ("mysql", Mysql::recognise(&prefix)),
        ("postgres", Postgres::recognise(&prefix)),
    ];
    let certain = |answer: &Recognition| matches!(answer, Recognition::Yes { confidence, .. } if *confidence >= 95);
    answers
        .iter()
        .filter(|(_, answer)| certain(answer))
        .map(|(name, _)| *name)
        .collect()
}
