//! Frame by frame through the bytes of a lane.

use wirespan_sdk::{Context, Input, Side};

use crate::call::Phase;
use crate::connection::{Http2, Step};
use crate::frame::{
    ACK, END_HEADERS, END_STREAM, HEADER_BYTES, Header, Kind, PADDED, PREFACE, Settings,
    headers_fragment, number, promise,
};
use crate::lane::{Block, Frame, Lane, Opening, State};
use crate::limits::{BLOCK_BYTES, CONTINUATIONS, FALSE_STARTS};
use crate::seek::{Found, find};

/// What is needed of GOAWAY: the last stream and the error code.
const GOAWAY_BYTES: u64 = 8;

impl Http2 {
    /// Reads on in the bytes of `side` at `at`.
    pub(crate) fn step(
        &mut self,
        side: Side,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        match self.lane(side).state {
            State::Preface => self.preface(input, at, cx),
            State::Seek => self.seek(side, input, at),
            State::Frame => self.frame(side, input, at, cx),
            State::Payload => self.payload(side, input, at, cx),
            State::Data => self.data_step(side, input, at, cx),
            State::Skip => {
                let end = self.lane(side).frame.end;
                *at = end.min(input.end());
                if *at < end {
                    return Step::Skip(end);
                }
                self.lane(side).state = State::Frame;
                Step::On
            }
        }
    }

    fn preface(&mut self, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        let bytes = input.from(*at);
        if bytes.starts_with(PREFACE) {
            *at = at.saturating_add(PREFACE.len() as u64);
            self.client.state = State::Frame;
            Step::On
        } else if PREFACE.starts_with(bytes) {
            Step::More
        } else {
            cx.not_mine();
            Step::Done
        }
    }

    fn seek(&mut self, side: Side, input: &Input<'_>, at: &mut u64) -> Step {
        let limit = self.highest();
        let lane = self.lane(side);
        let found = find(side, !lane.sought, limit, input.from(*at));
        if let Found::Frame(offset) | Found::Wait(offset) = found {
            *at = at.saturating_add(offset as u64);
            lane.sought |= offset > 0;
        }
        match found {
            Found::Wait(_) => Step::More,
            Found::Frame(_) => {
                let lane = self.lane(side);
                lane.state = State::Frame;
                lane.found = true;
                lane.sought = true;
                let time = input.time_at(*at);
                self.found(side, time);
                Step::On
            }
            Found::Preface => {
                // The beginning after all.
                self.client = Lane {
                    touched: true,
                    ..Lane::new(State::Preface)
                };
                if !self.server.touched {
                    self.server = Lane::new(State::Frame);
                }
                self.missed = wirespan_sdk::Flags::empty();
                self.unseen = Default::default();
                Step::On
            }
        }
    }

    fn frame(&mut self, side: Side, input: &Input<'_>, at: &mut u64, cx: &mut Context<'_>) -> Step {
        let Some(header) = Header::read(input.from(*at)) else {
            return Step::More;
        };
        let start_time = input.time_at(*at);
        self.on_time(start_time, cx);
        let lane = self.lane(side);
        if !lane.begun && header.kind != Kind::Settings {
            return self.give_up("no SETTINGS first", cx);
        }
        let continues = match &lane.block {
            Some(block) => {
                header.kind == Kind::Continuation && header.stream == block.opening.stream
            }
            None => header.kind != Kind::Continuation,
        };
        if let Err(reason) = header.check(lane.largest) {
            return self.broken(side, reason, cx);
        }
        if !continues {
            return self.broken(side, "header block interrupted", cx);
        }
        lane.begun = true;
        let start = *at;
        *at = at.saturating_add(HEADER_BYTES as u64);
        let end = at.saturating_add(u64::from(header.len));
        lane.frame = Frame {
            header,
            start,
            start_time,
            unordered: input.unordered_at(start),
            payload: *at,
            data_end: end,
            end,
            counting: false,
        };
        lane.state = match header.kind {
            Kind::Data => State::Data,
            Kind::Headers | Kind::PushPromise | Kind::Continuation
                if header.len as usize > BLOCK_BYTES =>
            {
                return self.give_up("header block too long", cx);
            }
            Kind::Settings if header.has(ACK) || header.len as usize > BLOCK_BYTES => State::Skip,
            Kind::Headers
            | Kind::PushPromise
            | Kind::Continuation
            | Kind::Reset
            | Kind::Settings
            | Kind::GoAway => State::Payload,
            Kind::Ping | Kind::WindowUpdate | Kind::Priority | Kind::Other => State::Skip,
        };
        match lane.state {
            State::Data => self.begin_data(side, input, at, cx),
            // Also where nothing follows.
            _ => self.step(side, input, at, cx),
        }
    }

