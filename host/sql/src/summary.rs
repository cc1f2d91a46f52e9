//! Operations and targets of a statement, in the order of the text.
//!
//! "Generating a summary of the query" of the semantic conventions. There is no grammar behind it:
//! each level of parentheses knows which operation it belongs to and whether a target comes next.
//! Names of users, savepoints, cursors, prepared statements and channels are left out: they are no
//! collections, and there may be any number of them. Names that `WITH` gives to queries are left
//! out where they are read from: what they stand for was named before.

mod common;
mod words;

use crate::dialect::Dialect;
use crate::keyword::Keyword;
use common::Common;

/// Length of a summary; one operation or target more would be longer (semantic conventions).
pub const SUMMARY_CHARACTERS: usize = 255;

/// Few summaries are longer: what is reserved at once.
const USUAL_BYTES: usize = 64;

/// Levels of parentheses in which targets are looked for; what lies deeper has none. People write
/// few, and each costs 4 bytes.
const DEPTH: usize = 32;

/// What the words of a level belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Nothing that has targets.
    Other,
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    Load,
    Call,
    /// One or several targets, and no more keywords: `DROP TABLE a, b`.
    Targets,
    /// The options of `VACUUM (FULL) t` come in parentheses before the target.
    Options,
    /// `SET STATEMENT … FOR` of MariaDB; another statement follows.
    Set,
    Create,
    /// `CREATE INDEX a ON b`
    Index,
    /// `CREATE FUNCTION` and the like: what follows the name is the code of the object.
    Code,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// No target is near.
    Idle,
    /// The next name is a target.
    Target,
    /// Behind a target's name: a `.` lets it go on.
    Name,
    /// Behind the `.`.
    Point,
    /// In a list of targets: one more may come behind a comma.
    List,
    /// Behind `CREATE`: which kind of object?
    Object,
    /// The operation of this level comes later (`WITH`, `EXPLAIN`).
    Awaited,
    /// Behind `WITH`: the name of a query.
    Common,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    operation: Operation,
    place: Place,
    /// Targets, or names of `WITH`, come in a list.
    list: bool,
    /// The next targets are read from: a name of `WITH` may stand there.
    read: bool,
}

const LEVEL: Level = Level {
    operation: Operation::Other,
    place: Place::Idle,
    list: false,
    read: false,
};

#[derive(Debug)]
pub(crate) struct Summary<'a> {
    dialect: Dialect,
    out: String,
    characters: usize,
    /// Nothing more is added.
    full: bool,
    level: Level,
    /// No word was seen in `level`.
    fresh: bool,
    /// The levels around `level`.
    outer: [Level; DEPTH],
    depth: usize,
    statements: usize,
    last: Option<Keyword>,
    /// Where the target that may go on begins in `out`, with its blank.
    target: usize,
    /// The next name in [`Place::Object`] is a value: `DEFINER = root`.
    skip_name: bool,
    procedure: Option<(usize, usize)>,
    common: Common<'a>,
    /// The last target, where it was left out; it is a table's schema after all when a `.` follows.
    hidden: Option<&'a str>,
}

