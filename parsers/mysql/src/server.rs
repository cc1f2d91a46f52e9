//! The server's packets: each answers the first in the queue.

use wirespan_parser_sql::{Step, Table, Text, Trust};
use wirespan_sdk::{Context, Flags, Side};

use crate::connection::{Mysql, Phase, system};
use crate::emit;
use crate::exchange::{Kind, Pending, Stage};
use crate::lane::Packet;
use crate::limits::{COLUMNS, STATUS_BYTES};
use crate::login::name;
use crate::namespace::{self, Effect};
use crate::view::View;
use crate::wire::{self, Ending, FULL, HEADER, Header, PROGRESS, Reader, capability, status};

/// What a packet means to the exchange it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It goes on.
    On,
    /// It is over.
    Over,
    /// The packet does not belong to it.
    Foreign,
}

impl Mysql {
    pub(crate) fn server_packet(
        &mut self,
        header: Header,
        view: &View<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        match self.phase {
            Phase::Greeting => return self.greet(header, view, at, cx),
            Phase::Login => return Step::Hold,
            Phase::Authentication => return self.authenticate(header, view, at),
            Phase::Commands => {}
        }
        if header.len == 0 {
            return self.malformed(Side::Server, view, at, cx);
        }
        let Some(&first) = view.from(*at).get(HEADER as usize) else {
            return Step::More(at.saturating_add(HEADER + 1));
        };
        if self.may_end {
            self.may_end = false;
            if first == 0xfe
                && header.len == 5
                && header.sequence == self.server.sequence.wrapping_add(1)
            {
                self.deprecates_eof = Some(false);
                return match self.take(Side::Server, header, 0, view, at) {
                    Ok(_) => Step::On,
                    Err(step) => step,
                };
            }
        }
        let lost = self.trust == Trust::Lost;
        let (kind, sequence, asked) = match self.queue.front() {
            Some(front) if !lost && !matches!(front.kind, Kind::Lost) => {
                (front.kind, front.sequence, front.start)
            }
            None if self.trust == Trust::Sure => return Step::Hold,
            _ => return self.orphan(header, view, at),
        };
        let failed = first == 0xff;
        if self.client.open && self.client.owner && self.queue.len() == 1 && !failed {
            // No server answers half a command.
            return if self.trust == Trust::Sure {
                Step::Hold
            } else {
                self.fall_out(cx)
            };
        }
        let plain = match self.answer.stage {
            Stage::Rows => true,
            // While it is tried, a definition settles it.
            Stage::Columns(_) | Stage::FirstRow => self.trust == Trust::Sure,
            _ => false,
        };
        if plain && self.run(kind, view, at) {
            return Step::On;
        }
        let here = view.begins(*at);
        let began = self.answer.start != 0;
        if !began && !failed && here < asked {
            // It answers something else, that was asked before.
            return self.fall_out_at(here, cx);
        }
        let before = if began && !matches!(self.answer.stage, Stage::File) {
            self.server.sequence
        } else {
            sequence
        };
        if !self.server.compressed
            && header.sequence != before.wrapping_add(1)
            // Who the client is is found out in a dialogue.
            && kind != Kind::ChangeUser
            && !(failed && self.trust == Trust::Sure)
        {
            return self.fall_out_at(here, cx);
        }
        if self.sends_file && matches!(self.answer.stage, Stage::File) && !failed {
            // The client's part comes first.
            return Step::Hold;
        }
        let wanted = self.wanted(kind, first, header.len);
        let (packet, body) = match self.take(Side::Server, header, wanted, view, at) {
            Ok(taken) => taken,
            Err(step) => return step,
        };
        self.answered(packet, first, Some(body), cx)
    }

