//! The client's packets.

use wirespan_parser_sql::limits::TEXT_BYTES;
use wirespan_parser_sql::{Statement, Step, Text, Trust, is_plain};
use wirespan_sdk::{Context, Flags, Side};

use crate::attributes::{attributed, has_attributes};
use crate::connection::{Mysql, Phase};
use crate::exchange::Kind;
use crate::lane::Packet;
use crate::limits::{ATTRIBUTE_BYTES, LOGIN_BYTES, NAME_BYTES};
use crate::view::View;
use crate::wire::{self, FULL, HEADER, Header, Reader, command};

/// Number of a statement that stands for the last one that was prepared (MariaDB).
const LAST_PREPARED: u32 = u32::MAX;

impl Mysql {
    pub(crate) fn client_packet(
        &mut self,
        header: Header,
        view: &View<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        match self.phase {
            Phase::Greeting => return Step::Hold,
            Phase::Login => return self.login(header, view, at, cx),
            // A command; the server has yet to say that the client may.
            Phase::Authentication if header.sequence == 0 => return Step::Hold,
            Phase::Authentication => return self.step_over(header, view, at),
            Phase::Commands => {}
        }
        if !self.compression_known && self.trust == Trust::Trial && view.is_wire() {
            match self.guess_compression(view, *at) {
                None => return Step::More(at.saturating_add(HEADER + 7)),
                Some(true) => {
                    self.compress(*at, self.server.seen);
                    return Step::On;
                }
                Some(false) => {}
            }
        }
        if self.sends_file {
            return self.file(header, view, at);
        }
        if header.sequence != 0 {
            return match self.queue.front_mut() {
                Some(front) if front.kind == Kind::ChangeUser => {
                    front.sequence = header.sequence;
                    self.step_over(header, view, at)
                }
                // Of a file that the server has yet to ask for.
                Some(_) if self.trust == Trust::Sure => Step::Hold,
                _ => self.malformed(Side::Client, view, at, cx),
            };
        }
        if header.len == 0 {
            return self.malformed(Side::Client, view, at, cx);
        }
        let Some(&code) = view.from(*at).get(HEADER as usize) else {
            return Step::More(at.saturating_add(HEADER + 1));
        };
        if !wire::command_fits(code, header.len) {
            return self.malformed(Side::Client, view, at, cx);
        }
        match self.take(Side::Client, header, wanted(code), view, at) {
            Ok((packet, body)) => self.command(packet, Some(body), cx),
            Err(step) => step,
        }
    }

    /// What proves who the client is.
    fn step_over(&mut self, header: Header, view: &View<'_>, at: &mut u64) -> Step {
        self.client.owner = false;
        match self.take(Side::Client, header, 0, view, at) {
            Ok(_) => Step::On,
            Err(step) => step,
        }
    }

    /// Content of a file, which an empty packet ends.
    fn file(&mut self, header: Header, view: &View<'_>, at: &mut u64) -> Step {
        let (packet, _) = match self.take(Side::Client, header, 0, view, at) {
            Ok(taken) => taken,
            Err(step) => return step,
        };
        if header.len == 0 {
            self.sends_file = false;
        }
        self.client.owner = self.queue.len() == 1;
        if let Some(pending) = self.queue.front_mut() {
            pending.bytes = pending.bytes.saturating_add(packet.bytes);
            pending.sequence = header.sequence;
            pending.end = packet.end;
        }
        Step::On
    }

