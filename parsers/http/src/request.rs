//! The client's lane: requests.

use wirespan_sdk::{Context, Flags, Input, Side};

use crate::body::{Body, Progress};
use crate::connection::{Http, State, Step};
use crate::exchange::{Message, Method, Text, UNKNOWN_MINOR, fresh};
use crate::head::{Extent, Head, Name, is_too_long};
use crate::limits::{FAILED_STARTS, IN_FLIGHT, IN_FLIGHT_BYTES, TARGET_BYTES};
use crate::line::{Parsed, RequestLine, long_request_line, past_empty_lines, request_line};

impl Http {
    /// Reads on in the client's bytes at `at`.
    pub(crate) fn request_step(
        &mut self,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        match self.client.state {
            State::Seek | State::Start => self.request_start(input, at, cx),
            State::Head => self.request_head(input, at, cx),
            State::Body => {
                if self.client.candidate {
                    // It asked for `100 Continue`: after a final response instead, the next
                    // request may come in place of the body (RFC 9110, 10.1.1).
                    let refused = self
                        .queue
                        .back()
                        .is_some_and(|e| e.response != Message::Awaited);
                    match request_line(input.from(*at)) {
                        Parsed::Line(..) if refused => {
                            self.finish_request(cx);
                            return Step::On;
                        }
                        Parsed::Incomplete if refused => return Step::More,
                        _ => self.client.candidate = false,
                    }
                }
                match self.client.body.advance(input.from(*at), at) {
                    Progress::More => Step::More,
                    Progress::Skip(to) => Step::Skip(to),
                    Progress::Done => {
                        self.client.position = *at;
                        self.client.time = input.time_at(at.saturating_sub(1));
                        self.finish_request(cx);
                        Step::Message
                    }
                    Progress::Broken(reason) => self.stop_requests(reason, cx),
                    Progress::TooLong(reason) => self.cut_request(reason, cx),
                }
            }
            State::Held => Step::Hold,
            State::Stopped => {
                *at = input.end();
                Step::Skip(u64::MAX)
            }
        }
    }

    fn request_start(&mut self, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        // Empty lines before a request are ignored (RFC 9112, 2.2).
        let bytes = past_empty_lines(input.from(*at), at);
        if bytes.is_empty() {
            return Step::More;
        }
        match request_line(bytes) {
            Parsed::Incomplete if !is_too_long(*at, input.end()) => Step::More,
            Parsed::Incomplete => self.long_request(input, *at, cx),
            Parsed::Invalid => self.no_request(cx),
            // Where a connection was joined, the end of a name reads like a name.
            Parsed::Line(line, _)
                if self.client.state == State::Seek
                    && self.client.turn == 0
                    && Method::of(line.method) == Method::Other =>
            {
                self.no_request(cx)
            }
            Parsed::Line(line, len) => {
                let step = self.begin_request(&line, input, *at, cx);
                *at = at.saturating_add(len as u64);
                step
            }
        }
    }

    /// A request line that does not end within the limit: servers answer 414 to it.
    fn long_request(&mut self, input: &Input<'_>, at: u64, cx: &mut Context<'_>) -> Step {
        let Some((method, target)) = long_request_line(input.from(at)) else {
            return self.no_request(cx);
        };
        let line = RequestLine {
            method,
            target,
            minor: UNKNOWN_MINOR,
        };
        match self.begin_request(&line, input, at, cx) {
            Step::On => self.cut_request("request line too long", cx),
            step => step,
        }
    }

    /// No request begins where one was looked for.
    fn no_request(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.confirmed && self.client.state == State::Start && self.queue.is_empty() {
            cx.not_mine();
            return Step::Done;
        }
        self.client.failed_starts = self.client.failed_starts.saturating_add(1);
        if self.client.failed_starts > FAILED_STARTS {
            return self.give_up("no requests where they should be", cx);
        }
        if self.client.state == State::Start {
            self.missed = self.missed | Flags::GAP;
        }
        self.client.seek();
        Step::On
    }

    fn begin_request(
        &mut self,
        line: &RequestLine<'_>,
        input: &Input<'_>,
        at: u64,
        cx: &mut Context<'_>,
    ) -> Step {
        if !self.is_resumed() {
            return self.give_up("bytes lost among pipelined requests", cx);
        }
        self.resolve_doubted(cx);
        // What waits there to become a message is none: its place was before this request.
        let answered = self.server.time.max(self.server.seen_time);
        if self.server.state == State::Seek
            && self
                .queue
                .front()
                .is_some_and(|first| first.start <= answered)
        {
            if self.pipelined {
                // Which of them the next response answers cannot be told.
                return self.give_up("bytes lost among pipelined requests", cx);
            }
            // The client had its responses before it went on, only they were not seen.
            self.responses_missed(cx);
        }
        // Whatever the server sent so far was not for this request: its next byte can be.
        self.server.turns();
        if self.queue.len() >= IN_FLIGHT {
            return self.give_up("too many requests in flight", cx);
        }
        self.crowded = self
            .queue
            .iter()
            .any(|exchange| exchange.method != Method::Unseen);
        self.pipelined |= self.crowded;
        self.ahead = self.ahead.saturating_add(u8::from(self.crowded));
        self.early = None;
        let mut exchange = fresh();
        exchange.method = Method::of(line.method);
        exchange.minor = line.minor;
        exchange.request = Message::Begun;
        exchange.position = at;
        exchange.start = input.time_at(at);
        if input.unordered_at(at) {
            exchange.flag(Flags::ORDER_UNCERTAIN);
        }
        let texts = &mut exchange.texts;
        let method = exchange.method != Method::Other || texts.set(Text::Method, line.method);
        // A part of an authority is another one.
        let cut = exchange.method == Method::Connect && line.target.len() > TARGET_BYTES;
        if !method || cut || !texts.set(Text::Target, line.target) {
            exchange.flag(Flags::REQUEST_TRUNCATED);
        }
        self.queue.push_back(exchange);
        self.client.state = State::Head;
        self.client.started = at;
        self.client.head = Head::new(line.minor);
        Step::On
    }

