//! The server's messages: each answers the first in the queue, or nothing.

use wirespan_parser_sql::{Step, Text, Trust};
use wirespan_sdk::{Context, Flags, Input};

use crate::connection::Postgres;
use crate::emit;
use crate::lane::Message;
use crate::limits::{IDLE_QUEUE, MESSAGE_BYTES, UNFINISHED_AFTER};
use crate::queue::{Answer, Command, Failure, Item, Pending};
use crate::wire::{self, sqlstate};

/// What a message means to the exchange it belongs to.
enum Turn {
    /// It goes on.
    On,
    /// It is over.
    Over,
    /// It is over, and the server skips what was sent with it.
    Failed,
    /// The message does not belong to it.
    Foreign,
}

impl Postgres {
    pub(crate) fn server_message(
        &mut self,
        message: Message,
        body: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) -> Step {
        let tag = message.header.tag;
        if matches!(tag, b'N' | b'A' | b'S') {
            return Step::On; // at any time, asked for by nobody
        }
        let lost = self.trust == Trust::Lost;
        let item = match self.queue.front().map(|pending| &pending.item) {
            Some(Item::Lost) => return self.orphan(tag, body),
            _ if lost => return self.orphan(tag, body),
            Some(item) => item,
            // A server that ends the session says why.
            None if tag == b'E' || self.trust != Trust::Sure => return Step::On,
            None => return self.fall_out(cx),
        };
        match (tag, item) {
            (b'R' | b'K' | b'v', Item::Startup) => return Step::On,
            (b'R' | b'K' | b'v', _) => return self.fall_out(cx),
            (_, Item::Encryption) => {
                self.pop();
                return Step::On;
            }
            _ => {}
        }
        if self.failure.is_some() {
            return match tag {
                b'Z' => self.end_group(message, body, cx),
                b'E' => Step::On,
                _ => self.fall_out(cx),
            };
        }
        let turn = self.advance(message, body, cx);
        // An error with its code, right after a request, is no accident of bytes.
        self.confirmed |= tag == b'E' && self.answer.code.is_some();
        match turn {
            Turn::On => Step::On,
            Turn::Foreign => self.fall_out(cx),
            Turn::Failed => {
                let answer = std::mem::take(&mut self.answer);
                let sent = self.queue.len();
                self.failure = Some(Box::new(Failure { answer, sent }));
                Step::On
            }
            Turn::Over => {
                self.finish(cx);
                if tag == b'Z' {
                    self.ready(body);
                }
                Step::On
            }
        }
    }

    /// Counts the rows that are here whole: most messages of most connections. `false`: what comes
    /// first is something else, or is looked at with care.
    pub(crate) fn rows(&mut self, input: &Input<'_>, at: &mut u64) -> bool {
        let runs =
            |p: &Pending| matches!(p.item, Item::Query(_) | Item::Function | Item::Execute(_));
        if self.trust != Trust::Sure
            || self.failure.is_some()
            || !self.queue.front().is_some_and(runs)
        {
            return false;
        }
        let (mut rest, mut rows) = (input.from(*at), 0_u64);
        let before = rest.len();
        while let Some((&[b'D', a, b, c, d], after)) = rest.split_first_chunk::<5>()
            && let length @ 6..=MESSAGE_BYTES = u32::from_be_bytes([a, b, c, d])
            && let Some((_, after)) = after.split_at_checked(length as usize - 4)
        {
            rows = rows.saturating_add(1);
            rest = after;
        }
        if rows == 0 {
            return false;
        }
        let bytes = before.saturating_sub(rest.len()) as u64;
        let answer = &mut self.answer;
        if answer.start == 0 {
            answer.start = input.time_at(*at);
        }
        *at = at.saturating_add(bytes);
        answer.end = input.time_at(at.saturating_sub(1));
        answer.result = true;
        answer.rows = answer.rows.saturating_add(rows);
        answer.bytes = answer.bytes.saturating_add(bytes);
        self.server.pending = None;
        self.server.body_end = *at;
        true
    }

