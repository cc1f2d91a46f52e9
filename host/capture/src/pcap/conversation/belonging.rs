//! Which connection between the same ends a segment is of.

use super::super::roles::Side;
use super::super::segment::Segment;
use super::super::tunnel::Tunnel;
use super::Conversation;
use super::sender::Sender;

/// How near the numbers of two segments are that are taken for one connection's though they came by
/// different roads: a window, so that one in a thousand others fits by chance.
const SAME_WINDOW: u64 = 4 << 20;

/// What a segment means for the connection that its addresses belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pcap) enum Belongs {
    Here,
    /// To a later connection between the same ports, which began with this number if it is known.
    ToNext(Option<u32>),
    /// Neither.
    Nowhere,
}

impl Conversation {
    /// Whether a segment that came by a road of its own is of this connection all the same: a tunnel
    /// can have a key for each direction, and a capture can show what is in a tunnel outside of it
    /// too. Networks of different keys have nothing in common.
    pub(in crate::pcap) fn is_seen_elsewhere(&self, from: Side, segment: &Segment<'_>) -> bool {
        if self.made.is_some() {
            return false;
        }
        let (own, peer) = (self.sender(from), self.sender(from.other()));
        let near = |sender: &Sender, number: u32| {
            let position = sender.sequence.and_then(|known| {
                let distance = known
                    .position(number)?
                    .checked_sub_unsigned(known.highest())?;
                Some(distance.unsigned_abs())
            });
            position.is_some_and(|distance| distance <= SAME_WINDOW)
        };
        if own.seen {
            let plain = segment.tunnel == Tunnel::NONE || self.is_in(Tunnel::NONE);
            plain
                && if segment.syn {
                    own.initial == Some(segment.sequence)
                } else {
                    near(own, segment.sequence)
                }
        } else {
            peer.seen
                && match (segment.acknowledged, peer.initial) {
                    (Some(number), Some(initial)) if segment.syn => {
                        number == initial.wrapping_add(1)
                    }
                    (Some(number), _) => near(peer, number),
                    (None, _) => false,
                }
        }
    }

    /// The handshake of which only the SYN is here, seen while an older connection was alive.
    pub(in crate::pcap) fn begin(&mut self, side: Side, initial: u32) {
        self.sender_mut(side).begins_at(initial);
        self.client = Some(side);
    }

    /// Finds out whether a segment is of this connection or of the next one with the same addresses.
    pub(in crate::pcap) fn belongs(&mut self, from: Side, segment: &Segment<'_>) -> Belongs {
        let over = self.closing.is_some();
        let known = self.sender(from).initial;
        if self.told && (!segment.syn || known == Some(segment.sequence)) {
            let is_new =
                segment.payload.len > 0 && !segment.rst && !self.is_repeated(from, segment);
            return if is_new {
                Belongs::ToNext(None)
            } else {
                Belongs::Nowhere
            };
        }
        if segment.syn && known != Some(segment.sequence) {
            let unused = self.observed.is_none();
            let answered = |(side, initial): (Side, u32)| {
                side == from.other() && segment.acknowledged == Some(initial.wrapping_add(1))
            };
            return match segment.acknowledged {
                // Its other half may be here already.
                Some(_) if known.is_none() && !over && !self.sender(from).has_data => Belongs::Here,
                Some(_) if over || unused || self.next_syn.is_some_and(answered) => {
                    Belongs::ToNext(None)
                }
                Some(_) => Belongs::Nowhere,
                None if known.is_none() && unused && !over => Belongs::Here,
                None if over || unused => Belongs::ToNext(None),
                None => {
                    self.next_syn = Some((from, segment.sequence));
                    Belongs::Nowhere
                }
            };
        }
        if let Some((side, initial)) = self.next_syn
            && side == from
            && segment.sequence == initial.wrapping_add(1)
            && !segment.rst
        {
            return Belongs::ToNext(Some(initial));
        }
        let reach = self
            .sender(from)
            .sequence
            .is_none_or(|sequence| sequence.position(segment.sequence).is_some());
        if reach {
            return Belongs::Here;
        }
        if segment.payload.len == 0 || segment.rst {
            return Belongs::Nowhere;
        }
        // One segment that is out of reach may be forged or damaged, two in a row are a connection.
        let again = self.stray == Some((from, segment.sequence));
        let behind = segment
            .sequence
            .wrapping_add(u32::try_from(segment.payload.len).unwrap_or(u32::MAX));
        self.stray = Some((from, behind));
        if again {
            Belongs::ToNext(None)
        } else {
            Belongs::Nowhere
        }
    }

    /// Whether all of a segment lies in what was seen before.
    fn is_repeated(&self, from: Side, segment: &Segment<'_>) -> bool {
        let len = i64::try_from(segment.payload.len).unwrap_or(i64::MAX);
        self.sender(from).sequence.is_some_and(|sequence| {
            let end = sequence
                .position(segment.sequence)
                .map(|position| position.saturating_add(len));
            end.is_some_and(|end| end <= i64::try_from(sequence.highest()).unwrap_or(i64::MAX))
        })
    }
}
