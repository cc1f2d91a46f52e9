//! What words mean, by the operation and the place where they stand.

use super::{LEVEL, Level, Operation, Place, Summary};
use crate::dialect::Dialect;
use crate::keyword::Keyword;

impl<'a> Summary<'a> {
    /// The first word of a statement.
    pub(super) fn begin(&mut self, text: &'a str, keyword: Keyword) {
        self.statements = self.statements.saturating_add(1);
        if self.query(text, keyword) {
            return;
        }
        let (operation, place, list) = match keyword {
            Keyword::With => {
                self.expect_common();
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
            read: false,
        };
    }

    /// An operation that may begin anywhere a query may. `false` when `keyword` is none.
    fn query(&mut self, text: &'a str, keyword: Keyword) -> bool {
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
            read: false,
        };
        true
    }

    /// The operation behind `WITH …`, `EXPLAIN`, `PREPARE … AS`.
    pub(super) fn awaited(&mut self, text: &'a str, keyword: Keyword) {
        if self.query(text, keyword) {
            return;
        }
        match keyword {
            Keyword::Replace => {
                self.push(text);
                self.level = Level {
                    operation: Operation::Insert,
                    place: Place::Target,
                    ..LEVEL
                };
            }
            Keyword::With => self.expect_common(),
            _ => {}
        }
    }

    /// The first word behind a parenthesis. MySQL has a function INSERT, and nothing but queries in
    /// parentheses.
    pub(super) fn begin_nested(&mut self, text: &'a str, keyword: Keyword) -> bool {
        match keyword {
            Keyword::With => {
                self.expect_common();
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

    pub(super) fn inside(
        &mut self,
        text: &'a str,
        keyword: Option<Keyword>,
        last: Option<Keyword>,
    ) {
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
            Place::Point | Place::Awaited | Place::Common => {}
        }
    }

    fn at_target(&mut self, text: &'a str, keyword: Option<Keyword>) {
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

    fn clause(&mut self, text: &'a str, keyword: Keyword, last: Option<Keyword>) {
        use Operation::{Create, Delete, Index, Insert, Load, Merge, Select, Set, Update};
        let operation = self.level.operation;
        match (keyword, operation) {
            (Keyword::From, Select | Update | Delete) if last != Some(Keyword::Distinct) => {
                self.expect(true);
                // That of `DELETE` is a table.
                self.level.read = operation != Delete;
            }
            (Keyword::With, Insert | Create) if self.level.place == Place::Idle => {
                self.expect_common();
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
                self.fresh = true;
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
    fn object(&mut self, text: &'a str, keyword: Option<Keyword>) {
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
}
