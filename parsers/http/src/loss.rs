//! What is not seen: gaps, ends, resets, and responses that passed unseen.

use wirespan_sdk::{Cause, Context, Flags, Gap, Side};

use crate::connection::{Http, State};
use crate::exchange::{Exchange, Message, Method, fresh};
use crate::limits::SHORTEST_RESPONSE;

impl Http {
    pub(crate) fn lost(&mut self, side: Side, gap: Gap, cx: &mut Context<'_>) {
        // A body that was refused need not come: what is lost can be the next request.
        let unsure = side == Side::Client
            && self.client.candidate
            && self
                .queue
                .back()
                .is_some_and(|e| e.response != Message::Awaited);
        let lane = self.lane(side);
        let from = lane.position;
        if lane.state == State::Body
            && !unsure
            && let Some(end) = gap.end()
            && let Some(over) = lane.body.pass(from, end)
        {
            // Within a body of known extent: nothing is lost but content, of which a span says
            // nothing. It would not even be known here had the skip over it been asked for earlier.
            lane.position = end;
            lane.time = gap.time;
            if side == Side::Client {
                lane.candidate = false;
            }
            match (over, side) {
                (false, _) => {}
                (true, Side::Client) => self.finish_request(cx),
                (true, Side::Server) => drop(self.finish_response(cx)),
            }
            return;
        }
        match side {
            Side::Client => self.report_doubted(cx),
            // Whose the response before it is, bytes that nobody saw do not say. Behind a whole response
            // they are another one: what the client does next shows whether it was asked for.
            Side::Server => {
                self.unasked |= self.doubted.is_some()
                    && self.server.state == State::Start
                    && gap.len.is_some_and(|len| len >= SHORTEST_RESPONSE);
            }
        }
        self.flag_current(side, Flags::GAP);
        let lane = self.lane(side);
        if let Some(end) = gap.end() {
            lane.position = end;
            lane.seen = lane.seen.max(end);
        }
        if side == Side::Server && self.client.state == State::Seek {
            self.client.turns();
        }
        if side == Side::Client && self.server.state == State::Seek {
            self.server.turns();
        }
        let lane = self.lane(side);
        let unread = matches!(lane.state, State::Stopped | State::Held);
        if unread {
            return;
        }
        let waiting = self
            .queue
            .iter()
            .filter(|e| e.method != Method::Unseen)
            .count();
        if side == Side::Server
            && let Some(end) = gap.end()
            && self.is_one_ahead()
        {
            self.lost_before_last(end, cx);
            return;
        }
        if waiting > 1
            || self.pipelined && waiting > 0 && side == Side::Client
            || self.behind_loss.is_some()
            || self.awaits_interim
        {
            // How many messages were lost cannot be told, nor which response is whose.
            for exchange in self.queue.iter_mut() {
                exchange.flag(Flags::GAP);
            }
            self.give_up("bytes lost among pipelined requests", cx);
            return;
        }
        match side {
            Side::Client => self.lost_requests(cx),
            Side::Server => self.lost_responses(cx),
        }
        let lane = self.lane(side);
        lane.time = lane.time.max(gap.time);
    }

    /// Whether a loss of responses that shows only now explains that two requests are in flight: it
    /// never happened before, and the second was sent a while after the first.
    fn is_one_ahead(&self) -> bool {
        let [Some(first), Some(second), None] = ({
            let mut queue = self.queue.iter();
            [queue.next(), queue.next(), queue.next()]
        }) else {
            return false;
        };
        let whole = |e: &Exchange| {
            e.method != Method::Unseen && e.request == Message::Over && e.last.is_none()
        };
        self.ahead == 1
            && self.missed == Flags::empty()
            && self.behind_loss.is_none()
            && !self.awaits_interim
            && whole(first)
            && second.start > first.request_end
            && (self.client.state == State::Start && whole(second)
                || self.expects_continue() && second.request == Message::Begun)
    }

    /// The last request waits for `100 Continue` before it sends its body.
    fn expects_continue(&self) -> bool {
        self.client.state == State::Body && self.client.candidate && self.client.body.size == 0
    }

