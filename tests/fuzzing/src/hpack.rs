//! Header blocks of a connection, decoded twice: here, and by a decoder of somebody else.

use wirespan_parser_grpc::hpack::{Decoder, Field, Sink, Value};
use wirespan_traffic::{Conversation, Protocol, Random, Speaker};

/// Blocks of one connection.
const BLOCKS: usize = 64;

#[derive(Default)]
struct Fields {
    /// `None` where a name or a value was not kept.
    fields: Vec<Option<(Vec<u8>, Vec<u8>)>>,
}

impl Sink for Fields {
    fn field(&mut self, field: Field<'_>) {
        let known = match (field.text, field.value) {
            (Some(name), Value::Known(value)) => Some((name.to_vec(), value.to_vec())),
            _ => None,
        };
        self.fields.push(known);
    }
}

/// Each block has its length before it. Where both decoders take a block, they say the same; one that
/// has joined after some blocks says less, and nothing else.
pub(crate) fn run(input: &[u8]) {
    let mut ours = Decoder::new().keeping_everything();
    let mut joined = Decoder::joined().keeping_everything();
    let unseen = usize::from(input.last().copied().unwrap_or_default() % 4);
    let mut theirs = hpack::Decoder::new();
    let mut rest = input;
    for number in 0..BLOCKS {
        let Some((&len, after)) = rest.split_first() else {
            return;
        };
        let (block, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let mut found = Fields::default();
        let outcome = ours.decode(block, &mut found);
        let mut after = Fields::default();
        let late = (number >= unseen).then(|| joined.decode(block, &mut after));
        if outcome.is_err() {
            // It may refuse this or not: of some such blocks it panics.
            return;
        }
        let Ok(mut expected) = theirs.decode(block) else {
            // From here on the tables differ.
            return;
        };
        for (name, _) in &mut expected {
            // Entry 15 of its static table is cut short (RFC 7541, appendix A).
            if name == b"accept-" {
                *name = b"accept-charset".to_vec();
            }
        }
        assert_eq!(found.fields.len(), expected.len(), "number of fields");
        for (found, expected) in found.fields.iter().zip(&expected) {
            // A name that was sent so is the same for both.
            if let Some((name, value)) = found
                && name != b"accept-"
            {
                assert_eq!((name, value), (&expected.0, &expected.1));
            }
        }
        let Some(late) = late else {
            continue;
        };
        assert!(late.is_ok(), "one that joined refuses it: {late:?}");
        assert_eq!(after.fields.len(), expected.len(), "fields after joining");
        for (found, expected) in after.fields.iter().zip(&expected) {
            if let Some((name, value)) = found
                && name != b"accept-"
            {
                assert_eq!((name, value), (&expected.0, &expected.1), "after joining");
            }
        }
    }
}

/// The header blocks of generated conversations.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    (0..24)
        .map(|seed| {
            let whole = Conversation::generate(Protocol::Http2, &mut Random::new(seed));
            let mut input = Vec::new();
            for turn in whole.turns {
                if turn.speaker == Speaker::Server {
                    continue;
                }
                let mut rest = turn.bytes.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
                rest = rest.or(Some(&turn.bytes));
                while let Some(frame) = rest
                    && let Some(&[a, b, c, kind, ..]) = frame.first_chunk::<9>()
                {
                    let len = u32::from_be_bytes([0, a, b, c]) as usize;
                    let payload = frame.get(9..9 + len).unwrap_or_default();
                    if kind == 1 && len < 256 {
                        input.push(len as u8);
                        input.extend_from_slice(payload);
                    }
                    rest = frame.get(9 + len..);
                }
            }
            input
        })
        .collect()
}
