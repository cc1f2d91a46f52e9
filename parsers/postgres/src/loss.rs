//! What was not seen: gaps, joining in the middle, ends; and finding both sides again.

use wirespan_parser_sql::limits::OUT_OF_STEP;
use wirespan_parser_sql::{Known, Step, Text, Trust, flags_at_close, since};
use wirespan_sdk::{Cause, Context, Flags, Gap, Input, Side};

use crate::connection::Postgres;
use crate::emit;
use crate::lane::State;
use crate::queue::{Answer, Failure, Intended, Item, Name, Pending, may_deallocate};
use crate::wire::{READY_IDLE, is_ready};

impl Postgres {
    /// Notes that bytes came, and that the other side's turn is over. A client that speaks after a
    /// ReadyForQuery begins a message, and so does the server then: that is how both are found.
    pub(crate) fn turn(
        &mut self,
        side: Side,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) {
        let seen = self.lane(side).seen;
        let went_on = side == Side::Client && std::mem::take(&mut self.went_on);
        if input.end() <= seen && !went_on {
            return;
        }
        let begins = if went_on {
            since(self.heard, *at, input.end(), |at| input.time_at(at))
        } else {
            seen.max(*at)
        };
        let turned = self.last_side.replace(side) != Some(side);
        self.lane(side).seen = input.end();
        let time = input.time_at(input.end().saturating_sub(1));
        if side == Side::Client {
            self.spoke = time;
        }
        if side == Side::Server {
            self.heard = time;
            self.note_tail(input.from(begins));
            if turned
                && self.trust == Trust::Trial
                && !self.confirmed
                && !self.client.is_at_boundary()
            {
                // Whoever lets the other speak has ended a message.
                self.fall_out(cx);
            }
            return;
        }
        let astray = self.trust == Trust::Lost
            || matches!(self.queue.front().map(|p| &p.item), Some(Item::Lost));
        let between = self.client.state == State::Seek
            || self.client.position == begins && self.client.body_end <= begins;
        if turned && astray && between && self.tail_is_ready() {
            if self.client.state == State::Seek {
                // What was not shown because more of it was waited for is of an earlier turn.
                *at = since(self.heard, begins, input.end(), |at| input.time_at(at));
            }
            self.recover(cx);
        }
    }

    fn note_tail(&mut self, bytes: &[u8]) {
        let seen = usize::from(self.tail_seen).saturating_add(bytes.len());
        self.tail_seen = seen.min(self.tail.len()) as u8;
        if let Some(last) = bytes.last_chunk::<6>() {
            self.tail = *last;
        } else {
            for &byte in bytes {
                self.tail.rotate_left(1);
                if let Some(last) = self.tail.last_mut() {
                    *last = byte;
                }
            }
        }
    }

    /// Whether the server's last bytes are a ReadyForQuery, as far as they were seen. Whoever does
    /// not send ahead has waited for one, be it lost.
    fn tail_is_ready(&self) -> bool {
        let mut tail = READY_IDLE;
        let lost = self.tail.len().saturating_sub(usize::from(self.tail_seen));
        for (known, seen) in tail.iter_mut().zip(self.tail).skip(lost) {
            *known = seen;
        }
        is_ready(&tail) && (lost == 0 || !self.ahead)
    }

    /// Both sides are between messages: what waits is reported with what is known of it.
    fn recover(&mut self, cx: &mut Context<'_>) {
        let confirmed = self.confirmed;
        self.redefined |= self.queue.iter().any(|pending| match &pending.item {
            Item::Query(text) => may_deallocate(text),
            Item::Parse { name, .. } => name
                .as_ref()
                .map(|name| self.statements.remove(&**name))
                .is_none(),
            Item::CloseStatement(name) => name
                .as_ref()
                .map(|name| self.statements.remove(&**name))
                .is_none(),
            _ => false,
        });
        if self.answer.start != 0 {
            // Its end was seen, even where its messages were not.
            self.answer.incomplete = true;
            if self.tail_seen > 0 && self.tail_is_ready() {
                self.answer.end = self.answer.end.max(self.server.time);
            }
        }
        let (missed, time) = (self.missed, self.server.time.max(self.client.time));
        self.flush(missed, time, cx);
        if self.client.state == State::Seek {
            self.client.state = State::Messages;
            self.confirmed = false;
        } else {
            self.confirmed = confirmed;
        }
        self.server.state = State::Messages;
        self.server.pending = None;
        self.server.body_end = self.server.seen;
        self.statements.remove(&b""[..]);
        self.portals.clear();
        if std::mem::take(&mut self.redefined) {
            self.statements.clear();
        }
        self.trust = Trust::Trial;
    }

