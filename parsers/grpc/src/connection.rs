//! A connection: two lanes, and the streams that are open.

use wirespan_sdk::{
    Cause, Context, Flags, Gap, Input, Manifest, Opening, Parser, Prefix, Recognition, Side,
    Skipped, fact,
};

use crate::call::Calls;
use crate::emit::Scene;
use crate::lane::{Lane, State};
use crate::unseen::Unseen;
use crate::{fields, recognise, spare};

/// What a step on a lane came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Go on with the same bytes.
    On,
    /// More bytes are needed.
    More,
    /// Nothing below this position is needed.
    Skip(u64),
    /// The connection is given away.
    Done,
}

/// An HTTP/2 connection.
#[derive(Debug)]
pub struct Http2 {
    pub(crate) scene: Scene,
    pub(crate) client: Lane,
    pub(crate) server: Lane,
    pub(crate) calls: Calls,
    /// The newest stream of the client.
    pub(crate) newest: u32,
    pub(crate) unseen: Unseen,
    /// Why requests may have passed unseen.
    pub(crate) missed: Flags,
    /// Streams that the client reset unanswered, beyond those that ended otherwise.
    pub(crate) resets: u32,
    /// Streams that are over since frames were lost, and not reported yet.
    pub(crate) stale: Vec<u32>,
    /// When the last frame passed that was looked at.
    pub(crate) now: u64,
    /// When the timer is to come; 0 when it is not set.
    pub(crate) timer: u64,
}

impl Parser for Http2 {
    const MANIFEST: Manifest = Manifest {
        name: "grpc",
        version: env!("CARGO_PKG_VERSION"),
        // Under the last name an upgrade from HTTP/1.1 hands a connection over; no span has it.
        protocols: &["http2", "grpc", "h2c"],
        patterns: recognise::PATTERNS,
        ports: &[50051, 443, 8443, 8080],
        fields: fields::FIELDS,
    };

    fn recognise(prefix: &Prefix<'_>) -> Recognition {
        recognise::recognise(prefix)
    }

    fn open(opening: &Opening<'_>, _: &mut Context<'_>) -> Self {
        let missed = match (opening.restart, opening.mid_stream()) {
            (true, _) => Flags::PARSER_RESTART,
            (false, true) => Flags::MID_STREAM,
            (false, false) => Flags::empty(),
        };
        let joined = missed != Flags::empty();
        let lane = |state| {
            if joined {
                Lane::joined(missed)
            } else {
                Lane::new(state)
            }
        };
        let mut connection = Self {
            scene: Scene {
                observed: opening.observed,
                tls: opening.facts.is_true(fact::TLS),
                seed: seed(opening),
            },
            client: lane(State::Preface),
            server: lane(State::Frame),
            calls: Calls::default(),
            newest: 0,
            unseen: Unseen::default(),
            missed,
            resets: 0,
            stale: Vec::new(),
            now: 0,
            timer: 0,
        };
        if joined {
            connection.unseen.begin(0);
        } else if let Some(request) = opening.facts.text(fact::HANDOVER) {
            connection.upgraded(request);
        }
        connection
    }

    fn data(&mut self, side: Side, input: Input<'_>, cx: &mut Context<'_>) {
        let mut at = input.position();
        self.lane(side).touched = true;
        let step = loop {
            let step = self.step(side, &input, &mut at, cx);
            if step == Step::Done {
                return;
            }
            let lane = self.lane(side);
            lane.position = at;
            if step != Step::On || at >= input.end() {
                break step;
            }
        };
        if at > input.position() {
            self.lane(side).time = input.time_at(at.saturating_sub(1));
            cx.consumed(side, at);
        }
        match step {
            Step::Skip(to) => cx.skip_to(side, to),
            Step::On | Step::More | Step::Done => {}
        }
    }

    fn gap(&mut self, side: Side, gap: Gap, cx: &mut Context<'_>) {
        if self.timer != 0 && gap.time >= self.timer {
            self.report_overdue(gap.time, cx);
        }
        self.lost(side, gap, cx);
    }

    fn skipped(&mut self, side: Side, skipped: Skipped, cx: &mut Context<'_>) {
        self.passed(side, skipped.end, skipped.time, cx);
    }

    fn close(&mut self, cause: Cause, time: u64, cx: &mut Context<'_>) {
        self.closed(cause, time, cx);
    }

    fn timer(&mut self, time: u64, cx: &mut Context<'_>) {
        self.report_overdue(time, cx);
    }

    fn evict(&mut self) {
        spare::drop_all();
        self.calls.shrink();
        self.client.decoder.shrink();
        self.server.decoder.shrink();
    }
}

impl Http2 {
    pub(crate) fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

/// A number that the connections of a node hardly share, and that is the same in every replay.
fn seed(opening: &Opening<'_>) -> u32 {
    let facts = &opening.facts;
    let text = |key| facts.text(key).unwrap_or_default();
    let number = |key| facts.number(key).unwrap_or(0).to_be_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            // FNV-1a
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    add(&opening.time.to_be_bytes());
    add(text(fact::CLIENT_ADDRESS));
    add(&number(fact::CLIENT_PORT));
    add(text(fact::SERVER_ADDRESS));
    add(&number(fact::SERVER_PORT));
    (hash ^ (hash >> 32)) as u32
}
