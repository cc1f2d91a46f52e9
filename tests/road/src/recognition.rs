//! Is every connection taken by the parser of its protocol, and by no other?
//!
//! What is *wrong*: a parser takes a connection of another protocol, or of one that nobody parses;
//! a parser gives back what is its own; or the first exchange is complete and nobody has taken it.
//! Damaged bytes may be taken by nobody. That they are taken by the parser of the protocol they were
//! damaged from is right, whatever was done to them; that any other one takes them is wrong, for
//! no change makes one protocol of another, with one exception: a byte of HTTP/2's preface makes a
//! request of HTTP/1 of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use wirespan_capture::Role;
use wirespan_traffic::{Conversation, Protocol, Random, damaged};

use crate::recogniser::{Finding, Recogniser, Setting};
use crate::road::Road;

/// Ports on which one or another of the protocols is usual, and some that are nobody's.
const PORTS: [u16; 12] = [
    22, 25, 80, 443, 3_306, 5_432, 6_379, 8_080, 9_092, 50_051, 7_777, 31_337,
];

/// Every prefix up to so many bytes is tried; of the longer ones each with this chance.
const EVERY_PREFIX: usize = 300;
const LONGER_PREFIXES: usize = 60;

/// Pairs of a length of the client's bytes and one of the server's.
const CORNERS: usize = 60;

/// Places at which a connection is joined.
const JOINS: usize = 40;

/// Bytes of a side that a failure shows.
const SHOWN: usize = 160;

/// Failures of each protocol that are described; the others are only counted.
const DESCRIBED: u64 = 5;

/// How often what became of the connections of a protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub connections: u64,
    pub own: u64,
    pub encrypted: u64,
    pub nobody: u64,
    pub wrong: u64,
}

#[derive(Debug, Default)]
pub struct Report {
    pub tallies: BTreeMap<Protocol, Tally>,
    /// What was wrong, in words.
    pub wrong: Vec<String>,
}

impl Report {
    /// A table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text =
            String::from("protocol  connections  by its parser  encrypted      nobody  wrong\n");
        for (protocol, tally) in &self.tallies {
            let _ = writeln!(
                text,
                "{:<9} {:>11} {:>14} {:>10} {:>11} {:>6}",
                format!("{protocol:?}"),
                tally.connections,
                tally.own,
                tally.encrypted,
                tally.nobody,
                tally.wrong
            );
        }
        text
    }

    #[must_use]
    pub fn connections(&self) -> u64 {
        self.tallies.values().map(|tally| tally.connections).sum()
    }

    fn note(&mut self, shown: &Shown<'_>, finding: &Finding, complete: bool) {
        let own = shown.conversation.protocol.parser();
        let tally = self.tallies.entry(shown.conversation.protocol).or_default();
        tally.connections += 1;
        tally.encrypted += u64::from(finding.encrypted);
        let is_own = |name: &String| Some(name.as_str()) == own;
        let taken = finding.taken.iter().any(is_own);
        tally.own += u64::from(taken);
        tally.nobody += u64::from(finding.taken.is_empty() && !finding.encrypted);
        let is_wrong =
            |name: &&String| !(is_own(name) || name.as_str() == "http" && shown.is_http());
        let what = if let Some(other) = finding.taken.iter().find(is_wrong) {
            format!("{other} took it")
        } else if complete && !taken && own.is_some() {
            "nobody took it".to_owned()
        } else if shown.intact && finding.given_back.iter().any(is_own) {
            "its own parser gave it back".to_owned()
        } else {
            return;
        };
        tally.wrong += 1;
        if tally.wrong <= DESCRIBED {
            self.wrong.push(format!("{what}: {}", shown.describe()));
        }
    }
}

/// A connection that was presented.
struct Shown<'a> {
    conversation: &'a Conversation,
    setting: Setting,
    what: String,
    intact: bool,
}

impl Shown<'_> {
    /// One changed byte makes a request of HTTP/1 of the preface of HTTP/2.
    fn is_http(&self) -> bool {
        let is_request = |bytes: &[u8]| {
            [b"PRI * HTTP/1.0\r\n", b"PRI * HTTP/1.1\r\n"]
                .iter()
                .any(|line| bytes.starts_with(*line))
        };
        !self.intact
            && self
                .conversation
                .turns
                .iter()
                .any(|turn| is_request(&turn.bytes))
    }

    fn describe(&self) -> String {
        let mut text = format!(
            "{:?}, {}, {:?}\n",
            self.conversation.protocol, self.what, self.setting
        );
        let mut room = SHOWN * 2;
        for turn in &self.conversation.turns {
            let bytes = &turn.bytes[..turn.bytes.len().min(room).min(SHOWN)];
            room -= bytes.len();
            let _ = writeln!(
                text,
                "    {:?} {} bytes: {}",
                turn.speaker,
                turn.bytes.len(),
                bytes.escape_ascii()
            );
            if room == 0 {
                break;
            }
        }
        text
    }
}