    /// Reads on through what most of a result is made of: definitions of columns, and rows, that are
    /// here whole. `false`: what comes first is something else.
    fn run(&mut self, kind: Kind, view: &View<'_>, at: &mut u64) -> bool {
        let lane = &mut self.server;
        let (mut stage, mut sequence) = (self.answer.stage, lane.sequence);
        let (mut rest, mut bytes, mut rows) = (view.from(*at), 0_u64, 0_u64);
        let mut ends = self.deprecates_eof;
        while let Some((header, after)) = wire::packet(rest)
            && header.len < FULL
            && (lane.compressed || header.sequence == sequence.wrapping_add(1))
            && let Some((body, after)) = after.split_at_checked(header.len as usize)
            && let Some(&first) = body.first()
        {
            stage = match stage {
                Stage::Columns(left) if is_definition(body) => Stage::columns(left),
                Stage::FirstRow | Stage::Rows if first < 0xfe => {
                    if matches!(stage, Stage::FirstRow) && !matches!(kind, Kind::Fetch) {
                        ends = Some(true);
                    }
                    rows = rows.saturating_add(1);
                    Stage::Rows
                }
                // The EOF before the rows.
                Stage::FirstRow
                    if wire::eof(body)
                        .is_some_and(|status| status & status::CURSOR_EXISTS == 0) =>
                {
                    ends = Some(false);
                    Stage::Rows
                }
                _ => break,
            };
            bytes = bytes.saturating_add(HEADER + u64::from(header.len));
            sequence = header.sequence;
            rest = after;
        }
        if bytes == 0 {
            return false;
        }
        *at = at.saturating_add(bytes);
        lane.sequence = sequence;
        lane.pending = None;
        lane.continued = false;
        lane.open = false;
        lane.body_end = *at;
        let on_wire = if view.is_wire() { bytes } else { 0 };
        let counted = on_wire.saturating_add(std::mem::take(&mut lane.credit));
        self.deprecates_eof = ends;
        let answer = &mut self.answer;
        answer.stage = stage;
        answer.rows = answer.rows.saturating_add(rows);
        answer.bytes = answer.bytes.saturating_add(counted);
        answer.end = view.ends(*at);
        true
    }

    /// Answers the first in the queue; of a body that was lost, only its first byte is known, if
    /// that.
    pub(crate) fn answered(
        &mut self,
        packet: Packet,
        first: u8,
        body: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) -> Step {
        let answer = &mut self.answer;
        if answer.start == 0 {
            answer.start = packet.start;
        }
        answer.end = packet.end;
        answer.bytes = answer.bytes.saturating_add(packet.bytes);
        let Some(body) = body else {
            // It may have been the last.
            self.missed = self.missed | Flags::GAP;
            self.server.seek();
            self.trust = Trust::Lost;
            return Step::On;
        };
        match self.advance(packet.header.len, first, body) {
            Turn::On => Step::On,
            Turn::Foreign => self.fall_out_at(packet.start, cx),
            Turn::Over => {
                self.settle();
                self.finish(cx);
                Step::On
            }
        }
    }

    /// How much of a packet is looked at.
    fn wanted(&self, kind: Kind, first: u8, len: u32) -> usize {
        let ends = first == 0xff || first == 0xfe && len < FULL;
        match self.answer.stage {
            _ if ends => STATUS_BYTES,
            Stage::First => match kind {
                Kind::Fetch | Kind::Statistics => 1,
                _ => STATUS_BYTES,
            },
            Stage::File => STATUS_BYTES,
            // What a definition begins with.
            Stage::Columns(_)
            | Stage::Parameters(..)
            | Stage::ParametersEnd(_)
            | Stage::Definitions(_) => 4,
            _ => 1,
        }
    }

