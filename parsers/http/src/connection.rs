//! A connection: two lanes and the exchanges in flight between them.

use wirespan_sdk::{
    Cause, Context, Flags, Gap, Input, Manifest, Opening, Parser, Prefix, Recognition, Side,
    Skipped, fact,
};

use crate::body::Body;
use crate::emit::{Scene, emit};
use crate::exchange::{Exchange, Message, drop_spare, recycle};
use crate::head::Head;
use crate::limits::UNFINISHED_AFTER;
use crate::queue::Queue;
use crate::{fields, recognise};

/// One direction.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) state: State,
    /// In [`State::Seek`]: a message can begin at `turn`, or where the lane is if that is further.
    pub(crate) candidate: bool,
    /// Up to where the lane was shown when the other side began its message.
    pub(crate) turn: u64,
    /// Up to where the lane was shown, and when the last of that passed.
    pub(crate) seen: u64,
    pub(crate) seen_time: u64,
    /// How often a message was looked for where none was.
    pub(crate) failed_starts: u8,
    /// Where the message being read began.
    pub(crate) started: u64,
    /// Up to where it is read.
    pub(crate) position: u64,
    /// When the last byte passed that was read or stepped over.
    pub(crate) time: u64,
    pub(crate) head: Head,
    pub(crate) body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Where the next message begins is not known.
    Seek,
    /// Between two messages.
    Start,
    Head,
    Body,
    /// The client's lane: what follows depends on the response.
    Held,
    /// What comes here is not read any more.
    Stopped,
}

/// What a step on a lane came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Go on with the same bytes.
    On,
    /// More bytes are needed.
    More,
    /// Something must come on the other side first.
    Hold,
    /// Nothing below this position is needed.
    Skip(u64),
    /// A message is complete.
    Message,
    /// The connection is given away.
    Done,
}

/// An HTTP/1.x connection.
#[derive(Debug)]
pub struct Http {
    scene: Scene,
    pub(crate) client: Lane,
    pub(crate) server: Lane,
    /// In the order of their requests; only the first can have a response.
    pub(crate) queue: Queue,
    pub(crate) queue_bytes: usize,
    /// Requests may have passed that were not seen: why.
    pub(crate) missed: Flags,
    /// Requests were sent ahead of their responses.
    pub(crate) pipelined: bool,
    /// How many.
    pub(crate) ahead: u8,
    /// One of those in flight was sent ahead of the response to another.
    pub(crate) crowded: bool,
    /// The end of a response was lost, and one more request was in flight that had been sent then,
    /// it seems: how many responses came behind the loss. So far no request did.
    pub(crate) behind_loss: Option<u8>,
    /// The end of a response was lost, and the next request in flight waits for `100 Continue`: that
    /// is what has to come.
    pub(crate) awaits_interim: bool,
    /// A whole message was read.
    pub(crate) confirmed: bool,
    /// The server spoke another protocol before the first request.
    pub(crate) greeted: bool,
    /// A response that came before any request for it: status, position and times of what is held.
    pub(crate) early: Option<Box<Exchange>>,
    /// An exchange that is over, the first since requests may have passed unseen: what comes next shows
    /// whether the response was that of its request.
    pub(crate) doubted: Option<Box<Exchange>>,
    /// The server went on behind that, with something that was lost, and so far the client did not.
    pub(crate) unasked: bool,
    /// When the timer is to come; 0 when it is not set.
    timer: u64,
}

impl Lane {
    fn new(mid_stream: bool) -> Self {
        Self {
            state: if mid_stream {
                State::Seek
            } else {
                State::Start
            },
            candidate: true,
            turn: 0,
            seen: 0,
            seen_time: 0,
            failed_starts: 0,
            started: 0,
            position: 0,
            time: 0,
            head: Head::default(),
            body: Body::default(),
        }
    }

    /// Loses its place: a message may begin again where the direction turns, not at a byte that
    /// merely comes next and can be of a body.
    pub(crate) fn seek(&mut self) {
        self.state = State::Seek;
        self.candidate = false;
    }

    /// The other side sent something: whatever this side sent so far was before it, and its next
    /// byte can begin a message.
    pub(crate) fn turns(&mut self) {
        self.candidate = true;
        self.turn = self.seen;
    }

