//! Commands that wait for their answer, the oldest first.

use std::collections::VecDeque;

use crate::exchange::Pending;

/// Nearly always there is one, which needs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    first: Option<Pending>,
    rest: VecDeque<Pending>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.rest
            .len()
            .saturating_add(usize::from(self.first.is_some()))
    }

    /// Bytes of the texts in it.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn front(&self) -> Option<&Pending> {
        self.first.as_ref()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Pending> {
        self.first.as_mut()
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut Pending> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    pub(crate) fn push(&mut self, pending: Pending) {
        self.bytes = self.bytes.saturating_add(weight(&pending));
        if self.first.is_none() {
            self.first = Some(pending);
        } else {
            self.rest.push_back(pending);
        }
    }

    /// Leaves out commands that began after `time`, but for the first.
    pub(crate) fn forget_after(&mut self, time: u64) {
        while let Some(last) = self.rest.pop_back_if(|pending| pending.start > time) {
            self.bytes = self.bytes.saturating_sub(weight(&last));
        }
    }

    /// When the last byte of any passed, as far as it was shown.
    pub(crate) fn end(&self) -> u64 {
        let ends = self
            .first
            .iter()
            .chain(&self.rest)
            .map(|pending| pending.end);
        ends.max().unwrap_or(0)
    }

    pub(crate) fn pop(&mut self) -> Option<Pending> {
        let pending = self.first.take()?;
        self.bytes = self.bytes.saturating_sub(weight(&pending));
        if !self.rest.is_empty() {
            self.first = self.rest.pop_front();
            if self.rest.is_empty() {
                self.rest = VecDeque::new();
            }
        }
        Some(pending)
    }
}

fn weight(pending: &Pending) -> usize {
    pending.text.bytes().map_or(0, <[u8]>::len)
}