    /// Notes what the packet says in the answer to the first in the queue.
    fn advance(&mut self, len: u32, first: u8, body: &[u8]) -> Turn {
        let Some(kind) = self.queue.front().map(|pending| pending.kind) else {
            return Turn::Foreign;
        };
        if first == 0xff {
            return self.fail(body);
        }
        let ends = first == 0xfe && len < FULL;
        match self.answer.stage {
            Stage::First => self.begin(kind, len, first, body),
            Stage::File => match wire::ending(body, len) {
                Some(ending) if first == 0 => self.end(ending),
                _ => Turn::Foreign,
            },
            Stage::Columns(left) => {
                if !is_definition(body) {
                    return Turn::Foreign;
                }
                self.settle();
                self.answer.stage = Stage::columns(left);
                Turn::On
            }
            Stage::FirstRow if ends && len == 5 => {
                self.deprecates_eof = Some(false);
                let Some(ending) = wire::ending(body, len) else {
                    return Turn::Foreign;
                };
                if ending.status & status::CURSOR_EXISTS != 0 {
                    self.answer.rows_unknown = true;
                    return Turn::Over;
                }
                self.answer.stage = Stage::Rows;
                Turn::On
            }
            Stage::FirstRow | Stage::Rows => {
                if self.answer.stage == Stage::FirstRow && kind != Kind::Fetch {
                    self.deprecates_eof = Some(true);
                }
                self.answer.stage = Stage::Rows;
                if ends {
                    return match wire::ending(body, len) {
                        Some(ending) => {
                            if ending.status & status::CURSOR_EXISTS != 0 {
                                self.answer.rows_unknown = true;
                            }
                            self.end(Ending {
                                affected: None,
                                ..ending
                            })
                        }
                        None => Turn::Foreign,
                    };
                }
                self.answer.rows = self.answer.rows.saturating_add(1);
                Turn::On
            }
            Stage::Parameters(left, columns) => {
                if !is_definition(body) {
                    return Turn::Foreign;
                }
                if left > 1 {
                    self.answer.stage = Stage::Parameters(left - 1, columns);
                    return Turn::On;
                }
                self.definitions_end(columns)
            }
            Stage::ParametersEnd(columns) if ends && len == 5 => {
                self.deprecates_eof = Some(false);
                self.definitions(columns)
            }
            // There was no EOF.
            Stage::ParametersEnd(columns) if self.deprecates_eof != Some(false) && columns > 0 => {
                self.deprecates_eof = Some(true);
                self.answer.stage = Stage::Definitions(columns);
                self.advance(len, first, body)
            }
            Stage::Definitions(left) => {
                if !is_definition(body) {
                    return Turn::Foreign;
                }
                if left > 1 {
                    self.answer.stage = Stage::Definitions(left - 1);
                    return Turn::On;
                }
                self.definitions_end(0)
            }
            Stage::ParametersEnd(_) => Turn::Foreign,
        }
    }

    /// After the last definition of parameters, or of columns where none follow.
    fn definitions_end(&mut self, columns: u64) -> Turn {
        match self.deprecates_eof {
            Some(true) => self.definitions(columns),
            None if columns == 0 => {
                self.may_end = true;
                Turn::Over
            }
            _ => {
                self.answer.stage = Stage::ParametersEnd(columns);
                Turn::On
            }
        }
    }

    fn definitions(&mut self, columns: u64) -> Turn {
        if columns == 0 {
            return Turn::Over;
        }
        self.answer.stage = Stage::Definitions(columns);
        Turn::On
    }

    /// The first packet of a result.
    fn begin(&mut self, kind: Kind, len: u32, first: u8, body: &[u8]) -> Turn {
        let ending = match first {
            0 | 0xfe => wire::ending(body, len),
            _ => None,
        };
        let sure = self.trust == Trust::Sure;
        match kind {
            Kind::Statistics => Turn::Over,
            Kind::Fetch => {
                self.answer.stage = Stage::Rows;
                self.advance(len, first, body)
            }
            Kind::FieldList => match ending {
                Some(_) if first == 0xfe => Turn::Over,
                _ if is_definition(body) => Turn::On,
                _ => Turn::Foreign,
            },
            Kind::ChangeUser => match ending {
                Some(ending) if first == 0 => self.end(ending),
                // Questions to the client.
                _ => Turn::On,
            },
            Kind::Prepare => self.prepared(len, body),
            Kind::Plain | Kind::InitDb | Kind::DropDb | Kind::ResetConnection => match ending {
                Some(ending) if sure || ending.exact => self.end(ending),
                _ => Turn::Foreign,
            },
            Kind::Query | Kind::Execute(_) | Kind::ProcessInfo => {
                if let Some(ending) = ending {
                    return if first == 0 && (sure || ending.exact) {
                        self.end(ending)
                    } else {
                        Turn::Foreign
                    };
                }
                if first == 0xfb && kind == Kind::Query {
                    self.answer.stage = Stage::File;
                    self.sends_file = true;
                    return Turn::On;
                }
                match columns(body, self.agreed_on(capability::OPTIONAL_METADATA)) {
                    Some((count, follow)) if count <= COLUMNS => {
                        self.answer.result = true;
                        self.answer.stage = if follow {
                            Stage::Columns(count)
                        } else {
                            Stage::FirstRow
                        };
                        Turn::On
                    }
                    _ => Turn::Foreign,
                }
            }
            Kind::Close(_) | Kind::Lost => Turn::Foreign,
        }
    }

