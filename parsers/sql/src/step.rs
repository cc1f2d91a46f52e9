//! Reading both sides in step.

use wirespan_sdk::{Cause, Flags};

/// How certain it is that the first in the queue is what the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    Sure,
    /// Both sides are read from where messages seem to begin; the first answer that makes sense
    /// settles it.
    Trial,
    /// Nothing is said until both sides are found again.
    Lost,
}

/// What a step on one side came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Go on with the same bytes.
    On,
    /// More bytes are needed: up to this position.
    More(u64),
    /// Something must come on the other side first.
    Hold,
    /// Nothing below this position is needed.
    Skip(u64),
    /// The connection is given away.
    Done,
}

/// What is said of an exchange because its connection ended.
#[must_use]
pub fn flags_at_close(cause: Cause) -> Flags {
    match cause {
        Cause::Reset => Flags::RESET,
        Cause::Evicted | Cause::CutOff => Flags::UNFINISHED,
        _ => Flags::empty(),
    }
}

/// The first position between `from` and `to` whose byte did not pass before `time`.
pub fn since(time: u64, mut from: u64, mut to: u64, passed: impl Fn(u64) -> u64) -> u64 {
    while from < to {
        let middle = from.midpoint(to);
        if passed(middle) < time {
            from = middle.saturating_add(1);
        } else {
            to = middle;
        }
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_since_a_time_is_found() {
        let times = [1, 1, 2, 2, 5, 5, 5, 9];
        let passed = |at: u64| times[at as usize];
        let found: Vec<u64> = [0, 2, 3, 6, 10]
            .iter()
            .map(|&time| since(time, 0, 8, passed))
            .collect();
        assert_eq!(found, [0, 2, 4, 7, 8]);
    }
}
