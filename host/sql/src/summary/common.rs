//! Names that `WITH` gives to queries (common table expressions).

/// Names of a statement that are known for such. People write few; those beyond are taken for
/// tables.
const NAMES: usize = 16;

#[derive(Debug)]
pub(super) struct Common<'a> {
    names: Vec<&'a str>,
    /// How many may be read from: that of the query that is just being named may not, unless it is
    /// recursive.
    visible: usize,
    recursive: bool,
}

impl<'a> Common<'a> {
    pub(super) const fn new() -> Self {
        Self {
            names: Vec::new(),
            visible: 0,
            recursive: false,
        }
    }

    /// A statement ends.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.visible = 0;
    }

    /// `WITH`
    pub(super) const fn begin(&mut self) {
        self.recursive = false;
    }

    /// `RECURSIVE`
    pub(super) const fn be_recursive(&mut self) {
        self.recursive = true;
    }

    pub(super) fn add(&mut self, name: &'a str) {
        if self.names.len() == NAMES {
            return;
        }
        self.names.push(name);
        if self.recursive {
            self.end_query();
        }
    }

    /// A query that has a name ends.
    pub(super) const fn end_query(&mut self) {
        self.visible = self.names.len();
    }

    #[inline]
    pub(super) fn contains(&self, name: &str) -> bool {
        let name = unquoted(name);
        let visible = self.names.iter().take(self.visible);
        visible
            .map(|known| unquoted(known))
            .any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Names differ in case for one server and not for the other; here for none.
fn unquoted(name: &str) -> &str {
    let inner = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('`')).unwrap_or(name)
}