    /// `COM_STMT_PREPARE_OK`.
    fn prepared(&mut self, len: u32, body: &[u8]) -> Turn {
        let mut reader = Reader(body);
        let (Some(0), Some(id), Some(columns), Some(parameters)) =
            (reader.u8(), reader.u32(), reader.u16(), reader.u16())
        else {
            return Turn::Foreign;
        };
        if !(9..=13).contains(&len) {
            return Turn::Foreign;
        }
        self.settle();
        self.answer.statement = Some(id);
        let (columns, parameters) = (u64::from(columns), u64::from(parameters));
        let described = len < 13 || body.get(12) != Some(&0);
        if !described {
            return Turn::Over;
        }
        if parameters > 0 {
            self.answer.stage = Stage::Parameters(parameters, columns);
            return Turn::On;
        }
        self.definitions(columns)
    }

    /// An OK or EOF that ends a result.
    fn end(&mut self, ending: Ending<'_>) -> Turn {
        let answer = &mut self.answer;
        if let Some(affected) = ending.affected {
            answer.affected = Some(answer.affected.unwrap_or(0).saturating_add(affected));
        }
        if let Some(schema) = ending.schema {
            answer.schema = Some(schema.into());
        }
        if ending.status & status::MORE_RESULTS != 0 {
            answer.several = true;
            answer.stage = Stage::First;
            self.settle();
            return Turn::On;
        }
        Turn::Over
    }

    fn fail(&mut self, body: &[u8]) -> Turn {
        match wire::failure(body) {
            Some(failure) if failure.number == PROGRESS => Turn::On,
            Some(failure) if self.trust == Trust::Sure || failure.state.is_some() => {
                // Where its greeting was not seen, a server may say later what it is.
                self.mariadb |= self.offered.is_none() && wire::names_mariadb(body);
                self.answer.failure = Some(failure);
                Turn::Over
            }
            _ => Turn::Foreign,
        }
    }

    /// Both sides are in step.
    pub(crate) fn settle(&mut self) {
        if self.trust == Trust::Trial {
            self.trust = Trust::Sure;
        }
        self.compression_known = true;
        self.confirmed = true;
        self.out_of_step = 0;
    }

    /// The first of the queue is done with: an exchange is reported, the session changes.
    fn finish(&mut self, cx: &mut Context<'_>) {
        let text = self.queue.take_text();
        let Some(pending) = self.queue.front_mut() else {
            return;
        };
        let kind = pending.kind;
        let failed = self.answer.failure.is_some();
        let text = executed(&mut self.statements, kind, text);
        if kind.is_exchange() || failed && matches!(kind, Kind::Prepare) {
            flag_unknown(pending, &text, self.missed);
            let namespace = self.namespace.as_deref();
            let system = system(self.mariadb);
            emit::exchange(system, namespace, pending, &text, &self.answer, cx);
        }
        let schema = self.answer.schema.take();
        if !failed {
            self.carried_out(kind, &text, schema.is_some());
        } else if self.answer.several && kind.is_exchange() {
            // Some of its statements were.
            self.note_effect(&text, schema.is_some());
        }
        if let Some(schema) = schema {
            self.namespace = name(Some(&schema));
        }
        text.recycle();
        self.drop_first();
        self.close_statements();
    }