    /// Notes what the message says in the answer to the first in the queue.
    fn advance(&mut self, message: Message, body: Option<&[u8]>, cx: &mut Context<'_>) -> Turn {
        let Some(pending) = self.queue.front() else {
            return Turn::Foreign;
        };
        let answer = &mut self.answer;
        let whole = matches!(pending.item, Item::Query(_) | Item::Function);
        let runs = whole || matches!(pending.item, Item::Execute(_));
        let turn = match (message.header.tag, &pending.item) {
            (b'Z', item) if item.is_ended_by_ready() => Turn::Over,
            (b'E', Item::Query(_) | Item::Function | Item::Startup | Item::Sync) => {
                note_error(answer, body);
                Turn::On
            }
            (b'E', _) => {
                note_error(answer, body);
                Turn::Failed
            }
            (b'1', Item::Parse { .. })
            | (b'2', Item::Bind { .. })
            | (b'3', Item::CloseStatement(_) | Item::ClosePortal(_))
            | (b'T' | b'n', Item::DescribeStatement(_) | Item::DescribePortal(_)) => Turn::Over,
            (b't', Item::DescribeStatement(_)) => Turn::On,
            (b'T', _) if whole => {
                answer.result = true;
                Turn::On
            }
            (b'D', _) if runs => {
                answer.result = true;
                answer.rows = answer.rows.saturating_add(1);
                Turn::On
            }
            (b'C', _) if runs => {
                note_command(answer, body);
                if whole { Turn::On } else { Turn::Over }
            }
            (b'I' | b's', Item::Execute(_)) => {
                answer.result |= message.header.tag == b's';
                Turn::Over
            }
            (b'I', Item::Query(_)) | (b'V', Item::Function) => Turn::On,
            (b'G', _) if runs => {
                answer.copy_in = !std::mem::take(&mut answer.copied_ahead);
                Turn::On
            }
            (b'W', _) if runs => {
                answer.copy_both = true;
                let start = if answer.start == 0 {
                    message.start
                } else {
                    answer.start
                };
                cx.wake_at(start.saturating_add(UNFINISHED_AFTER));
                Turn::On
            }
            (b'H' | b'd' | b'c', _) if runs => Turn::On,
            _ => Turn::Foreign,
        };
        if !matches!(turn, Turn::Foreign) {
            if answer.start == 0 {
                answer.start = message.start;
            }
            answer.end = message.end;
            answer.bytes = answer.bytes.saturating_add(message.header.len());
        }
        turn
    }

    /// The first of the queue is done with: names change, an exchange is reported.
    fn finish(&mut self, cx: &mut Context<'_>) {
        self.note_deallocation();
        let Some(pending) = self.queue.front_mut() else {
            return;
        };
        self.queue_bytes = self.queue_bytes.saturating_sub(pending.item.weight());
        let answer = &mut self.answer;
        self.carried = self.carried | pending.flags | answer.flags;
        let namespace = self.namespace.as_deref();
        match &mut pending.item {
            Item::Query(text) => {
                let text = std::mem::take(text);
                emit::exchange(namespace, pending, answer, &text, cx);
                text.recycle();
                // A simple query takes the unnamed statement and portal with it.
                self.statements.remove(&b""[..]);
                self.portals.remove(&b""[..]);
            }
            Item::Function => emit::exchange(namespace, pending, answer, &Text::Unknown, cx),
            // What could not be committed failed after its executions had succeeded.
            Item::Sync if answer.error => {
                emit::exchange(namespace, pending, answer, &Text::Unknown, cx);
            }
            Item::Execute(portal) => {
                // CREATE TABLE AS has the tag of the SELECT in it, and returns nothing.
                let counted = answer.count.is_none_or(|count| count == answer.rows);
                let returns = matches!(answer.command.name(), b"SELECT" | b"FETCH" | b"SHOW");
                answer.result |= returns && counted;
                let text = portal.as_ref().and_then(|name| self.portals.get(&**name));
                if text.is_none() {
                    answer.flags = answer.flags | self.carried;
                }
                emit::exchange(namespace, pending, answer, &text.into(), cx);
            }
            Item::Parse {
                name: Some(name),
                text,
            } => match text.take() {
                Some(text) => self.statements.set(std::mem::take(name), text),
                None => self.statements.remove(&**name),
            },
            Item::Bind {
                portal: Some(portal),
                statement,
            } => {
                let text = statement
                    .as_ref()
                    .and_then(|name| self.statements.get(&**name));
                match text {
                    Some(text) => self.portals.set(std::mem::take(portal), text),
                    None => self.portals.remove(&**portal),
                }
            }
            Item::CloseStatement(Some(name)) => self.statements.remove(&**name),
            Item::ClosePortal(Some(name)) => self.portals.remove(&**name),
            // It may have been any.
            Item::CloseStatement(None) | Item::Parse { name: None, .. } => self.statements.clear(),
            Item::ClosePortal(None) | Item::Bind { portal: None, .. } => self.portals.clear(),
            _ => {}
        }
        self.drop_first();
    }

