//! Values that are not written as literals.
//!
//! `SET app.key = hunter2` takes a name for a value, and whoever forgets the quotes of a password
//! sends it all the same, with the error that it earns.

use crate::dialect::Dialect;
use crate::keyword::Keyword;

/// `USER`, `ROLE` or `GROUP` stands among the first words of a statement about accounts
/// (`CREATE OR REPLACE USER`).
const ACCOUNT_WORDS: u8 = 4;

/// What is to be done with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    Keep,
    Replace,
    /// Where the value ends is not known.
    ReplaceRest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Nothing,
    /// Behind the `SET` of a setting: a value comes behind `=` or `TO`.
    Setting,
    Value,
    /// Behind `PASSWORD`.
    Password,
    /// Behind `IDENTIFIED … BY`, `AS`, `USING`.
    Proof,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Secrets {
    dialect: Dialect,
    verb: Option<Keyword>,
    words: u8,
    depth: u32,
    account: bool,
    identified: bool,
    /// `SET STATEMENT … FOR` of MariaDB: another statement follows.
    one_statement: bool,
    expected: Expected,
    /// See [`Self::are_unlikely`].
    unlikely: bool,
}

impl Secrets {
    pub(crate) const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            verb: None,
            words: 0,
            depth: 0,
            account: false,
            identified: false,
            one_statement: false,
            expected: Expected::Nothing,
            unlikely: false,
        }
    }

    /// Nothing is expected until the next statement, so words need not be told.
    #[inline]
    pub(crate) const fn are_unlikely(&self) -> bool {
        self.unlikely
    }

    /// A literal or a parameter.
    #[inline]
    pub(crate) fn literal(&mut self) {
        if !matches!(self.expected, Expected::Value | Expected::Setting) {
            self.expected = Expected::Nothing;
        }
    }

    #[inline]
    pub(crate) fn punctuation(&mut self, byte: u8) {
        if self.unlikely && byte != b';' {
            return;
        }
        self.telling_punctuation(byte);
    }

    fn telling_punctuation(&mut self, byte: u8) {
        match byte {
            b';' => *self = Self::new(self.dialect),
            b'(' => {
                self.depth = self.depth.saturating_add(1);
                if self.expected == Expected::Value {
                    self.expected = Expected::Setting;
                }
            }
            b')' => self.depth = self.depth.saturating_sub(1),
            b'=' if self.depth == 0
                && matches!(self.expected, Expected::Setting | Expected::Password) =>
            {
                self.expected = Expected::Value;
            }
            // A list of settings; with PostgreSQL of values.
            b',' if self.expected == Expected::Value && self.dialect == Dialect::MySql => {
                self.expected = Expected::Setting;
            }
            // The place of a value.
            b'?' if matches!(self.expected, Expected::Password | Expected::Proof) => {
                self.expected = Expected::Nothing;
            }
            // A variable is a name.
            b'@' if self.expected == Expected::Value => self.expected = Expected::Setting,
            _ => {}
        }
    }

    /// A word without quotes; `called` tells whether a parenthesis follows.
    pub(crate) fn word(
        &mut self,
        keyword: Option<Keyword>,
        called: impl Fn() -> bool,
    ) -> Treatment {
        // They will be literals to whoever reads what is left, and no words.
        if matches!(keyword, Some(Keyword::True | Keyword::False)) {
            return self.value(called);
        }
        let before = self.words;
        self.words = self.words.saturating_add(1);
        if self.words == 1 {
            self.verb = keyword;
            self.account = keyword == Some(Keyword::Grant);
            self.unlikely = !matches!(
                keyword,
                Some(Keyword::Set | Keyword::Alter | Keyword::Create | Keyword::Grant)
            );
        }
        let treatment = match (self.expected, keyword) {
            (Expected::Value, Some(Keyword::Default | Keyword::Null)) => Treatment::Keep,
            (Expected::Password, Some(Keyword::For | Keyword::To))
                if self.verb == Some(Keyword::Set) =>
            {
                self.expected = Expected::Setting;
                return Treatment::Keep;
            }
            (
                Expected::Password,
                Some(
                    Keyword::Null
                    | Keyword::Expire
                    | Keyword::History
                    | Keyword::Reuse
                    | Keyword::Require,
                ),
            )
            | (Expected::Proof, Some(Keyword::Password | Keyword::Random)) => {
                self.expected = Expected::Nothing;
                Treatment::Keep
            }
            (_, Some(Keyword::For)) if self.one_statement && self.depth == 0 => {
                *self = Self::new(self.dialect);
                return Treatment::Keep;
            }
            _ => self.value(called),
        };
        match (treatment, keyword) {
            (Treatment::Keep, Some(keyword)) => self.expect(keyword),
            (Treatment::Replace, _) => self.words = before,
            _ => {}
        }
        treatment
    }

    /// What may be a name or a value.
    pub(crate) fn value(&mut self, called: impl Fn() -> bool) -> Treatment {
        match self.expected {
            Expected::Nothing | Expected::Setting => Treatment::Keep,
            Expected::Value if called() => Treatment::Keep,
            Expected::Value => Treatment::Replace,
            Expected::Password | Expected::Proof if called() => {
                self.expected = Expected::Nothing;
                Treatment::Keep
            }
            Expected::Password | Expected::Proof => Treatment::ReplaceRest,
        }
    }

    fn expect(&mut self, keyword: Keyword) {
        let settings = match self.dialect {
            Dialect::MySql => self.verb == Some(Keyword::Set),
            Dialect::Postgres => matches!(
                self.verb,
                Some(Keyword::Set | Keyword::Alter | Keyword::Create)
            ),
        };
        match keyword {
            Keyword::Set if settings => self.expected = Expected::Setting,
            Keyword::To
                if self.expected == Expected::Setting && self.dialect == Dialect::Postgres =>
            {
                self.expected = Expected::Value;
            }
            Keyword::User | Keyword::Role | Keyword::Group
                if self.words <= ACCOUNT_WORDS
                    && matches!(self.verb, Some(Keyword::Create | Keyword::Alter)) =>
            {
                self.account = true;
            }
            Keyword::Statement if self.words == 2 => self.one_statement = settings,
            Keyword::Password
                if self.account || (self.words == 2 && self.verb == Some(Keyword::Set)) =>
            {
                self.expected = Expected::Password;
            }
            Keyword::Identified if self.account => self.identified = true,
            Keyword::By | Keyword::As | Keyword::Using if self.identified => {
                self.expected = Expected::Proof;
            }
            _ => {}
        }
    }
}