    /// The response to the first of two requests was lost, and it seems that the second was sent
    /// behind it. What comes now shows whether that is so: one response, to its end, then a request.
    /// It is not taken for the second's all the same: what was lost can have been an interim one.
    fn lost_before_last(&mut self, end: u64, cx: &mut Context<'_>) {
        let lane = &mut self.server;
        let (time, bytes) = (lane.time, lane.position.saturating_sub(lane.started));
        lane.position = end;
        lane.state = State::Seek;
        lane.turns();
        if let Some(exchange) = self.current(Side::Server) {
            exchange.response = Message::Over;
            exchange.end = time;
            exchange.response_bytes = bytes;
        }
        if self.expects_continue() {
            // Only the second asked for an interim response: if one comes, the first was answered.
            if let Some(mut first) = self.queue.pop_front() {
                self.queue_bytes = self.queue_bytes.saturating_sub(first.texts.len());
                first.flag(Flags::GAP);
                first.end = first.end.max(first.request_end).max(first.start);
                self.report(first, cx);
            }
            if let Some(second) = self.queue.front_mut() {
                second.flag(Flags::GAP);
            }
            self.awaits_interim = true;
        } else {
            self.missed = Flags::GAP;
            self.responses_missed(cx);
            self.behind_loss = Some(0);
        }
        self.pipelined = false;
        self.crowded = false;
        self.ahead = 0;
    }

    /// A request begins. Whether what came since a loss shows that nothing was in flight.
    pub(crate) fn is_resumed(&mut self) -> bool {
        let Some(responses) = self.behind_loss.take() else {
            return true;
        };
        let bodiless = self.server_unsure() && self.server.body.size == 0;
        let over = self.server.state == State::Start && self.queue.is_empty();
        responses == 1 && (over || bodiless) && self.server.position >= self.server.seen
    }

    /// The client's lane lost its place.
    fn lost_requests(&mut self, cx: &mut Context<'_>) {
        if let Some(exchange) = self.current(Side::Client) {
            exchange.request = Message::Over;
        } else {
            self.missed = self.missed | Flags::GAP;
        }
        self.client.seek();
        if let Some(reason) = self.settle(cx) {
            self.give_up(reason, cx);
        }
    }

    /// The server's lane lost its place.
    fn lost_responses(&mut self, cx: &mut Context<'_>) {
        let (time, bytes) = (
            self.server.time,
            self.server.position.saturating_sub(self.server.started),
        );
        if let Some(exchange) = self.current(Side::Server) {
            exchange.response = Message::Over;
            exchange.end = time;
            exchange.response_bytes = bytes;
        }
        for exchange in self
            .queue
            .iter_mut()
            .filter(|e| e.response == Message::Awaited)
        {
            exchange.flag(Flags::GAP);
        }
        self.server.seek();
        if let Some(reason) = self.settle(cx) {
            self.give_up(reason, cx);
        }
    }

    /// The responses to all requests so far passed unseen.
    pub(crate) fn responses_missed(&mut self, cx: &mut Context<'_>) {
        while let Some(mut exchange) = self.queue.pop_front() {
            if exchange.response == Message::Awaited {
                exchange.flag(match self.missed {
                    none if none == Flags::empty() => Flags::GAP,
                    missed => missed,
                });
            }
            exchange.end = exchange.end.max(exchange.request_end).max(exchange.start);
            self.report(exchange, cx);
        }
        self.queue_bytes = 0;
    }

    /// Which of the next responses answer the requests so far cannot be told: they are reported
    /// without. One that is not over yet, or on which depends how to go on, stays.
    pub(crate) fn requests_unanswered(&mut self, cx: &mut Context<'_>) {
        loop {
            let held = self.client.state == State::Held && self.queue.len() == 1;
            let passed = |e: &Exchange| e.request == Message::Over && e.last.is_none() && !held;
            if !self.queue.front().is_some_and(passed) {
                break;
            }
            let Some(mut exchange) = self.queue.pop_front() else {
                break;
            };
            self.queue_bytes = self.queue_bytes.saturating_sub(exchange.texts.len());
            exchange.flag(self.missed);
            exchange.end = exchange.end.max(exchange.request_end).max(exchange.start);
            self.report(exchange, cx);
        }
        for exchange in self.queue.iter_mut() {
            exchange.flag(self.missed);
        }
    }

