//! Bodies that both ends know.

/// From nothing to more than a record holds. All of them together find room in the agent's rings, however
/// long it is kept from emptying them.
fn length(number: usize) -> usize {
    match number % 8 {
        0 => 0,
        7 => 20_000,
        other => 1 + other * other * 101,
    }
}

/// That of a request; its answer has the same.
pub(crate) fn of(number: usize) -> Vec<u8> {
    (0..length(number))
        .map(|place| b'a' + ((place * 31 + number) % 26) as u8)
        .collect()
}
