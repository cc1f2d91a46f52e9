//! Statements.

use sqlparser::dialect::{self, PostgreSqlDialect};
use sqlparser::tokenizer::{Token, Tokenizer};
use wirespan_sql::{Dialect, SUMMARY_CHARACTERS, read};

const DIALECTS: [Dialect; 2] = [Dialect::MySql, Dialect::Postgres];

/// The first byte says whether the text is complete, and puts a mark into it that must not be seen
/// again: a literal between quotes that nothing before it has opened.
pub(crate) fn run(input: &[u8]) {
    let Some((&how, rest)) = input.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    for dialect in DIALECTS {
        let statement = read(&text, dialect, how & 1 == 0);
        assert!(
            statement.summary.chars().count() <= SUMMARY_CHARACTERS,
            "a summary of {} characters",
            statement.summary.chars().count()
        );
        // A blank comes between any two of `--`, in a row of them as well, and a placeholder where there is
        // no value.
        assert!(
            statement.text.len() <= 2 * text.len() + 1,
            "the text grew from {} to {} bytes",
            text.len(),
            statement.text.len()
        );
        // What leaves the node has nothing left to replace.
        let again = read(&statement.text, dialect, how & 1 == 0);
        assert_eq!(again.text, statement.text, "read again");
        // A number or a string in front of everything is a literal whatever follows.
        let marked = format!("SELECT 8675309, 'zxcvbnmq' {text}");
        let statement = read(&marked, dialect, how & 1 == 0);
        for mark in ["8675309", "zxcvbnmq"] {
            assert!(
                text.contains(mark) || !statement.text.contains(mark),
                "a literal is left: {}",
                statement.text
            );
        }
    }
}

/// Another lexer sees no string in what is left of a text.
pub(crate) fn against_another(input: &[u8]) {
    let Some((&how, rest)) = input.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    // It takes what follows for a part of a name that begins with it, whatever it is.
    if text.contains('@') {
        return;
    }
    for dialect in DIALECTS {
        let left = read(&text, dialect, how & 1 == 0).text;
        if let Some(string) = string(&left, dialect) {
            panic!("{dialect:?}: {string:?} is left of {text:?}: {left:?}");
        }
    }
}

/// A string that the other lexer sees in a text; `None` too where it takes it for no text at all.
fn string(text: &str, dialect: Dialect) -> Option<Token> {
    let mysql = dialect::MySqlDialect {};
    let postgres = PostgreSqlDialect {};
    let other: &dyn dialect::Dialect = match dialect {
        Dialect::MySql => &mysql,
        Dialect::Postgres => &postgres,
    };
    let tokens = Tokenizer::new(other, text)
        .with_unescape(false)
        .tokenize()
        .ok()?;
    tokens.into_iter().find(|token| match token {
        Token::SingleQuotedString(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_) => true,
        // A name, and a letter of names, in the other dialect.
        Token::DoubleQuotedString(_) => dialect == Dialect::MySql,
        // A tag is a name: it does not begin with a digit.
        Token::DollarQuotedString(string) => {
            let tag = string.tag.as_deref().unwrap_or_default();
            dialect == Dialect::Postgres && !tag.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => false,
    })
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "SELECT id, name FROM users WHERE id = 7 AND name = 'a\\'b'",
        "insert into t (a, b) values (1, 0xff), (-2.5e3, x'00')",
        "select $$text$$, $a$x$a$, E'\\n', U&'d\\0061t' from \"T\" where a::int = $1",
        "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/ select 1",
        "select 1 -- comment\n; # other\ndelete from `a`.`b` where c = \"d\"",
        "with x as (select 1) update y set z = null where q in (1,2,3)",
        "call shop.restock(1, 'a')",
        "/*!50000 select */ 1 /* open",
        "select 'unterminated",
    ]
    .iter()
    .flat_map(|text| [0_u8, 1].map(|how| [&[how], text.as_bytes()].concat()))
    .collect()
}