    /// What one side said does not fit what the other said.
    pub(crate) fn fall_out(&mut self, cx: &mut Context<'_>) -> Step {
        if self.trust == Trust::Sure && !self.logged_in {
            cx.not_mine();
            return Step::Done;
        }
        self.out_of_step = self.out_of_step.saturating_add(1);
        if self.out_of_step > OUT_OF_STEP {
            return self.give_up("out of step", cx);
        }
        if self.missed == Flags::empty() {
            self.missed = Flags::GAP;
        }
        self.answer.incomplete = true;
        let (missed, time) = (self.missed, self.server.time.max(self.client.time));
        self.flush(missed, time, cx);
        self.trust = Trust::Lost;
        self.redefined = true;
        self.client.seek();
        self.server.seek();
        Step::On
    }

    /// A header that is none.
    pub(crate) fn malformed(
        &mut self,
        side: Side,
        at: &mut u64,
        input: &Input<'_>,
        cx: &mut Context<'_>,
    ) -> Step {
        match self.trust {
            Trust::Sure if !self.logged_in => {
                self.flush(
                    Flags::UNFINISHED,
                    self.server.time.max(self.client.time),
                    cx,
                );
                cx.not_mine();
                Step::Done
            }
            Trust::Sure => self.give_up("malformed message", cx),
            Trust::Trial => {
                *at = input.end();
                self.fall_out(cx)
            }
            Trust::Lost => {
                self.lane(side).seek();
                self.redefined = true;
                Step::On
            }
        }
    }

    /// Bytes that will never come.
    pub(crate) fn lost(&mut self, side: Side, gap: Gap, cx: &mut Context<'_>) {
        let end = gap.end();
        let lane = self.lane(side);
        lane.time = lane.time.max(gap.time);
        let pending = lane.pending.take();
        if let Some(end) = end {
            lane.position = end;
            lane.seen = lane.seen.max(end);
            if lane.body_end >= end {
                self.flag_current(side, Flags::GAP);
                self.passed(side, gap.time);
                return;
            }
            if let Some(message) = pending.filter(|message| end <= message.end_position()) {
                lane.body_end = message.end_position();
                let queued = self.queue.len();
                if side == Side::Server {
                    self.flag_current(side, Flags::GAP);
                }
                self.handle(side, message, None, cx);
                if side == Side::Client && self.queue.len() > queued {
                    self.flag_current(side, Flags::GAP);
                }
                return;
            }
        } else {
            lane.position = 0;
            lane.seen = 0;
        }
        let startup = lane.state == State::Startup;
        lane.seek();
        self.missed = self.missed | Flags::GAP;
        self.logged_in = true;
        if startup {
            // As one that is joined in the middle: where encryption was asked for in what was lost,
            // the server's answer to it is no message.
            self.server.seek();
            self.trust = Trust::Lost;
            self.confirmed = false;
            return;
        }
        if side == Side::Server {
            if matches!(self.queue.front().map(|p| &p.item), Some(Item::Encryption)) {
                self.pop();
                self.client.seek();
            }
            self.flag_current(side, Flags::GAP);
            self.answer.incomplete = true;
            self.trust = Trust::Lost;
            self.last_side = Some(Side::Server);
            self.heard = gap.time;
            self.went_on = self.spoke > gap.time && self.client.seen > self.client.position;
            self.tail_seen = 0;
            self.tail = [0; 6];
            return;
        }
        self.redefined |= self.server.state == State::Seek;
        if self.answer.copy_in {
            // What was lost may be of what is copied.
            self.flag_current(side, Flags::GAP);
        }
        match self.trust {
            Trust::Sure => {
                // All that the server has said so far is explained: what was lost is not answered yet, and
                // what the client says next in this turn is not the first that will be.
                self.last_side = Some(Side::Client);
                let (position, time) = (gap.position, gap.time);
                self.queue.push_back(Pending {
                    item: Item::Lost,
                    position,
                    start: time,
                    end: time,
                    bytes: 0,
                    flags: Flags::GAP,
                });
                self.client.owner = false;
            }
            Trust::Trial | Trust::Lost => self.trust = Trust::Lost,
        }
    }

