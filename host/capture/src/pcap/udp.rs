//! Tunnels over UDP.

use super::bytes::{take, u8, u16, u32};
use super::link::{ethernet, ethertype_payload, ip, mpls, ppp, wlan};
use super::segment::Piece;
use super::tunnel::{Key, Opened, keyless};

/// Extension headers of one packet of GTP, and tags of one of TZSP, that are followed.
const EXTENSION_LIMIT: usize = 16;

/// The packet in a datagram, whose ports say which kind of tunnel it is of.
pub(super) fn open(piece: Piece<'_>) -> Opened<'_> {
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
        1701 => keyless(l2tp(payload)),
        5072 => keyless(ayiya(payload)),
        5247 => keyless(capwap(payload)),
        37008 => keyless(tzsp(payload)),
        _ if source == 2152 => keyless(gtp(payload)),
        _ if source == 3544 => keyless(teredo(payload)),
        _ if source == 1701 => keyless(l2tp(payload)),
        _ if source == 5072 => keyless(ayiya(payload)),
        _ if source == 5247 => keyless(capwap(payload)),
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

/// Data of L2TP, version 2 (RFC 2661): a header of which most is optional, then PPP. Tunnel and
/// session are numbers of one direction.
fn l2tp(piece: Piece<'_>) -> Option<Piece<'_>> {
    let mut bytes = piece.bytes;
    let flags = u16(&mut bytes)?;
    let has = |flag: u16| flags & flag != 0;
    if has(0x8000) || flags & 0x000f != 2 {
        return None;
    }
    let mut len: usize = 6;
    if has(0x4000) {
        len = len.saturating_add(2);
    }
    if has(0x0800) {
        len = len.saturating_add(4);
    }
    if has(0x0200) {
        let mut bytes = piece.bytes.get(len..)?;
        let padding = usize::from(u16(&mut bytes)?);
        len = len.saturating_add(2).saturating_add(padding);
    }
    piece.skip(len).and_then(ppp)
}

/// Anything in anything (draft-massar-v6ops-ayiya): who it is and a signature, then the packet.
fn ayiya(piece: Piece<'_>) -> Option<Piece<'_>> {
    let [identity, signature, operation, next] = *piece.bytes.first_chunk::<4>()?;
    // Forwarded as it is.
    if operation & 0x0f != 1 || !matches!(next, 4 | 41) {
        return None;
    }
    let identity = 1_usize << (identity >> 4);
    let signature = usize::from(signature >> 4).saturating_mul(4);
    let len = identity.saturating_add(signature).saturating_add(8);
    piece.skip(len).and_then(ip)
}

/// Data of an access point that is not encrypted (RFC 5415): a frame of Ethernet, or of 802.11, in
/// which some access points swap the bytes of the first field. Fragments are left out.
fn capwap(piece: Piece<'_>) -> Option<Piece<'_>> {
    let [0, lengths, binding, flags] = *piece.bytes.first_chunk::<4>()? else {
        return None;
    };
    let (fragment, keep_alive) = (flags & 0x80 != 0, flags & 0x08 != 0);
    if fragment || keep_alive {
        return None;
    }
    let frame = piece.skip(usize::from(lengths >> 3).saturating_mul(4))?;
    if binding & 1 == 0 {
        return ethernet(frame);
    }
    let [first, second] = *frame.bytes.first_chunk::<2>()?;
    wlan([first, second], frame).or_else(|| wlan([second, first], frame))
}

/// What a sniffer sends on (TZSP): tags up to one that ends them, then a frame.
fn tzsp(piece: Piece<'_>) -> Option<Piece<'_>> {
    let [1, 0, 0, kind] = *piece.bytes.first_chunk::<4>()? else {
        return None;
    };
    let mut piece = piece.skip(4)?;
    for _ in 0..EXTENSION_LIMIT {
        let len = match piece.bytes {
            [0, ..] => 1,
            [1, ..] => {
                let frame = piece.skip(1)?;
                let control = *frame.bytes.first_chunk::<2>()?;
                return match kind {
                    1 => ethernet(frame),
                    0x12 => wlan(control, frame),
                    _ => None,
                };
            }
            [_, len, ..] => usize::from(*len).saturating_add(2),
            _ => return None,
        };
        piece = piece.skip(len)?;
    }
    None
}