    /// What a command that succeeded did to the session.
    fn carried_out(&mut self, kind: Kind, text: &Text, told: bool) {
        match kind {
            Kind::Query | Kind::Execute(_) => self.note_effect(text, told),
            Kind::Prepare => match (self.answer.statement, text) {
                (Some(id), Text::Statement(text)) => self.statements.set(id, text.clone()),
                (Some(id), _) => self.statements.remove(&id),
                (None, _) => {}
            },
            Kind::InitDb => self.namespace = name(text.bytes()),
            Kind::DropDb => self.namespace = None,
            Kind::ChangeUser => {
                self.namespace = name(text.bytes());
                self.statements.clear();
            }
            Kind::ResetConnection => self.statements.clear(),
            _ => {}
        }
    }

    /// What the client closed once what it sent before was answered.
    pub(crate) fn close_statements(&mut self) {
        while let Some(Kind::Close(id)) = self.queue.front().map(|pending| pending.kind) {
            self.statements.remove(&id);
            self.drop_first();
        }
    }

    fn note_effect(&mut self, text: &Text, told: bool) {
        if told || self.namespace.is_none() && text.bytes().is_none() {
            return;
        }
        let Some(bytes) = text.bytes() else {
            self.namespace = None;
            return;
        };
        // Each statement of several has a result.
        let single =
            !self.answer.several || self.agreed_on(capability::MULTI_STATEMENTS) == Some(false);
        match namespace::effect(bytes, text.is_truncated(), single) {
            Effect::Nothing => {}
            Effect::Use(database) => self.namespace = name(Some(database)),
            Effect::Perhaps => {
                let tracked = self.agreed_on(capability::SESSION_TRACK) == Some(true);
                if !tracked && !single {
                    self.namespace = None;
                }
            }
            Effect::Unknown => self.namespace = None,
        }
    }

    /// A packet that answers something unseen.
    fn orphan(&mut self, header: Header, view: &View<'_>, at: &mut u64) -> Step {
        let prepared = header.sequence == 1 && header.len == 12;
        let wanted = if prepared { 5 } else { 0 };
        let body = match self.take(Side::Server, header, wanted, view, at) {
            Ok((_, body)) => body,
            Err(step) => return step,
        };
        if prepared
            && let Some((&0, id)) = body.split_first()
            && let Some(id) = Reader(id).u32()
        {
            // The number may stand for another text from now on.
            self.statements.remove(&id);
        }
        Step::On
    }
}

/// The text, where it is not known that of the statement that was executed.
pub(crate) fn executed(statements: &mut Table<u32>, kind: Kind, text: Text) -> Text {
    match (kind, text) {
        (Kind::Execute(id), Text::Unknown) => statements.get(&id).into(),
        (_, text) => text,
    }
}

/// A statement that is not known may have been prepared in what was not seen.
pub(crate) fn flag_unknown(pending: &mut Pending, text: &Text, missed: Flags) {
    if matches!(pending.kind, Kind::Execute(_)) && text.bytes().is_none() {
        pending.flags = pending.flags | missed;
    }
}

/// Every definition of a column begins with the catalogue, which is always `def`.
fn is_definition(body: &[u8]) -> bool {
    body.starts_with(b"\x03def")
}

/// How many columns a result has, and whether their definitions follow. Where that is not certain,
/// one more byte says so: in front with MySQL, behind with MariaDB.
fn columns(payload: &[u8], optional: Option<bool>) -> Option<(u64, bool)> {
    let mut reader = Reader(payload);
    let count = reader.lenenc()?;
    match reader.0 {
        [] if count > 0 => return Some((count, true)),
        [follow @ (0 | 1)] if count > 0 && optional != Some(true) => {
            return Some((count, *follow == 1));
        }
        _ => {}
    }
    let mut reader = Reader(payload);
    let follow = reader.u8().filter(|follow| *follow <= 1)?;
    let count = reader.lenenc()?;
    (reader.0.is_empty() && count > 0 && optional != Some(false)).then_some((count, follow == 1))
}
