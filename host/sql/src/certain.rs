//! Tokens as long as every possible reading of the text finds the same.
//!
//! The default reading leads. Where a quoted token ends elsewhere in another reading, that one is
//! followed to the end of the text, once. It is out of the question when no server could accept
//! what it makes of the statement (a string without an end, a backslash outside of strings) while
//! the default reading is in order: nobody sends such a statement on purpose. If it completes a
//! statement before, or the text was cut off so that its end says nothing, it stays possible, and
//! nothing is certain from the token on.

use crate::lexer::Lexer;
use crate::reading::{OTHERS, Reading};
use crate::token::{Kind, Token};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Certain<'a> {
    pub(crate) lexer: Lexer<'a>,
    /// Those that found the same tokens so far.
    others: [Option<Reading>; OTHERS],
    complete: bool,
    /// Whether the default reading is in order to the end.
    orderly: Option<bool>,
}

impl<'a> Certain<'a> {
    pub(crate) const fn new(lexer: Lexer<'a>, complete: bool) -> Self {
        Self {
            others: Reading::others(lexer.dialect),
            lexer,
            complete,
            orderly: None,
        }
    }

    /// Whether another reading of `token` leads to another text that is possible.
    fn doubtful(&mut self, token: Token) -> bool {
        let mut others = self.others;
        for slot in &mut others {
            let Some(reading) = *slot else { continue };
            let mut other = self.lexer.reread(token.start, reading);
            if other
                .next()
                .is_some_and(|t| t.end == token.end && t.kind == token.kind)
            {
                continue;
            }
            *slot = None;
            let other = self.lexer.reread(token.start, reading);
            if !self.complete || !self.is_orderly() || is_possible(other) {
                return true;
            }
        }
        self.others = others;
        false
    }

    fn is_orderly(&mut self) -> bool {
        let mut rest = self.lexer;
        *self.orderly.get_or_insert_with(|| {
            !rest.any(|token| matches!(token.kind, Kind::Refused | Kind::Unsure))
        })
    }
}

fn is_possible(lexer: Lexer<'_>) -> bool {
    for token in lexer {
        match token.kind {
            Kind::Refused => return false,
            Kind::Unsure | Kind::Punctuation(b';') => return true,
            _ => {}
        }
    }
    true
}

impl Certain<'_> {
    /// The token that begins at `start`; `named` says that it is written onto a name.
    pub(crate) fn next_at(&mut self, start: usize, named: bool) -> Option<Token> {
        self.lexer.go_on(start, named);
        let token = self.lexer.next()?;
        if token.suspicious && self.doubtful(token) {
            self.lexer.at = self.lexer.bytes.len();
            return Some(Token {
                kind: Kind::Unsure,
                end: self.lexer.at,
                ..token
            });
        }
        Some(token)
    }
}
