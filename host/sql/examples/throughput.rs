//! Processor time and bytes a second for statements of several kinds; the best of several runs,
//! so that other programs on the machine count for little.
//!
//! `cargo run --release -p wirespan-sql --example throughput`

use std::fs;
use std::hint::black_box;

use wirespan_sql::{Dialect, read};

const RUNS: u32 = 20;
const BYTES_PER_RUN: usize = 8 << 20;

/// What this thread has had of a processor.
fn processor_nanos() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts it");
    let nanos = stat.split_ascii_whitespace().next().expect("the first");
    nanos.parse().expect("a number")
}

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
        let statements = BYTES_PER_RUN / text.len();
        let run = || {
            let started = processor_nanos();
            for _ in 0..statements {
                black_box(read(black_box(text), dialect, true));
            }
            processor_nanos() - started
        };
        let best = (0..RUNS).map(|_| run()).min().unwrap_or_default();
        let nanos = best as f64 / statements as f64;
        println!(
            "{what:26} {:5} B {nanos:8.0} ns {:6.0} MB/s",
            text.len(),
            text.len() as f64 * 1e3 / nanos
        );
    }
}
