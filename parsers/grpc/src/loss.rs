//! What is not seen: gaps, and the end of the connection.

use wirespan_sdk::{Cause, Context, Flags, Gap, Side};

use crate::call::Phase;
use crate::connection::Http2;
use crate::frame::{END_HEADERS, END_STREAM, Kind};
use crate::lane::{Block, Opening, State};

impl Http2 {
    pub(crate) fn lost(&mut self, side: Side, gap: Gap, cx: &mut Context<'_>) {
        let lane = self.lane(side);
        lane.touched = true;
        let within = gap.end().filter(|&end| end <= lane.frame.end);
        match (lane.state, within) {
            (State::Data | State::Skip, Some(end)) => self.passed(side, end, gap.time, cx),
            (State::Payload, Some(end)) => {
                self.lost_payload(side, gap.time, cx);
                let lane = self.lane(side);
                lane.state = State::Skip;
                self.passed(side, end, gap.time, cx);
            }
            _ => {
                self.lose_place(side, gap.time);
                if let Some(end) = gap.end() {
                    self.lane(side).position = end;
                }
                self.on_time(gap.time, cx);
                self.watch_lost(cx);
            }
        }
    }

    /// A part of a frame that is needed whole was lost; where it ends is known.
    fn lost_payload(&mut self, side: Side, time: u64, cx: &mut Context<'_>) {
        let lane = self.lane(side);
        lane.partial = Vec::new();
        let frame = lane.frame;
        let header = frame.header;
        match header.kind {
            _ if lane.in_block() => {
                lane.rejoin(Flags::GAP);
                let opening = match lane.block.take() {
                    Some(block) => block.opening,
                    None => Opening {
                        stream: header.stream,
                        promised: None,
                        end_stream: header.has(END_STREAM),
                        start: frame.start,
                        start_time: frame.start_time,
                        unordered: frame.unordered,
                        wire: frame.wire(),
                    },
                };
                if header.kind == Kind::PushPromise {
                    // Which stream was promised is not known.
                } else if header.has(END_HEADERS) {
                    // A stream whose end is in it ends with the gap.
                    self.block(side, opening, None, time, cx);
                } else {
                    lane.block = Some(Box::new(Block {
                        opening,
                        bytes: Vec::new(),
                        frames: 0,
                        damaged: true,
                    }));
                }
            }
            Kind::Reset => {
                if let Some(call) = self.calls.get(header.stream) {
                    // That it was reset is known, why is not.
                    call.flag(Flags::GAP);
                }
                self.reset(side, header.stream, None, time, frame.wire(), cx);
            }
            Kind::Settings => self.lost_settings(side),
            _ => {}
        }
    }

    fn lost_settings(&mut self, side: Side) {
        let other = self.lane(side.other());
        other.decoder.allow_any();
        other.largest = crate::frame::LARGEST_FRAME_BYTES;
    }

    /// Where the next frame begins is not known, nor what passed.
    pub(crate) fn lose_place(&mut self, side: Side, time: u64) {
        let lane = self.lane(side);
        lane.state = State::Seek;
        lane.begun = true;
        lane.sought = true;
        lane.block = None;
        lane.partial = Vec::new();
        lane.rejoin(Flags::GAP);
        self.lost_settings(side);
        if side == Side::Client {
            self.missed = self.missed | Flags::GAP;
            self.unseen.begin(self.newest);
        }
        for (_, call) in self.calls.iter_mut() {
            match (side, call.half(side).phase) {
                (Side::Client, Phase::Over) => {
                    // It may have been reset unseen.
                    if call.response.phase != Phase::Over && call.lost_at == 0 {
                        call.lost_at = time.max(1);
                    }
                    continue;
                }
                (Side::Server, Phase::Over) => continue,
                (Side::Client, _) => call.request.phase = Phase::Lost,
                (Side::Server, _) if call.lost_at == 0 => call.lost_at = time.max(1),
                (Side::Server, _) => {}
            }
            let half = call.half(side);
            half.incomplete = true;
            // What comes next can be the middle of a message.
            half.messages.broken = true;
            call.flag(Flags::GAP);
        }
        if side == Side::Client {
            let stale: Vec<u32> = self
                .calls
                .iter_mut()
                .filter_map(|(stream, call)| call.is_over().then_some(stream))
                .collect();
            self.stale = stale;
        }
    }

    /// The place is known again. Frames of streams that were opened since may have passed before.
    pub(crate) fn found(&mut self, side: Side, time: u64) {
        if side == Side::Server {
            for (_, call) in self.calls.iter_mut() {
                if call.response.phase != Phase::Over && call.lost_at == 0 {
                    call.lost_at = time.max(1);
                }
            }
        }
    }

    /// Streams that may have ended unseen are reported after a while.
    pub(crate) fn watch_lost(&mut self, cx: &mut Context<'_>) {
        for stream in std::mem::take(&mut self.stale) {
            self.finish(stream, cx);
        }
        let next = self
            .calls
            .iter_mut()
            .filter_map(|(_, call)| call.limit())
            .min();
        if let Some(next) = next.filter(|&next| self.timer == 0 || next < self.timer) {
            self.timer = next;
            cx.wake_at(next);
        }
    }

    /// The connection is gone: reports what is in flight.
    pub(crate) fn closed(&mut self, cause: Cause, time: u64, cx: &mut Context<'_>) {
        self.on_time(time, cx);
        let ended = matches!(cause, Cause::Finished | Cause::None | Cause::Reset);
        let last = self.client.time.max(self.server.time);
        // What was sent since the place was lost may hold the answer, or a reset.
        let lost = [&self.client, &self.server]
            .into_iter()
            .filter(|lane| lane.touched && lane.state == State::Seek)
            .fold(Flags::empty(), |flags, lane| flags | lane.lost);
        for (_, mut call) in self.calls.take() {
            if call.reported {
                continue;
            }
            let answered = call.response.phase == Phase::Over;
            if cause == Cause::Reset && !answered {
                call.flag(Flags::RESET);
            }
            if !answered && call.lost_at != 0 {
                call.flag(Flags::GAP);
            }
            if !answered && lost != Flags::empty() {
                call.flag(lost);
                call.lost_at = call.lost_at.max(1);
            }
            match call.response.phase {
                Phase::Over => {}
                Phase::Begun => {
                    call.flag(Flags::RESPONSE_TRUNCATED);
                    if !ended {
                        call.flag(Flags::UNFINISHED);
                    }
                }
                // Where frames are missing, the answer may be among them.
                Phase::Awaited | Phase::Lost if call.lost_at != 0 => {}
                Phase::Awaited | Phase::Lost => call.flag(Flags::NO_RESPONSE),
            }
            if call.request.phase == Phase::Begun && !answered {
                call.flag(Flags::REQUEST_TRUNCATED);
            }
            if !answered {
                call.end = if ended { time } else { last.max(call.start) };
            }
            crate::emit::emit(&mut call, self.scene, cx);
        }
    }
}
