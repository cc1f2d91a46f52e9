//! The parsers a worker asks, in order of precedence.

use std::fmt;
use std::sync::Arc;

use crate::limits;
use crate::load::Parser;

/// Where a parser comes from; the earlier one goes first, whatever a later one is confident of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Named by a rule of the operator.
    Operator,
    BuiltIn,
    Plugin,
}

/// An ordered set of parsers, shared by all workers.
#[derive(Clone)]
pub struct Parsers {
    entries: Vec<(Arc<Parser>, Origin)>,
}

impl fmt::Debug for Parsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|(parser, _)| parser.label()))
            .finish()
    }
}

impl Parsers {
    /// By precedence: origin, then the order given. What is beyond [`limits::PARSERS`] is left out
    /// and logged.
    #[must_use]
    pub fn new(mut entries: Vec<(Arc<Parser>, Origin)>) -> Self {
        entries.sort_by_key(|(_, origin)| *origin);
        for (parser, _) in entries.iter().skip(limits::PARSERS) {
            tracing::warn!(
                "the parser {} is left out: there are {} already",
                parser.label(),
                limits::PARSERS
            );
        }
        entries.truncate(limits::PARSERS);
        Self { entries }
    }

    /// In order of precedence.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Parser>> {
        self.entries.iter().map(|(parser, _)| parser)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&(Arc<Parser>, Origin)> {
        self.entries.get(index)
    }

    /// The first parser that has `protocol`.
    pub(crate) fn by_protocol(&self, protocol: &[u8]) -> Option<usize> {
        self.iter().position(|parser| {
            parser
                .protocols
                .iter()
                .any(|name| name.as_bytes() == protocol)
        })
    }

    /// A bit for each.
    pub(crate) fn all(&self) -> u64 {
        u64::MAX
            .checked_shr(64 - u32::try_from(self.len()).unwrap_or(64))
            .unwrap_or(0)
    }
}
