//! The PROXY protocol: a header that load balancers put in front of a connection they pass on, before the
//! first byte of the protocol that it carries (HAProxy's `proxy-protocol.txt`, versions 1 and 2).

/// Version 1 is a line; with the longest addresses it has 107 bytes.
const LINE_BYTES: usize = 107;

/// How a line begins. The protocol is part of it: no request of HTTP has a version behind such a target.
const LINES: [&[u8]; 3] = [b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];

/// So much of a line is of no other protocol: the name alone may be a method of HTTP.
const LINE_CERTAIN: usize = b"PROXY T".len();

/// How version 2 begins: with what no protocol begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// So much of that is of no other protocol: empty lines may stand before a request of HTTP.
const SIGNATURE_CERTAIN: usize = b"\r\n\r\n\0".len();

/// Behind the signature stand version and command, the kind of address, and how much follows.
const FIXED_BYTES: usize = 16;

/// What may follow: addresses of Unix sockets take 216 bytes, and the rest is what is known of TLS. Load
/// balancers send some hundred bytes.
const FOLLOWING_BYTES: u16 = 2 << 10;

/// What the beginning of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Nothing of the kind, or too little to tell.
    None,
    /// A header that is not whole.
    Begun,
    /// A whole one, of so many bytes.
    Whole(usize),
}

pub(crate) fn read(bytes: &[u8]) -> Header {
    if begins(bytes, SIGNATURE, SIGNATURE_CERTAIN) {
        return binary(bytes);
    }
    if LINES.iter().any(|line| begins(bytes, line, LINE_CERTAIN)) {
        return line(bytes);
    }
    Header::None
}

/// Whether `bytes` begin like `with`, as far as there are any, and are enough to be certain.
fn begins(bytes: &[u8], with: &[u8], certain: usize) -> bool {
    let there = bytes.len().min(with.len());
    there >= certain && bytes.get(..there) == with.get(..there)
}

fn line(bytes: &[u8]) -> Header {
    let line = bytes.get(..LINE_BYTES).unwrap_or(bytes);
    match line.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Header::Whole(end.saturating_add(2)),
        None if bytes.len() < LINE_BYTES => Header::Begun,
        None => Header::None,
    }
}

fn binary(bytes: &[u8]) -> Header {
    // Version 2 and one of two commands; a later version may have another form.
    match bytes.get(SIGNATURE.len()) {
        None => return Header::Begun,
        Some(0x20 | 0x21) => {}
        Some(_) => return Header::None,
    }
    let Some(&[.., high, low]) = bytes.first_chunk::<FIXED_BYTES>() else {
        return Header::Begun;
    };
    let following = u16::from_be_bytes([high, low]);
    let len = FIXED_BYTES.saturating_add(usize::from(following));
    match following {
        0..=FOLLOWING_BYTES if bytes.len() >= len => Header::Whole(len),
        0..=FOLLOWING_BYTES => Header::Begun,
        _ => Header::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(following: u16) -> Vec<u8> {
        let fixed = [SIGNATURE, &[0x21, 0x11], &following.to_be_bytes()].concat();
        [fixed, vec![7; usize::from(following)]].concat()
    }

    #[test]
    fn a_header_is_whole_with_its_last_byte() {
        let lines = [
            &b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"[..],
            b"PROXY TCP6 2001:db8::1 2001:db8::2 4124 443\r\n",
            b"PROXY UNKNOWN\r\n",
        ];
        let headers = lines.map(<[u8]>::to_vec).into_iter();
        for header in headers.chain([0, 12, 36, 216, FOLLOWING_BYTES].map(binary)) {
            for len in 0..header.len() {
                let begun = if header[0] == b'P' {
                    len >= LINE_CERTAIN
                } else {
                    len >= SIGNATURE_CERTAIN
                };
                let expected = if begun { Header::Begun } else { Header::None };
                assert_eq!(read(&header[..len]), expected, "{len} of {header:?}");
            }
            let followed = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(read(&followed), Header::Whole(header.len()));
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; LINE_BYTES]].concat();
        let cases = [
            &b"PROXY / HTTP/1.1\r\n\r\n"[..],
            b"PROXY TCP5 1 2 3 4\r\n",
            b"proxy tcp4 192.0.2.1 198.51.100.7 56324 443\r\n",
            b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
            &long,
            &binary(FOLLOWING_BYTES + 1),
        ];
        for bytes in cases {
            assert_eq!(read(bytes), Header::None, "{}", bytes.escape_ascii());
        }
    }
}
