//! Operations and targets of a statement, in the order of the text.
//!
//! "Generating a summary of the query" of the semantic conventions. There is no grammar behind it:
//! each level of parentheses knows which operation it belongs to and whether a target comes next.
//! Names of users, savepoints, cursors, prepared statements and channels are left out: they are no
//! collections, and there may be any number of them.

use crate::dialect::Dialect;
use crate::keyword::Keyword;

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
}

#[derive(Clone, Copy, Debug)]
struct Level {
    operation: Operation,
    place: Place,
    /// Targets come in a list.
    list: bool,
    /// No word was seen.
    fresh: bool,
}

const LEVEL: Level = Level {
    operation: Operation::Other,
    place: Place::Idle,
    list: false,
    fresh: true,
};

#[derive(Debug)]
pub(crate) struct Summary {
    dialect: Dialect,
    out: String,
    characters: usize,
    /// Nothing more is added.
    full: bool,
    level: Level,
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
}

impl Summary {
    pub(crate) const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            out: String::new(),
            characters: 0,
            full: false,
            level: LEVEL,
            outer: [LEVEL; DEPTH],
            depth: 0,
            statements: 0,
            last: None,
            target: 0,
            skip_name: false,
            procedure: None,
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
        self.level.fresh = false;
        match self.level.place {
            Place::Target | Place::Name => self.behind_target(),
            // `shop.2024` of MySQL: which table it is cannot be told.
            Place::Point => {
                self.out.truncate(self.target);
                self.behind_target();
            }
            Place::Object => self.skip_name = false,
            Place::Idle | Place::List | Place::Awaited => {}
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
        self.level.fresh = false;
        if let Some(slot) = self.outer.get_mut(self.depth) {
            *slot = self.level;
            self.level = Level {
                fresh: true,
                ..inner
            };
        } else {
            self.level = Level {
                fresh: false,
                ..LEVEL
            };
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
        }
    }

    /// Names make no difference.
    #[inline]
    const fn is_idle(&self) -> bool {
        matches!(self.level.place, Place::Idle | Place::List | Place::Awaited)
    }

    /// A name in quotes.
    #[inline]
    pub(crate) fn name(&mut self, source: &str, start: usize, end: usize) {
        self.level.fresh = false;
        self.last = None;
        if !self.is_idle() {
            self.telling_name(source.get(start..end).unwrap_or_default());
        }
    }

    fn telling_name(&mut self, text: &str) {
        match self.level.place {
            Place::Target => self.push_target(text),
            Place::Point => {
                self.extend(text);
                self.level.place = Place::Name;
            }
            Place::Name => self.behind_target(),
            Place::Object => self.skip_name = false,
            Place::Idle | Place::List | Place::Awaited => {}
        }
    }

    /// The word from `start` to `end` of `source`; `keyword` is `None` for other words, and for those
    /// behind a `.`.
    #[inline]
    pub(crate) fn word(
        &mut self,
        source: &str,
        start: usize,
        end: usize,
        keyword: Option<Keyword>,
    ) {
        if keyword.is_none() && self.is_idle() {
            self.last = None;
            self.level.fresh = false;
            return;
        }
        let text = source.get(start..end).unwrap_or_default();
        self.telling_word(text, keyword);
    }

