//! One process of the storm.

use std::path::Path;

use anyhow::Result;

use super::half::Tools;
use super::pair::{Listeners, Maker};
use super::special;
use super::streams::{self, Plan};
use super::turns;
use crate::calls;
use crate::journal::Journal;
use crate::pace;
use crate::random::Random;

/// How much of it, and of what size.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub seed: u64,
    pub operations: u64,
    /// The largest single call of the run.
    pub huge_bytes: usize,
}

/// Runs until so many calls have been made.
///
/// # Errors
/// The journal cannot be written. What goes wrong with a socket is a panic.
pub fn run(directory: &Path, journal: &Path, name: &str, load: Load) -> Result<()> {
    let mut random = Random::new(load.seed);
    let mut maker = Maker {
        listeners: Listeners::new(directory, name),
        journal: Journal::append_to(journal)?,
        made: 0,
        unknown: false,
    };
    let mut tools: Vec<Tools> = (0..4).map(|_| Tools::new()).collect();
    let mut next_special = random.below(special::ALL.len());
    let mut huge = 1;
    loop {
        let done: u64 = tools.iter().map(|tools| tools.operations).sum();
        if done >= load.operations {
            maker.journal.operations(done);
            return Ok(());
        }
        pace::wait(journal, calls::monotonic);
        match random.below(10) {
            0..=5 => talk(&mut maker, &mut tools, &mut random),
            6 => stream(&mut maker, &mut tools, &mut random),
            _ => {
                special::ALL[next_special](&mut maker, &mut tools, &mut random);
                next_special = (next_special + 1) % special::ALL.len();
            }
        }
        // A few times in a run, however long it is.
        if huge <= 2 && done > load.operations / 3 * huge {
            huge += 1;
            bulk(&mut maker, &mut tools, &mut random, load.huge_bytes);
        }
    }
}

fn talk(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(special::any_kind(random), "talk", random);
    let turns = random.between(1, 12);
    turns::talk(&mut pair, turns, &mut tools[0], random);
    for end in pair {
        end.close(&maker.journal, "finished");
    }
}

fn stream(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(special::any_kind(random), "stream", random);
    let plan = |random: &mut Random| Plan {
        total: random.between(1, 300_000) as u64,
        most: random.between(1, 100_000),
        blocking: random.once_in(2),
        shut_down: random.once_in(2),
    };
    let (forth, back) = (plan(random), plan(random));
    streams::run_pair(&mut pair, forth, back, tools, random);
    for end in pair {
        end.close(&maker.journal, "finished");
    }
}

/// One call for all of it.
fn bulk(maker: &mut Maker, tools: &mut [Tools], random: &mut Random, bytes: usize) {
    let mut pair = maker.pair(special::any_kind(random), "bulk", random);
    let [first, second] = &mut pair;
    for end in [&first, &second] {
        crate::calls::set_blocking(end.socket(), true);
    }
    let whole = first.sent.next(bytes);
    let plan = Plan {
        total: bytes as u64,
        most: 4 << 20,
        blocking: true,
        shut_down: false,
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            streams::receive_all(&mut second.received, plan, &mut tools[1], random);
        });
        while first.sent.position < plan.total {
            let rest = &whole[first.sent.position as usize..];
            let sent = crate::calls::write(first.socket(), rest).expect("sending works");
            first.sent.pass(sent);
        }
    });
    for end in pair {
        end.close(&maker.journal, "finished");
    }
}
