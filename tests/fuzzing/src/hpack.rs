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

/// Each block has its length before it. Where both decoders take a block, they say the same.
pub(crate) fn run(input: &[u8]) {
    let mut ours = Decoder::new().keeping_everything();
    let mut joined = Decoder::joined();
    let mut theirs = hpack::Decoder::new();
    let mut rest = input;
    for _ in 0..BLOCKS {
        let Some((&len, after)) = rest.split_first() else {
            return;
        };
        let (block, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let mut found = Fields::default();
        let outcome = ours.decode(block, &mut found);
        let _ = joined.decode(block, &mut Fields::default());
        let Ok(expected) = theirs.decode(block) else {
            // What it refuses we may refuse or not; from here on the tables differ.
            return;
        };
        if outcome.is_err() {
            return;
        }
        assert_eq!(found.fields.len(), expected.len(), "number of fields");
        for (found, expected) in found.fields.iter().zip(&expected) {
            if let Some(found) = found {
                assert_eq!(found, expected);
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
