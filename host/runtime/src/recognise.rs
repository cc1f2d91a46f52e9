//! Finding the parser of a connection.
//!
//! The host tests patterns, and asks only the parsers whose patterns fit. A parser that says no is
//! not asked again; what nobody recognises within the limits is left alone. On a connection that was
//! joined in the middle, the first bytes are rarely the beginning of a message: there each chunk is
//! tried as a beginning.

use std::cmp::Reverse;

use wirespan_capture::Verdict;
use wirespan_stream::Direction;

use crate::bindings::{self, Cause, Recognition};
use crate::connection::{Connection, State, Taken};
use crate::ledger::Fate;
use crate::limits::Limits;
use crate::parsers::Origin;
use crate::pattern::{self, Match};
use crate::proxy;
use crate::side::{Content, Side};
use crate::tls;
use crate::worker::{Worker, connection_mut};

/// What a round of questions came to.
enum Outcome {
    Found(usize, Recognition),
    Encrypted,
    /// More bytes could decide it.
    Undecided,
    /// Nobody, whatever follows.
    Nobody,
}

/// A parser that says yes. The greater rank wins: origin, then confidence, then a usual port, then
/// the order given.
struct Claim {
    rank: (Reverse<Origin>, u8, bool, Reverse<usize>),
    recognition: Recognition,
}

impl Worker {
    /// Tries to find a parser for what a connection has shown so far.
    pub(crate) fn recognise(&mut self, slot: u32) {
        loop {
            let limits = &self.limits;
            let prefixes = &mut self.prefixes;
            let Some(connection) = connection_mut(&mut self.slots, slot) else {
                return;
            };
            connection
                .side(connection.client)
                .prefix(limits.recognise_bytes, &mut prefixes.client);
            connection
                .side(connection.client.opposite())
                .prefix(limits.recognise_bytes, &mut prefixes.server);
            match self.step_over_proxy(slot) {
                proxy::Header::Whole(_) => continue,
                proxy::Header::Begun => return,
                proxy::Header::None => {}
            }
            let (client, server) = (self.prefixes.client.len(), self.prefixes.server.len());
            let Some(connection) = connection_mut(&mut self.slots, slot) else {
                return;
            };
            if !due(connection, client, server, &self.limits) {
                if connection.closed() {
                    self.leave(slot, false);
                }
                return;
            }
            match self.ask(slot) {
                Outcome::Found(parser, recognition) => {
                    return self.take(slot, parser, &recognition);
                }
                Outcome::Encrypted => return self.set_aside(slot),
                Outcome::Undecided if !self.exhausted(slot) => return,
                Outcome::Undecided | Outcome::Nobody => {}
            }
            if !self.next_beginning(slot) {
                return self.leave(slot, true);
            }
        }
    }

