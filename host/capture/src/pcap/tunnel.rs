//! Tunnels: packets that carry packets, and the keys that tell apart what runs in them.

use super::bytes::{take, u8, u16, u32};
use super::link::{ethernet, ethertype_payload, ip, mpls, ppp};
use super::segment::Piece;

/// Extension headers of one packet of GTP that are followed.
const EXTENSION_LIMIT: usize = 16;

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
    fn vxlan(number: u32) -> Self {
        Self { kind: 1, number }
    }

    fn geneve(number: u32) -> Self {
        Self { kind: 2, number }
    }

    fn gre(number: u32) -> Self {
        Self { kind: 3, number }
    }
}

type Opened<'a> = Option<(Piece<'a>, Option<Key>)>;

/// The IP packet in the payload of another, which is of this protocol.
pub(super) fn open(protocol: u8, payload: Piece<'_>) -> Opened<'_> {
    match protocol {
        // IP in IP, 6in4.
        4 | 41 => keyless(ip(payload)),
        17 => udp(payload),
        47 => gre(payload),
        137 => keyless(mpls(payload)),
        _ => None,
    }
}

fn keyless(packet: Option<Piece<'_>>) -> Opened<'_> {
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

fn udp(piece: Piece<'_>) -> Opened<'_> {
    let mut bytes = piece.bytes;
    let source = u16(&mut bytes)?;
    let destination = u16(&mut bytes)?;
    let payload = piece.skip(8)?;
    match destination {
        // VXLAN (RFC 7348), and the port Linux used before there was a number.
        4789 | 8472 => vxlan(payload),
        4790 => vxlan_gpe(payload),
        6081 => geneve(payload),
        2152 => keyless(gtp(payload)),
        // MPLS over UDP (RFC 7510)
        6635 => keyless(mpls(payload)),
        3544 => keyless(teredo(payload)),
        _ if source == 2152 => keyless(gtp(payload)),
        _ if source == 3544 => keyless(teredo(payload)),
        _ => None,
    }
}

/// The network of a header of VXLAN, where it says that there is one.
fn vxlan_key(piece: Piece<'_>) -> Option<Option<Key>> {
    let mut bytes = piece.bytes;
    let flags = u32(&mut bytes)?;
    let network = u32(&mut bytes)? >> 8;
    Some((flags & 0x0800_0000 != 0).then(|| Key::vxlan(network)))
}

fn vxlan(piece: Piece<'_>) -> Opened<'_> {
    let key = vxlan_key(piece)?;
    let packet = piece.skip(8).and_then(ethernet)?;
    Some((packet, key))
}

/// The generic protocol extension: the header names what follows (draft-ietf-nvo3-vxlan-gpe).
fn vxlan_gpe(piece: Piece<'_>) -> Opened<'_> {
    let key = vxlan_key(piece)?;
    let [flags, _, _, next] = *piece.bytes.first_chunk::<4>()?;
    let payload = piece.skip(8)?;
    let packet = match (flags & 4 != 0, next) {
        (true, 1 | 2) => ip(payload),
        (true, 3) | (false, _) => ethernet(payload),
        _ => None,
    }?;
    Some((packet, key))
}

/// RFC 8926
fn geneve(piece: Piece<'_>) -> Opened<'_> {
    let mut bytes = piece.bytes;
    let options = usize::from(u8(&mut bytes)? & 0x3f).saturating_mul(4);
    u8(&mut bytes)?;
    let ethertype = u16(&mut bytes)?;
    let network = u32(&mut bytes)? >> 8;
    let packet = ethertype_payload(ethertype, piece.skip(options.saturating_add(8))?)?;
    Some((packet, Some(Key::geneve(network))))
}

/// RFC 4380: IPv6, perhaps behind an authentication and the address that the sender was seen with.
fn teredo(mut piece: Piece<'_>) -> Option<Piece<'_>> {
    if piece.bytes.starts_with(&[0, 1]) {
        let [_, _, client, authentication] = *piece.bytes.first_chunk::<4>()?;
        let lengths = usize::from(client).saturating_add(usize::from(authentication));
        piece = piece.skip(lengths.saturating_add(13))?;
    }
    if piece.bytes.starts_with(&[0, 0]) {
        piece = piece.skip(8)?;
    }
    let mut bytes = piece.bytes;
    let is_ipv6 = take(&mut bytes, 1)?.first()? >> 4 == 6;
    is_ipv6.then_some(piece)
}

/// GTP-U (3GPP TS 29.281): a T-PDU carries an IP packet.
fn gtp(piece: Piece<'_>) -> Option<Piece<'_>> {
    let [flags, kind, ..] = *piece.bytes.first_chunk::<8>()?;
    if flags >> 5 != 1 || kind != 0xff {
        return None;
    }
    if flags & 7 == 0 {
        return piece.skip(8).and_then(ip);
    }
    let mut next = *piece.bytes.get(11)?;
    let mut payload = piece.skip(12)?;
    for _ in 0..EXTENSION_LIMIT {
        if flags & 4 == 0 || next == 0 {
            return ip(payload);
        }
        let len = usize::from(*payload.bytes.first()?).saturating_mul(4);
        if len == 0 {
            return None;
        }
        next = *payload.bytes.get(len.saturating_sub(1))?;
        payload = payload.skip(len)?;
    }
    None
}
