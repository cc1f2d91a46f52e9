//! What sqlcommenter writes into a comment: `/*key='value',traceparent='00-…'*/`.
//!
//! Keys and values are percent-encoded, then quotes are escaped with a backslash
//! (<https://google.github.io/sqlcommenter/spec/>). Only the key that the span needs is read.

const KEY: &[u8] = b"traceparent";
/// Bytes of a decoded value: a `traceparent` has 55, a later version may have more.
const VALUE_BYTES: usize = 256;

/// The value of `traceparent` in a comment, decoded.
pub(crate) fn traceparent(comment: &[u8]) -> Option<String> {
    let mut rest = comment.strip_prefix(b"/*")?.strip_suffix(b"*/")?;
    loop {
        let equals = memchr::memchr(b'=', rest)?;
        let (key, value) = rest.split_at_checked(equals)?;
        let value = value.get(1..)?.trim_ascii_start().strip_prefix(b"'")?;
        let end = value_end(value)?;
        let (value, behind) = value.split_at_checked(end)?;
        if decode(key.trim_ascii())? == KEY {
            return String::from_utf8(decode(value)?).ok();
        }
        rest = behind.get(1..)?.trim_ascii_start().strip_prefix(b",")?;
    }
}

fn value_end(value: &[u8]) -> Option<usize> {
    let mut escaped = false;
    value.iter().position(|byte| {
        let ends = *byte == b'\'' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

/// `None` where it is longer than what is looked for.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.get(..text.len().min(3 * VALUE_BYTES + 1))?;
    let mut out = Vec::with_capacity(text.len().min(VALUE_BYTES));
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return (out.len() <= VALUE_BYTES).then_some(out),
            [b'%', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                out.push(*escaped);
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_context_is_found_among_other_keys() {
        for comment in [
            format!("/*traceparent='{VALUE}'*/"),
            format!("/* traceparent='{VALUE}' */"),
            format!(
                "/*action='%2Fparam*d',controller='it\\'s,',traceparent='{VALUE}',tracestate='a%3Db'*/"
            ),
            format!("/*a='1' , traceparent = '{VALUE}'*/"),
            format!("/*%74raceparent='{}'*/", VALUE.replace('-', "%2D")),
        ] {
            assert_eq!(
                traceparent(comment.as_bytes()).as_deref(),
                Some(VALUE),
                "{comment}"
            );
        }
    }

    #[test]
    fn other_comments_have_none() {
        for comment in [
            "/**/",
            "/* a comment */",
            "/*traceparent*/",
            "/*traceparent=*/",
            "/*traceparent='*/",
            "/*traceparent=\"x\"*/",
            "/*a='1'traceparent='x'*/",
            "/*=*/",
            "/*a='\\'*/",
            "-- traceparent='x'",
            "/*",
            "*/",
            "/*/",
            "",
        ] {
            assert_eq!(traceparent(comment.as_bytes()), None, "{comment}");
        }
        let long = format!("/*{}='1'*/", "k".repeat(10_000));
        assert_eq!(traceparent(long.as_bytes()), None);
    }
}
