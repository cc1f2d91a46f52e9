//! Looks at the books while the agent runs, and says when they do not add up.

use std::time::{Duration, Instant};

use crate::lane::Lane;

/// Between two looks. They are exposed at all times; this is for the log.
const INTERVAL: Duration = Duration::from_secs(1);

/// Of one lane.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    looked: Option<Instant>,
    /// It was said already: a difference that is there stays.
    told: bool,
}

impl Audit {
    /// To be called between two runs of the lane.
    pub(crate) fn look(&mut self, lane: &Lane) {
        if self.told
            || self
                .looked
                .is_some_and(|looked| looked.elapsed() < INTERVAL)
        {
            return;
        }
        self.looked = Some(Instant::now());
        let books = lane.books();
        for law in books.laws().iter().filter(|law| !law.holds()) {
            self.told = true;
            let unbalanced = books.streams.unbalanced;
            tracing::error!(?unbalanced, "defect: {law}; report it");
        }
    }
}
