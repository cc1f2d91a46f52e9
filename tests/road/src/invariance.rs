//! Are the spans of a capture the same however its bytes are cut, and what does a loss cost?

use anyhow::Result;
use wirespan_traffic::Random;

use crate::capture::Capture;
use crate::change::{self, Loss};
use crate::compare::{Harm, differences, judge};
use crate::road::{self, Road};

/// Longest pieces that a capture is cut into.
const LONGEST: [usize; 7] = [1, 2, 7, 40, 200, 1_460, 9_000];

/// How much is tried with one capture.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub cuts: usize,
    pub losses: usize,
}

#[derive(Debug, Default)]
pub struct Report {
    pub spans: usize,
    pub cuts: usize,
    pub losses: usize,
    pub harm: Harm,
    /// What was not as it should be, in words, with what is needed to repeat it.
    pub wrong: Vec<String>,
}

impl Report {
    pub fn add(&mut self, other: Self) {
        self.spans += other.spans;
        self.cuts += other.cuts;
        self.losses += other.losses;
        self.harm.add(other.harm);
        self.wrong.extend(other.wrong);
    }
}

/// Cuts the capture at other places and loses pieces of it, one at a time: told, untold, and of
/// unknown length in turn, of the capture as it is and cut anew.
///
/// # Errors
/// When a parser fails.
pub fn check(road: &Road, capture: &Capture, effort: Effort, seed: u64) -> Result<Report> {
    let whole = road.spans(capture)?;
    let mut report = Report {
        spans: whole.len(),
        ..Report::default()
    };
    for number in 0..effort.cuts {
        let mut random = Random::new(seed ^ (number as u64) << 32);
        let longest = LONGEST[number % LONGEST.len()];
        let found = road.spans(&change::cut(capture, longest, &mut random))?;
        report.cuts += 1;
        if let Some(text) = differences(&whole, &found) {
            report.wrong.push(format!(
                "cut {number} (pieces of at most {longest} bytes): {text}"
            ));
        }
    }
    for number in 0..effort.losses {
        let mut random = Random::new(seed ^ (number as u64) << 32 ^ 1);
        // Pieces of a message are lost as well as whole ones.
        let pieces = if number % 2 == 0 {
            capture.clone()
        } else {
            let longest = random.between(50, 2_000);
            change::cut(capture, longest, &mut random)
        };
        let lost = if number % 3 == 2 {
            let streams = road::streams(&pieces);
            change::lose_length(&streams, &mut random)
                .map(|(steps, loss)| Ok((road.spans_of_streams(capture.clock, &steps)?, loss)))
        } else {
            change::lose(&pieces, number % 3 == 1, &mut random)
                .map(|(damaged, loss)| anyhow::Ok((road.spans(&damaged)?, loss)))
        };
        let Some(lost) = lost else {
            break;
        };
        let (found, loss): (Vec<_>, Loss) = lost?;
        report.losses += 1;
        match judge(capture.clock, &whole, &found, &loss) {
            Ok(harm) => report.harm.add(harm),
            Err(text) => report
                .wrong
                .push(format!("loss {number} ({loss:?}): {text}")),
        }
    }
    Ok(report)
}
