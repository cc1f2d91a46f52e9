//! What frames mean for the streams.

use wirespan_sdk::{Context, Flags, Side};

use crate::call::{Call, Phase};
use crate::connection::{Http2, Step};
use crate::emit::emit;
use crate::frame::{END_STREAM, LARGEST_FRAME_BYTES};
use crate::head::{Content, GrpcStatus, Head};
use crate::hpack::{Field, Name, Sink, Value};
use crate::lane::{Frame, Opening};
use crate::limits::{RAPID_NANOS, RAPID_RESETS, STREAMS, TEXT_BYTES};
use crate::spare;

impl Http2 {
    /// A header block is complete; `bytes` is `None` where a part of it was lost.
    pub(crate) fn block(
        &mut self,
        side: Side,
        opening: Opening,
        bytes: Option<&[u8]>,
        time: u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let lane = self.lane(side);
        let mut head = Head::default();
        let decoded = bytes.map(|bytes| lane.decoder.decode(bytes, &mut head));
        head.finish();
        match decoded {
            Some(Ok(())) => {}
            Some(Err(_)) => {
                // What was understood before the error may be wrong as well.
                head = Head::unknown();
                lane.lost = lane.lost
                    | match side {
                        Side::Client => Flags::REQUEST_TRUNCATED,
                        Side::Server => Flags::RESPONSE_TRUNCATED,
                    };
            }
            None => head = Head::unknown(),
        }
        match (side, opening.promised) {
            (Side::Client, _) => self.request(opening, head, time, cx),
            (Side::Server, Some(promised)) => self.promised(promised, opening, head, time, cx),
            (Side::Server, None) => self.response(opening, head, time, cx),
        }
    }

    /// HEADERS of the client.
    fn request(&mut self, opening: Opening, head: Head, time: u64, cx: &mut Context<'_>) -> Step {
        let stream = opening.stream;
        if let Some(call) = self.calls.get(stream) {
            if call.request.phase != Phase::Awaited || call.has_request {
                // Trailers.
                call.request.wire = call.request.wire.saturating_add(opening.wire);
                if call.request.phase == Phase::Lost && opening.end_stream {
                    call.request_end = time;
                }
            } else {
                // The response was seen first.
                call.side = Side::Client;
                call.position = opening.start;
                call.start = opening.start_time;
                self.opened(stream);
                self.fill(stream, opening, head);
            }
        } else if stream.is_multiple_of(2) || stream <= self.newest && !head.is_request() {
            // Of a stream that is done with.
            return Step::On;
        } else if stream <= self.newest && !self.unseen.contains(stream) {
            return Step::On;
        } else {
            self.opened(stream);
            let call = Call::new(Side::Client, opening.start, opening.start_time);
            if let Some(done) = self.add(stream, call, head.text_bytes(), cx) {
                return done;
            }
            self.fill(stream, opening, head);
        }
        if opening.end_stream {
            return self.end_half(Side::Client, stream, time, cx);
        }
        Step::On
    }

    /// A new stream of the client.
    fn opened(&mut self, stream: u32) {
        if stream > self.newest {
            self.unseen.opened(stream);
            self.newest = stream;
        }
    }

    /// Takes the fields of a request.
    fn fill(&mut self, stream: u32, opening: Opening, head: Head) {
        let (lost, epoch) = match opening.promised {
            None => (self.client.lost, self.client.epoch),
            Some(_) => (self.server.lost, self.server.epoch),
        };
        let Some(call) = self.calls.get(stream) else {
            return;
        };
        if head.unknown > 0 {
            call.flag(or(lost, Flags::REQUEST_TRUNCATED));
        }
        if opening.unordered {
            call.flag(Flags::ORDER_UNCERTAIN);
        }
        call.has_request = true;
        call.epoch = epoch;
        call.request.phase = Phase::Begun;
        call.request.wire = call.request.wire.saturating_add(opening.wire);
        let before = call.text_bytes;
        call.head = head;
        call.text_bytes = before.saturating_add(call.head.text_bytes());
        let added = call.text_bytes.saturating_sub(before);
        self.calls.text_bytes = self.calls.text_bytes.saturating_add(added);
    }

