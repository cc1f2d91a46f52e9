//! What holds for every text: secrets never get out, wherever the text is cut and whatever becomes
//! of its bytes.

mod generator;

use generator::{Generator, SECRET};
use wirespan_sql::{Dialect, SUMMARY_CHARACTERS, read};

/// Texts whose comments, literals or names stand close together: removing one must not make
/// another token of what stood around it.
const REGRESSIONS: &[&str] = &[
    "SELECT 5--5",
    "SELECT a-/**/-b",
    "SELECT a/ /**/ *b*/",
    "SELECT a/-- x\n*b",
    "SELECT $/**/$ 'x' $$",
    "SELECT E/**/'it\\'s'",
    "SELECT U/**/&'x'",
    "SELECT a./**/5",
    "SELECT 1/**/.5",
    "SELECT TRUE.5, 'x'.5",
    "SELECT `a`.5, \"a\".5, $1.5",
    "TRUE SET a = b",
    "SET TRUE PASSWORD hunter2",
    "ALTER SET a = b USER PASSWORD hunter2",
    "SELECT /*!4010 */ 1",
    "SELECT /*!4010/**/1 */",
    "SELECT /*!401011*/",
    "SELECT /*! '*/' */",
    "SELECT /*!'a'*/*/",
    "SELECT \\N'x'",
    "SELECT \\/**/N",
    "SET a = b/**/.c",
    "SET a = b --\n(c)",
    "SET a = /*!40101 b */",
    "ALTER USER a IDENTIFIED BY b/**/(c)",
    "SET PASSWORD FOR a = b; SELECT c",
    "SELECT 'a'/**/'b'",
    "SELECT E'a'\n/**/'b\\'c'",
    "SELECT 1e/**/+5",
    "SELECT 1/**/a",
    "SELECT @/**/'a'",
    "/**/",
    "-- \n--",
    "\u{b}'a'\u{b}",
];

const STATEMENTS: usize = 2_000;

fn check(text: &str, dialect: Dialect, complete: bool, seed: u64) {
    let statement = read(text, dialect, complete);
    for (what, out) in [("text", &*statement.text), ("summary", &statement.summary)] {
        assert!(
            !out.contains(SECRET),
            "seed {seed}, {dialect:?}: the {what} of\n{text}\nis\n{out}"
        );
    }
    assert!(statement.summary.chars().count() <= SUMMARY_CHARACTERS);
    // What leaves the node has nothing left to replace.
    let again = read(&statement.text, dialect, complete);
    assert_eq!(
        again.text, statement.text,
        "seed {seed}, {dialect:?}: {text}"
    );
}

/// A text is always given from its beginning (its end alone could begin inside a literal, and
/// nothing would tell), so prefixes are all there is.
#[test]
fn no_secret_gets_out_however_the_text_is_cut() {
    for dialect in [Dialect::MySql, Dialect::Postgres] {
        for seed in 0..STATEMENTS as u64 {
            let text = Generator::new(dialect, seed).statement();
            check(&text, dialect, true, seed);
            for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                let statement = read(&text[..cut], dialect, false);
                assert!(
                    !statement.text.contains(SECRET),
                    "seed {seed}, {dialect:?}: {}\nis\n{}",
                    &text[..cut],
                    statement.text
                );
            }
        }
    }
}

/// In a session whose settings are the others, the same text has other literals.
#[test]
fn no_secret_gets_out_in_any_session() {
    let quoted = [
        (Dialect::MySql, '\'', true),
        (Dialect::MySql, '\'', false),
        (Dialect::MySql, '"', true),
        (Dialect::MySql, '"', false),
        (Dialect::Postgres, '\'', true),
        (Dialect::Postgres, '\'', false),
    ];
    for (dialect, quote, escapes) in quoted {
        for seed in 0..STATEMENTS as u64 {
            let mut generator = Generator::new(dialect, seed);
            let text = generator.statement_of_strings(quote, escapes);
            for complete in [true, false] {
                check(&text, dialect, complete, seed);
            }
        }
    }
}