    /// The payload of a frame that is needed whole.
    fn payload(
        &mut self,
        side: Side,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let frame = self.lane(side).frame;
        let need = match frame.header.kind {
            Kind::GoAway => frame.payload.saturating_add(GOAWAY_BYTES),
            _ => frame.end,
        };
        let len = usize::try_from(need.saturating_sub(*at)).unwrap_or(usize::MAX);
        let bytes = input.from(*at);
        let lane = self.lane(side);
        let Some(payload) = bytes.get(..len) else {
            // Kept here, so that a payload in many pieces is not shown again with each of them.
            lane.partial.extend_from_slice(bytes);
            *at = input.end();
            return Step::More;
        };
        let mut partial = std::mem::take(&mut lane.partial);
        let payload = if partial.is_empty() {
            payload
        } else {
            partial.extend_from_slice(payload);
            &partial
        };
        *at = need;
        lane.position = *at;
        lane.state = if need < frame.end {
            State::Skip
        } else {
            State::Frame
        };
        let time = input.time_at(at.saturating_sub(1));
        self.on_time(time, cx);
        match frame.header.kind {
            Kind::Headers | Kind::PushPromise | Kind::Continuation => {
                self.fragment(side, frame, payload, time, cx)
            }
            Kind::Reset => {
                let code = number(payload);
                self.reset(side, frame.header.stream, code, time, frame.wire(), cx)
            }
            Kind::Settings => match Settings::read(payload) {
                Ok(settings) => {
                    self.settings(side, settings);
                    Step::On
                }
                Err(reason) => self.broken(side, reason, cx),
            },
            Kind::GoAway => {
                let last = number(payload).unwrap_or(0) & 0x7fff_ffff;
                let code = payload.get(4..).and_then(number).unwrap_or(0);
                self.go_away(side, last, code);
                Step::On
            }
            _ => Step::On,
        }
    }

    /// What one side allows the other.
    fn settings(&mut self, side: Side, settings: Settings) {
        let other = self.lane(side.other());
        if let Some(bytes) = settings.table_bytes {
            other.decoder.allow(bytes);
        }
        if let Some(bytes) = settings.frame_bytes {
            // Frames of the old size may be under way: it never becomes smaller.
            other.largest = other.largest.max(bytes);
        }
    }

    /// A part of a header block, or all of it.
    fn fragment(
        &mut self,
        side: Side,
        frame: Frame,
        payload: &[u8],
        time: u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let header = frame.header;
        let lane = self.lane(side);
        let (fragment, promised) = match header.kind {
            Kind::PushPromise => match promise(&header, payload) {
                Some((promised, fragment))
                    if side == Side::Server && promised != 0 && promised.is_multiple_of(2) =>
                {
                    (fragment, Some(promised))
                }
                _ => return self.broken(side, "promise that cannot be", cx),
            },
            Kind::Headers => match headers_fragment(&header, payload) {
                Some(fragment) => (fragment, None),
                None => return self.broken(side, "padding longer than the frame", cx),
            },
            _ => (payload, None),
        };
        let ends = header.has(END_HEADERS);
        if let Some(mut block) = lane.block.take() {
            block.frames = block.frames.saturating_add(1);
            block.opening.wire = block.opening.wire.saturating_add(frame.wire());
            let len = block.bytes.len().saturating_add(fragment.len());
            if block.frames > CONTINUATIONS || len > BLOCK_BYTES {
                return self.give_up("header block without end", cx);
            }
            block.bytes.extend_from_slice(fragment);
            if ends {
                let bytes = (!block.damaged).then_some(&block.bytes[..]);
                return self.block(side, block.opening, bytes, time, cx);
            }
            lane.block = Some(block);
            return Step::On;
        }
        let opening = Opening {
            stream: header.stream,
            promised,
            end_stream: header.kind == Kind::Headers && header.has(END_STREAM),
            start: frame.start,
            start_time: frame.start_time,
            unordered: frame.unordered,
            wire: frame.wire(),
        };
        if ends {
            return self.block(side, opening, Some(fragment), time, cx);
        }
        lane.block = Some(Box::new(Block {
            opening,
            bytes: fragment.to_vec(),
            frames: 0,
            damaged: false,
        }));
        Step::On
    }

