//! Statements that were read before.
//!
//! Most of what a database is asked comes again, byte for byte: prepared statements, transactions,
//! what a framework asks at every request. Reading one takes as long as parsing the protocol around
//! it; finding it here takes a tenth of that.

use wirespan_sql::{Dialect, read};
use xxhash_rust::xxh3::xxh3_64;

use crate::model::Text;
use crate::traceparent::TraceParent;

/// Statements kept, a power of two. Applications have some hundreds.
pub(super) const STATEMENTS: usize = 512;

/// Longest text that is kept: with what is made of it, and both full, 1 MiB for a worker.
pub(super) const TEXT_BYTES: usize = 1 << 10;

/// Texts that came once, as a part of their hash; a power of two. Only what comes again before so
/// many others is kept: a literal in a text makes it new each time.
const SEEN: usize = 4 * STATEMENTS;

/// What reading a statement gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Without literals and comments.
    pub(super) text: Text,
    /// Empty where nothing is known.
    pub(super) summary: Text,
    pub(super) procedure: Option<Text>,
    pub(super) parent: Option<TraceParent>,
}

#[derive(Debug)]
struct Entry {
    source: Box<str>,
    dialect: Dialect,
    complete: bool,
    reading: Reading,
}

/// Each has its place by its hash: two that share one take turns.
#[derive(Debug)]
pub(super) struct Known {
    entries: Vec<Option<Entry>>,
    seen: Vec<u32>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            entries: (0..STATEMENTS).map(|_| None).collect(),
            seen: vec![0; SEEN],
        }
    }
}

impl Known {
    /// As [`read`], of which it gives the same.
    pub(super) fn read(&mut self, text: &str, dialect: Dialect, complete: bool) -> Reading {
        if text.len() > TEXT_BYTES {
            return reading(text, dialect, complete);
        }
        let hash = xxh3_64(text.as_bytes());
        if let Some(Some(entry)) = self.entries.get(place(hash, STATEMENTS))
            && (entry.dialect, entry.complete) == (dialect, complete)
            && *entry.source == *text
        {
            return entry.reading.clone();
        }
        let reading = reading(text, dialect, complete);
        // Zero is what nothing was seen of.
        let mark = u32::try_from(hash >> 32).unwrap_or(0) | 1;
        let seen = self.seen.get_mut(place(hash, SEEN));
        let again = seen.is_some_and(|seen| std::mem::replace(seen, mark) == mark);
        if again && let Some(entry) = self.entries.get_mut(place(hash, STATEMENTS)) {
            *entry = Some(Entry {
                source: text.into(),
                dialect,
                complete,
                reading: reading.clone(),
            });
        }
        reading
    }
}

fn reading(text: &str, dialect: Dialect, complete: bool) -> Reading {
    let statement = read(text, dialect, complete);
    Reading {
        parent: statement
            .traceparent
            .and_then(|value| TraceParent::parse(value.as_bytes())),
        text: statement.text.into(),
        summary: statement.summary.into(),
        procedure: statement.procedure.map(Text::from),
    }
}

/// The low bits: a remainder of a power of two.
fn place(hash: u64, places: usize) -> usize {
    usize::try_from(hash).unwrap_or(0) & (places - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECTS: [Dialect; 2] = [Dialect::MySql, Dialect::Postgres];

    #[test]
    fn what_comes_again_is_what_it_was() {
        let mut known = Known::default();
        let texts = [
            "SELECT a FROM t WHERE b = 'c'",
            "SELECT \"a\" FROM t",
            "CALL p('x') /*traceparent='00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203332-01'*/",
            "SELECT 'it\\'s', a",
            "",
        ];
        for _ in 0..4 {
            for text in texts {
                for dialect in DIALECTS {
                    for complete in [true, false] {
                        assert_eq!(
                            known.read(text, dialect, complete),
                            reading(text, dialect, complete),
                            "{text}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_comes_once_is_not_kept_and_what_is_kept_is_bounded() {
        let mut known = Known::default();
        let kept = |known: &Known| known.entries.iter().flatten().count();
        for number in 0..100_000 {
            known.read(&format!("SELECT {number}"), Dialect::MySql, true);
        }
        // A few share half of their hash with another.
        assert!(kept(&known) < 8, "{}", kept(&known));
        for number in 0..10_000 {
            let text = format!("SELECT a{number} FROM t");
            for _ in 0..2 {
                known.read(&text, Dialect::Postgres, true);
            }
        }
        assert!(kept(&known) > STATEMENTS * 9 / 10 && kept(&known) <= STATEMENTS);
        let long = format!("SELECT {}", "a, ".repeat(TEXT_BYTES / 3));
        for _ in 0..3 {
            known.read(&long, Dialect::MySql, true);
        }
        assert!(
            known
                .entries
                .iter()
                .flatten()
                .all(|entry| entry.source.len() <= TEXT_BYTES)
        );
    }
}
