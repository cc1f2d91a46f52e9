//! Commands that wait for their answer, the oldest first.

use std::collections::VecDeque;

use wirespan_parser_sql::Text;

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
        self.bytes = self.bytes.saturating_add(pending.text.weight());
        if self.first.is_none() {
            self.first = Some(pending);
        } else {
            self.rest.push_back(pending);
        }
    }

    /// Leaves out commands that began after `time`, but for the first.
    pub(crate) fn forget_after(&mut self, time: u64) {
        while let Some(last) = self.rest.pop_back_if(|pending| pending.start > time) {
            self.bytes = self.bytes.saturating_sub(last.text.weight());
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
        self.bytes = self.bytes.saturating_sub(pending.text.weight());
        self.move_up();
        Some(pending)
    }

    /// As [`Queue::pop`], without moving it.
    pub(crate) fn drop_first(&mut self) {
        drop(self.take_text());
        self.first = None;
        self.move_up();
    }

    /// Takes the text of the first out of it.
    pub(crate) fn take_text(&mut self) -> Text {
        let first = self.first.as_mut();
        let text = first.map_or(Text::Unknown, |first| std::mem::take(&mut first.text));
        self.bytes = self.bytes.saturating_sub(text.weight());
        text
    }

    fn move_up(&mut self) {
        if !self.rest.is_empty() {
            self.first = self.rest.pop_front();
            if self.rest.is_empty() {
                self.rest = VecDeque::new();
            }
        }
    }
}
