//! Texts as they may go to a terminal, and durations as people read them.

/// What came from the network must not steer the terminal: control characters, and those that
/// change the direction of text, are replaced.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                '\u{fffd}'
            }
            character if character.is_control() => '\u{fffd}',
            character => character,
        })
        .collect()
}

/// Three digits and a unit.
pub(crate) fn duration(nanos: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "µs"),
        (1, "ns"),
    ];
    // The next unit begins where three digits would be rounded up to it.
    let fits = |unit: u64| nanos >= unit - unit / 2_000;
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| fits(*unit))
        .unwrap_or((1, "ns"));
    let per_digit = match nanos / unit {
        0..10 => unit / 100,
        10..100 => unit / 10,
        _ => unit,
    }
    .max(1);
    // Rounded at the last digit that is shown.
    let rounded =
        u128::from(nanos / per_digit + u64::from(nanos % per_digit >= per_digit.div_ceil(2)));
    let hundredths = rounded * u128::from(per_digit) * 100 / u128::from(unit);
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    match whole {
        _ if unit == 1 => format!("{nanos} ns"),
        0..10 => format!("{whole}.{rest:02} {name}"),
        10..100 => format!("{whole}.{} {name}", rest / 10),
        _ => format!("{whole} {name}"),
    }
}

/// How long ago, in the largest unit.
pub(crate) fn age(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        assert_eq!(
            harmless("/a\x1b[2J\r\n\u{9b}\u{202e}é"),
            "/a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}é"
        );
    }

    #[test]
    fn durations_have_three_digits() {
        for (nanos, text) in [
            (0, "0 ns"),
            (1, "1 ns"),
            (812, "812 ns"),
            (1_000, "1.00 µs"),
            (12_345, "12.3 µs"),
            (123_456, "123 µs"),
            (999_499, "999 µs"),
            (999_600, "1.00 ms"),
            (1_234_567, "1.23 ms"),
            (59_000_000_000, "59.0 s"),
            (u64::MAX, "18446744074 s"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }

    #[test]
    fn ages_have_one_unit() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (61, "1 min"), (7_200, "2 h")] {
            assert_eq!(age(seconds * 1_000_000_000), text);
        }
    }
}
