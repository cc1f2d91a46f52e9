//! Spans that wait: open batches by subject, and closed ones in the order they are to be sent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wirespan_span::{Span, json};

use crate::message::{BATCH_BYTES, BATCH_SPANS};

/// How long a batch waits to become full.
pub const BATCH_DELAY: Duration = Duration::from_millis(100);
/// Subjects with an open batch. More than a node has workloads; when they are exceeded all are
/// closed, which costs small messages and nothing else.
const MAX_OPEN: usize = 1024;

#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) subject: String,
    pub(crate) spans: Vec<Arc<Span>>,
    /// Estimated.
    pub(crate) bytes: usize,
    opened: Instant,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    open: HashMap<String, Batch>,
    closed: VecDeque<Batch>,
    spans: usize,
    bytes: usize,
    max_spans: usize,
    max_bytes: usize,
}

impl Outbox {
    pub(crate) fn new(max_spans: usize, max_bytes: usize) -> Self {
        Self {
            open: HashMap::new(),
            closed: VecDeque::new(),
            spans: 0,
            bytes: 0,
            max_spans,
            max_bytes,
        }
    }

    /// Returns how many spans were dropped to make room: the oldest.
    pub(crate) fn add(&mut self, subject: &str, span: &Arc<Span>, now: Instant) -> u64 {
        let size = json::size_hint(span);
        self.spans += 1;
        self.bytes += size;
        if let Some(batch) = self.open.get_mut(subject)
            && batch.spans.len() < BATCH_SPANS
            && batch.bytes + size <= BATCH_BYTES
        {
            batch.spans.push(Arc::clone(span));
            batch.bytes += size;
        } else {
            self.open(subject, span, size, now);
        }
        self.drop_oldest()
    }

    fn open(&mut self, subject: &str, span: &Arc<Span>, size: usize, now: Instant) {
        if self.open.len() >= MAX_OPEN {
            self.close_all();
        }
        let batch = Batch {
            subject: subject.to_owned(),
            spans: vec![Arc::clone(span)],
            bytes: size,
            opened: now,
        };
        if let Some(full) = self.open.insert(batch.subject.clone(), batch) {
            self.closed.push_back(full);
        }
    }

    /// Whole batches: at the limit the server is away, and finer would cost more than it keeps.
    fn drop_oldest(&mut self) -> u64 {
        let mut dropped = 0;
        while self.spans > self.max_spans || self.bytes > self.max_bytes {
            if self.closed.is_empty() {
                self.close_all();
            }
            let Some(batch) = self.closed.pop_front() else {
                break;
            };
            self.forget(&batch);
            dropped += batch.spans.len() as u64;
        }
        dropped
    }

    /// Closes what has waited long enough.
    pub(crate) fn close_due(&mut self, now: Instant) {
        self.close(|batch| now.saturating_duration_since(batch.opened) >= BATCH_DELAY);
    }

    pub(crate) fn close_all(&mut self) {
        self.close(|_| true);
    }

    fn close(&mut self, is_due: impl Fn(&Batch) -> bool) {
        let mut due: Vec<Batch> = self
            .open
            .extract_if(|_, batch| is_due(batch))
            .map(|(_, b)| b)
            .collect();
        due.sort_by_key(|batch| batch.opened);
        self.closed.extend(due);
    }

    /// The next closed batch.
    pub(crate) fn pop(&mut self) -> Option<Batch> {
        let batch = self.closed.pop_front()?;
        self.forget(&batch);
        Some(batch)
    }

    fn forget(&mut self, batch: &Batch) {
        self.spans = self.spans.saturating_sub(batch.spans.len());
        self.bytes = self.bytes.saturating_sub(batch.bytes);
    }

    pub(crate) fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// When the oldest open batch is due; now, when there is a closed one.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        if !self.closed.is_empty() {
            return Some(now);
        }
        self.open
            .values()
            .map(|batch| batch.opened + BATCH_DELAY)
            .min()
    }

    pub(crate) fn clear(&mut self) -> u64 {
        let spans = self.spans as u64;
        *self = Self::new(self.max_spans, self.max_bytes);
        spans
    }

    pub(crate) const fn spans(&self) -> usize {
        self.spans
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}
