//! The server's lane: responses.

use memchr::memchr;
use wirespan_sdk::{Context, Flags, Input, Side};

use crate::body::{Body, Part, Progress};
use crate::connection::{Http, State, Step};
use crate::exchange::{Exchange, Message, Method, Text, UNKNOWN_MINOR, fresh};
use crate::head::{Ambiguity, Extent, Head, Name, is_too_long};
use crate::limits::{FAILED_STARTS, HEAD_BYTES};
use crate::line::{Parsed, StatusLine, odd_status_line, past_empty_lines, status_line};

impl Http {
    /// Reads on in the server's bytes at `at`.
    pub(crate) fn response_step(
        &mut self,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        match self.server.state {
            State::Seek | State::Start | State::Held => self.response_start(input, at, cx),
            State::Head => self.response_head(input, at, cx),
            State::Body => self.response_body(input, at, cx),
            State::Stopped => {
                *at = input.end();
                Step::Skip(u64::MAX)
            }
        }
    }

    fn response_start(&mut self, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        if self.greeted && !self.confirmed && self.queue.is_empty() {
            return self.greeting(input, at, cx);
        }
        let mut bytes = input.from(*at);
        if self.server.state == State::Start {
            bytes = past_empty_lines(bytes, at);
        }
        if bytes.is_empty() {
            return Step::More;
        }
        match status_line(bytes) {
            Parsed::Incomplete if !is_too_long(*at, input.end()) => Step::More,
            Parsed::Incomplete | Parsed::Invalid => self.odd_response(input, at, cx),
            Parsed::Line(line, len) => {
                if std::mem::take(&mut self.awaits_interim) && line.status != 100 {
                    return self.give_up("bytes lost among pipelined requests", cx);
                }
                if !self.expect_response(line, input, *at, cx) {
                    return Step::Hold;
                }
                self.begin_response(line, input, *at);
                *at = at.saturating_add(len as u64);
                Step::On
            }
        }
    }

    /// What is no response stands where one is awaited.
    fn odd_response(&mut self, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        let bytes = input.from(*at);
        let long = is_too_long(*at, input.end());
        if self.server.state != State::Start || !bytes.starts_with(b"HTTP/") || long {
            return self.no_response(input, at, cx);
        }
        if memchr(b'\n', bytes).is_none() {
            return Step::More;
        }
        let Some((status, len)) = odd_status_line(bytes) else {
            return self.no_response(input, at, cx);
        };
        let line = StatusLine { minor: 1, status };
        if !self.expect_response(line, input, *at, cx) {
            return Step::Hold;
        }
        self.begin_response(line, input, *at);
        self.server.head.ambiguous = Some(Ambiguity::StatusLine);
        *at = at.saturating_add(len as u64);
        Step::On
    }

    /// No response begins where one was looked for.
    fn no_response(&mut self, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        if !self.confirmed && self.server.state == State::Start && self.queue.is_empty() {
            return self.greeting(input, at, cx);
        }
        if self.behind_loss.is_some() || self.awaits_interim {
            return self.give_up("bytes lost among pipelined requests", cx);
        }
        self.part_doubted(cx);
        self.server.failed_starts = self.server.failed_starts.saturating_add(1);
        if self.server.failed_starts > FAILED_STARTS {
            return self.give_up("no responses where they should be", cx);
        }
        let begins = self.server.state == State::Start;
        self.server.seek();
        let awaited = |e: &&mut Exchange| begins && e.response == Message::Awaited;
        if let Some(exchange) = self.queue.front_mut().filter(awaited) {
            // It was answered, with something that cannot be read.
            exchange.response = Message::Over;
            exchange.response_start = input.time_at(*at);
            exchange.end = exchange.response_start;
            exchange.flag(Flags::RESPONSE_TRUNCATED);
            if let Some(reason) = self.settle(cx) {
                return self.give_up(reason, cx);
            }
            self.release_client();
        }
        Step::On
    }