    /// After the header of a DATA frame.
    #[inline(always)]
    fn begin_data(
        &mut self,
        side: Side,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let stream = self.lane(side).frame.header.stream;
        let counting = self.calls.get(stream).is_some_and(|call| {
            if side == Side::Server && call.response.phase == Phase::Awaited {
                // Its beginning was not seen: this can be the middle of a message.
                call.response.messages.broken = true;
            }
            call.may_be_grpc() && !call.reported
        });
        let lane = self.lane(side);
        lane.frame.counting = counting;
        self.data_step(side, input, at, cx)
    }

    #[inline(always)]
    fn data_step(
        &mut self,
        side: Side,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let lane = self.lane(side);
        if lane.frame.header.has(PADDED) && *at == lane.frame.payload {
            let Some(&padding) = input.from(*at).first() else {
                return Step::More;
            };
            *at = at.saturating_add(1);
            let frame = &mut lane.frame;
            frame.data_end = frame.end.saturating_sub(u64::from(padding));
            if frame.data_end < *at {
                return self.broken(side, "padding longer than the frame", cx);
            }
        }
        let frame = lane.frame;
        let mut ahead = u64::MAX;
        if frame.counting && *at < frame.data_end {
            let len = frame.data_end.min(input.end()).saturating_sub(*at);
            let bytes = input.from(*at);
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if let Some(call) = self.calls.get(frame.header.stream) {
                let messages = &mut call.half(side).messages;
                messages.read(bytes.get(..len).unwrap_or(bytes));
                ahead = messages.ahead();
            }
        }
        *at = frame.end.min(input.end()).max(*at);
        if *at < frame.end {
            // Up to the prefix of the next message, or to the next frame.
            let next = at.saturating_add(ahead);
            return match (*at, next) {
                (at, next) if next <= at && at < frame.data_end => Step::More,
                (_, next) if next < frame.data_end => Step::Skip(next),
                _ => Step::Skip(frame.end),
            };
        }
        let time = input.time_at(at.saturating_sub(1));
        self.lane(side).position = *at;
        self.finish_data(side, time, cx)
    }

    /// Bytes up to `end` passed without being looked at, but within what is known.
    pub(crate) fn passed(&mut self, side: Side, end: u64, time: u64, cx: &mut Context<'_>) {
        let lane = self.lane(side);
        let from = lane.position;
        if end <= from {
            return;
        }
        lane.position = end;
        lane.time = time;
        let frame = lane.frame;
        match lane.state {
            State::Data => {
                let data = frame.data_end.min(end).saturating_sub(from);
                if let Some(call) = self.calls.get(frame.header.stream) {
                    if frame.header.has(PADDED) && from == frame.payload {
                        // How much of it is padding is not known.
                        let half = call.half(side);
                        half.incomplete = true;
                        half.messages.broken = true;
                        call.flag(wirespan_sdk::Flags::GAP);
                    }
                    let messages = &mut call.half(side).messages;
                    if frame.counting && !messages.broken {
                        messages.pass(data);
                        // Nothing else that the span says depends on these bytes.
                        if messages.broken {
                            call.flag(wirespan_sdk::Flags::GAP);
                        }
                    }
                }
                if end >= frame.end {
                    self.finish_data(side, time, cx);
                }
            }
            State::Skip if end >= frame.end => lane.state = State::Frame,
            _ => {}
        }
    }

    /// A frame of DATA is over at the lane's position.
    #[inline(always)]
    fn finish_data(&mut self, side: Side, time: u64, cx: &mut Context<'_>) -> Step {
        self.on_time(time, cx);
        let lane = self.lane(side);
        lane.state = State::Frame;
        let frame = lane.frame;
        let pad = u64::from(frame.header.has(PADDED));
        let data = frame
            .data_end
            .saturating_sub(frame.payload.saturating_add(pad));
        self.data_frame(side, frame, data, time, cx)
    }

    /// What is here is no frame. Where the place had only been found, it is looked for again.
    pub(crate) fn broken(
        &mut self,
        side: Side,
        reason: &'static str,
        cx: &mut Context<'_>,
    ) -> Step {
        let time = self.lane(side).frame.start_time;
        let lane = self.lane(side);
        lane.false_starts = lane.false_starts.saturating_add(1);
        if !lane.found || lane.false_starts > FALSE_STARTS {
            return self.give_up(reason, cx);
        }
        self.lose_place(side, time);
        self.watch_lost(cx);
        Step::On
    }
}
