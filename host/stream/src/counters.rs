//! What the table has done, and the law that nothing disappears.

use crate::event::{ConnectionKey, GapCause};

/// Bytes of gaps, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GapBytes {
    pub unwanted: u64,
    pub limit: u64,
    pub fault: u64,
    pub ring: u64,
    pub unobserved: u64,
    pub packet: u64,
    pub unknown: u64,
}

impl GapBytes {
    pub(crate) fn add(&mut self, cause: GapCause, bytes: u64) {
        let field = match cause {
            GapCause::Unwanted => &mut self.unwanted,
            GapCause::Limit => &mut self.limit,
            GapCause::Fault => &mut self.fault,
            GapCause::Ring => &mut self.ring,
            GapCause::Unobserved => &mut self.unobserved,
            GapCause::Packet => &mut self.packet,
            GapCause::Unknown => &mut self.unknown,
        };
        *field = field.saturating_add(bytes);
    }

    /// All causes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        [
            self.unwanted,
            self.limit,
            self.fault,
            self.ring,
            self.unobserved,
            self.packet,
            self.unknown,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

/// A connection whose books do not balance: a defect of this program, or of what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced {
    pub key: ConnectionKey,
    /// How far what was handed on is from what has passed, by [`Direction::index`](crate::Direction::index).
    pub differences: [u64; 2],
}

/// Totals since the table was made, and what it holds now.
///
/// Bytes are stream bytes. Every one that is known to have passed, copied or not, ends in exactly
/// one of `delivered`, `gaps`, `duplicates`, `ciphertext`, `stray` or, for now, `held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that events told of, plus those of holes between events once they are given up.
    pub seen: u64,
    /// Bytes handed on as data.
    pub delivered: u64,
    /// Bytes handed on as gaps.
    pub gaps: GapBytes,
    /// Bytes that were there already, or came after their place was handed on.
    pub duplicates: u64,
    /// Of these, bytes that differed from the first copy while that was still held.
    pub contradictory: u64,
    /// Bytes of a socket whose plaintext is observed instead.
    pub ciphertext: u64,
    /// Bytes of a connection that was closed, or of a direction that had ended.
    pub stray: u64,
    /// Stretches held back behind a hole now, in stream bytes.
    pub held: u64,
    /// Memory they take now.
    pub held_cost: usize,
    /// Connections opened, of these those whose opening event never came, and closed.
    pub opened: u64,
    pub anonymous: u64,
    pub closed: u64,
    /// Of those that were closed, the ones of which as much was handed on as has passed, in bytes and
    /// gaps, by their positions: all of them.
    pub balanced: u64,
    /// The last one of which that is not so.
    pub unbalanced: Option<Unbalanced>,
    /// Connections forgotten because of a limit on their number or on idle time.
    pub evicted: u64,
    /// Times a limit on held bytes made the table give up waiting.
    pub impatient: u64,
    /// Processes forgotten because there were too many.
    pub processes_forgotten: u64,
}

impl Counters {
    /// Bytes seen = delivered + gaps + duplicates + ciphertext + stray + held, of all connections together.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let accounted = [
            self.delivered,
            self.gaps.total(),
            self.duplicates,
            self.ciphertext,
            self.stray,
            self.held,
        ]
        .into_iter()
        .fold(0, u64::saturating_add);
        self.seen == accounted
    }
}
