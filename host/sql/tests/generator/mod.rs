//! Statements made up from a seed, with a mark in every literal.
use wirespan_sql::Dialect;

/// Stands in every literal and every comment, and in nothing else. Digits, so that it is a number
/// too.
pub(crate) const SECRET: &str = "90210417";

#[rustfmt::skip]
const SOUP: &[&str] = &[
    "'x'", "'it\\'s'", "''", "\"q\"", "`b`", "E'a\\'", "N'x'", "_utf8'x'", "U&'d'", "u&\"d\"", "x'00'",
    "'", "\"", "`", "\\", "\\N", "$1", "$123456", "$", "$$", "$a$", "1", "1.5e-3", ".5", "0xff", "--5",
    "-- c\n", "--", "#", "/*", "*/", "/**/", "/*!40101 ", "/*!", "/*M!", "/*traceparent='00-a-b-01'*/",
    "(", ")", ",", ".", ";", "=", "@", "@@", "?", "-", "+", "*", "&", "<>", "::", "\n", "\0", "\u{fffd}",
    "a", "users", "größe", "hunter2", "a_very_long_column_name", "eightchr", "SELECT", "INSERT", "INTO",
    "FROM", "WHERE", "UPDATE", "DELETE", "MERGE", "USING", "JOIN", "ON", "DISTINCT", "VALUES", "WITH",
    "RECURSIVE", "AS", "SET", "PASSWORD", "IDENTIFIED", "BY", "TO", "FOR", "STATEMENT", "USER", "ROLE",
    "CREATE", "ALTER", "DROP", "GRANT", "TABLE", "INDEX", "FUNCTION", "DEFINER", "LOAD", "DATA", "CALL",
    "EXPLAIN", "BEGIN", "OPTIMIZE", "NO_WRITE_TO_BINLOG", "TRUE", "NULL", "DEFAULT",
];

pub(crate) struct Generator {
    dialect: Dialect,
    state: u64,
}

impl Generator {
    pub(crate) fn new(dialect: Dialect, seed: u64) -> Self {
        Self {
            dialect,
            state: seed,
        }
    }

    /// splitmix64
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    pub(crate) fn statement(&mut self) -> String {
        let mut out = String::new();
        for number in 0..1 + self.below(2) {
            if number > 0 {
                out.push(';');
            }
            self.one(&mut out);
        }
        out
    }

    fn one(&mut self, out: &mut String) {
        match self.below(5) {
            0 => {
                self.words(out, &["INSERT", "INTO"]);
                self.name(out);
                out.push_str("(a, b)");
                self.words(out, &["VALUES"]);
                out.push('(');
                self.expressions(out);
                out.push_str("), (");
                self.expressions(out);
                out.push(')');
            }
            1 => {
                self.words(out, &["UPDATE"]);
                self.name(out);
                self.words(out, &["SET", "a", "="]);
                self.expression(out);
                self.filter(out);
            }
            2 => {
                self.words(out, &["DELETE", "FROM"]);
                self.name(out);
                self.filter(out);
            }
            _ => self.query(out, 2),
        }
    }

    fn query(&mut self, out: &mut String, depth: usize) {
        self.words(out, &["SELECT"]);
        self.expressions(out);
        self.words(out, &["FROM"]);
        self.name(out);
        if self.below(3) == 0 {
            self.words(out, &["JOIN"]);
            self.name(out);
            self.words(out, &["ON"]);
            self.expression(out);
        }
        self.filter(out);
        if depth > 0 && self.below(3) == 0 {
            self.words(out, &["AND", "x", "IN"]);
            out.push('(');
            self.query(out, depth - 1);
            out.push(')');
        }
        if self.below(3) == 0 {
            self.words(out, &["LIMIT"]);
            self.literal(out);
        }
    }

    fn filter(&mut self, out: &mut String) {
        self.words(out, &["WHERE"]);
        self.name(out);
        let operator = self.pick(&["=", "<>", "<=", "LIKE", "+"]);
        self.words(out, &[operator]);
        self.expression(out);
    }

    fn expressions(&mut self, out: &mut String) {
        for number in 0..1 + self.below(3) {
            if number > 0 {
                out.push(',');
            }
            self.expression(out);
        }
    }

    fn expression(&mut self, out: &mut String) {
        match self.below(6) {
            0 => self.name(out),
            1 => {
                self.words(out, &["f"]);
                out.push('(');
                self.literal(out);
                out.push(')');
            }
            2 => {
                self.literal(out);
                let operator = self.pick(&["+", "*", "AND", "||", "-"]);
                self.words(out, &[operator]);
                self.literal(out);
            }
            _ => self.literal(out),
        }
    }

    fn words(&mut self, out: &mut String, words: &[&str]) {
        for word in words {
            self.blank(out);
            if self.below(4) == 0 {
                out.push_str(&word.to_lowercase());
            } else {
                out.push_str(word);
            }
            self.blank(out);
        }
    }