    /// The server speaks another protocol, in which it is the first to speak: the requests that make
    /// this a connection of HTTP come behind. What it says before them answers none.
    fn greeting(&mut self, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        if input.end() > HEAD_BYTES {
            return self.give_up("no responses where they should be", cx);
        }
        self.greeted = true;
        *at = input.end();
        Step::More
    }

    /// Makes sure that the first exchange is the one to be answered. `false`: its request has yet
    /// to come.
    fn expect_response(
        &mut self,
        line: StatusLine,
        input: &Input<'_>,
        at: u64,
        cx: &mut Context<'_>,
    ) -> bool {
        let (time, unordered) = (input.time_at(at), input.unordered_at(at));
        // Servers say 408 before they close an idle connection.
        if line.status != 408 && !unordered {
            self.part_doubted(cx);
        }
        // Ahead of several requests others may have passed unseen, and be what this answers.
        let doubtful = self.crowded
            && self.missed != Flags::empty()
            && self
                .queue
                .front()
                .is_some_and(|e| e.method != Method::Unseen && e.response == Message::Awaited);
        if doubtful {
            self.requests_unanswered(cx);
        }
        let awaited = self
            .queue
            .front()
            .filter(|exchange| exchange.response == Message::Awaited);
        if !doubtful && awaited.is_some_and(|exchange| exchange.start <= time || unordered) {
            return true;
        }
        let awaited = awaited.is_some();
        let mut orphan = fresh();
        orphan.request = Message::Over;
        orphan.position = at;
        orphan.start = time;
        if self.missed == Flags::empty() && self.client.state == State::Seek && !awaited {
            // What was lost of the request before had more requests in it.
            self.missed = Flags::GAP;
        }
        let unseen = self.missed != Flags::empty() && self.queue.is_empty();
        if unseen || awaited {
            if let Some(count) = &mut self.behind_loss {
                // It only shows where messages begin: it could be content of what was lost.
                *count = count.saturating_add(1);
                orphan.reported = true;
            }
            // Its request passed unseen, or it came before any request that it could answer.
            orphan.flag(self.missed);
            self.queue.push_front(orphan);
            return true;
        }
        // Seen before its request, as can happen on loopback, or sent without one: servers say 408
        // before they close an idle connection. The end of the connection tells.
        orphan.minor = line.minor;
        orphan.status = line.status;
        orphan.response = Message::Over;
        orphan.response_start = orphan.start;
        orphan.end = input.time_at(input.end().saturating_sub(1));
        orphan.response_bytes = input.end().saturating_sub(at);
        self.early = Some(orphan);
        false
    }

    fn begin_response(&mut self, line: StatusLine, input: &Input<'_>, at: u64) {
        self.server.state = State::Head;
        self.server.started = at;
        self.server.head = Head::new(line.minor);
        self.server.head.status = line.status;
        self.server.failed_starts = 0;
        self.client.failed_starts = 0;
        self.confirmed = true;
        self.early = None;
        let Some(exchange) = self.queue.front_mut() else {
            return;
        };
        if exchange.method == Method::Unseen || exchange.minor == UNKNOWN_MINOR {
            exchange.minor = line.minor;
        }
        if is_interim(line.status) {
            return;
        }
        exchange.status = line.status;
        // The times of the response are those of the final one.
        exchange.response = Message::Begun;
        exchange.response_position = at;
        exchange.response_start = input.time_at(at);
        if input.unordered_at(at) {
            exchange.flag(Flags::ORDER_UNCERTAIN);
        }
        if exchange.method != Method::Unseen {
            // Which response belongs to which request was not seen from the beginning.
            exchange.flag(self.missed);
            exchange.doubt = std::mem::take(&mut self.missed);
        }
    }

