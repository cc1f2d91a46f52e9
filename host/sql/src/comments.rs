//! Comments around a statement, and the context that sqlcommenter put into one of them.

use crate::commenter;

/// sqlcommenter's context stands before or behind all code.
#[derive(Default)]
pub(crate) struct Comments {
    /// Where the last code begins.
    code: Option<usize>,
    leading: Option<String>,
    /// With its place: code may come behind it.
    trailing: Option<(usize, String)>,
}

impl Comments {
    pub(crate) fn comment(&mut self, start: usize, text: &[u8]) {
        let Some(found) = commenter::traceparent(text) else {
            return;
        };
        if self.code.is_some() {
            self.trailing = Some((start, found));
        } else {
            self.leading = Some(found);
        }
    }

    #[inline]
    pub(crate) const fn code(&mut self, start: usize) {
        self.code = Some(start);
    }

    /// What stands last was not seen when the text is not `certain`.
    pub(crate) fn traceparent(self, certain: bool) -> Option<String> {
        let code = self.code;
        let trailing = self
            .trailing
            .filter(|(start, _)| certain && code.is_some_and(|code| code < *start));
        trailing.map(|(_, found)| found).or(self.leading)
    }
}