    /// After a ReadyForQuery both sides are in step.
    fn ready(&mut self, body: Option<&[u8]>) {
        self.trust = Trust::Sure;
        self.confirmed = true;
        self.logged_in = true;
        self.out_of_step = 0;
        self.carried = Flags::empty();
        if !matches!(body.and_then(|body| body.first()), Some(b'T' | b'E')) {
            self.portals.clear(); // portals end with their transaction
        }
        if self.queue.is_empty() {
            self.queue.shrink_to(IDLE_QUEUE);
        }
    }

    /// The ReadyForQuery after something in an extended query failed.
    fn end_group(&mut self, message: Message, body: Option<&[u8]>, cx: &mut Context<'_>) -> Step {
        let sync = self.queue.iter().position(|p| matches!(p.item, Item::Sync));
        let Some(sync) = sync else {
            return self.fall_out(cx);
        };
        let mut group = Vec::with_capacity(sync);
        while group.len() <= sync
            && let Some(pending) = self.pop()
        {
            group.push(pending);
        }
        let failure = self.failure.take().map(|failure| *failure);
        self.report_group(&group, failure, Flags::NO_RESPONSE, message.end, cx);
        self.ready(body);
        Step::On
    }

    /// A message that answers something unseen.
    fn orphan(&mut self, tag: u8, body: Option<&[u8]>) -> Step {
        self.trust = Trust::Lost;
        let deallocates = match (tag, body.and_then(wire::tag)) {
            (b'C', Some((command, _))) => is_deallocation(command),
            (b'C', None) => true,
            _ => tag == b'3',
        };
        self.redefined |= deallocates;
        Step::On
    }

    /// Deallocated names can be given to other texts by SQL, which is seen by its tag alone.
    fn note_deallocation(&mut self) {
        let answer = &self.answer;
        if answer.commands == 0 {
            return;
        }
        match answer.command.name() {
            b"DISCARD ALL" | b"DEALLOCATE ALL" | b"DISCARD PLANS" => self.statements.clear(),
            b"DEALLOCATE" => self.deallocated = true,
            b"PREPARE" if self.deallocated => self.statements.clear(),
            // Not all tags of several commands are kept.
            _ if answer.deallocates => self.statements.clear(),
            _ => {}
        }
    }
}

fn is_deallocation(command: &[u8]) -> bool {
    command.starts_with(b"DEALLOCATE") || command.starts_with(b"DISCARD")
}

fn note_error(answer: &mut Answer, body: Option<&[u8]>) {
    answer.error = true;
    if answer.code.is_none() {
        answer.code = body.and_then(sqlstate);
    }
}

fn note_command(answer: &mut Answer, body: Option<&[u8]>) {
    answer.deallocates |= std::mem::take(&mut answer.last_deallocates);
    answer.commands = answer.commands.saturating_add(1);
    if std::mem::take(&mut answer.copy_in) {
        // No command is complete before the copying is: the end of it was lost, be it without a word.
        answer.flags = answer.flags | Flags::GAP;
    }
    let Some((command, count)) = body.and_then(wire::tag) else {
        answer.command = Command::default();
        answer.count = None;
        return;
    };
    answer.count = count;
    if let Some(count) = count
        && matches!(
            command,
            b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE" | b"COPY"
        )
    {
        answer.affected = Some(answer.affected.unwrap_or(0).saturating_add(count));
    }
    answer.last_deallocates = is_deallocation(command);
    answer.command = Command::new(command);
}
