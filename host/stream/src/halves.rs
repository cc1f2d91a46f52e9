//! Both directions of a connection.

use crate::event::Direction;
use crate::half::Half;

/// Both directions of one layer.
#[derive(Debug)]
pub(crate) struct Halves {
    pub(crate) sent: Half,
    pub(crate) received: Half,
}

impl Halves {
    pub(crate) fn new(positions: [Option<u64>; 2]) -> Self {
        let [sent, received] = positions;
        Self {
            sent: Half::new(Direction::Sent, sent),
            received: Half::new(Direction::Received, received),
        }
    }

    pub(crate) fn get(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Sent => &self.sent,
            Direction::Received => &self.received,
        }
    }

    pub(crate) fn get_mut(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        }
    }

    pub(crate) fn held_cost(&self) -> usize {
        self.sent
            .held_cost()
            .saturating_add(self.received.held_cost())
    }
}
