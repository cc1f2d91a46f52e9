//! The spans of a capture are the same however its bytes are cut, and a loss harms only what
//! surrounds it.
//!
//! The long form is `cargo xtask invariance`, also with captures of one's own.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use wirespan_road::invariance::{Effort, Report, check};
use wirespan_road::{Capture, Road};
use wirespan_traffic::{Conversation, Protocol, Random};

static ROAD: LazyLock<Road> = LazyLock::new(|| Road::new().expect("the parsers load"));

/// Captures of each protocol, each of one to three conversations.
const ROUNDS: u64 = 40;

/// Pieces of each of these captures that are lost, one at a time.
const LOSSES: usize = 9;

/// Pieces of a recording of a few hundred KiB that are lost.
const RECORDED_LOSSES: usize = 24;

/// Larger ones take minutes.
const LARGEST_RECORDING: usize = 1 << 20;

fn generated(protocol: Protocol) -> Result<()> {
    let fresh = Random::fresh_seed();
    println!("seed {fresh}");
    let effort = Effort {
        cuts: 14,
        losses: LOSSES,
    };
    let mut total = Report::default();
    for seed in (0..ROUNDS).map(|round| fresh.wrapping_add(round)) {
        let mut random = Random::new(seed);
        let conversations: Vec<_> = (0..random.between(1, 3))
            .map(|_| Conversation::generate(protocol, &mut random))
            .collect();
        total.add(check(&ROAD, &Capture::of(&conversations), effort, seed)?);
    }
    println!("{} spans, {:?}", total.spans, total.harm);
    ensure!(total.spans > 0, "nothing was parsed");
    ensure!(
        total.wrong.is_empty(),
        "seed {fresh}\n{}",
        total.wrong.join("\n")
    );
    Ok(())
}

#[test]
fn http_is_the_same_however_it_is_cut_and_a_loss_harms_its_neighbourhood() -> Result<()> {
    generated(Protocol::Http)
}

#[test]
fn http2_is_the_same_however_it_is_cut_and_a_loss_harms_its_neighbourhood() -> Result<()> {
    generated(Protocol::Http2)
}

#[test]
fn mysql_is_the_same_however_it_is_cut_and_a_loss_harms_its_neighbourhood() -> Result<()> {
    generated(Protocol::MySql)
}

#[test]
fn postgres_is_the_same_however_it_is_cut_and_a_loss_harms_its_neighbourhood() -> Result<()> {
    generated(Protocol::Postgres)
}

#[test]
fn recordings_of_real_servers_are_the_same_however_they_are_cut() -> Result<()> {
    let seed = Random::fresh_seed();
    println!("seed {seed}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let mut recordings = 0;
    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let file = entry?.path();
        if file.extension().is_none_or(|ending| ending != "wsrec") {
            continue;
        }
        let capture = Capture::read(&file)?;
        if capture.len() > LARGEST_RECORDING {
            println!("{}: larger than what is compared here", file.display());
            continue;
        }
        recordings += 1;
        let effort = Effort {
            cuts: 14,
            losses: RECORDED_LOSSES,
        };
        let report = check(&ROAD, &capture, effort, seed)?;
        println!("{}: {} spans", file.display(), report.spans);
        ensure!(
            report.wrong.is_empty(),
            "{}, seed {seed}\n{}",
            file.display(),
            report.wrong.join("\n")
        );
    }
    ensure!(recordings > 0, "no recordings in {}", folder.display());
    Ok(())
}
