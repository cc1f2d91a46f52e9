//! Statements of 60 to 300 bytes, as applications send them.

use super::http::scattered;

pub(super) fn statement(number: u64) -> String {
    let id = scattered(number) % 1_000_000;
    match number % 4 {
        0 => format!("SELECT id, name, price FROM products WHERE id = {id} LIMIT 3"),
        1 => format!(
            "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer \
             WHERE o.id > {id} AND o.state = 'open' ORDER BY o.id LIMIT 3"
        ),
        2 => format!(
            "SELECT id, items, touched FROM carts WHERE customer = {id} AND touched > \
             '2026-11-22 03:00:00' ORDER BY touched LIMIT 3"
        ),
        _ => format!(
            "SELECT p.id, p.name, sum(s.amount) AS amount FROM products p JOIN stock s ON \
             s.product = p.id LEFT JOIN warehouses w ON w.id = s.warehouse WHERE w.region = \
             'eu-west-{}' AND p.category IN ('books', 'music', 'films') AND p.price < {id} GROUP BY \
             p.id, p.name ORDER BY amount DESC LIMIT 3",
            number % 9
        ),
    }
}
