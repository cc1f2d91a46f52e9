//! The server's packets: each answers the first in the queue.

use wirespan_parser_sql::{Step, Trust};
use wirespan_sdk::{Context, Flags, Side};

use crate::answer::{Turn, is_definition};
use crate::connection::{Mysql, Phase};
use crate::exchange::{Kind, Stage};
use crate::lane::Packet;
use crate::view::View;
use crate::wire::{self, FULL, HEADER, Header, Reader, status};

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
