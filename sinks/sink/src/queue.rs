//! The bounded queue in front of a sink.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wirespan_span::Span;

/// Bounded by a number of spans. What does not fit pushes out the oldest, and is counted.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Vec<Arc<Span>>>,
    spans: usize,
    dropped: u64,
    closed: bool,
}

/// What [`Queue::pop`] found.
#[derive(Debug)]
pub enum Popped {
    Batch(Vec<Arc<Span>>),
    /// Nothing came in time.
    Idle,
    /// Nothing is left and nothing will come.
    Closed,
}

impl Queue {
    /// `capacity` in spans.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity,
        }
    }

    /// Never waits. On a closed queue the batch is dropped and counted.
    pub fn push(&self, mut batch: Vec<Arc<Span>>) {
        let mut state = self.lock();
        if state.closed {
            state.dropped += batch.len() as u64;
            return;
        }
        let excess = batch.len().saturating_sub(self.capacity);
        batch.drain(..excess);
        state.dropped += excess as u64;
        let room = self.capacity.saturating_sub(batch.len());
        state.shrink_to(room);
        if batch.is_empty() {
            return;
        }
        state.spans += batch.len();
        state.batches.push_back(batch);
        drop(state);
        self.changed.notify_one();
    }

    /// The oldest batch; waits for one up to `limit`.
    #[must_use]
    pub fn pop(&self, limit: Duration) -> Popped {
        let waiting = |state: &mut State| state.batches.is_empty() && !state.closed;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), limit, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        match state.batches.pop_front() {
            Some(batch) => {
                state.spans -= batch.len();
                Popped::Batch(batch)
            }
            None if state.closed => Popped::Closed,
            None => Popped::Idle,
        }
    }

    /// Takes nothing more; what is queued can still be popped.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Takes nothing more, and drops what is queued.
    pub fn discard(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.shrink_to(0);
        drop(state);
        self.changed.notify_all();
    }

    /// Spans that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().spans
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Spans dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// A thread that panicked leaves numbers behind, nothing that is half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops the oldest until at most `spans` are left.
    fn shrink_to(&mut self, spans: usize) {
        while self.spans > spans {
            let excess = self.spans - spans;
            let Some(oldest) = self.batches.front_mut() else {
                return;
            };
            let count = excess.min(oldest.len());
            oldest.drain(..count);
            if oldest.is_empty() {
                self.batches.pop_front();
            }
            self.spans -= count;
            self.dropped += count as u64;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::ops::Range;
    use wirespan_span::{Flags, Kind, Resource, Status};

    /// Spans that start at the given nanoseconds.
    pub(crate) fn spans(starts: Range<u64>) -> Vec<Arc<Span>> {
        let resource = Arc::new(Resource {
            service_name: "test".into(),
            ..Resource::default()
        });
        let span = |start| Span {
            trace_id: 1,
            span_id: start + 1,
            parent_span_id: None,
            trace_flags: 0,
            name: "GET".into(),
            kind: Kind::Server,
            start_unix_nano: start,
            request_end_unix_nano: None,
            response_start_unix_nano: None,
            end_unix_nano: start + 1000,
            status: Status::Unset,
            attributes: Vec::new(),
            resource: Arc::clone(&resource),
            flags: Flags::default(),
            protocol: "http".into(),
            parser: "http@0.1.0".into(),
        };
        starts.map(|start| Arc::new(span(start))).collect()
    }

    fn starts(popped: Popped) -> Vec<u64> {
        match popped {
            Popped::Batch(batch) => batch.iter().map(|span| span.start_unix_nano).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_oldest_are_dropped_and_counted() {
        let queue = Queue::new(5);
        queue.push(spans(0..3));
        queue.push(spans(3..5));
        queue.push(spans(5..7));
        assert_eq!((queue.len(), queue.dropped()), (5, 2));
        assert_eq!(starts(queue.pop(Duration::ZERO)), [2]);
        queue.push(spans(10..20));
        assert_eq!((queue.len(), queue.dropped()), (5, 2 + 4 + 5));
        assert_eq!(starts(queue.pop(Duration::ZERO)), [15, 16, 17, 18, 19]);
        assert!(matches!(queue.pop(Duration::ZERO), Popped::Idle));
    }

    #[test]
    fn a_closed_queue_can_be_emptied_and_takes_nothing() {
        let queue = Queue::new(5);
        queue.push(spans(0..2));
        queue.close();
        queue.push(spans(2..4));
        assert_eq!(starts(queue.pop(Duration::ZERO)), [0, 1]);
        assert!(matches!(queue.pop(Duration::from_secs(9)), Popped::Closed));
        assert_eq!(queue.dropped(), 2);
    }

    #[test]
    fn discarding_counts_what_was_queued() {
        let queue = Queue::new(5);
        queue.push(spans(0..5));
        queue.discard();
        assert!(matches!(queue.pop(Duration::ZERO), Popped::Closed));
        assert_eq!((queue.len(), queue.dropped()), (0, 5));
    }

    #[test]
    fn without_capacity_everything_is_dropped() {
        let queue = Queue::new(0);
        queue.push(spans(0..5));
        assert!(matches!(queue.pop(Duration::ZERO), Popped::Idle));
        assert_eq!(queue.dropped(), 5);
    }
}
