//! Where the bytes have gone that were handed in.

/// What became of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A parser has consumed it.
    Parsed,
    /// A parser stepped over it.
    Skipped,
    /// Nobody recognised what it is part of.
    Unrecognised,
    /// Ciphertext: its plaintext may come.
    Encrypted,
    /// The parser of its connection wants nothing more of it.
    GivenUp,
    /// Its connection was taken from a parser that failed.
    Failed,
    /// Its connection is beyond the limit, or over.
    Refused,
    /// A parser left more than is kept for it.
    Limit,
    /// It was there when its stream ended or began anew, and nobody had consumed it.
    Left,
    /// It was there already.
    Repeated,
}

impl Fate {
    /// Every one, with its name in metrics.
    pub const NAMES: [(Self, &'static str); 10] = [
        (Self::Parsed, "parsed"),
        (Self::Skipped, "skipped"),
        (Self::Unrecognised, "unrecognised"),
        (Self::Encrypted, "encrypted"),
        (Self::GivenUp, "given_up"),
        (Self::Failed, "failed"),
        (Self::Refused, "refused"),
        (Self::Limit, "limit"),
        (Self::Left, "left"),
        (Self::Repeated, "repeated"),
    ];
}

/// Bytes that came in, and bytes that are gone by their fate; what is neither is retained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub received: u64,
    gone: [u64; Fate::NAMES.len()],
    /// Connections that are over, and of these the ones of which each byte has met one fate: all of them.
    pub ended: u64,
    pub balanced: u64,
}

impl Ledger {
    pub(crate) fn receive(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes as u64);
    }

    pub(crate) fn put(&mut self, fate: Fate, bytes: usize) {
        if let Some(sum) = self.gone.get_mut(fate as usize) {
            *sum = sum.saturating_add(bytes as u64);
        }
    }

    /// A connection is over.
    pub(crate) fn end(&mut self, balanced: bool) {
        self.ended = self.ended.saturating_add(1);
        self.balanced = self.balanced.saturating_add(u64::from(balanced));
    }

    #[must_use]
    pub fn of(&self, fate: Fate) -> u64 {
        self.gone.get(fate as usize).copied().unwrap_or(0)
    }

    /// Each fate by its name in metrics, with its bytes.
    pub fn fates(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Fate::NAMES
            .into_iter()
            .map(|(fate, name)| (name, self.of(fate)))
    }

    /// All fates together.
    #[must_use]
    pub fn gone(&self) -> u64 {
        self.gone.iter().copied().fold(0, u64::saturating_add)
    }

    /// What has been added since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut more = *self;
        more.received = more.received.saturating_sub(earlier.received);
        for (sum, before) in more.gone.iter_mut().zip(earlier.gone) {
            *sum = sum.saturating_sub(before);
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fate_has_a_place_and_a_name_of_its_own() {
        let mut ledger = Ledger::default();
        for (number, (fate, _)) in Fate::NAMES.into_iter().enumerate() {
            assert_eq!(fate as usize, number);
            ledger.put(fate, number + 1);
        }
        for (number, (fate, _)) in Fate::NAMES.into_iter().enumerate() {
            assert_eq!(ledger.of(fate), number as u64 + 1);
        }
        assert_eq!(ledger.gone(), 55);
        let mut later = ledger;
        later.receive(7);
        later.put(Fate::Left, 3);
        let more = later.since(&ledger);
        assert_eq!((more.received, more.gone(), more.of(Fate::Left)), (7, 3, 3));
    }
}