    /// Drops what cannot be a message in [`State::Seek`]. `true`: one can begin at `at`.
    pub(crate) fn seek_turn(&self, input: &Input<'_>, at: &mut u64) -> bool {
        let turn = if self.candidate { self.turn } else { u64::MAX };
        *at = turn.clamp(*at, input.end());
        self.candidate
    }
}

impl Parser for Http {
    const MANIFEST: Manifest = Manifest {
        name: "http",
        version: env!("CARGO_PKG_VERSION"),
        protocols: &["http"],
        patterns: recognise::PATTERNS,
        ports: &[80, 443, 8080, 8000, 8443],
        fields: fields::FIELDS,
    };

    fn recognise(prefix: &Prefix<'_>) -> Recognition {
        recognise::recognise(prefix)
    }

    fn open(opening: &Opening<'_>, _: &mut Context<'_>) -> Self {
        let mid_stream = opening.mid_stream();
        Self {
            scene: Scene {
                observed: opening.observed,
                tls: opening.facts.is_true(fact::TLS),
            },
            client: Lane::new(mid_stream),
            server: Lane::new(mid_stream),
            queue: Queue::default(),
            queue_bytes: 0,
            missed: match (opening.restart, mid_stream) {
                (true, _) => Flags::PARSER_RESTART,
                (false, true) => Flags::MID_STREAM,
                (false, false) => Flags::empty(),
            },
            pipelined: false,
            ahead: 0,
            crowded: false,
            behind_loss: None,
            awaits_interim: false,
            confirmed: false,
            greeted: false,
            early: None,
            doubted: None,
            unasked: false,
            timer: 0,
        }
    }

    fn data(&mut self, side: Side, input: Input<'_>, cx: &mut Context<'_>) {
        self.report_overdue(input.time_at(input.position()), cx);
        let mut at = input.position();
        let turns = self.is_later(side, &input);
        let step = loop {
            if turns && at < input.end() {
                self.turn(side);
            }
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
        let lane = self.lane(side);
        if at > input.position() {
            lane.time = input.time_at(at.saturating_sub(1));
            cx.consumed(side, at);
        }
        match step {
            Step::Skip(to) => cx.skip_to(side, to),
            Step::Hold => cx.hold(side),
            _ => {}
        }
    }

    fn gap(&mut self, side: Side, gap: Gap, cx: &mut Context<'_>) {
        self.report_overdue(gap.time, cx);
        self.lost(side, gap, cx);
    }

    fn skipped(&mut self, side: Side, skipped: Skipped, cx: &mut Context<'_>) {
        let from = self.lane(side).position;
        let lane = self.lane(side);
        if skipped.end > from {
            lane.position = skipped.end;
            lane.time = skipped.time;
        }
        // What was lost of it is content, of which a span says nothing: no gap of the span.
        if lane.state == State::Body && lane.body.pass(from, skipped.end) == Some(true) {
            match side {
                Side::Client => self.finish_request(cx),
                Side::Server => drop(self.finish_response(cx)),
            }
        }
    }

    fn end(&mut self, side: Side, _: u64, time: u64, cx: &mut Context<'_>) {
        self.report_overdue(time, cx);
        match side {
            Side::Client => self.end_requests(cx),
            Side::Server => self.end_responses(true, cx),
        }
    }

    fn close(&mut self, cause: Cause, time: u64, cx: &mut Context<'_>) {
        self.report_overdue(time, cx);
        self.closed(cause, time, cx);
    }

    fn timer(&mut self, time: u64, cx: &mut Context<'_>) {
        if self.timer != 0 && time >= self.timer {
            self.timer = 0;
            self.report_overdue(time, cx);
            self.watch(cx);
        }
    }

    fn evict(&mut self) {
        drop_spare();
    }
}

impl Http {
    /// Reads on at `at`.
    fn step(&mut self, side: Side, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        let lane = self.lane(side);
        match (lane.state, side) {
            (State::Seek, _) if !lane.seek_turn(input, at) => Step::More,
            (_, Side::Client) => self.request_step(input, at, cx),
            (_, Side::Server) => self.response_step(input, at, cx),
        }
    }

