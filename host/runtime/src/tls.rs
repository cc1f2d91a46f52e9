//! Native recognition of TLS: its records are nothing for a parser.

use crate::pattern::Match;

/// RFC 8446 section 5.1: a record's length is at most 2^14 + 256, RFC 5246 allows 2^14 + 2048.
const MAX_RECORD: u16 = (1 << 14) + 2048;

/// Whether a stream begins with a TLS record: type 20 to 24, version 3.0 to 3.4, a possible length.
pub(crate) fn test(bytes: &[u8]) -> Match {
    let mut bytes = bytes.iter().copied();
    let checks: [fn(u8) -> bool; 3] = [
        |kind| (20..=24).contains(&kind),
        |major| major == 3,
        |minor| minor <= 4,
    ];
    for check in checks {
        match bytes.next() {
            None => return Match::Undecided,
            Some(byte) if check(byte) => {}
            Some(_) => return Match::Never,
        }
    }
    match (bytes.next(), bytes.next()) {
        (Some(high), Some(low)) => {
            let length = u16::from_be_bytes([high, low]);
            if (1..=MAX_RECORD).contains(&length) {
                Match::Fits
            } else {
                Match::Never
            }
        }
        _ => Match::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_hello_is_tls_from_its_fifth_byte_on() {
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];
        for length in 0..5 {
            assert_eq!(test(&hello[..length]), Match::Undecided, "{length}");
        }
        assert_eq!(test(&hello), Match::Fits);
    }

    #[test]
    fn other_beginnings_are_not_tls() {
        for bytes in [
            &b"GET / "[..],
            &[0x16, 2],
            &[0x16, 3, 5],
            &[0x17, 3, 3, 0xff, 0xff],
            &[0x16, 3, 3, 0, 0],
        ] {
            assert_eq!(test(bytes), Match::Never, "{bytes:?}");
        }
    }
}