    /// What a load balancer says before the client does is none of the client's protocol: recognition
    /// begins behind it. Whoever sends it opened the connection, which may not be known.
    fn step_over_proxy(&mut self, slot: u32) -> proxy::Header {
        let all = self.parsers.all();
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return proxy::Header::None;
        };
        if connection.proxied || connection.mid_stream || connection.consumed || connection.tls {
            return proxy::Header::None;
        }
        let (client, server) = (connection.client, connection.client.opposite());
        let (direction, header) = match proxy::read(&self.prefixes.client) {
            proxy::Header::None if !connection.sides_certain => {
                (server, proxy::read(&self.prefixes.server))
            }
            header => (client, header),
        };
        match header {
            // What follows lost bytes need not be a beginning.
            _ if connection.side(direction).begins_with_gap() => proxy::Header::None,
            proxy::Header::Whole(len) => {
                connection.proxied = true;
                connection.client = direction;
                let side = connection.side_mut(direction);
                let end = side.floor.saturating_add(len as u64);
                side.skip_silently(end, &mut self.ledger);
                let search = &mut connection.search;
                (search.candidates, search.attempts, search.tried) = (all & !search.refused, 0, 0);
                self.account(slot);
                header
            }
            // The rest of it never comes.
            proxy::Header::Begun if connection.closed() => proxy::Header::None,
            _ => header,
        }
    }

    /// Asks whoever may have it, in order of precedence.
    fn ask(&mut self, slot: u32) -> Outcome {
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return Outcome::Nobody;
        };
        let prefixes = &mut self.prefixes;
        let mut undecided = false;
        if !connection.tls {
            match tls::test(&prefixes.client).max(tls::test(&prefixes.server)) {
                Match::Fits => {
                    if !connection.greeted(&prefixes.client, &prefixes.server) {
                        return Outcome::Undecided;
                    }
                    return Outcome::Encrypted;
                }
                // Of a side without bytes there is nothing to wait for.
                Match::Undecided => {
                    undecided = !prefixes.client.is_empty()
                        && tls::test(&prefixes.client) == Match::Undecided
                }
                Match::Never => {}
            }
        }
        let server_port = if connection.observed_client() {
            connection.info.remote
        } else {
            connection.info.local
        };
        let server_port = server_port.map(|address| address.port());
        let mut with_facts = false;
        let mut best: Option<Claim> = None;
        let mut waiting: Option<Origin> = None;
        for (index, pool) in self.pools.iter_mut().enumerate() {
            let bit = 1u64 << (index % 64);
            if connection.search.candidates & bit == 0 || !pool.healthy(self.now) {
                continue;
            }
            let origin = self
                .parsers
                .get(index)
                .map_or(Origin::Plugin, |(_, origin)| *origin);
            if best
                .as_ref()
                .is_some_and(|claim| claim.rank.0 > Reverse(origin))
            {
                break;
            }
            match pattern::test(&pool.parser.patterns, &prefixes.client, &prefixes.server) {
                Match::Never => connection.search.candidates &= !bit,
                Match::Undecided => undecided = true,
                Match::Fits => {
                    if !with_facts {
                        prefixes.facts.clear();
                        // Only for recognition: whether a gap has come when the parser is found
                        // depends on the batch, and the parser is told of the gap itself.
                        let joined = connection.sides.iter().any(Side::begins_with_gap);
                        prefixes.facts.add(connection, joined);
                        with_facts = true;
                    }
                    let answer = pool
                        .recogniser(&self.engine, &self.limits)
                        .and_then(|instance| {
                            instance.recognise(
                                self.limits.recognise_budget,
                                &prefixes.client,
                                &prefixes.server,
                                &prefixes.facts.list,
                                &prefixes.facts.texts,
                            )
                        });
                    match answer {
                        Ok(bindings::Verdict::No) => connection.search.candidates &= !bit,
                        Ok(bindings::Verdict::NeedMore) => {
                            undecided = true;
                            waiting = Some(waiting.map_or(origin, |earlier| earlier.min(origin)));
                        }
                        Ok(bindings::Verdict::Yes(recognition)) => {
                            let usual = server_port
                                .is_some_and(|port| pool.parser.manifest().ports.contains(&port));
                            let confidence = recognition.confidence.min(100);
                            let rank = (Reverse(origin), confidence, usual, Reverse(index));
                            if best.as_ref().is_none_or(|claim| rank > claim.rank) {
                                best = Some(Claim { rank, recognition });
                            }
                        }
                        Err(fault) => {
                            // Its connections are not touched: only recognition ran in that instance.
                            pool.recogniser_failed();
                            pool.failed(&fault, self.now, &self.limits);
                            connection.search.candidates &= !bit;
                        }
                    }
                }
            }
        }
        match best {
            // Somebody who goes first may still want it.
            Some(claim)
                if waiting.is_some_and(|earlier| Reverse(earlier) > claim.rank.0)
                    && !connection.closed() =>
            {
                Outcome::Undecided
            }
            Some(Claim {
                rank: (.., Reverse(index)),
                recognition,
            }) => Outcome::Found(index, recognition),
            None if undecided => Outcome::Undecided,
            None => Outcome::Nobody,
        }
    }

    /// Gives a connection to a parser.
    pub(crate) fn take(&mut self, slot: u32, parser: usize, recognition: &Recognition) {
        let Some(pool) = self.pools.get_mut(parser) else {
            return;
        };
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return;
        };
        if recognition.swapped {
            connection.client = connection.client.opposite();
        }
        let seat = pool.choose();
        pool.arrive(seat);
        pool.counters.recognised.one();
        connection.state = State::Taken(Taken {
            parser,
            seat,
            number: 0,
            opening: Some(Cause::None),
            ignored: false,
        });
        connection.consumed = false;
        for side in &mut connection.sides {
            side.forget_requests();
        }
        self.output.verdicts.push(connection.say(Verdict::Wanted));
    }

    /// TLS is nobody's: its plaintext may come.
    fn set_aside(&mut self, slot: u32) {
        self.counters.encrypted.one();
        if let Some(connection) = connection_mut(&mut self.slots, slot) {
            // What was said before TLS is for whoever parses what is within.
            let handover = connection.handover.take();
            connection.leave(Fate::Encrypted, &mut self.ledger);
            connection.handover = handover;
            connection.state = State::Encrypted;
            self.output.verdicts.push(connection.say(Verdict::Ignored));
        }
        self.account(slot);
    }

    /// Nobody has it.
    pub(crate) fn leave(&mut self, slot: u32, verdict: bool) {
        self.counters.unknown.one();
        if let Some(connection) = connection_mut(&mut self.slots, slot) {
            connection.leave(Fate::Unrecognised, &mut self.ledger);
            if verdict && !connection.closed() {
                self.output.verdicts.push(connection.say(Verdict::Ignored));
            }
        }
        self.account(slot);
    }

    /// Whether more bytes are not worth waiting for.
    fn exhausted(&self, slot: u32) -> bool {
        let Some(connection) = self
            .slots
            .get(slot as usize)
            .and_then(|slot| slot.place.awake())
        else {
            return true;
        };
        connection.closed()
            || connection.search.attempts >= self.limits.recognise_attempts
            || connection
                .sides
                .iter()
                .any(|side| side.retained >= self.limits.recognise_bytes)
    }

    /// Drops the earliest chunk, where the next one may be a beginning.
    fn next_beginning(&mut self, slot: u32) -> bool {
        let all = self.parsers.all();
        let Some(connection) = connection_mut(&mut self.slots, slot) else {
            return false;
        };
        let holes = connection.sides.iter().any(|side| {
            side.segments
                .iter()
                .any(|segment| matches!(segment.content, Content::Gap { .. }))
        });
        if !connection.mid_stream && !holes {
            return false;
        }
        connection.mid_stream = true;
        if connection.search.beginnings >= self.limits.recognise_beginnings {
            return false;
        }
        let first = |direction| {
            connection
                .side(direction)
                .segments
                .front()
                .map_or(u64::MAX, |segment| segment.order)
        };
        let direction = if first(Direction::Sent) <= first(Direction::Received) {
            Direction::Sent
        } else {
            Direction::Received
        };
        connection.side_mut(direction).drop_first(&mut self.ledger);
        let search = &mut connection.search;
        search.beginnings = search.beginnings.saturating_add(1);
        (search.candidates, search.attempts, search.tried) = (all & !search.refused, 0, 0);
        self.account(slot);
        true
    }
}

/// Whether enough has come since the last attempt: every piece counts at first, later a doubling.
fn due(connection: &mut Connection, client: usize, server: usize, limits: &Limits) -> bool {
    let available = client.saturating_add(server);
    let closed = connection.closed();
    let search = &mut connection.search;
    let early = search.attempts < limits.recognise_attempts / 2;
    let grown = if early {
        available > search.tried
    } else {
        available >= search.tried.saturating_mul(2)
    };
    let last = closed && available > search.tried;
    if available == 0 || !(grown || last) {
        return false;
    }
    search.attempts = search.attempts.saturating_add(1);
    search.tried = available;
    true
}