    /// PUSH_PROMISE: the request of a response that the server sends unasked.
    fn promised(
        &mut self,
        promised: u32,
        opening: Opening,
        head: Head,
        time: u64,
        cx: &mut Context<'_>,
    ) -> Step {
        if self.calls.get(promised).is_some() {
            return Step::On;
        }
        let mut call = Call::new(Side::Server, opening.start, opening.start_time);
        call.pushed = true;
        if let Some(done) = self.add(promised, call, head.text_bytes(), cx) {
            return done;
        }
        self.fill(promised, opening, head);
        self.end_half(Side::Client, promised, time, cx)
    }

    /// HEADERS of the server.
    fn response(&mut self, opening: Opening, head: Head, time: u64, cx: &mut Context<'_>) -> Step {
        let stream = opening.stream;
        if let Some(done) = self.expect(stream, opening.start, opening.start_time, cx) {
            return done;
        }
        let lost = self.server.lost;
        let Some(call) = self.calls.get(stream) else {
            return Step::On;
        };
        call.response.wire = call.response.wire.saturating_add(opening.wire);
        if call.start == 0 {
            // Of an upgrade whose request came without its time.
            call.start = opening.start_time;
        }
        call.refused = None;
        let interim = (100..200).contains(&head.status) && !opening.end_stream;
        if interim {
            return Step::On;
        }
        if head.unknown > 0 {
            call.answer.unknown = true;
            call.flag(or(lost, Flags::RESPONSE_TRUNCATED));
        }
        if call.response.phase == Phase::Awaited
            || call.response_start != 0 && !call.answer.data && !opening.end_stream
        {
            // The second of two blocks before any DATA: the first was an interim response whose
            // status is not known.
            let begins =
                !opening.end_stream || head.status != 0 || call.has_request && call.lost_at == 0;
            if begins {
                call.response_start = opening.start_time;
            } else {
                call.response.incomplete = true;
                call.flag(or(lost, Flags::GAP));
            }
            if opening.unordered {
                call.flag(Flags::ORDER_UNCERTAIN);
            }
        }
        if call.response.phase == Phase::Awaited {
            call.response.phase = Phase::Begun;
        }
        call.answer.trailers |= opening.end_stream;
        let answer = &mut call.answer;
        if head.status != 0 {
            answer.status = head.status;
        }
        if head.content != Content::Unsaid {
            answer.content = head.content;
        }
        if head.grpc_status != GrpcStatus::Absent {
            answer.grpc_status = head.grpc_status;
        }
        let before = answer.text_bytes();
        answer.take_texts(&head);
        let after = answer.text_bytes();
        let count = |total: usize| total.saturating_sub(before).saturating_add(after);
        call.text_bytes = count(call.text_bytes);
        self.calls.text_bytes = count(self.calls.text_bytes);
        if opening.end_stream {
            return self.end_half(Side::Server, stream, time, cx);
        }
        self.watch(stream, cx);
        Step::On
    }

    /// Makes sure that something of the server has a stream, where it can have one.
    fn expect(
        &mut self,
        stream: u32,
        position: u64,
        time: u64,
        cx: &mut Context<'_>,
    ) -> Option<Step> {
        if self.calls.get(stream).is_some() {
            return None;
        }
        let missed = if stream.is_multiple_of(2) {
            // A promise that was not seen.
            (self.server.lost != Flags::empty()).then_some(self.server.lost)
        } else if self.unseen.contains(stream) {
            Some(self.missed)
        } else if !self.client.touched {
            // Of one direction nothing is seen at all.
            Some(Flags::GAP)
        } else if stream > self.newest {
            // The request is yet to come: the order of the two sides can be wrong.
            Some(Flags::empty())
        } else {
            None
        };
        let Some(missed) = missed else {
            return Some(Step::On);
        };
        let mut call = Call::new(Side::Server, position, time);
        call.flag(missed);
        if missed != Flags::empty() {
            call.request.phase = Phase::Lost;
            call.request.incomplete = true;
            call.request.messages.broken = true;
        }
        self.add(stream, call, 0, cx)
    }