impl<'a> Summary<'a> {
    pub(crate) const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            out: String::new(),
            characters: 0,
            full: false,
            level: LEVEL,
            fresh: true,
            outer: [LEVEL; DEPTH],
            depth: 0,
            statements: 0,
            last: None,
            target: 0,
            skip_name: false,
            procedure: None,
            common: Common::new(),
            hidden: None,
        }
    }

    /// The summary, and the procedure where there is nothing but its call.
    pub(crate) fn finish(self) -> (String, Option<String>) {
        let procedure = self
            .procedure
            .filter(|_| self.statements == 1)
            .and_then(|(start, end)| self.out.get(start..end))
            .map(str::to_owned);
        (self.out, procedure)
    }

    /// A literal or a parameter.
    #[inline]
    pub(crate) fn literal(&mut self) {
        self.fresh = false;
        match self.level.place {
            Place::Target | Place::Name => self.behind_target(),
            // `shop.2024` of MySQL: which table it is cannot be told.
            Place::Point => {
                self.out.truncate(self.target);
                self.behind_target();
            }
            Place::Object => self.skip_name = false,
            Place::Idle | Place::List | Place::Awaited | Place::Common => {}
        }
        self.last = None;
    }

    /// Punctuation without a meaning here.
    #[inline]
    pub(crate) const fn operator(&mut self) {
        self.last = None;
    }

    #[inline]
    pub(crate) fn punctuation(&mut self, byte: u8) {
        match byte {
            b'(' => self.open(),
            b')' => self.close(),
            b';' => {
                self.depth = 0;
                self.level = LEVEL;
                self.fresh = true;
                self.common.clear();
            }
            b'.' if self.level.place == Place::Name => {
                self.level.place = Place::Point;
            }
            b',' if matches!(self.level.place, Place::Name | Place::List) => {
                self.level.place = if self.level.list {
                    Place::Target
                } else {
                    Place::Idle
                };
            }
            b',' if self.level.place == Place::Awaited && self.level.list => {
                self.level.place = Place::Common;
            }
            b'?' => self.literal(),
            b'=' | b'@' if self.level.place == Place::Object => self.skip_name = true,
            // A variable.
            b'@' if self.level.place == Place::Target => self.behind_target(),
            _ => {}
        }
        self.last = None;
    }

    fn open(&mut self) {
        let inner = match (self.level.place, self.level.operation) {
            // `USING (a, b)` names columns.
            _ if self.last == Some(Keyword::Using) => {
                self.behind_target();
                LEVEL
            }
            // `FROM (a JOIN b …)`, `FROM (SELECT …)`, `COPY (SELECT …)`
            (Place::Target, operation) if operation != Operation::Options => {
                self.behind_target();
                Level {
                    place: Place::Target,
                    ..self.level
                }
            }
            _ => LEVEL,
        };
        if self.level.place == Place::Name {
            self.behind_target();
        }
        if let Some(slot) = self.outer.get_mut(self.depth) {
            *slot = self.level;
            self.level = inner;
            self.fresh = true;
        } else {
            self.level = LEVEL;
            self.fresh = false;
        }
        self.depth = self.depth.saturating_add(1);
    }

    fn close(&mut self) {
        let Some(depth) = self.depth.checked_sub(1) else {
            return;
        };
        self.depth = depth;
        if let Some(level) = self.outer.get(depth) {
            self.level = *level;
            self.fresh = false;
            if self.level.place == Place::Awaited {
                self.common.end_query();
            }
        }
    }

    /// Names make no difference.
    #[inline]
    const fn is_idle(&self) -> bool {
        matches!(self.level.place, Place::Idle | Place::List | Place::Awaited)
    }

    /// A name in quotes.
    #[inline]
    pub(crate) fn name(&mut self, source: &'a str, start: usize, end: usize) {
        self.fresh = false;
        self.last = None;
        if !self.is_idle() {
            self.telling_name(source.get(start..end).unwrap_or_default());
        }
    }

    fn telling_name(&mut self, text: &'a str) {
        match self.level.place {
            Place::Target => self.push_target(text),
            Place::Point => {
                self.extend(text);
                self.level.place = Place::Name;
            }
            Place::Name => self.behind_target(),
            Place::Object => self.skip_name = false,
            Place::Common => {
                self.common.add(text);
                self.level.place = Place::Awaited;
            }
            Place::Idle | Place::List | Place::Awaited => {}
        }
    }

    /// The word from `start` to `end` of `source`; `keyword` is `None` for other words, and for those
    /// behind a `.`.
    #[inline]
    pub(crate) fn word(
        &mut self,
        source: &'a str,
        start: usize,
        end: usize,
        keyword: Option<Keyword>,
    ) {
        if keyword.is_none() && self.is_idle() {
            self.last = None;
            self.fresh = false;
            return;
        }
        let text = source.get(start..end).unwrap_or_default();
        self.telling_word(text, keyword);
    }

    fn telling_word(&mut self, text: &'a str, keyword: Option<Keyword>) {
        let last = std::mem::replace(&mut self.last, keyword);
        let fresh = std::mem::replace(&mut self.fresh, false);
        match (keyword, self.level.place) {
            (Some(Keyword::Recursive), Place::Common) => self.common.be_recursive(),
            (_, Place::Point | Place::Common) => self.telling_name(text),
            (Some(keyword), _) if fresh && self.depth == 0 => self.begin(text, keyword),
            (Some(keyword), Place::Awaited) => self.awaited(text, keyword),
            (Some(keyword), _) if fresh => {
                if !self.begin_nested(text, keyword) {
                    self.inside(text, Some(keyword), last);
                }
            }
            _ => self.inside(text, keyword, last),
        }
    }

    fn expect(&mut self, list: bool) {
        self.level.place = Place::Target;
        self.level.list = list;
        self.level.read = list;
    }

    /// Behind `WITH`.
    fn expect_common(&mut self) {
        self.level.place = Place::Common;
        self.level.list = true;
        self.common.begin();
    }

    fn behind_target(&mut self) {
        self.full |= self.level.operation == Operation::Code;
        self.level.place = if self.level.list {
            Place::List
        } else {
            Place::Idle
        };
    }

    fn push_target(&mut self, text: &'a str) {
        self.target = self.out.len();
        self.level.place = Place::Name;
        self.hidden = (self.level.read && self.common.contains(text)).then_some(text);
        if self.hidden.is_none() {
            self.push(text);
            self.note_procedure();
        }
    }

    fn note_procedure(&mut self) {
        if self.level.operation == Operation::Call && !self.full {
            self.procedure = Some((self.target + 1, self.out.len()));
        }
    }

    /// An operation or a target.
    fn push(&mut self, text: &str) {
        let blank = usize::from(!self.out.is_empty());
        if self.full || !self.fits(text, blank) {
            self.full = true;
            return;
        }
        if blank == 1 {
            self.out.push(' ');
        } else {
            self.out.reserve(USUAL_BYTES);
        }
        self.out.push_str(text);
    }

    /// The target goes on behind a `.`. If there is no room it goes whole.
    fn extend(&mut self, text: &str) {
        if let Some(schema) = self.hidden.take() {
            self.push(schema);
        }
        if self.full {
            return;
        }
        if self.fits(text, 1) {
            self.out.push('.');
            self.out.push_str(text);
            self.note_procedure();
        } else {
            self.out.truncate(self.target);
            self.full = true;
        }
    }

    fn fits(&mut self, text: &str, blank: usize) -> bool {
        let characters = self
            .characters
            .saturating_add(blank)
            .saturating_add(characters(text));
        let fits = characters <= SUMMARY_CHARACTERS;
        if fits {
            self.characters = characters;
        }
        fits
    }
}

/// Names are short, and mostly ASCII.
fn characters(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    }
}