    /// Whether this side sent something behind all that the other sent so far. What waited is shown again
    /// when the other side goes on: that was sent before.
    fn is_later(&mut self, side: Side, input: &Input<'_>) -> bool {
        let other = self.lane(side.other()).seen_time;
        let time = input.time_at(input.end().saturating_sub(1));
        let lane = self.lane(side);
        let is_new = input.end() > lane.seen;
        lane.seen = input.end();
        lane.seen_time = time;
        is_new || time > other
    }

    /// This side sends something: where the other one lost its place, it may begin anew behind what it
    /// sent so far.
    fn turn(&mut self, side: Side) {
        let other = self.lane(side.other());
        if other.state == State::Seek {
            other.turns();
        }
    }

    pub(crate) fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// The exchange whose message is being read on this side.
    pub(crate) fn current(&mut self, side: Side) -> Option<&mut Exchange> {
        match side {
            Side::Client => self
                .queue
                .back_mut()
                .filter(|e| e.request == Message::Begun),
            Side::Server => self
                .queue
                .front_mut()
                .filter(|e| e.response == Message::Begun),
        }
    }

    pub(crate) fn flag_current(&mut self, side: Side, flag: Flags) {
        if let Some(exchange) = self.current(side) {
            exchange.flag(flag);
        }
    }

    /// Reports the first exchange when both its messages are over. What is to be said of the
    /// connection then, if it ends with this exchange.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>) -> Option<&'static str> {
        self.queue.front().filter(|exchange| exchange.is_over())?;
        let exchange = self.queue.pop_front()?;
        self.queue_bytes = self.queue_bytes.saturating_sub(exchange.texts.len());
        let last = exchange.last;
        if exchange.doubt == Flags::empty() || last.is_some() || exchange.reported {
            self.report(exchange, cx);
            return last;
        }
        self.doubted = Some(exchange);
        if self.queue.is_empty() {
            self.watch(cx);
        } else {
            // Requests are sent ahead of their responses: others may have been, unseen.
            self.part_doubted(cx);
        }
        None
    }

    pub(crate) fn report(&self, exchange: Box<Exchange>, cx: &mut Context<'_>) {
        if !exchange.reported {
            emit(&exchange, self.scene, cx);
        }
        recycle(exchange);
    }

    /// Reports what is in flight as it is and gives the connection up.
    pub(crate) fn give_up(&mut self, reason: &'static str, cx: &mut Context<'_>) -> Step {
        let time = self.client.time.max(self.server.time);
        self.report_doubted(cx);
        while let Some(mut exchange) = self.queue.pop_front() {
            if !exchange.is_over() {
                exchange.flag(Flags::UNFINISHED);
            }
            if exchange.end == 0 {
                exchange.end = time;
            }
            self.report(exchange, cx);
        }
        cx.ignore(reason);
        Step::Done
    }

    /// Sets the timer for a response that goes on, or is doubted.
    pub(crate) fn watch(&mut self, cx: &mut Context<'_>) {
        let begun = |e: &&Exchange| e.response == Message::Begun && !e.reported;
        let Some(exchange) = self.doubted.as_deref().or(self.queue.front().filter(begun)) else {
            return;
        };
        if self.timer == 0 {
            self.timer = exchange.response_start.saturating_add(UNFINISHED_AFTER);
            cx.wake_at(self.timer);
        }
    }

    /// Reports a response that is not over at `time` when it outlived the limit, or is still doubted.
    /// The timer notices that, or what comes first after it: the span is the same.
    pub(crate) fn report_overdue(&mut self, time: u64, cx: &mut Context<'_>) {
        let overdue = |e: &Exchange| time >= e.response_start.saturating_add(UNFINISHED_AFTER);
        if self.doubted.as_deref().is_some_and(overdue) {
            self.report_doubted(cx);
        }
        let Some(exchange) = self.queue.front_mut() else {
            return;
        };
        let limit = exchange.response_start.saturating_add(UNFINISHED_AFTER);
        if exchange.response == Message::Begun && !exchange.reported && time >= limit {
            exchange.flag(Flags::UNFINISHED);
            exchange.end = limit;
            exchange.response_bytes = 0;
            emit(exchange, self.scene, cx);
            exchange.reported = true;
        }
    }
}