    /// The highest stream that a frame can have: far beyond the newest that is known.
    pub(crate) fn highest(&self) -> u32 {
        match self.newest {
            0 if self.missed != Flags::empty() => u32::MAX,
            newest => newest.saturating_add(2 * STREAMS as u32),
        }
    }

    /// Whether DATA of a stream that was never heard of can be one. Where the place in a direction
    /// was lost, bytes that only look like DATA most often have a stream that cannot be.
    fn may_carry(&self, stream: u32) -> bool {
        !stream.is_multiple_of(2) && stream <= self.highest()
    }

    /// A frame of DATA is over.
    pub(crate) fn data_frame(
        &mut self,
        side: Side,
        frame: Frame,
        data: u64,
        time: u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let stream = frame.header.stream;
        let new = self.calls.get(stream).is_none();
        if new
            && side == Side::Server
            && self.may_carry(stream)
            && let Some(done) = self.expect(stream, frame.start, frame.start_time, cx)
        {
            return done;
        }
        let lost = self.server.lost;
        let Some(call) = self.calls.get(stream) else {
            return Step::On;
        };
        if side == Side::Server {
            call.answer.data = true;
            if call.response.phase == Phase::Awaited {
                // Its beginning was not seen.
                call.response.phase = Phase::Begun;
                call.response.incomplete = true;
                call.answer.unknown = true;
                call.flag(or(lost, Flags::GAP));
            }
        }
        let half = call.half(side);
        if !frame.counting && data > 0 {
            half.messages.broken = true;
        }
        half.count(frame.wire(), data);
        if frame.header.has(END_STREAM) {
            return self.end_half(side, stream, time, cx);
        }
        Step::On
    }

    /// END_STREAM of one side.
    fn end_half(&mut self, side: Side, stream: u32, time: u64, cx: &mut Context<'_>) -> Step {
        let Some(call) = self.calls.get(stream) else {
            return Step::On;
        };
        match side {
            Side::Client => call.request_end = time,
            Side::Server => call.end = time,
        }
        call.half(side).phase = Phase::Over;
        if call.is_over() {
            self.resets = self.resets.saturating_sub(1);
            self.finish(stream, cx);
        }
        Step::On
    }

    /// RST_STREAM.
    pub(crate) fn reset(
        &mut self,
        side: Side,
        stream: u32,
        code: Option<u32>,
        time: u64,
        wire: u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let Some(call) = self.calls.get(stream) else {
            self.unseen.close(stream);
            return Step::On;
        };
        let half = call.half(side);
        half.wire = half.wire.saturating_add(wire);
        if call.response.phase != Phase::Over {
            call.reset = Some((side, code));
            call.flag(Flags::RESET);
            if call.response.phase == Phase::Awaited {
                call.flag(Flags::NO_RESPONSE);
                if side == Side::Client && time.saturating_sub(call.start) < RAPID_NANOS {
                    self.resets = self.resets.saturating_add(1);
                }
            }
            call.end = time;
        }
        self.unseen.close(stream);
        self.finish(stream, cx);
        if self.resets > RAPID_RESETS {
            return self.give_up("rapid reset", cx);
        }
        Step::On
    }

    /// GOAWAY: streams of the other side beyond `last` will not be answered.
    pub(crate) fn go_away(&mut self, side: Side, last: u32, code: u32) {
        let odd = side == Side::Server;
        for (stream, call) in self.calls.iter_mut() {
            let theirs = stream.is_multiple_of(2) != odd;
            if theirs && stream > last && call.response.phase == Phase::Awaited {
                call.refused = Some(code);
            }
        }
    }

