//! Time and bytes a second for statements of several kinds, on one core.
//!
//! `cargo run --release -p wirespan-sql --example throughput`

use std::hint::black_box;
use std::time::Instant;

use wirespan_sql::{Dialect, read};

const STATEMENTS: u32 = 1_000_000;

fn main() {
    let escaped =
        r"INSERT INTO comments (post_id, author, body) VALUES (42, 'O\'Brien', 'It\'s here')";
    let wide = format!(
        "SELECT {} FROM t WHERE id IN ({})",
        vec!["some_column"; 100].join(", "),
        vec!["1234567"; 200].join(", ")
    );
    for (what, dialect, text) in [
        (
            "a query",
            Dialect::Postgres,
            "SELECT u.id, u.name, u.email, o.total FROM users u JOIN orders o ON o.user_id = u.id \
             WHERE u.email = 'someone@example.com' AND o.total > 100.50 LIMIT 10",
        ),
        (
            "the same with parameters",
            Dialect::Postgres,
            "SELECT u.id, u.name, u.email, o.total FROM users u JOIN orders o ON o.user_id = u.id \
             WHERE u.email = $1 AND o.total > $2 LIMIT $3",
        ),
        (
            "an insertion",
            Dialect::MySql,
            "INSERT INTO `orders` (`user_id`, `total`, `note`) VALUES (7, 19.99, 'a note of some length that a customer left')",
        ),
        ("backslashes", Dialect::MySql, escaped),
        ("a list", Dialect::MySql, &wide),
    ] {
        let started = Instant::now();
        for _ in 0..STATEMENTS {
            black_box(read(black_box(text), dialect, true));
        }
        let nanos = started.elapsed().as_nanos() as f64 / f64::from(STATEMENTS);
        println!(
            "{what:26} {:5} B {nanos:8.0} ns {:6.0} MB/s",
            text.len(),
            text.len() as f64 * 1e3 / nanos
        );
    }
}
