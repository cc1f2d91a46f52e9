//! Query attributes: what can stand before the text of a query (`CLIENT_QUERY_ATTRIBUTES`).

use crate::limits::ATTRIBUTES;
use crate::wire::Reader;

/// A query behind its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributed<'a> {
    /// `None`: the attributes do not end within what is looked at, or make no sense.
    pub text: Option<&'a [u8]>,
    /// The attribute of that name.
    pub traceparent: Option<&'a [u8]>,
}

/// Reads the attributes in front of a query's text; `body` is what follows the command.
pub fn attributed(body: &[u8]) -> Attributed<'_> {
    read(body).unwrap_or(Attributed {
        text: None,
        traceparent: None,
    })
}

/// Whether attributes stand in front, when that was not negotiated in sight: the number of sets of
/// parameters, always 1, is no character of a query. `None`: too short to tell, and without any.
pub fn has_attributes(body: &[u8]) -> Option<bool> {
    match body {
        [0, 1, ..] => Some(true),
        [0xfc, _, _, 1, ..] => Some(true),
        [count, 1, ..] if *count < 0xfb => Some(true),
        [_, _, ..] => Some(false),
        _ => None,
    }
}

fn read(body: &[u8]) -> Option<Attributed<'_>> {
    let mut reader = Reader(body);
    let count = reader.lenenc()?;
    let _sets = reader.lenenc()?;
    let mut traceparent = None;
    if count > 0 {
        if count > ATTRIBUTES {
            return None;
        }
        let nulls = reader.take(usize::try_from(count.div_ceil(8)).ok()?)?;
        if reader.u8()? != 1 {
            return None;
        }
        // Types and names come first, then the values.
        let mut names = reader;
        for _ in 0..count {
            reader.u16()?;
            reader.lenenc_text()?;
        }
        for index in 0..count {
            let kind = names.u16()? as u8;
            let name = names.lenenc_text()?;
            let byte = nulls.get(usize::try_from(index / 8).ok()?)?;
            if byte & (1 << (index % 8)) != 0 {
                continue;
            }
            let value = value(&mut reader, kind)?;
            if name.eq_ignore_ascii_case(b"traceparent") {
                traceparent = Some(value);
            }
        }
    }
    Some(Attributed {
        text: Some(reader.0),
        traceparent,
    })
}

/// A value of the binary protocol.
fn value<'a>(reader: &mut Reader<'a>, kind: u8) -> Option<&'a [u8]> {
    match kind {
        0x01 => reader.take(1),               // TINY
        0x02 | 0x0d => reader.take(2),        // SHORT, YEAR
        0x03 | 0x04 | 0x09 => reader.take(4), // LONG, FLOAT, INT24
        0x05 | 0x08 => reader.take(8),        // DOUBLE, LONGLONG
        0x06 => reader.take(0),               // NULL
        0x07 | 0x0a | 0x0b | 0x0c | 0x0e | 0x11..=0x13 => {
            // Dates and times, as long as they need.
            let len = reader.u8()?;
            reader.take(usize::from(len))
        }
        // Texts, decimals, bits and whatever is written like them.
        0x00 | 0x0f | 0x10 | 0xf2..=0xff => reader.lenenc_text(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_found_behind_attributes_of_every_type() {
        let types: [(u8, &[u8]); 8] = [
            (0x01, &[7]),
            (0x02, &[7, 0]),
            (0x03, &[7, 0, 0, 0]),
            (0x08, &[7; 8]),
            (0x06, &[]),
            (0x0c, &[4, 1, 2, 3, 4]),
            (0xfe, &[3, b'a', b'b', b'c']),
            (0xfd, &[0xfc, 1, 0, b'x']),
        ];
        let mut body = vec![types.len() as u8 + 1, 1, 0, 0, 1];
        for (kind, _) in types {
            body.extend([kind, 0, 1, b'n']);
        }
        body.extend([0xfe, 0, 11]);
        body.extend(b"traceparent");
        for (_, value) in types {
            body.extend(value);
        }
        body.extend(b"\x02tp");
        assert_eq!(has_attributes(&body), Some(true));
        for end in 0..body.len() {
            assert_eq!(attributed(&body[..end]).text, None, "{end}");
        }
        body.extend(b"select 1");
        let nine = attributed(&body);
        assert_eq!(nine.text, Some(&b"select 1"[..]));
        assert_eq!(nine.traceparent, Some(&b"tp"[..]));
        assert_eq!(attributed(b"\0\x01select 1").text, Some(&b"select 1"[..]));
        assert_eq!(has_attributes(b"se"), Some(false));
    }
}
