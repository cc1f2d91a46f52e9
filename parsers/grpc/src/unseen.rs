//! Which streams may have been opened without being seen.

use std::collections::VecDeque;

use crate::limits::UNSEEN_RANGES;

/// Numbers of the client's streams whose requests may have passed unseen.
#[derive(Debug, Default)]
pub(crate) struct Unseen {
    /// Beyond this one, up to the next that is seen.
    open: Option<u32>,
    /// Between these, both exclusive.
    ranges: VecDeque<(u32, u32)>,
    /// Streams that are done with all the same.
    closed: VecDeque<u32>,
}

impl Unseen {
    /// From here on requests may pass unseen; `newest` is the last stream known.
    pub(crate) fn begin(&mut self, newest: u32) {
        self.open.get_or_insert(newest);
    }

    /// A new stream was seen.
    pub(crate) fn opened(&mut self, stream: u32) {
        if let Some(from) = self.open.take() {
            push(&mut self.ranges, (from, stream));
        }
    }

    /// What comes on this stream is to be ignored.
    pub(crate) fn close(&mut self, stream: u32) {
        if self.contains(stream) {
            push(&mut self.closed, stream);
        }
    }

    pub(crate) fn contains(&self, stream: u32) -> bool {
        let within = self.open.is_some_and(|from| stream > from)
            || self
                .ranges
                .iter()
                .any(|&(from, to)| stream > from && stream < to);
        within && !self.closed.contains(&stream)
    }
}

fn push<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() >= UNSEEN_RANGES {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_between_two_known_ones_may_be_unseen() {
        let mut unseen = Unseen::default();
        assert!(!unseen.contains(1));
        unseen.begin(0);
        assert!(unseen.contains(7));
        unseen.opened(9);
        assert!(unseen.contains(7) && !unseen.contains(9) && !unseen.contains(11));
        unseen.begin(11);
        unseen.begin(13);
        unseen.opened(15);
        assert!(unseen.contains(13) && unseen.contains(7));
        unseen.close(7);
        assert!(!unseen.contains(7));
    }
}