/// Presents `rounds` conversations of every protocol: every prefix of both sides together, many
/// pairs of prefixes, and what is left of them when they are joined in the middle.
///
/// # Errors
/// When a parser fails.
pub fn prefixes(road: &Road, seed: u64, rounds: u64) -> Result<Report> {
    let mut recogniser = Recogniser::new(road);
    let mut report = Report::default();
    for round in 0..rounds {
        for protocol in Protocol::ALL {
            let mut random = case(seed, round, protocol);
            let conversation = Conversation::generate(protocol, &mut random);
            let mut present = |part: &Conversation, setting, what: String, complete| {
                let finding = recogniser
                    .present(part, setting)
                    .with_context(|| format!("{protocol:?}, {what}, seed {seed}"))?;
                let shown = Shown {
                    conversation: part,
                    setting,
                    what: format!("{what}, seed {seed}, round {round}"),
                    intact: true,
                };
                report.note(&shown, &finding, complete);
                anyhow::Ok(())
            };
            let first: usize = conversation.turns[..conversation.first_exchange]
                .iter()
                .map(|turn| turn.bytes.len())
                .sum();
            let all = conversation.len();
            let longer: Vec<usize> = (0..LONGER_PREFIXES).map(|_| random.below(all)).collect();
            let every = 0..=all.min(EVERY_PREFIX);
            for len in every.chain(longer).chain([first, all]) {
                let setting = setting(&mut random, false);
                let complete = len >= first && first > 0;
                let prefix = conversation.prefix(len);
                present(&prefix, setting, format!("first {len} bytes"), complete)?;
            }
            for _ in 0..CORNERS {
                let (client, server) = (random.below(200), random.below(200));
                let corner = conversation.corner(client, server);
                let setting = setting(&mut random, false);
                let what = format!("first {client} and {server} bytes");
                present(&corner, setting, what, false)?;
            }
            for _ in 0..JOINS {
                let missed = random.below(all);
                let joined = conversation.joined_after(missed);
                let setting = setting(&mut random, true);
                present(
                    &joined,
                    setting,
                    format!("joined after {missed} bytes"),
                    false,
                )?;
            }
        }
    }
    Ok(report)
}

/// Presents `count` damaged prefixes of every protocol's conversations.
///
/// # Errors
/// When a parser fails.
pub fn mutations(
    road: &Road,
    seed: u64,
    count: u64,
    mut progress: impl FnMut(u64),
) -> Result<Report> {
    let mut recogniser = Recogniser::new(road);
    let mut report = Report::default();
    for number in 0..count {
        let protocol = Protocol::ALL[number as usize % Protocol::ALL.len()];
        let mut random = case(seed, number, protocol);
        let whole = Conversation::generate(protocol, &mut random);
        let mid_stream = random.one_in(4);
        let part = if mid_stream {
            whole.joined_after(random.below(whole.len()))
        } else {
            whole.clone()
        };
        let longest = if random.one_in(2) { 64 } else { part.len() };
        let prefix = part.prefix(random.between(1, longest.max(1)));
        let (changed, changes) = damaged(&prefix, &mut random);
        let setting = setting(&mut random, mid_stream);
        let what = format!("damaged ({changes:?}), seed {seed}, number {number}");
        let finding = recogniser
            .present(&changed, setting)
            .with_context(|| format!("{protocol:?}, {what}"))?;
        let shown = Shown {
            conversation: &changed,
            setting,
            what,
            intact: false,
        };
        report.note(&shown, &finding, false);
        if number % 50_000 == 49_999 {
            progress(number + 1);
        }
    }
    Ok(report)
}

/// Each case follows from the seed and its own number, whatever came before it.
fn case(seed: u64, number: u64, protocol: Protocol) -> Random {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (protocol as u64) << 56;
    Random::new(seed ^ spread)
}

fn setting(random: &mut Random, mid_stream: bool) -> Setting {
    let role = *random.pick(&[&Some(Role::Server), &Some(Role::Client), &None]);
    Setting {
        port: PORTS[random.below(PORTS.len())],
        role,
        mid_stream,
        closed: random.one_in(2),
    }
}
