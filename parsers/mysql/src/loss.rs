//! What was not seen: gaps, joining in the middle, ends; and finding both sides again.

use wirespan_parser_sql::limits::OUT_OF_STEP;
use wirespan_parser_sql::{Step, Text, Trust, flags_at_close, since};
use wirespan_sdk::{Cause, Context, Flags, Gap, Side};

use crate::connection::{Mysql, Phase, system};
use crate::emit;
use crate::exchange::{Answer, Kind, Pending};
use crate::outcome::{executed, flag_unknown};
use crate::view::View;

impl Mysql {
    /// Notes that bytes came, and that the other side's turn is over. A client that speaks after
    /// the server begins a command, and what the server says then answers it: that is how both are
    /// found.
    pub(crate) fn turn(&mut self, side: Side, view: &View<'_>, at: &mut u64, cx: &mut Context<'_>) {
        let seen = self.lane(side).seen;
        if !view.is_wire() || view.end() <= seen {
            return;
        }
        let begins = seen.max(*at);
        let turned = self.speaks(side, view.ends(view.end()));
        self.lane(side).seen = view.end();
        if side == Side::Server && self.found != 0 {
            let lane = &mut self.server;
            let from = lane.body_end.max(*at);
            lane.body_end = since(self.found, from, view.end(), |at| view.begins(at));
            if lane.body_end < view.end() {
                self.found = 0;
            }
        }
        if !turned || self.phase != Phase::Commands {
            return;
        }
        if side == Side::Server {
            if self.trust == Trust::Trial && !self.confirmed && !self.client.is_at_boundary() {
                // Whoever lets the other speak has ended a command.
                self.fall_out(cx);
            }
            return;
        }
        let astray = self.trust == Trust::Lost
            || self
                .queue
                .front()
                .is_some_and(|front| front.kind == Kind::Lost)
            || self.client.seek;
        let between =
            self.client.seek || self.client.position == begins && self.client.body_end <= begins;
        if astray && between {
            if self.client.seek {
                // What was not shown because more of it was waited for is of an earlier turn.
                *at = since(self.heard, begins, view.end(), |at| view.begins(at));
            }
            self.recover(view.begins(*at), cx);
        }
    }

    /// A side was heard up to a time: whether its turn begins. What was kept back until the other side
    /// had gone on is of an earlier turn, however late it is shown.
    pub(crate) fn speaks(&mut self, side: Side, time: u64) -> bool {
        let (own, other) = match side {
            Side::Client => (&mut self.spoke, self.heard),
            Side::Server => (&mut self.heard, self.spoke),
        };
        *own = time.max(*own);
        time >= other && self.last_side.replace(side) != Some(side)
    }

    /// Both sides are between packets, with what the client says from `found` on: what waits is
    /// reported with what is known of it.
    pub(crate) fn recover(&mut self, found: u64, cx: &mut Context<'_>) {
        self.found = found;
        let (missed, time) = (self.missed, self.server.time.max(self.client.time));
        self.flush(missed, time, cx);
        self.client.seek = false;
        self.client.continued = false;
        self.client.open = false;
        self.client.body_end = 0;
        self.server.seek = false;
        self.server.continued = false;
        self.server.open = false;
        self.server.pending = None;
        self.server.body_end = self.server.seen;
        self.server.position = self.server.seen;
        self.sends_file = false;
        self.may_end = false;
        self.confirmed = false;
        self.trust = Trust::Trial;
    }

    /// What the server said at `time` fits no command. Commands sent after it, but for the first,
    /// which it may have waited for, are read already or not, as the batch has it: nothing is said
    /// of them.
    pub(crate) fn fall_out_at(&mut self, time: u64, cx: &mut Context<'_>) -> Step {
        self.queue.forget_after(time);
        self.fall_out(cx)
    }

    /// What one side said does not fit what the other said.
    pub(crate) fn fall_out(&mut self, cx: &mut Context<'_>) -> Step {
        self.out_of_step = self.out_of_step.saturating_add(1);
        if self.out_of_step > OUT_OF_STEP {
            return self.give_up("out of step", cx);
        }
        if self.missed == Flags::empty() {
            self.missed = Flags::GAP;
        }
        let (missed, time) = (self.missed, self.server.time.max(self.queue.end()));
        self.flush(missed, time, cx);
        self.trust = Trust::Lost;
        self.client.seek();
        self.server.seek();
        if !self.compression_known {
            for lane in [&mut self.client, &mut self.server] {
                if let Some(frames) = lane.frames.take() {
                    lane.seen = frames.seen();
                }
                lane.compressed = false;
            }
        }
        Step::On
    }

