//! Ids that follow from what was seen: the same exchange published or replayed twice has the same.

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

/// Kept apart from other uses of the hash, and changed when what goes in changes.
const SPAN_DOMAIN: &[u8] = b"wirespan span 1\0";
/// Room for all parts where the protocol's name has up to 64 bytes; those of parsers have 32.
const INPUT_BYTES: usize = 128;
const TRACE_DOMAIN: &[u8] = b"wirespan trace 1";

/// What makes an exchange the one it is. All of it comes from the capture, so a recording of the
/// same traffic gives the same ids, on any machine and however its bytes are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exchange<'a> {
    /// Boot of the node, or content of a packet capture.
    pub capture: u128,
    /// The two halves of the connection's key. The time at which it was first seen is no part of
    /// it: two agents, or one that was started again, see it at different times.
    pub socket: u64,
    pub generation: u64,
    /// The observed process holds the client's end.
    pub observed_client: bool,
    /// How many position spaces this connection had before the one of `position` (TLS plaintext
    /// starts anew): an exchange inside a tunnel may stand at the position of the one that opened it.
    pub layer: u32,
    /// The client sent the message that stands at `position`.
    pub from_client: bool,
    /// Position of the first byte of the message.
    pub position: u64,
    /// Two protocols may report the same bytes, as with h2c.
    pub protocol: &'a str,
}

impl Exchange<'_> {
    /// XXH3-64 of all parts, little-endian and of fixed width, the protocol last. Never 0, which
    /// W3C Trace Context forbids.
    #[must_use]
    pub fn span_id(&self) -> u64 {
        // In one piece: the state of a hash that takes its input in parts is ten times as large as
        // what goes in here.
        let mut input = [0; INPUT_BYTES];
        let hash = match self.lay_down(&mut input) {
            Some(len) => xxh3_64(input.get(..len).unwrap_or_default()),
            None => {
                let mut hash = Xxh3::new();
                self.each_part(|part| hash.update(part));
                hash.digest()
            }
        };
        hash.max(1)
    }

    fn each_part(&self, mut part: impl FnMut(&[u8])) {
        part(SPAN_DOMAIN);
        part(&self.capture.to_le_bytes());
        for number in [self.socket, self.generation, self.position] {
            part(&number.to_le_bytes());
        }
        part(&self.layer.to_le_bytes());
        part(&[self.observed_client.into(), self.from_client.into()]);
        part(self.protocol.as_bytes());
    }

    /// Writes all parts one behind the other. How many bytes they are, if there is room for them.
    fn lay_down(&self, input: &mut [u8; INPUT_BYTES]) -> Option<usize> {
        let mut len = 0;
        let mut fits = true;
        self.each_part(|part| {
            let end = len + part.len();
            match input.get_mut(len..end) {
                Some(place) => place.copy_from_slice(part),
                None => fits = false,
            }
            len = end;
        });
        fits.then_some(len)
    }
}

/// The trace of a span that no `traceparent` put into one: XXH3-128 of its id. Never 0.
#[must_use]
pub fn trace_id_from(span_id: u64) -> u128 {
    let mut input = [0; 24];
    let (domain, id) = input.split_at_mut(TRACE_DOMAIN.len());
    domain.copy_from_slice(TRACE_DOMAIN);
    id.copy_from_slice(&span_id.to_le_bytes());
    xxh3_128(&input).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const EXCHANGE: Exchange<'static> = Exchange {
        capture: 7,
        socket: 1,
        generation: 2,
        observed_client: false,
        layer: 0,
        from_client: true,
        position: 4,
        protocol: "http",
    };

    #[test]
    fn ids_never_change_between_versions_and_machines() {
        assert_eq!(EXCHANGE.span_id(), 0x10be_6dba_1fed_6544);
        // Too long to be laid down in one piece.
        let long = "x".repeat(1_000);
        let e = Exchange {
            protocol: &long,
            ..EXCHANGE
        };
        let mut hash = Xxh3::new();
        e.each_part(|part| hash.update(part));
        assert_eq!(e.span_id(), hash.digest());
        assert_eq!(trace_id_from(1), 0x0dfb_b76b_1b12_8e50_65a3_d8e7_f7eb_ac25);
    }

    #[test]
    fn each_part_counts() {
        let e = EXCHANGE;
        let ids = [
            e.span_id(),
            Exchange { capture: 8, ..e }.span_id(),
            Exchange { socket: 2, ..e }.span_id(),
            Exchange { generation: 1, ..e }.span_id(),
            Exchange {
                observed_client: true,
                ..e
            }
            .span_id(),
            Exchange { layer: 1, ..e }.span_id(),
            Exchange {
                from_client: false,
                ..e
            }
            .span_id(),
            Exchange { position: 5, ..e }.span_id(),
            Exchange {
                protocol: "http2",
                ..e
            }
            .span_id(),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(
            ids.iter()
                .map(|id| trace_id_from(*id))
                .collect::<HashSet<_>>()
                .len(),
            9
        );
    }
}