    /// A command, whose body is known as far as it is wanted, or is lost but for its first byte.
    pub(crate) fn command(
        &mut self,
        packet: Packet,
        payload: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) -> Step {
        let Some((&code, body)) = payload.and_then(<[u8]>::split_first) else {
            self.missed = self.missed | Flags::GAP;
            return self.push(Kind::Lost, Text::Unknown, packet, cx);
        };
        let whole =
            packet.header.len != FULL && body.len() as u64 + 1 == u64::from(packet.header.len);
        let number = || Reader(body).u32().unwrap_or(LAST_PREPARED);
        let plain = |kind| (kind, Text::Unknown);
        let (kind, text) = match code {
            command::QUERY => return self.query(packet, body, whole, cx),
            command::STMT_PREPARE => {
                if self.is_no_text(body) {
                    return self.fall_out(cx);
                }
                let statement = Statement::new(body, whole);
                self.last_prepared = Some(statement.clone());
                (Kind::Prepare, Text::Statement(statement))
            }
            command::STMT_EXECUTE | command::STMT_BULK_EXECUTE => match number() {
                LAST_PREPARED => (
                    Kind::Execute(LAST_PREPARED),
                    Text::from(self.last_prepared.clone()),
                ),
                id => plain(Kind::Execute(id)),
            },
            command::STMT_CLOSE => {
                let id = number();
                if self.queue.is_empty() {
                    self.statements.remove(&id);
                    return self.unanswered();
                }
                plain(Kind::Close(id))
            }
            command::STMT_LONG_DATA | command::QUIT => return self.unanswered(),
            command::STMT_FETCH => plain(Kind::Fetch),
            command::FIELD_LIST => plain(Kind::FieldList),
            command::STATISTICS => plain(Kind::Statistics),
            command::PROCESS_INFO => plain(Kind::ProcessInfo),
            command::INIT_DB => (Kind::InitDb, Text::query(body, whole)),
            command::DROP_DB => plain(Kind::DropDb),
            command::CHANGE_USER => {
                let database = wire::change_user(payload.unwrap_or_default());
                let text = database.map_or(Text::Unknown, |name| Text::query(name, true));
                (Kind::ChangeUser, text)
            }
            command::RESET_CONNECTION => plain(Kind::ResetConnection),
            command::BINLOG_DUMP
            | command::BINLOG_DUMP_GTID
            | command::TABLE_DUMP
            | command::SUBSCRIBE_REPLICATION
                if self.trust == Trust::Sure =>
            {
                return self.give_up("replication", cx);
            }
            command::CLONE if self.trust == Trust::Sure => return self.give_up("clone", cx),
            _ => plain(Kind::Plain),
        };
        self.push(kind, text, packet, cx)
    }

    fn query(&mut self, packet: Packet, body: &[u8], whole: bool, cx: &mut Context<'_>) -> Step {
        if self.attributes.is_none() {
            self.attributes = has_attributes(body);
        }
        let (text, traceparent) = if self.attributes == Some(true) {
            let attributed = attributed(body);
            (attributed.text, attributed.traceparent)
        } else {
            (Some(body), None)
        };
        if text.is_some_and(|text| self.is_no_text(text)) {
            return self.fall_out(cx);
        }
        let known = text.map_or(Text::Unknown, |text| Text::query(text, whole));
        let step = self.push(Kind::Query, known, packet, cx);
        if let Some(traceparent) = traceparent
            && let Some(pending) = self.queue.back_mut()
        {
            pending.traceparent = traceparent
                .get(..traceparent.len().min(NAME_BYTES))
                .map(Into::into);
        }
        step
    }

    fn is_no_text(&self, text: &[u8]) -> bool {
        self.trust == Trust::Trial && !is_plain(text.get(..TEXT_BYTES).unwrap_or(text))
    }

    /// The server says nothing to it.
    fn unanswered(&mut self) -> Step {
        self.client.owner = false;
        Step::On
    }
}

/// How much of a command is looked at. Of what can carry a password or a parameter that is nothing,
/// but for the names in front.
fn wanted(code: u8) -> usize {
    match code {
        command::QUERY => TEXT_BYTES + ATTRIBUTE_BYTES,
        command::STMT_PREPARE => TEXT_BYTES + 1,
        command::CHANGE_USER => LOGIN_BYTES,
        command::INIT_DB => NAME_BYTES + 2,
        _ => 5,
    }
}