    /// A header that is none.
    pub(crate) fn malformed(
        &mut self,
        side: Side,
        view: &View<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        match self.trust {
            Trust::Sure => self.fall_out(cx),
            Trust::Trial => {
                *at = view.end();
                self.fall_out(cx)
            }
            Trust::Lost => {
                self.lane(side).seek();
                Step::On
            }
        }
    }

    /// Bytes that will never come.
    pub(crate) fn lost(&mut self, side: Side, gap: Gap, cx: &mut Context<'_>) {
        let end = gap.end();
        if side == Side::Server {
            // It spoke: what the client says next begins a command. So may what follows a gap of
            // the client's, which is tried.
            self.speaks(side, gap.time);
        }
        let lane = self.lane(side);
        lane.time = lane.time.max(gap.time);
        let pending = lane.pending.take().map(|packet| *packet);
        if let Some(end) = end {
            lane.position = end;
            lane.seen = lane.seen.max(end);
            if lane.body_end >= end {
                let passed = lane.body_end == end;
                self.flag_current(side, Flags::GAP);
                if passed {
                    self.passed(side, gap.time);
                }
                return;
            }
            // Only of a packet that nothing follows the end is certain.
            if let Some(packet) = pending
                .filter(|packet| end <= packet.end_position() && self.phase == Phase::Commands)
            {
                let lane = self.lane(side);
                lane.body_end = packet.end_position();
                lane.open = lane.body_end > end;
                lane.sequence = packet.header.sequence;
                lane.continued = packet.header.len == crate::wire::FULL;
                match side {
                    Side::Client => {
                        self.command(packet, None, cx);
                        self.flag_current(side, Flags::GAP);
                    }
                    Side::Server => {
                        self.flag_current(side, Flags::GAP);
                        self.answered(packet, 0, None, cx);
                    }
                }
                return;
            }
        } else {
            lane.position = 0;
            lane.seen = 0;
        }
        self.missed = self.missed | Flags::GAP;
        self.lose(side, gap.position, gap.time);
    }

    /// Where packets of a side begin is not known any more.
    pub(crate) fn lose(&mut self, side: Side, position: u64, time: u64) {
        self.lane(side).seek();
        if self.phase != Phase::Commands {
            // Who both are was lost with it.
            self.phase = Phase::Commands;
            self.compression_known = false;
            self.client.seek();
            self.server.seek();
            self.trust = Trust::Lost;
            return;
        }
        if side == Side::Server {
            self.flag_current(side, Flags::GAP);
            self.trust = Trust::Lost;
            return;
        }
        match self.trust {
            Trust::Sure => {
                self.queue.push(Pending {
                    kind: Kind::Lost,
                    sequence: 0,
                    text: Text::Unknown,
                    position,
                    start: time,
                    end: time,
                    bytes: 0,
                    flags: Flags::GAP,
                    traceparent: None,
                });
            }
            Trust::Trial | Trust::Lost => self.trust = Trust::Lost,
        }
    }

    pub(crate) fn closed(&mut self, cause: Cause, time: u64, cx: &mut Context<'_>) {
        let mut flags = flags_at_close(cause);
        if self.answer.start != 0 && flags == Flags::empty() {
            self.answer.flags = self.answer.flags | Flags::RESPONSE_TRUNCATED;
        }
        if self.trust == Trust::Sure {
            flags = flags | Flags::NO_RESPONSE;
        } else {
            flags = flags | self.missed;
        }
        self.flush(flags, time, cx);
    }

    /// Reports what is in the queue. The first has what is known of its answer, the others `flags`.
    pub(crate) fn flush(&mut self, flags: Flags, time: u64, cx: &mut Context<'_>) {
        self.client.owner = false;
        while let Some(mut pending) = self.queue.pop() {
            let answer = std::mem::take(&mut self.answer);
            let begun = answer.start != 0;
            let answer = if begun {
                let known = Flags::NO_RESPONSE;
                Answer {
                    flags: answer.flags | Flags::from_bits_retain(flags.bits() & !known.bits()),
                    rows_unknown: true,
                    ..answer
                }
            } else {
                Answer {
                    end: time,
                    flags: answer.flags | flags,
                    ..Answer::default()
                }
            };
            if let Kind::Close(id) = pending.kind {
                self.statements.remove(&id);
            }
            if self.confirmed && pending.kind.is_exchange() {
                let text = std::mem::take(&mut pending.text);
                let text = executed(&mut self.statements, pending.kind, text);
                flag_unknown(&mut pending, &text, self.missed);
                let (system, namespace) = (system(self.mariadb), self.namespace.as_deref());
                emit::exchange(system, namespace, &pending, &text, &answer, cx);
                text.recycle();
            }
            pending.text.recycle();
        }
    }
}