    /// The client went on, and nothing of what it sent is missing: it had its response. Where the server
    /// had gone on before it, that was for requests which passed unseen.
    #[inline]
    pub(crate) fn resolve_doubted(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.unasked) {
            self.part_doubted(cx);
        } else {
            self.report_doubted(cx);
        }
    }

    /// The client went on, so that it had its response, or nothing came for long.
    #[inline]
    pub(crate) fn report_doubted(&mut self, cx: &mut Context<'_>) {
        if let Some(exchange) = self.doubted.take() {
            self.unasked = false;
            self.report_late(exchange, cx);
        }
    }

    #[cold]
    #[inline(never)]
    fn report_late(&self, exchange: Box<Exchange>, cx: &mut Context<'_>) {
        self.report(exchange, cx);
    }

    /// The server went on without a further request: of several that it had, all but the last passed
    /// unseen, and which of the responses is that one's cannot be told. Nor is the method known by
    /// which this one was read.
    #[inline]
    pub(crate) fn part_doubted(&mut self, cx: &mut Context<'_>) {
        if let Some(asked) = self.doubted.take() {
            self.unasked = false;
            self.part(asked, cx);
        }
    }

    #[cold]
    #[inline(never)]
    fn part(&mut self, mut asked: Box<Exchange>, cx: &mut Context<'_>) {
        self.missed = self.missed | asked.doubt;
        let mut orphan = fresh();
        orphan.position = asked.response_position;
        orphan.start = asked.response_start;
        orphan.minor = asked.minor;
        orphan.flags = asked.flags;
        orphan.status = std::mem::take(&mut asked.status);
        orphan.response_position = asked.response_position;
        orphan.response_start = std::mem::take(&mut asked.response_start);
        orphan.end = std::mem::take(&mut asked.end);
        orphan.response_bytes = std::mem::take(&mut asked.response_bytes);
        orphan.response_body = asked.response_body.take();
        asked.end = asked.request_end.max(asked.start);
        self.report(asked, cx);
        self.report(orphan, cx);
    }

    /// The client sends no more.
    pub(crate) fn end_requests(&mut self, cx: &mut Context<'_>) {
        if let Some(exchange) = self.current(Side::Client) {
            exchange.flag(Flags::REQUEST_TRUNCATED);
            exchange.request = Message::Over;
            self.client.state = State::Stopped;
        }
        if let Some(reason) = self.settle(cx) {
            self.give_up(reason, cx);
        }
    }

    /// The server sends no more: that is the end of a body without a length, and cuts any other
    /// message. `whole`: it ended in order.
    pub(crate) fn end_responses(&mut self, whole: bool, cx: &mut Context<'_>) {
        let lane = &self.server;
        let until_close =
            lane.state == State::Body && lane.body.part == crate::body::Part::UntilClose;
        if until_close && whole {
            self.finish_response(cx);
            return;
        }
        let (time, bytes) = (lane.time, lane.position.saturating_sub(lane.started));
        if let Some(exchange) = self.current(Side::Server) {
            exchange.flag(Flags::RESPONSE_TRUNCATED);
            exchange.response = Message::Over;
            exchange.end = time;
            exchange.response_bytes = bytes;
            self.server.state = State::Stopped;
        }
        if let Some(reason) = self.settle(cx) {
            self.give_up(reason, cx);
        }
    }

    /// The connection is gone: reports what is in flight.
    pub(crate) fn closed(&mut self, cause: Cause, time: u64, cx: &mut Context<'_>) {
        if self.server_unsure() && self.server.body.size == 0 {
            // Whether there was a body to come is not known.
            self.server.state = State::Start;
            self.finish_response(cx);
        }
        let ended = matches!(cause, Cause::Finished | Cause::None);
        if cause == Cause::Reset {
            for exchange in self.queue.iter_mut().filter(|e| !e.is_over()) {
                exchange.flag(Flags::RESET);
            }
        }
        // A limit of the host cuts the connection off as the end of a recording does.
        self.end_responses(ended, cx);
        self.end_requests(cx);
        let last = self.client.time.max(self.server.time);
        self.report_doubted(cx);
        while let Some(mut exchange) = self.queue.pop_front() {
            if exchange.response == Message::Awaited {
                if exchange.flags.bits() & Flags::GAP.bits() == 0
                    || self.server.state != State::Seek
                {
                    exchange.flag(Flags::NO_RESPONSE);
                }
                // Unanswered up to the end of the connection, where that was seen.
                exchange.end = if ended || cause == Cause::Reset {
                    time
                } else {
                    last
                };
            }
            self.report(exchange, cx);
        }
        if let Some(early) = self.early.take() {
            self.report(early, cx);
        }
    }
}