    fn response_head(&mut self, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        let mut exchange = self.queue.front_mut();
        let bytes = input.from(*at);
        let progress =
            self.server
                .head
                .read(bytes, self.server.started, at, |name, value, continued| {
                    // The protocol that a 101 names is told to whoever goes on.
                    if name == Name::Upgrade
                        && !continued
                        && let Some(exchange) = exchange.as_deref_mut()
                        && exchange.status == 101
                    {
                        // A name that is too long is none that is known: what follows is recognised.
                        let _ = exchange.texts.set(Text::Upgrade, value);
                    }
                });
        match progress {
            Progress::Done => {}
            Progress::Broken(reason) | Progress::TooLong(reason) => {
                self.read_to(input, *at);
                return self.break_response(reason, cx);
            }
            Progress::More | Progress::Skip(_) => return Step::More,
        }
        self.read_to(input, *at);
        self.response_framing(*at, cx)
    }

    /// The head is complete: how long is the body (RFC 9112, 6.3)?
    fn response_framing(&mut self, at: u64, cx: &mut Context<'_>) -> Step {
        let Some(exchange) = self.queue.front_mut() else {
            self.server.state = State::Start;
            return Step::On;
        };
        let status = self.server.head.status;
        if is_interim(status) {
            // The body that waited for it comes now, or nothing: no request.
            self.client.candidate = false;
            self.server.state = State::Start;
            return Step::Message;
        }
        let tunnel = exchange.method == Method::Connect && (200..300).contains(&exchange.status);
        if tunnel || exchange.status == 101 {
            return self.hand_over(at, cx);
        }
        let bodiless = exchange.method == Method::Head || matches!(exchange.status, 204 | 304);
        let part = match self.server.head.extent(at) {
            _ if bodiless => None,
            Extent::Unclear(reason) => {
                exchange.last = Some(reason);
                Some(Part::UntilClose)
            }
            Extent::Coded | Extent::Unsaid => Some(Part::UntilClose),
            Extent::Empty => {
                // What it says of a response to a HEAD is not of its body.
                exchange.response_body = (exchange.method != Method::Unseen).then_some(0);
                None
            }
            Extent::TooLarge => return self.break_response("content length too large", cx),
            Extent::Known(part) => Some(part),
        };
        match part {
            None => self.finish_response(cx),
            Some(part) => {
                self.server.body = Body::new(part, at);
                self.server.state = State::Body;
                Step::On
            }
        }
    }

    fn response_body(&mut self, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        let unsure = self.server_unsure();
        if unsure && self.server.candidate {
            // The client sent a request since: the response had no body if the next begins here.
            match status_line(input.from(*at)) {
                Parsed::Line(..) => {
                    self.report_overdue(input.time_at(*at), cx);
                    // Nor is its length known then.
                    self.server.state = State::Start;
                    return match self.finish_response(cx) {
                        Step::Message => Step::On,
                        step => step,
                    };
                }
                Parsed::Incomplete => return Step::More,
                Parsed::Invalid => self.server.candidate = false,
            }
        }
        match self.server.body.advance(input.from(*at), at) {
            Progress::More => {
                self.watch(cx);
                Step::More
            }
            Progress::Skip(_) if unsure => Step::More,
            Progress::Skip(to) => {
                self.watch(cx);
                Step::Skip(to)
            }
            Progress::Done => {
                self.read_to(input, *at);
                self.finish_response(cx)
            }
            Progress::Broken(reason) | Progress::TooLong(reason) => {
                self.read_to(input, *at);
                self.break_response(reason, cx)
            }
        }
    }

    /// The lane is at `at` now.
    fn read_to(&mut self, input: &Input<'_>, at: u64) {
        self.server.position = at;
        self.server.time = input.time_at(at.saturating_sub(1));
    }