    pub(crate) fn closed(&mut self, cause: Cause, time: u64, cx: &mut Context<'_>) {
        let mut flags = flags_at_close(cause);
        let begun = self.answer.start != 0 && self.failure.is_none();
        if begun && flags == Flags::empty() {
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
        let mut answer = std::mem::take(&mut self.answer);
        let failure = self.failure.take().map(|failure| *failure);
        let mut group: Vec<Pending> = std::mem::take(&mut self.queue).into();
        self.queue_bytes = 0;
        self.client.owner = false;
        if !self.confirmed {
            return;
        }
        if failure.is_none() && answer.start != 0 && !group.is_empty() {
            let first = group.remove(0);
            let known = Flags::NO_RESPONSE;
            if !answer.error {
                answer.flags = answer.flags | Flags::from_bits_retain(flags.bits() & !known.bits());
            }
            self.report_group(&[first], Some(Failure { answer, sent: 0 }), flags, time, cx);
            self.report_group(&group, None, flags, time, cx);
            return;
        }
        self.report_group(&group, failure, flags, time, cx);
    }

    /// Reports the exchanges of a group, the first of which failed where `failure` says how. The
    /// texts are what the messages meant to run, carried out or not.
    pub(crate) fn report_group(
        &mut self,
        group: &[Pending],
        failure: Option<Failure>,
        flags: Flags,
        time: u64,
        cx: &mut Context<'_>,
    ) {
        let teller = failure.as_ref().map(|failure| teller(group, failure.sent));
        let mut failed = failure.map(|failure| failure.answer);
        let mut intended = Intended::default();
        let mut carried = self.carried;
        for (index, pending) in group.iter().enumerate() {
            let text = self.intend(&pending.item, &mut intended);
            carried = carried | pending.flags;
            let tells = teller == Some(index);
            let runs = matches!(
                pending.item,
                Item::Query(_) | Item::Function | Item::Execute(_)
            );
            let alone =
                tells && !matches!(pending.item, Item::Startup | Item::Encryption | Item::Lost);
            let reported = runs || alone && failed.as_ref().is_some_and(|answer| answer.error);
            if !reported {
                continue;
            }
            let answer = if tells { failed.take() } else { None };
            let mut answer = answer.unwrap_or_else(|| Answer {
                end: time,
                flags,
                ..Answer::default()
            });
            if text.is_none() {
                answer.flags = answer.flags | carried;
            }
            if !runs {
                // What was missed may be the execution that would tell it.
                let missed = |flags, pending: &Pending| flags | pending.flags;
                answer.flags = group.iter().fold(answer.flags, missed);
            }
            let text = Text::from(text);
            emit::exchange(self.namespace.as_deref(), pending, &answer, &text, cx);
        }
        if let Some(Item::Parse {
            name: Some(name), ..
        }) = group.first().map(|p| &p.item)
            && name.is_empty()
        {
            self.statements.remove(&b""[..]); // gone before its successor is looked at
        }
    }

    /// What the message means to run, after those before it.
    fn intend(&mut self, item: &Item, intended: &mut Intended) -> Known {
        let statement = |this: &mut Self, intended: &Intended, name: &Name| -> Known {
            let name = name.as_ref()?;
            intended
                .statement(name)
                .unwrap_or_else(|| this.statements.get(&**name))
        };
        let portal = |this: &mut Self, intended: &Intended, name: &Name| -> Known {
            let name = name.as_ref()?;
            intended
                .portal(name)
                .unwrap_or_else(|| this.portals.get(&**name))
        };
        match item {
            Item::Query(text) => text.known(),
            Item::Parse { name, text } => {
                match name {
                    Some(name) => intended.set_statement(name, text.clone()),
                    None => intended.set_any(),
                }
                text.clone()
            }
            Item::Bind {
                portal,
                statement: name,
            } => {
                let text = statement(self, intended, name);
                match portal {
                    Some(portal) => intended.set_portal(portal, text.clone()),
                    None => intended.set_any(),
                }
                text
            }
            Item::DescribeStatement(name) => statement(self, intended, name),
            Item::DescribePortal(name) | Item::Execute(name) => portal(self, intended, name),
            Item::Lost => {
                intended.set_any();
                None
            }
            _ => None,
        }
    }
}

/// Which of a group tells of the failure of its first: the execution of what failed, where it had
/// been sent, else that itself.
fn teller(group: &[Pending], sent: usize) -> usize {
    let (mut statement, mut portal): (Option<&Name>, Option<&Name>) =
        match group.first().map(|p| &p.item) {
            Some(Item::Parse { name, .. } | Item::DescribeStatement(name)) => (Some(name), None),
            Some(Item::Bind { portal, .. } | Item::DescribePortal(portal)) => (None, Some(portal)),
            _ => return 0,
        };
    for (index, pending) in group.iter().enumerate().take(sent).skip(1) {
        match &pending.item {
            Item::Parse { name, .. } if statement == Some(name) => statement = None,
            Item::Bind {
                portal: to,
                statement: from,
            } => {
                if statement == Some(from) {
                    portal = Some(to);
                } else if portal == Some(to) {
                    portal = None;
                }
            }
            Item::Execute(name) if portal == Some(name) => return index,
            Item::Sync => break,
            _ => {}
        }
    }
    0
}