    fn blank(&mut self, out: &mut String) {
        match (self.below(24), self.dialect) {
            (0, _) => {
                // Behind a blank: the judge reads `||/` for an operator, comment or not.
                out.push_str(" /* it's ");
                out.push_str(SECRET);
                out.push_str("*/");
            }
            (1, _) => {
                out.push_str(" -- \"");
                out.push_str(SECRET);
                out.push('\n');
            }
            (2, Dialect::MySql) => {
                out.push_str(" # `");
                out.push_str(SECRET);
                out.push('\n');
            }
            (2, Dialect::Postgres) => {
                out.push_str(" /* /* ");
                out.push_str(SECRET);
                out.push_str(" */ ' */");
            }
            (3 | 4, _) => out.push_str("\n\t"),
            _ => out.push(' '),
        }
    }

    fn name(&mut self, out: &mut String) {
        let quote = match self.dialect {
            Dialect::MySql => '`',
            Dialect::Postgres => '"',
        };
        out.push(' ');
        match self.below(5) {
            0 => {
                let name = self.pick(&["it's", "a b", "größe", "--", "/*", "x''y", "1", "a\\"]);
                out.push(quote);
                out.push_str(name);
                out.push(quote);
            }
            1 => out.push_str("s.t"),
            2 => out.push_str("größe"),
            _ => {
                let name = self.pick(&["a", "b1", "users", "_x", "e", "n", "x", "b", "u"]);
                out.push_str(name);
            }
        }
        out.push(' ');
    }

    fn literal(&mut self, out: &mut String) {
        self.blank(out);
        let literal = match (self.below(18), self.dialect) {
            (0..=2, _) => self.string('\'', self.dialect == Dialect::MySql),
            (3, _) => SECRET.to_owned(),
            (4, _) => format!("0x{SECRET}"),
            (5, _) => format!("{SECRET}e-5"),
            (6, _) => format!("1.{SECRET}"),
            (7, _) => format!("x'{SECRET}'"),
            (8, _) => format!("X'{SECRET}'"),
            (9, _) => format!("N'{SECRET}'"),
            (10, Dialect::MySql) => self.string('"', true),
            (11, Dialect::MySql) => format!("_utf8mb4{}", self.string('\'', true)),
            (12, Dialect::MySql) => format!("_binary \"{SECRET}\""),
            (13, Dialect::MySql) => format!("'\u{7528}{SECRET}\u{6237}'"),
            (10, Dialect::Postgres) => format!("E{}", self.string('\'', true)),
            (11, Dialect::Postgres) => format!("$${SECRET} ' \" $1 $$"),
            (12, Dialect::Postgres) => format!("$a$ $$ {SECRET} $b$ ' $a$"),
            (13, Dialect::Postgres) => format!("U&'\\0061{SECRET}'"),
            (14, _) => format!("'{SECRET}'"),
            (15, _) => format!("'--{SECRET}\n/*'"),
            (16, _) => format!("'*/{SECRET}'"),
            _ => format!("DATE '{SECRET}'"),
        };
        out.push_str(&literal);
        self.blank(out);
    }

    /// A string in quotes. Whoever writes it knows whether backslashes escape.
    fn string(&mut self, quote: char, escapes: bool) -> String {
        let mut out = String::from(quote);
        for _ in 0..1 + self.below(4) {
            match self.below(7) {
                0 => {
                    out.push(quote);
                    out.push(quote);
                }
                1 if escapes => {
                    out.push('\\');
                    out.push(quote);
                }
                2 if escapes => out.push_str("\\\\"),
                2 => out.push('\\'),
                3 if escapes => out.push_str("\\n"),
                4 => out.push('ü'),
                5 => out.push(if quote == '"' { '\'' } else { '"' }),
                _ => {}
            }
            out.push_str(SECRET);
        }
        if !escapes && self.below(4) == 0 {
            out.push('\\');
        }
        out.push(quote);
        out
    }

    /// A query whose literals are strings of one kind.
    pub(crate) fn statement_of_strings(&mut self, quote: char, escapes: bool) -> String {
        let mut out = String::from("SELECT a FROM t WHERE b IN (");
        for number in 0..1 + self.below(4) {
            if number > 0 {
                out.push_str(self.pick(&[", ", ",", " , "]));
            }
            out.push_str(&self.string(quote, escapes));
        }
        out.push_str(self.pick(&[")", ") AND c", ");", "); SELECT 1"]));
        out
    }

    /// Bytes at random, more of those that mean something.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        const TELLING: &[u8] = b" \n'\"`\\/*-#$;()!?@=,.0aEN_";
        let length = self.below(48);
        let mut bytes = || match self.below(4) {
            0 => self.next() as u8,
            _ => TELLING[self.below(TELLING.len())],
        };
        (0..length).map(|_| bytes()).collect()
    }

    /// Tokens at random, some written onto each other.
    pub(crate) fn soup(&mut self) -> String {
        let mut out = String::new();
        for _ in 0..self.below(24) {
            out.push_str(self.pick(SOUP));
            if self.below(3) > 0 {
                out.push(' ');
            }
        }
        out
    }

    /// Changes, removes or adds some bytes.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        const BYTES: &[u8] = b"'\"`\\/*-#$;()!E1.\n\0\xff\xbf\x5c";
        for _ in 0..1 + self.below(3) {
            let at = self.below(bytes.len() + 1);
            let byte = BYTES[self.below(BYTES.len())];
            match self.below(3) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => {
                    bytes.remove(at);
                }
                _ => {}
            }
        }
    }
}
