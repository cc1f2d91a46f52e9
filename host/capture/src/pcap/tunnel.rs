//! Tunnels: packets that carry packets, and the keys that tell apart what runs in them.

use super::bytes::{u16, u32};
use super::link::{ethernet, ethertype_payload, ip, mpls, ppp};
use super::segment::Piece;
use super::udp;

/// Which tunnel a packet came through. Networks in tunnels with different keys are different
/// networks, whose addresses may be the same.
///
/// Only what names a network is a key: the network identifiers of VXLAN and Geneve, the key of GRE.
/// Labels of MPLS and endpoints of GTP are of one direction and change while a connection lives;
/// tags of VLANs change where a router forwards a packet that the capture sees twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Tunnel(u64);

impl Tunnel {
    /// None, or none with a key.
    pub(super) const NONE: Self = Self(0);

    /// An interface of a file that Wirespan wrote.
    pub(super) fn interface(number: u32) -> Self {
        Self::NONE.within(Some(Key { kind: 0, number }))
    }

    /// That of what comes through one with this key in this one.
    pub(super) fn within(self, key: Option<Key>) -> Self {
        let Some(Key { kind, number }) = key else {
            return self;
        };
        let mut bytes = [0; 13];
        let (outer, inner) = bytes.split_at_mut(8);
        outer.copy_from_slice(&self.0.to_be_bytes());
        if let Some((first, rest)) = inner.split_first_mut() {
            *first = kind;
            rest.copy_from_slice(&number.to_be_bytes());
        }
        Self(xxhash_rust::xxh3::xxh3_64(&bytes))
    }
}

/// What a tunnel says of the network in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    kind: u8,
    number: u32,
}

impl Key {
    pub(super) fn vxlan(number: u32) -> Self {
        Self { kind: 1, number }
    }

    pub(super) fn geneve(number: u32) -> Self {
        Self { kind: 2, number }
    }

    fn gre(number: u32) -> Self {
        Self { kind: 3, number }
    }
}

pub(super) type Opened<'a> = Option<(Piece<'a>, Option<Key>)>;

/// The IP packet in the payload of another, which is of this protocol.
pub(super) fn open(protocol: u8, payload: Piece<'_>) -> Opened<'_> {
    match protocol {
        // IP in IP, 6in4.
        4 | 41 => keyless(ip(payload)),
        17 => udp::open(payload),
        47 => gre(payload),
        // Ethernet within IP (RFC 3378), behind a header of two bytes.
        97 => keyless(payload.skip(2).and_then(ethernet)),
        137 => keyless(mpls(payload)),
        _ => None,
    }
}

pub(super) fn keyless(packet: Option<Piece<'_>>) -> Opened<'_> {
    packet.map(|packet| (packet, None))
}

/// RFC 2784 and 2890, ERSPAN, and what PPTP made of it (RFC 2637).
fn gre(piece: Piece<'_>) -> Opened<'_> {
    let mut bytes = piece.bytes;
    let flags = u16(&mut bytes)?;
    let ethertype = u16(&mut bytes)?;
    let has = |flag: u16| flags & flag != 0;
    let fields = |all: &[u16]| {
        let present = all.iter().filter(|flag| has(**flag)).count();
        present.saturating_mul(4)
    };
    match flags & 0x0007 {
        0 if !has(0x4000) => {}
        // Version 1: a key that is length and call, of one direction; perhaps a sequence number and
        // an acknowledgement.
        1 if ethertype == 0x880b => {
            return keyless(
                piece
                    .skip(fields(&[0x1000, 0x0080]).saturating_add(8))
                    .and_then(ppp),
            );
        }
        _ => return None,
    }
    if has(0x8000) {
        u32(&mut bytes)?;
    }
    let key = if has(0x2000) {
        Some(Key::gre(u32(&mut bytes)?))
    } else {
        None
    };
    let payload = piece.skip(fields(&[0x8000, 0x2000, 0x1000]).saturating_add(4))?;
    let packet = match ethertype {
        // ERSPAN type II: eight bytes, then Ethernet. Type III: twelve, and eight more if it says so.
        0x88be if has(0x1000) => payload.skip(8).and_then(ethernet),
        0x88be => ethernet(payload),
        0x22eb => {
            let platform = payload.bytes.get(11)? & 1 != 0;
            payload
                .skip(if platform { 20 } else { 12 })
                .and_then(ethernet)
        }
        _ => ethertype_payload(ethertype, payload),
    };
    packet.map(|packet| (packet, key))
}
