//! Integers with a prefix (RFC 7541, 5.1).

use super::Error;

/// Octets after the prefix: four hold 28 bits, more than any length or index in use.
const OCTETS: u32 = 4;

/// Reads an integer whose first `prefix` bits are the lowest of the first byte.
#[inline(always)]
pub(crate) fn read(bytes: &[u8], prefix: u32) -> Result<(u32, &[u8]), Error> {
    let (&first, rest) = bytes.split_first().ok_or(Error::Truncated)?;
    let mask = (1u32 << prefix).saturating_sub(1);
    let value = u32::from(first) & mask;
    if value < mask {
        return Ok((value, rest));
    }
    read_more(value, rest)
}

/// The octets after the prefix, which was `value`.
#[inline(never)]
fn read_more(mut value: u32, mut rest: &[u8]) -> Result<(u32, &[u8]), Error> {
    for octet in 0..OCTETS {
        let (&byte, after) = rest.split_first().ok_or(Error::Truncated)?;
        rest = after;
        value = value.saturating_add(u32::from(byte & 0x7f) << (7 * octet));
        if byte & 0x80 == 0 {
            return Ok((value, rest));
        }
    }
    Err(Error::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(read(&[0x0a], 5), Ok((10, &[][..])));
        assert_eq!(read(&[0x1f, 0x9a, 0x0a, 7], 5), Ok((1337, &[7][..])));
        assert_eq!(read(&[0x2a], 8), Ok((42, &[][..])));
    }

    #[test]
    fn every_prefix_is_truncated_and_endless_ones_are_refused() {
        let bytes = [0xff, 0x80, 0x80, 0x80, 0x01];
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len], 7), Err(Error::Truncated));
        }
        assert_eq!(read(&bytes, 7), Ok((127 + (1 << 21), &[][..])));
        assert_eq!(
            read(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x01], 7),
            Err(Error::Integer)
        );
    }
}