    fn telling_word(&mut self, text: &str, keyword: Option<Keyword>) {
        let last = std::mem::replace(&mut self.last, keyword);
        let fresh = std::mem::replace(&mut self.level.fresh, false);
        match (keyword, self.level.place) {
            (_, Place::Point) => self.telling_name(text),
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

    /// The first word of a statement.
    fn begin(&mut self, text: &str, keyword: Keyword) {
        self.statements = self.statements.saturating_add(1);
        if self.query(text, keyword) {
            return;
        }
        let (operation, place, list) = match keyword {
            Keyword::With => {
                self.level.place = Place::Awaited;
                return;
            }
            Keyword::Explain | Keyword::Prepare | Keyword::Declare => {
                (Operation::Other, Place::Awaited, false)
            }
            Keyword::Describe | Keyword::Desc => (Operation::Targets, Place::Target, false),
            Keyword::Replace => (Operation::Insert, Place::Target, false),
            Keyword::Truncate
            | Keyword::Lock
            | Keyword::Optimize
            | Keyword::Repair
            | Keyword::Check => (Operation::Targets, Place::Target, true),
            Keyword::Table | Keyword::Use | Keyword::Copy => {
                (Operation::Targets, Place::Target, false)
            }
            Keyword::Analyze | Keyword::Vacuum | Keyword::Reindex | Keyword::Cluster => {
                (Operation::Options, Place::Target, true)
            }
            Keyword::Call => (Operation::Call, Place::Target, false),
            Keyword::Load => (Operation::Load, Place::Idle, false),
            Keyword::Create => (Operation::Create, Place::Object, false),
            Keyword::Drop | Keyword::Rename => (Operation::Targets, Place::Object, true),
            Keyword::Alter | Keyword::Refresh => (Operation::Targets, Place::Object, false),
            Keyword::Set => (Operation::Set, Place::Idle, false),
            Keyword::Values
            | Keyword::Abort
            | Keyword::Begin
            | Keyword::Checkpoint
            | Keyword::Close
            | Keyword::Comment
            | Keyword::Commit
            | Keyword::Deallocate
            | Keyword::Discard
            | Keyword::Do
            | Keyword::End
            | Keyword::Execute
            | Keyword::Fetch
            | Keyword::Flush
            | Keyword::Grant
            | Keyword::Handler
            | Keyword::Help
            | Keyword::Import
            | Keyword::Install
            | Keyword::Kill
            | Keyword::Listen
            | Keyword::Move
            | Keyword::Notify
            | Keyword::Purge
            | Keyword::Reassign
            | Keyword::Release
            | Keyword::Reset
            | Keyword::Revoke
            | Keyword::Rollback
            | Keyword::Savepoint
            | Keyword::Security
            | Keyword::Show
            | Keyword::Shutdown
            | Keyword::Start
            | Keyword::Stop
            | Keyword::Unlisten
            | Keyword::Unlock
            | Keyword::Xa => (Operation::Other, Place::Idle, false),
            _ => return,
        };
        self.push(text);
        self.level = Level {
            operation,
            place,
            list,
            fresh: false,
        };
    }

    /// An operation that may begin anywhere a query may. `false` when `keyword` is none.
    fn query(&mut self, text: &str, keyword: Keyword) -> bool {
        let (operation, place, list) = match keyword {
            Keyword::Select => (Operation::Select, Place::Idle, true),
            Keyword::Insert => (Operation::Insert, Place::Target, false),
            Keyword::Update => (Operation::Update, Place::Target, true),
            Keyword::Delete => (Operation::Delete, Place::Idle, true),
            Keyword::Merge => (Operation::Merge, Place::Target, false),
            _ => return false,
        };
        self.push(text);
        self.level = Level {
            operation,
            place,
            list,
            fresh: false,
        };
        true
    }

    /// The operation behind `WITH …`, `EXPLAIN`, `PREPARE … AS`.
    fn awaited(&mut self, text: &str, keyword: Keyword) {
        if !self.query(text, keyword) && keyword == Keyword::Replace {
            self.push(text);
            self.level = Level {
                operation: Operation::Insert,
                place: Place::Target,
                ..LEVEL
            };
            self.level.fresh = false;
        }
    }

    /// The first word behind a parenthesis. MySQL has a function INSERT, and nothing but queries in
    /// parentheses.
    fn begin_nested(&mut self, text: &str, keyword: Keyword) -> bool {
        match keyword {
            Keyword::With => {
                self.level.place = Place::Awaited;
                true
            }
            Keyword::Values => {
                self.level.place = Place::Idle;
                true
            }
            Keyword::Select => self.query(text, keyword),
            _ => self.dialect == Dialect::Postgres && self.query(text, keyword),
        }
    }

    fn inside(&mut self, text: &str, keyword: Option<Keyword>, last: Option<Keyword>) {
        let operation = self.level.operation;
        let privilege = operation == Operation::Other;
        if keyword == Some(Keyword::Select) && !(privilege && self.depth == 0) {
            self.query(text, Keyword::Select);
            return;
        }
        match self.level.place {
            Place::Target => self.at_target(text, keyword),
            Place::Object => self.object(text, keyword),
            Place::Name | Place::List | Place::Idle => {
                if self.level.place == Place::Name {
                    self.behind_target();
                }
                if let Some(keyword) = keyword {
                    self.clause(text, keyword, last);
                }
            }
            Place::Point | Place::Awaited => {}
        }
    }

    fn at_target(&mut self, text: &str, keyword: Option<Keyword>) {
        match keyword {
            // Words between an operation and its target.
            Some(
                Keyword::Only
                | Keyword::Lateral
                | Keyword::If
                | Keyword::Not
                | Keyword::Exists
                | Keyword::Table
                | Keyword::Tables
                | Keyword::Into
                | Keyword::Ignore
                | Keyword::LowPriority
                | Keyword::HighPriority
                | Keyword::Delayed
                | Keyword::Quick
                | Keyword::Concurrently
                | Keyword::Local
                | Keyword::NoWriteToBinlog
                | Keyword::Temporary
                | Keyword::Temp
                | Keyword::Unlogged,
            ) => {}
            Some(Keyword::Full | Keyword::Verbose | Keyword::Analyze | Keyword::Freeze)
            | Some(Keyword::Index | Keyword::Schema | Keyword::Database | Keyword::System)
                if self.level.operation == Operation::Options => {}
            Some(Keyword::On) if self.level.operation == Operation::Index => {}
            Some(
                Keyword::Outfile
                | Keyword::Dumpfile
                | Keyword::Values
                | Keyword::Where
                | Keyword::Set
                | Keyword::On
                | Keyword::From,
            ) => self.level.place = Place::Idle,
            _ => self.push_target(text),
        }
    }

    fn clause(&mut self, text: &str, keyword: Keyword, last: Option<Keyword>) {
        use Operation::{Delete, Index, Insert, Load, Merge, Select, Set, Update};
        let operation = self.level.operation;
        match (keyword, operation) {
            (Keyword::From, Select | Update | Delete) if last != Some(Keyword::Distinct) => {
                self.expect(true);
            }
            (Keyword::Join | Keyword::StraightJoin, Select | Update | Delete)
                if self.level.place == Place::List =>
            {
                self.expect(true);
            }
            (Keyword::Using, Delete | Merge)
                if self.level.place == Place::List || operation == Merge =>
            {
                self.expect(true);
            }
            (Keyword::Into, Select) if self.dialect == Dialect::Postgres => self.expect(false),
            (Keyword::Table, Load) => self.expect(false),
            (Keyword::Data, Load) => self.push(text),
            (Keyword::Transaction, Operation::Other) if last == Some(Keyword::Start) => {
                self.push(text);
            }
            (Keyword::On, Index) => self.expect(false),
            (Keyword::Statement, Set) if last == Some(Keyword::Set) => {
                self.level.place = Place::List;
            }
            (Keyword::For, Set) if self.level.place == Place::List => {
                self.level = LEVEL;
            }
            (
                Keyword::Where
                | Keyword::Group
                | Keyword::Order
                | Keyword::Having
                | Keyword::Limit
                | Keyword::Offset
                | Keyword::Fetch
                | Keyword::Set
                | Keyword::Returning
                | Keyword::Union
                | Keyword::Except
                | Keyword::Intersect
                | Keyword::Window
                | Keyword::Values
                | Keyword::For
                | Keyword::When
                | Keyword::Update
                | Keyword::Into,
                Select | Insert | Update | Delete | Merge,
            ) => self.level.place = Place::Idle,
            _ => {}
        }
    }

    /// Behind `CREATE`, `ALTER`, `DROP`.
    fn object(&mut self, text: &str, keyword: Option<Keyword>) {
        if std::mem::take(&mut self.skip_name) {
            return;
        }
        match keyword {
            Some(
                Keyword::Or
                | Keyword::Replace
                | Keyword::Temp
                | Keyword::Temporary
                | Keyword::Unlogged
                | Keyword::Global
                | Keyword::Local
                | Keyword::Unique
                | Keyword::Fulltext
                | Keyword::Spatial
                | Keyword::Online
                | Keyword::Ignore
                | Keyword::Recursive
                | Keyword::Definer
                | Keyword::Algorithm
                | Keyword::Sql
                | Keyword::Security
                | Keyword::Invoker,
            ) => {}
            // Two words that name a kind of object.
            Some(Keyword::Materialized | Keyword::Foreign) => self.push(text),
            Some(
                Keyword::Table
                | Keyword::View
                | Keyword::Index
                | Keyword::Database
                | Keyword::Schema
                | Keyword::Sequence
                | Keyword::Type
                | Keyword::Domain
                | Keyword::Extension
                | Keyword::Tablespace,
            ) => {
                self.push(text);
                self.level.place = Place::Target;
                if keyword == Some(Keyword::Index) && self.level.operation == Operation::Create {
                    self.level.operation = Operation::Index;
                }
            }
            Some(
                Keyword::Function
                | Keyword::Procedure
                | Keyword::Routine
                | Keyword::Trigger
                | Keyword::Event
                | Keyword::Rule
                | Keyword::Policy,
            ) => {
                self.push(text);
                self.level.place = Place::Target;
                if self.level.operation == Operation::Create {
                    self.level.operation = Operation::Code;
                }
            }
            Some(Keyword::User | Keyword::Role | Keyword::Group) => {
                self.push(text);
                self.level.place = Place::Idle;
                self.level.operation = Operation::Other;
            }
            _ => {
                self.level.place = Place::Idle;
                self.level.operation = Operation::Other;
            }
        }
    }

    fn expect(&mut self, list: bool) {
        self.level.place = Place::Target;
        self.level.list = list;
    }

    fn behind_target(&mut self) {
        self.full |= self.level.operation == Operation::Code;
        self.level.place = if self.level.list {
            Place::List
        } else {
            Place::Idle
        };
    }

    fn push_target(&mut self, text: &str) {
        self.target = self.out.len();
        self.push(text);
        self.level.place = Place::Name;
        self.note_procedure();
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
