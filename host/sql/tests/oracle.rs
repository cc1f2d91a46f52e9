//! Held against the tokens of the `sqlparser` crate: each literal it sees is gone, and everything
//! else stays, in order.

#[expect(dead_code, reason = "the other test uses the rest of it")]
mod generator;

use generator::Generator;
use sqlparser::dialect::{self, PostgreSqlDialect};
use sqlparser::tokenizer::{Token, Tokenizer};
use wirespan_sql::{Dialect, read};

const STATEMENTS: u64 = 20_000;

/// Tokens other than literals, comments and white space, and how many literals there are.
fn tokens(text: &str, dialect: Dialect) -> Result<(Vec<Token>, usize), String> {
    let mysql = dialect::MySqlDialect {};
    let postgres = PostgreSqlDialect {};
    let dialect: &dyn dialect::Dialect = match dialect {
        Dialect::MySql => &mysql,
        Dialect::Postgres => &postgres,
    };
    let all = Tokenizer::new(dialect, text)
        .with_unescape(false)
        .tokenize()
        .map_err(|e| e.to_string())?;
    let mut literals = 0;
    let mut kept = Vec::new();
    for token in all {
        match token {
            Token::Whitespace(_) => {}
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::Question => literals += 1,
            Token::DoubleQuotedString(_) => literals += 1,
            Token::Placeholder(name) if name == "?" => literals += 1,
            other => kept.push(other),
        }
    }
    Ok((kept, literals))
}

#[test]
fn its_literals_are_gone_and_its_other_tokens_stay() {
    for dialect in [Dialect::MySql, Dialect::Postgres] {
        let mut compared = 0;
        for seed in 0..STATEMENTS {
            let text = Generator::new(dialect, seed).statement();
            let statement = read(&text, dialect, true);
            if !statement.certain {
                continue;
            }
            let Ok((expected, literals)) = tokens(&text, dialect) else {
                continue;
            };
            let (kept, placeholders) = tokens(&statement.text, dialect)
                .unwrap_or_else(|e| panic!("seed {seed}: {e}: {}", statement.text));
            // An introducer is a part of its literal.
            let expected: Vec<_> = expected
                .into_iter()
                .filter(|token| !matches!(token, Token::Word(word) if word.value == "_utf8mb4"))
                .collect();
            let differ = kept.iter().zip(&expected).position(|(a, b)| a != b);
            if let Some(at) = differ.or((kept.len() != expected.len()).then_some(0)) {
                panic!(
                    "seed {seed}, {dialect:?}: {:?} for {:?} in\n{text}\nis\n{}",
                    kept.get(at..at + 3),
                    expected.get(at..at + 3),
                    statement.text
                );
            }
            assert_eq!(placeholders, literals, "seed {seed}: {text}");
            compared += 1;
        }
        // The others are those that one of the two refuses to be certain of.
        assert!(
            compared > STATEMENTS / 2,
            "{dialect:?}: only {compared} were compared"
        );
    }
}