    fn request_head(&mut self, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        let Some(exchange) = self.queue.back_mut() else {
            self.client.seek();
            return Step::On;
        };
        let mut cut = false;
        let progress = self.client.head.read(
            input.from(*at),
            self.client.started,
            at,
            |name, value, continued| {
                let text = match (name, continued) {
                    (Name::Host, _) => Text::Host,
                    (Name::UserAgent, _) => Text::UserAgent,
                    (Name::Traceparent, false) => Text::Traceparent,
                    _ => return,
                };
                cut |= !match continued {
                    false => exchange.texts.set(text, value),
                    true => exchange.texts.extend(text, value),
                };
            },
        );
        if cut {
            exchange.flag(Flags::REQUEST_TRUNCATED);
        }
        match progress {
            Progress::Done => {}
            Progress::Broken(reason) | Progress::TooLong(reason) => {
                return self.cut_request(reason, cx);
            }
            Progress::More | Progress::Skip(_) => return Step::More,
        }
        self.client.position = *at;
        self.client.time = input.time_at(at.saturating_sub(1));
        self.request_body(*at, cx)
    }

    /// The head is complete: how long is the body (RFC 9112, 6.3)?
    fn request_body(&mut self, at: u64, cx: &mut Context<'_>) -> Step {
        let Some(exchange) = self.queue.back_mut() else {
            return Step::On;
        };
        self.confirmed = true;
        self.queue_bytes = self.queue_bytes.saturating_add(exchange.texts.len());
        if self.queue_bytes > IN_FLIGHT_BYTES {
            return self.give_up("too many bytes of requests in flight", cx);
        }
        let head = &self.client.head;
        let part = match head.extent(at) {
            // What follows a CONNECT is the tunnel's (RFC 9110, 9.3.6).
            _ if exchange.method == Method::Connect && head.ambiguous.is_none() => None,
            Extent::Unclear(reason) => return self.stop_requests(reason, cx),
            Extent::Coded => {
                return self.stop_requests("request with an unknown transfer coding", cx);
            }
            Extent::TooLarge => return self.stop_requests("content length too large", cx),
            Extent::Unsaid => None,
            Extent::Empty => {
                exchange.request_body = Some(0);
                None
            }
            Extent::Known(part) => Some(part),
        };
        let Some(part) = part else {
            self.finish_request(cx);
            return Step::Message;
        };
        self.client.body = Body::new(part, at);
        self.client.state = State::Body;
        // Without `100 Continue` the body need not come.
        self.client.candidate = head.expect_continue;
        Step::On
    }

    /// The request is over at the lane's position.
    pub(crate) fn finish_request(&mut self, cx: &mut Context<'_>) {
        let lane = &mut self.client;
        let Some(exchange) = self
            .queue
            .back_mut()
            .filter(|e| e.request == Message::Begun)
        else {
            return;
        };
        exchange.request_end = lane.time;
        exchange.request = Message::Over;
        exchange.request_bytes = lane.position.saturating_sub(lane.started);
        if lane.state == State::Body && !lane.candidate {
            exchange.request_body = Some(lane.body.size);
            // Both lengths, and not the same: some receivers take the one, some the other.
            let length = lane.position.saturating_sub(lane.body.start);
            if lane
                .head
                .content_length
                .is_some_and(|other| other != length)
            {
                exchange.last = Some("content length and transfer coding disagree");
            }
        }
        let held = exchange.method == Method::Connect || lane.head.upgrade;
        lane.state = match (exchange.last, held && exchange.response != Message::Over) {
            (Some(_), _) => State::Stopped,
            (None, true) => State::Held,
            (None, false) => State::Start,
        };
        if let Some(reason) = self.settle(cx) {
            self.give_up(reason, cx);
        }
    }

    /// As [`Self::stop_requests`], for a request of which more came than is read.
    fn cut_request(&mut self, reason: &'static str, cx: &mut Context<'_>) -> Step {
        self.flag_current(Side::Client, Flags::REQUEST_TRUNCATED);
        self.stop_requests(reason, cx)
    }

    /// Where requests end cannot be told any more. The response to the last one is still awaited.
    fn stop_requests(&mut self, reason: &'static str, cx: &mut Context<'_>) -> Step {
        self.client.state = State::Stopped;
        if let Some(exchange) = self.queue.back_mut() {
            exchange.request = Message::Over;
            exchange.last = Some(reason);
        }
        match self.settle(cx) {
            Some(reason) => self.give_up(reason, cx),
            None => Step::On,
        }
    }

    /// A response whose request was not seen: whether it has a body depends on its method.
    pub(crate) fn server_unsure(&mut self) -> bool {
        self.server.state == State::Body
            && self
                .current(Side::Server)
                .is_some_and(|exchange| exchange.method == Method::Unseen)
    }
}