    /// A stream that an HTTP/1.1 request opened by an upgrade (RFC 7540, 3.2): its head, as the
    /// parser of HTTP/1 handed it over.
    pub(crate) fn upgraded(&mut self, request: &[u8]) {
        let mut head = Head::default();
        let mut lines = request.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_end);
        let mut first = lines.next().unwrap_or_default().splitn(2, |&b| b == b' ');
        let mut field = |name, text| {
            head.field(Field {
                name,
                text: None,
                value: Value::Known(text),
            });
        };
        field(Name::Method, first.next().unwrap_or_default());
        let target = first.next().unwrap_or_default();
        let target = target.strip_suffix(b" HTTP/1.1").unwrap_or(target);
        field(Name::Path, target);
        field(Name::Scheme, b"http");
        let mut start = 0;
        for line in lines {
            let Some(colon) = line.iter().position(|&b| b == b':') else {
                continue;
            };
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            match name {
                b"start-nanos" => {
                    let number = str::from_utf8(value)
                        .ok()
                        .and_then(|text| text.parse().ok());
                    start = number.unwrap_or(start);
                }
                _ => field(Name::of(name), value),
            }
        }
        let mut call = Call::new(Side::Server, 0, start);
        call.has_request = true;
        call.text_bytes = head.text_bytes();
        call.head = head;
        call.request.phase = Phase::Over;
        // It was not sent in frames.
        call.request.incomplete = true;
        // What its HTTP2-Settings allowed is not handed over.
        self.server.decoder.allow_any();
        self.server.largest = LARGEST_FRAME_BYTES;
        self.newest = 1;
        self.calls.insert(1, spare::boxed(call));
    }

    /// Adds a stream; `Some` when there are too many.
    fn add(
        &mut self,
        stream: u32,
        call: Call,
        text_bytes: usize,
        cx: &mut Context<'_>,
    ) -> Option<Step> {
        if self.calls.len() >= STREAMS {
            return Some(self.give_up("too many streams", cx));
        }
        if self.calls.text_bytes.saturating_add(text_bytes) > TEXT_BYTES {
            return Some(self.give_up("too much text in the open streams", cx));
        }
        self.calls.insert(stream, spare::boxed(call));
        None
    }

    /// The stream is closed: reports it.
    pub(crate) fn finish(&mut self, stream: u32, cx: &mut Context<'_>) {
        if let Some(mut call) = self.calls.remove(stream) {
            if !call.reported {
                emit(&mut call, self.scene, cx);
            }
            spare::keep(call);
        }
    }

    /// Reports what is in flight as it is and gives the connection up.
    pub(crate) fn give_up(&mut self, reason: &'static str, cx: &mut Context<'_>) -> Step {
        for (_, mut call) in self.calls.take() {
            if !call.reported {
                call.flag(Flags::UNFINISHED);
                call.end = call.end.max(self.now).max(call.start);
                emit(&mut call, self.scene, cx);
            }
        }
        cx.ignore(reason);
        Step::Done
    }

    /// Sets the timer for a stream that goes on.
    pub(crate) fn watch(&mut self, stream: u32, cx: &mut Context<'_>) {
        let limit = self.calls.get(stream).and_then(|call| call.limit());
        if let Some(limit) = limit.filter(|&limit| self.timer == 0 || limit < self.timer) {
            self.timer = limit;
            cx.wake_at(limit);
        }
    }

    /// What outlived the limit is reported before anything that came later. The timer notices it,
    /// or the first frame after it: the spans are the same.
    pub(crate) fn on_time(&mut self, time: u64, cx: &mut Context<'_>) {
        self.now = self.now.max(time);
        if self.timer != 0 && time >= self.timer {
            self.report_overdue(time, cx);
        }
    }

    pub(crate) fn report_overdue(&mut self, time: u64, cx: &mut Context<'_>) {
        let mut due: Vec<(u64, u32)> = self
            .calls
            .iter_mut()
            .filter_map(|(stream, call)| Some((call.limit()?, stream)))
            .filter(|&(limit, _)| limit <= time)
            .collect();
        due.sort_unstable();
        for (limit, stream) in due {
            if let Some(call) = self.calls.get(stream) {
                call.flag(Flags::UNFINISHED);
                if call.lost_at != 0 {
                    call.flag(Flags::GAP);
                }
                call.end = limit;
                emit(call, self.scene, cx);
                call.reported = true;
            }
        }
        let next = self
            .calls
            .iter_mut()
            .filter_map(|(_, call)| call.limit())
            .min();
        self.timer = next.unwrap_or(0);
        if let Some(next) = next {
            cx.wake_at(next);
        }
    }
}

/// Why a field is unknown: where nothing was missed, an entry was dropped for the sake of a limit.
fn or(lost: Flags, limit: Flags) -> Flags {
    if lost == Flags::empty() { limit } else { lost }
}