#[test]
fn no_bytes_make_it_panic_or_change_its_mind() {
    for dialect in [Dialect::MySql, Dialect::Postgres] {
        for seed in 0..STATEMENTS as u64 {
            let mut generator = Generator::new(dialect, seed);
            let mut bytes = generator.statement().into_bytes();
            for _ in 0..8 {
                generator.damage(&mut bytes);
                let text = String::from_utf8_lossy(&bytes);
                for complete in [true, false] {
                    let statement = read(&text, dialect, complete);
                    let again = read(&statement.text, dialect, complete);
                    assert_eq!(
                        again.text, statement.text,
                        "seed {seed}, {dialect:?}: {text:?}"
                    );
                }
            }
        }
    }
}

/// Far from anything that a client sends.
#[test]
fn what_leaves_the_node_is_read_alike_again() {
    const TEXTS: u64 = 50_000;
    for dialect in [Dialect::MySql, Dialect::Postgres] {
        for seed in 0..TEXTS {
            let mut generator = Generator::new(dialect, seed);
            let bytes = generator.bytes();
            for text in [&*String::from_utf8_lossy(&bytes), &*generator.soup()] {
                for complete in [true, false] {
                    let statement = read(text, dialect, complete);
                    let again = read(&statement.text, dialect, complete);
                    assert_eq!(
                        again.text, statement.text,
                        "seed {seed}, {dialect:?}, complete: {complete}: {text:?}"
                    );
                    assert!(statement.summary.chars().count() <= SUMMARY_CHARACTERS);
                }
            }
        }
    }
}

/// Texts that were once read otherwise the second time, or might be.
#[test]
fn these_texts_are_read_alike_again() {
    for text in REGRESSIONS {
        for dialect in [Dialect::MySql, Dialect::Postgres] {
            for complete in [true, false] {
                let statement = read(text, dialect, complete);
                let again = read(&statement.text, dialect, complete);
                assert_eq!(again.text, statement.text, "{dialect:?}: {text:?}");
            }
        }
    }
}

/// Every text of up to five of these pieces.
#[test]
fn every_short_text_is_read_alike_again() {
    const PIECES: [&str; 16] = [
        "'", "\"", "`", "\\", "/*", "*/", "--", "#", "\n", "$", "!", "E", "1", ".", ";", " a ",
    ];
    for dialect in [Dialect::MySql, Dialect::Postgres] {
        for number in 0..PIECES.len().pow(5) {
            let mut text = String::new();
            let mut rest = number;
            while rest > 0 {
                text.push_str(PIECES[rest % PIECES.len()]);
                rest /= PIECES.len();
            }
            let statement = read(&text, dialect, true);
            let again = read(&statement.text, dialect, true);
            assert_eq!(again.text, statement.text, "{dialect:?}: {text:?}");
        }
    }
}

#[test]
fn long_texts_take_time_in_proportion() {
    const MANY: usize = 200_000;
    for dialect in [Dialect::MySql, Dialect::Postgres] {
        for piece in [
            "'",
            "\"",
            "`",
            "\\'",
            "'\\'",
            "'\\''",
            "/*",
            "*/",
            "/*!",
            "--",
            "-- ",
            "#",
            "$a$",
            "$",
            "(",
            ")",
            "E'",
            "E'\\'\n",
            "a ",
            "SET a = ",
            "IDENTIFIED BY ",
            ".",
            "1.",
            "1e+",
            "\u{fffd}\\",
            "'\u{fffd}\\'",
            "SELECT a FROM b,",
            "/*a='1',",
            "\n",
            "@",
            "_a'",
            "/*!0*/",
            "'a' \n",
        ] {
            let text = piece.repeat(MANY);
            let statement = read(&text, dialect, true);
            assert!(statement.text.len() <= 2 * text.len());
        }
    }
}
