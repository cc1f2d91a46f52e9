//! The names of fields that a span can need, and the static table.

use super::huffman::coded;

/// The name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// One that is of no interest.
    Other,
    /// It stands in a table entry that was never seen.
    Unknown,
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:status`
    Status,
    /// `host`
    Host,
    /// `content-type`
    ContentType,
    /// `user-agent`
    UserAgent,
    /// `traceparent`
    Traceparent,
    /// `grpc-status`
    GrpcStatus,
    /// `grpc-message`
    GrpcMessage,
    /// `grpc-timeout`
    GrpcTimeout,
    /// `grpc-encoding`
    GrpcEncoding,
}

impl Name {
    pub(crate) fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":status" => Self::Status,
            b"host" => Self::Host,
            b"content-type" => Self::ContentType,
            b"user-agent" => Self::UserAgent,
            b"traceparent" => Self::Traceparent,
            b"grpc-status" => Self::GrpcStatus,
            b"grpc-message" => Self::GrpcMessage,
            b"grpc-timeout" => Self::GrpcTimeout,
            b"grpc-encoding" => Self::GrpcEncoding,
            _ => Self::Other,
        }
    }

    /// The name whose Huffman code this is, and its length: a text has only one code, so that it need
    /// not be decoded.
    pub(crate) fn of_coded(bytes: &[u8]) -> Option<(Self, u32)> {
        // The first eight bytes tell them apart.
        let key = first_eight(bytes);
        let &index = CODED_AT.get(place_of(key))?;
        let (name, text, code, known) = CODED.get(usize::from(index))?;
        // No code ends with a zero.
        if *known != key || code.get(bytes.len()) != Some(&0) || bytes.last() == Some(&0) {
            return None;
        }
        // With the last eight bytes, that is all of them: no code is longer than twice as much.
        let same = match (
            bytes.last_chunk::<8>(),
            code.get(..bytes.len())?.last_chunk(),
        ) {
            (Some(last), Some(known)) => u64::from_ne_bytes(*last) == u64::from_ne_bytes(*known),
            _ => true,
        };
        same.then_some((*name, u32::try_from(text.len()).ok()?))
    }

    /// Whether its value is of interest.
    pub(crate) fn is_wanted(self) -> bool {
        !matches!(self, Self::Other | Self::Unknown)
    }
}

/// The names that are looked for, their codes, which end with a zero, and the first bytes of these.
static CODED: [(Name, &str, [u8; CODE_BYTES], u64); 13] = {
    const fn entry(name: Name, text: &str) -> (Name, &str, [u8; CODE_BYTES], u64) {
        let code = coded(text.as_bytes());
        (name, text, code, first_eight(&code))
    }
    [
        entry(Name::Path, ":path"),
        entry(Name::Authority, ":authority"),
        entry(Name::ContentType, "content-type"),
        entry(Name::UserAgent, "user-agent"),
        entry(Name::Traceparent, "traceparent"),
        entry(Name::GrpcStatus, "grpc-status"),
        entry(Name::GrpcTimeout, "grpc-timeout"),
        entry(Name::GrpcMessage, "grpc-message"),
        entry(Name::GrpcEncoding, "grpc-encoding"),
        entry(Name::Method, ":method"),
        entry(Name::Scheme, ":scheme"),
        entry(Name::Status, ":status"),
        entry(Name::Host, "host"),
    ]
};

/// None of the codes is longer.
const CODE_BYTES: usize = 12;

/// Where the codes stand in [`CODED`], by [`place_of`] their first bytes; beyond its end where none is.
static CODED_AT: [u8; 1 << PLACE_BITS] = {
    let mut at = [u8::MAX; 1 << PLACE_BITS];
    let mut index = 0;
    while index < CODED.len() {
        let place = place_of(CODED[index].3);
        assert!(at[place] == u8::MAX, "two names have one place");
        at[place] = index as u8;
        index += 1;
    }
    at
};

const PLACE_BITS: u32 = 6;

/// An odd number that gives each name another place.
const SPREAD: u64 = 0xff51_afd7_ed55_8ccd;

const fn place_of(key: u64) -> usize {
    (key.wrapping_mul(SPREAD) >> (64 - PLACE_BITS)) as usize
}

/// The first eight bytes as a number, filled up with zeros.
const fn first_eight(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk() {
        return u64::from_be_bytes(*eight);
    }
    let (mut rest, mut key, mut at) = (bytes, 0, 64);
    while let Some((&byte, more)) = rest.split_first() {
        at -= 8;
        key |= (byte as u64) << at;
        rest = more;
    }
    key
}

/// An entry of the static table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StaticEntry {
    pub(crate) name: Name,
    pub(crate) name_bytes: u32,
    pub(crate) value: &'static [u8],
}

/// The entry with this index, counted from 1.
pub(crate) fn static_entry(index: u32) -> Option<StaticEntry> {
    let &(name, text, value) = STATIC.get(usize::try_from(index).ok()?.checked_sub(1)?)?;
    Some(StaticEntry {
        name,
        name_bytes: u32::try_from(text.len()).ok()?,
        value: value.as_bytes(),
    })
}

/// The name of the entry with this index.
pub(crate) fn static_name(index: u32) -> Option<&'static [u8]> {
    let (_, text, _) = STATIC.get(usize::try_from(index).ok()?.checked_sub(1)?)?;
    Some(text.as_bytes())
}

/// Entries of the static table.
pub(crate) const STATIC_ENTRIES: u32 = 61;

/// RFC 7541, appendix A.
static STATIC: [(Name, &str, &str); STATIC_ENTRIES as usize] = [
    (Name::Authority, ":authority", ""),
    (Name::Method, ":method", "GET"),
    (Name::Method, ":method", "POST"),
    (Name::Path, ":path", "/"),
    (Name::Path, ":path", "/index.html"),
    (Name::Scheme, ":scheme", "http"),
    (Name::Scheme, ":scheme", "https"),
    (Name::Status, ":status", "200"),
    (Name::Status, ":status", "204"),
    (Name::Status, ":status", "206"),
    (Name::Status, ":status", "304"),
    (Name::Status, ":status", "400"),
    (Name::Status, ":status", "404"),
    (Name::Status, ":status", "500"),
    (Name::Other, "accept-charset", ""),
    (Name::Other, "accept-encoding", "gzip, deflate"),
    (Name::Other, "accept-language", ""),
    (Name::Other, "accept-ranges", ""),
    (Name::Other, "accept", ""),
    (Name::Other, "access-control-allow-origin", ""),
    (Name::Other, "age", ""),
    (Name::Other, "allow", ""),
    (Name::Other, "authorization", ""),
    (Name::Other, "cache-control", ""),
    (Name::Other, "content-disposition", ""),
    (Name::Other, "content-encoding", ""),
    (Name::Other, "content-language", ""),
    (Name::Other, "content-length", ""),
    (Name::Other, "content-location", ""),
    (Name::Other, "content-range", ""),
    (Name::ContentType, "content-type", ""),
    (Name::Other, "cookie", ""),
    (Name::Other, "date", ""),
    (Name::Other, "etag", ""),
    (Name::Other, "expect", ""),
    (Name::Other, "expires", ""),
    (Name::Other, "from", ""),
    (Name::Host, "host", ""),
    (Name::Other, "if-match", ""),
    (Name::Other, "if-modified-since", ""),
    (Name::Other, "if-none-match", ""),
    (Name::Other, "if-range", ""),
    (Name::Other, "if-unmodified-since", ""),
    (Name::Other, "last-modified", ""),
    (Name::Other, "link", ""),
    (Name::Other, "location", ""),
    (Name::Other, "max-forwards", ""),
    (Name::Other, "proxy-authenticate", ""),
    (Name::Other, "proxy-authorization", ""),
    (Name::Other, "range", ""),
    (Name::Other, "referer", ""),
    (Name::Other, "refresh", ""),
    (Name::Other, "retry-after", ""),
    (Name::Other, "server", ""),
    (Name::Other, "set-cookie", ""),
    (Name::Other, "strict-transport-security", ""),
    (Name::Other, "transfer-encoding", ""),
    (Name::UserAgent, "user-agent", ""),
    (Name::Other, "vary", ""),
    (Name::Other, "via", ""),
    (Name::Other, "www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_codes() {
        let mut keys = std::collections::HashSet::new();
        for (name, text, code, key) in CODED {
            assert_eq!(Name::of(text.as_bytes()), name);
            assert!(keys.insert(key), "{text}");
            let len = code.iter().position(|&byte| byte == 0).unwrap();
            assert_eq!(
                Name::of_coded(&code[..len]),
                Some((name, text.len() as u32))
            );
            let mut decoded = Vec::new();
            super::super::huffman::decode(&code[..len], &mut decoded).unwrap();
            assert_eq!(decoded, text.as_bytes());
            assert_eq!(Name::of_coded(&[&code[..len], &[0]].concat()), None);
            for other in 0..len {
                assert_eq!(Name::of_coded(&code[..other]), None, "{text}: {other}");
                let mut other_code = code;
                other_code[other] ^= 1;
                assert_eq!(Name::of_coded(&other_code[..len]), None);
            }
        }
        assert_eq!(Name::of_coded(b""), None);
        assert_eq!(Name::of_coded(&[0; 40]), None);
    }

    #[test]
    fn the_static_table_knows_the_names() {
        for (name, text, _) in STATIC {
            assert_eq!(Name::of(text.as_bytes()), name);
        }
        assert!(static_entry(0).is_none());
        assert!(static_entry(62).is_none());
        assert_eq!(static_entry(61).unwrap().name_bytes, 16);
    }
}
