//! The conservation laws: what came in has gone somewhere, and each place says how much.
//!
//! Each law holds between two calls of [`crate::Lane::run`], for each lane by itself. One that does
//! not is a defect of this program, and says at which joint to look for it.

use std::fmt;

use wirespan_runtime::Ledger;
use wirespan_stream::Counters;

/// What came to a joint of the road, and where it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Law {
    pub name: &'static str,
    pub came: u64,
    pub went: Vec<(&'static str, u64)>,
}

impl Law {
    #[must_use]
    pub fn went(&self) -> u64 {
        self.went
            .iter()
            .fold(0, |sum, (_, part)| sum.saturating_add(*part))
    }

    /// How far the two sides are apart.
    #[must_use]
    pub fn difference(&self) -> u64 {
        self.came.abs_diff(self.went())
    }

    #[must_use]
    pub fn holds(&self) -> bool {
        self.difference() == 0
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, excess) = if self.came > self.went() {
            ("missing", self.came - self.went())
        } else {
            ("too many", self.went() - self.came)
        };
        write!(
            f,
            "{} do not add up: {} came, {excess} are {what} of",
            self.name, self.came
        )?;
        for (part, count) in &self.went {
            write!(f, " {part} {count}")?;
        }
        Ok(())
    }
}

/// What a lane has counted, all at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Books {
    /// Payload that came from the capture.
    pub taken_bytes: u64,
    pub streams: Counters,
    pub parsers: Ledger,
    /// Bytes that parsers have not consumed yet.
    pub retained: u64,
    /// Spans that came from the parsers.
    pub told: u64,
    /// Spans handed on.
    pub spans: u64,
    /// Spans of protocols that nobody asked for.
    pub left_out: u64,
}

impl Books {
    /// Every law of a lane, kept or broken.
    #[must_use]
    pub fn laws(&self) -> [Law; 5] {
        let streams = &self.streams;
        [
            Law {
                name: "bytes of streams",
                came: streams.seen,
                went: vec![
                    ("delivered", streams.delivered),
                    ("gaps", streams.gaps.total()),
                    ("duplicates", streams.duplicates),
                    ("ciphertext", streams.ciphertext),
                    ("stray", streams.stray),
                    ("held", streams.held),
                ],
            },
            Law {
                name: "closed connections",
                came: streams.closed,
                went: vec![("balanced", streams.balanced)],
            },
            Law {
                name: "bytes of parsers",
                came: streams.delivered,
                went: self
                    .parsers
                    .fates()
                    .chain([("retained", self.retained)])
                    .collect(),
            },
            Law {
                name: "connections of parsers",
                came: self.parsers.ended,
                went: vec![("balanced", self.parsers.balanced)],
            },
            Law {
                name: "spans",
                came: self.told,
                went: vec![("handed on", self.spans), ("left out", self.left_out)],
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_that_is_broken_says_where_and_by_how_much() {
        let mut books = Books {
            told: 7,
            spans: 4,
            left_out: 3,
            ..Books::default()
        };
        books.streams.seen = 10;
        books.streams.delivered = 4;
        books.streams.held = 6;
        books.retained = 4;
        assert!(books.laws().iter().all(Law::holds));
        books.spans = 5;
        books.retained = 1;
        books.streams.closed = 3;
        books.streams.balanced = 2;
        let [streams, closed, parsers, ended, spans] = books.laws();
        assert!(streams.holds() && ended.holds());
        assert_eq!(closed.difference(), 1);
        assert_eq!((parsers.difference(), spans.difference()), (3, 1));
        assert_eq!(
            spans.to_string(),
            "spans do not add up: 7 came, 1 are too many of handed on 5 left out 3"
        );
        assert!(
            parsers
                .to_string()
                .starts_with("bytes of parsers do not add up: 4 came, 3 are missing of parsed 0")
        );
    }
}
