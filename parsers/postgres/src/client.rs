//! The client's messages.

use wirespan_parser_sql::limits::TEXT_BYTES;
use wirespan_parser_sql::{Statement, Step, Text, Trust, is_plain};
use wirespan_sdk::{Context, Input};

use crate::connection::Postgres;
use crate::lane::{Message, State};
use crate::limits::NAME_BYTES;
use crate::queue::{Item, Name};
use crate::wire::{Header, Read, Startup, cstring, parameter, startup};

impl Postgres {
    /// A packet at the start of the connection.
    pub(crate) fn startup(
        &mut self,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        let bytes = input.from(*at);
        let (kind, length) = match startup(bytes) {
            Read::Ok(found) => found,
            Read::Incomplete => return Step::More(input.end().saturating_add(1)),
            Read::Invalid => {
                cx.not_mine();
                return Step::Done;
            }
        };
        let end = at.saturating_add(u64::from(length));
        if end > input.end() {
            return Step::More(end);
        }
        let message = Message {
            header: Header {
                tag: 0,
                body: length.saturating_sub(5),
            },
            position: *at,
            start: input.time_at(*at),
            end: input.time_at(end.saturating_sub(1)),
        };
        *at = end;
        match kind {
            Startup::Ssl | Startup::Gss => self.push(Item::Encryption, message, cx),
            Startup::Cancel => self.give_up("cancel request", cx),
            Startup::Session => {
                let packet = bytes.get(8..length as usize).unwrap_or_default();
                // The user's name, which the server takes where there is no database, is not said.
                self.namespace = parameter(packet, b"database")
                    .filter(|name| !name.is_empty() && name.len() <= NAME_BYTES)
                    .and_then(|name| std::str::from_utf8(name).ok())
                    .map(Into::into);
                self.client.state = State::Messages;
                self.push(Item::Startup, message, cx)
            }
        }
    }

    /// The server's one byte after a request for encryption; `None`: it is a message.
    pub(crate) fn encryption(
        &mut self,
        input: &Input<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Option<Step> {
        match input.from(*at).first()? {
            b'N' => {
                *at = at.saturating_add(1);
                self.pop();
                Some(Step::On)
            }
            b'S' => {
                cx.upgrade("", self.client.position, at.saturating_add(1), b"");
                Some(Step::Done)
            }
            b'G' => Some(self.give_up("encrypted by gss", cx)),
            // A server that does not know the request says so, and closes.
            b'E' => None,
            _ => {
                cx.not_mine();
                Some(Step::Done)
            }
        }
    }

    pub(crate) fn client_message(
        &mut self,
        message: Message,
        body: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) -> Step {
        let rest = body.unwrap_or_default();
        let item = match message.header.tag {
            b'Q' => {
                let text = body.map(|body| text_of(body, message.header.body as usize));
                if self.trust == Trust::Trial
                    && !self.confirmed
                    && text.is_some_and(|(text, _)| !is_plain(text))
                {
                    return self.fall_out(cx);
                }
                Item::Query(text.map_or(Text::Unknown, |(text, whole)| Text::query(text, whole)))
            }
            b'P' => {
                let (name, rest) = name_of(rest);
                let text = rest.and_then(|rest| {
                    let (text, complete) =
                        cstring(rest).map_or((rest, false), |(text, _)| (text, true));
                    // Without its end it was cut by what is wanted, or is no text.
                    (complete || rest.len() >= TEXT_BYTES).then(|| Statement::new(text, complete))
                });
                Item::Parse { name, text }
            }
            b'B' => {
                let (portal, rest) = name_of(rest);
                let statement = rest.and_then(|rest| name_of(rest).0);
                Item::Bind { portal, statement }
            }
            b'D' | b'C' => {
                let (kind, name) = rest
                    .split_first()
                    .map_or((0, None), |(&kind, rest)| (kind, name_of(rest).0));
                match (message.header.tag, kind) {
                    (b'D', b'S') => Item::DescribeStatement(name),
                    (b'D', b'P') => Item::DescribePortal(name),
                    (b'C', b'S') => Item::CloseStatement(name),
                    (b'C', b'P') => Item::ClosePortal(name),
                    (tag, _) if body.is_none() => {
                        self.redefined = true;
                        if tag == b'D' {
                            Item::DescribePortal(None)
                        } else {
                            Item::CloseStatement(None)
                        }
                    }
                    _ => return self.fall_out(cx),
                }
            }
            b'E' => Item::Execute(name_of(rest).0),
            b'F' => Item::Function,
            b'S' => Item::Sync,
            b'd' | b'c' | b'f' => {
                self.copied(message);
                return Step::On;
            }
            // Flush, Terminate and whatever proves who the client is have no place in the queue.
            _ => {
                self.client.owner = false;
                return Step::On;
            }
        };
        self.push(item, message, cx)
    }

    /// Data that the client copies belongs to the command that asked for it. A Sync that was sent
    /// with that command is ignored by the server once it copies.
    fn copied(&mut self, message: Message) {
        self.client.owner = false;
        // Some do not wait to be told to begin.
        let ahead = !self.answer.copy_in;
        let only = self.queue.len() == 1;
        let Some(pending) = self.queue.front_mut() else {
            return;
        };
        if ahead && !(only && matches!(pending.item, Item::Query(_))) {
            return;
        }
        pending.bytes = pending.bytes.saturating_add(message.header.len());
        pending.end = message.end;
        let goes_on = message.header.tag == b'd';
        if ahead {
            self.answer.copied_ahead = !goes_on;
        } else {
            self.answer.copy_in = goes_on;
        }
        if matches!(pending.item, Item::Execute(_)) {
            while matches!(self.queue.back().map(|p| &p.item), Some(Item::Sync)) {
                self.queue.pop_back();
            }
        }
    }
}

/// The text of a Query whose body has `length` bytes, and whether it is all there.
fn text_of(body: &[u8], length: usize) -> (&[u8], bool) {
    match cstring(body) {
        Some((text, _)) => (text, true),
        None => (body, body.len() >= length),
    }
}

/// A name and what is after it.
fn name_of(bytes: &[u8]) -> (Name, Option<&[u8]>) {
    match cstring(bytes) {
        Some((name, rest)) if name.len() <= NAME_BYTES => (Some(name.into()), Some(rest)),
        Some((_, rest)) => (None, Some(rest)),
        None => (None, None),
    }
}
