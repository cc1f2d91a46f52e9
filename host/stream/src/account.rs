//! The books of one direction: what has passed by its positions, and what was handed on of it.

/// Counts what is handed on, each stretch by its length, from the position at which that began. What
/// positions say has passed since must be as much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// `None` before the first stretch, and after one of unknown length.
    start: Option<u64>,
    /// Bytes and gaps since.
    handed_on: u64,
}

impl Account {
    /// Counting begins at `position`, if that is known, or at the next stretch.
    pub(crate) fn open(position: Option<u64>) -> Self {
        Self {
            start: position,
            handed_on: 0,
        }
    }

    /// A stretch at `position` is handed on.
    pub(crate) fn add(&mut self, position: u64, len: u64) {
        self.start.get_or_insert(position);
        self.handed_on = self.handed_on.saturating_add(len);
    }

    /// How far what was handed on is from what has passed up to `last`: 0, or something is wrong.
    pub(crate) fn difference(&self, last: u64) -> u64 {
        self.start.map_or(0, |start| {
            last.saturating_sub(start)
                .abs_diff(self.handed_on)
                // Before its start nothing can have passed.
                .max(start.saturating_sub(last))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_on_is_what_has_passed() {
        let mut account = Account::default();
        assert_eq!(account.difference(1_000), 0, "nothing is known of it");
        account.add(100, 20);
        account.add(120, 5);
        assert_eq!(account.difference(125), 0);
        assert_eq!(account.difference(130), 5, "less than has passed");
        assert_eq!(account.difference(123), 2, "more than has passed");
        let mut account = Account::open(Some(7));
        assert_eq!(account.difference(7), 0);
        assert_eq!(account.difference(9), 2);
        assert_eq!(account.difference(0), 7);
        account.add(8, 1);
        assert_eq!(account.difference(9), 1, "a stretch that nobody handed on");
        assert_eq!(Account::open(None).difference(3), 0);
    }
}
