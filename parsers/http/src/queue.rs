//! The exchanges in flight, in the order of their requests.

use std::collections::VecDeque;

use crate::exchange::Exchange;

/// Nearly always there is one or none, so that one stands alone: an idle connection keeps no memory
/// for the others.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    first: Option<Box<Exchange>>,
    /// Those behind it; there are some, or no list.
    #[expect(
        clippy::box_collection,
        reason = "a pointer in each connection instead of a list"
    )]
    more: Option<Box<VecDeque<Box<Exchange>>>>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |more| more.len());
        usize::from(self.first.is_some()).saturating_add(more)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn front(&self) -> Option<&Exchange> {
        self.first.as_deref()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Exchange> {
        self.first.as_deref_mut()
    }

    pub(crate) fn back(&self) -> Option<&Exchange> {
        match &self.more {
            Some(more) => more.back().map(Box::as_ref),
            None => self.front(),
        }
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut Exchange> {
        match &mut self.more {
            Some(more) => more.back_mut().map(Box::as_mut),
            None => self.first.as_deref_mut(),
        }
    }

    pub(crate) fn push_back(&mut self, exchange: Box<Exchange>) {
        match &mut self.first {
            Some(_) => self.more.get_or_insert_default().push_back(exchange),
            none => *none = Some(exchange),
        }
    }

    pub(crate) fn push_front(&mut self, exchange: Box<Exchange>) {
        if let Some(second) = self.first.replace(exchange) {
            self.more.get_or_insert_default().push_front(second);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<Box<Exchange>> {
        let first = self.first.take()?;
        if let Some(more) = &mut self.more {
            self.first = more.pop_front();
            if more.is_empty() {
                self.more = None;
            }
        }
        Some(first)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Exchange> {
        let more = self.more.iter_mut().flat_map(|more| more.iter_mut());
        self.first.iter_mut().chain(more).map(Box::as_mut)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Exchange> {
        let more = self.more.iter().flat_map(|more| more.iter());
        self.first.iter().chain(more).map(Box::as_ref)
    }
}