    /// The response is over at the lane's position.
    pub(crate) fn finish_response(&mut self, cx: &mut Context<'_>) -> Step {
        self.report_overdue(self.server.time, cx);
        let lane = &mut self.server;
        if let Some(exchange) = self
            .queue
            .front_mut()
            .filter(|e| e.response == Message::Begun)
        {
            if lane.state == State::Body {
                exchange.response_body = Some(lane.body.size);
            }
            exchange.end = lane.time;
            exchange.response = Message::Over;
            exchange.response_bytes = lane.position.saturating_sub(lane.started);
        }
        lane.state = State::Start;
        match self.settle(cx) {
            Some(reason) => self.give_up(reason, cx),
            None => {
                self.release_client();
                Step::Message
            }
        }
    }

    /// What was held back for the response that is over now is a request after all.
    pub(crate) fn release_client(&mut self) {
        if self.client.state == State::Held && self.queue.is_empty() {
            self.client.state = State::Start;
        }
    }

    /// Where the response ends cannot be told. It is reported as far as it was seen.
    fn break_response(&mut self, reason: &'static str, cx: &mut Context<'_>) -> Step {
        let end = self.server.time;
        let bytes = self.server.position.saturating_sub(self.server.started);
        if let Some(exchange) = self.current(Side::Server) {
            exchange.flag(Flags::RESPONSE_TRUNCATED);
            exchange.response = Message::Over;
            exchange.end = end.max(exchange.response_start);
            exchange.response_bytes = bytes;
        }
        self.settle(cx);
        self.give_up(reason, cx)
    }

    /// 101, or 2xx to a CONNECT: from here on it is another protocol.
    fn hand_over(&mut self, at: u64, cx: &mut Context<'_>) -> Step {
        let (end, started, client) = (self.server.time, self.server.started, self.client.position);
        let Some(mut exchange) = self.queue.pop_front() else {
            return Step::On;
        };
        let whole = exchange.request == Message::Over && self.queue.is_empty();
        exchange.end = end;
        exchange.response_start = match exchange.response_start {
            0 => end,
            start => start,
        };
        exchange.response = Message::Over;
        exchange.response_bytes = at.saturating_sub(started);
        let protocol = exchange
            .texts
            .get(Text::Upgrade)
            .map(next_protocol)
            .unwrap_or_default();
        let context = if protocol == "h2c" {
            handover(&exchange)
        } else {
            Vec::new()
        };
        self.report(exchange, cx);
        if whole {
            cx.upgrade(protocol, client, at, &context);
            Step::Done
        } else {
            self.give_up("upgrade among other requests", cx)
        }
    }
}

/// 1xx other than 101: a final response follows (RFC 9110, 15.2).
fn is_interim(status: u16) -> bool {
    status < 200 && status != 101
}

/// The protocols that are known by the name in `Upgrade`; others are recognised by what they send.
fn next_protocol(value: &[u8]) -> &'static str {
    let is = |name: &[u8]| value.trim_ascii().eq_ignore_ascii_case(name);
    if is(b"websocket") {
        "websocket"
    } else if is(b"h2c") {
        "h2c"
    } else {
        ""
    }
}

/// The upgrading request, which stream 1 of h2c answers (RFC 7540, 3.2): its head, reduced to what
/// a span needs.
fn handover(exchange: &Exchange) -> Vec<u8> {
    let texts = &exchange.texts;
    let method = exchange
        .method
        .name()
        .map(str::as_bytes)
        .or(texts.get(Text::Method))
        .unwrap_or_default();
    let mut head = [
        method,
        b" ",
        texts.get(Text::Target).unwrap_or_default(),
        b" HTTP/1.1\r\n",
    ]
    .concat();
    let headers = [
        ("host", Text::Host),
        ("user-agent", Text::UserAgent),
        ("traceparent", Text::Traceparent),
    ];
    for (name, text) in headers {
        if let Some(value) = texts.get(text) {
            head.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
    }
    // When it began: a header that nobody sends.
    head.extend_from_slice(format!("start-nanos: {}\r\n\r\n", exchange.start).as_bytes());
    head
}
