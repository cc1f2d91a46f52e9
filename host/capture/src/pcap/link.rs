//! Link layers: from a captured frame to the network packet in it.

use super::bytes::{take, u8, u16, u32};
use super::segment::Piece;

/// VLAN tags, MPLS labels and other headers in a row that are taken off.
const HEADER_LIMIT: usize = 16;

/// What a frame carries.
pub(super) enum Carried<'a> {
    /// An IP packet, either version.
    Ip(Piece<'a>),
    /// Something else, or too short to tell.
    Other,
    /// The link type is not known.
    Unknown,
}

/// Numbers as in <https://www.tcpdump.org/linktypes.html>.
pub(super) fn carried(link_type: u16, frame: Piece<'_>) -> Carried<'_> {
    let found = match link_type {
        // NULL and LOOP: four bytes of address family, in the order of the machine or the network.
        0 | 108 => frame.skip(4).and_then(ip),
        1 => ethernet(frame),
        // PPP, with or without HDLC framing, and with a direction byte.
        9 | 50 | 166 => ppp(frame),
        204 => frame.skip(1).and_then(ppp),
        51 => pppoe(frame),
        // Raw IP: the number depends on the system that wrote the file.
        12 | 14 | 101 | 228 | 229 => ip(frame),
        // Cisco HDLC: two bytes, then an EtherType.
        104 => frame.skip(2).and_then(ethertype_first),
        105 => station(frame),
        // Prism and AVS in front of 802.11: their length stands behind four bytes.
        119 | 163 => prism(frame),
        // ENC: a header of twelve bytes.
        109 => frame.skip(12).and_then(ip),
        // Linux cooked: the EtherType at the end, or at the beginning of the header.
        113 => frame.skip(14).and_then(ethertype_first),
        276 => cooked2(frame),
        // PFLOG: its first byte is its length, padded.
        117 => frame
            .bytes
            .first()
            .and_then(|len| frame.skip(usize::from(*len).next_multiple_of(4)))
            .and_then(ip),
        // Radiotap in front of 802.11, its length little-endian.
        127 => radiotap(frame),
        192 => packet_information(frame),
        239 => nflog(frame),
        // Netanalyzer: four bytes before Ethernet.
        240 => frame.skip(4).and_then(ethernet),
        _ => return Carried::Unknown,
    };
    found.map_or(Carried::Other, Carried::Ip)
}

/// The packet itself, if it looks like one.
pub(super) fn ip(piece: Piece<'_>) -> Option<Piece<'_>> {
    matches!(piece.bytes.first()? >> 4, 4 | 6).then_some(piece)
}

pub(super) fn ethernet(frame: Piece<'_>) -> Option<Piece<'_>> {
    frame.skip(12).and_then(ethertype_first)
}

fn ethertype_first(piece: Piece<'_>) -> Option<Piece<'_>> {
    let mut bytes = piece.bytes;
    let ethertype = u16(&mut bytes)?;
    ethertype_payload(ethertype, piece.skip(2)?)
}

/// What lies behind an EtherType.
pub(super) fn ethertype_payload(mut ethertype: u16, mut piece: Piece<'_>) -> Option<Piece<'_>> {
    for _ in 0..HEADER_LIMIT {
        match ethertype {
            0x0800 | 0x86dd => return ip(piece),
            // VLAN, QinQ and its forerunners.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
                let mut bytes = piece.skip(2)?.bytes;
                ethertype = u16(&mut bytes)?;
                piece = piece.skip(4)?;
            }
            0x8847 | 0x8848 => return mpls(piece),
            0x8864 => return pppoe(piece),
            // VN-Tag
            0x8926 => {
                let mut bytes = piece.skip(4)?.bytes;
                ethertype = u16(&mut bytes)?;
                piece = piece.skip(6)?;
            }
            // E-Tag (802.1BR)
            0x893f => {
                let mut bytes = piece.skip(6)?.bytes;
                ethertype = u16(&mut bytes)?;
                piece = piece.skip(8)?;
            }
            // A network service header (RFC 8300) says how long it is, and what follows.
            0x894f => {
                let [_, words, _, next] = *piece.bytes.first_chunk::<4>()?;
                let packet = piece.skip(usize::from(words & 0x3f).saturating_mul(4))?;
                return match next {
                    1 | 2 => ip(packet),
                    3 => ethernet(packet),
                    5 => mpls(packet),
                    _ => None,
                };
            }
            // Provider backbone (802.1ah): a service tag, then a frame.
            0x88e7 => return piece.skip(4).and_then(ethernet),
            // Transparent Ethernet bridging.
            0x6558 => return ethernet(piece),
            // A length: 802.2 with SNAP.
            0..=1500 => {
                let snap = piece.bytes.first_chunk::<8>()?;
                let [0xaa, 0xaa, 0x03, _, _, _, high, low] = *snap else {
                    return None;
                };
                ethertype = u16::from_be_bytes([high, low]);
                piece = piece.skip(8)?;
            }
            _ => return None,
        }
    }
    None
}

/// Labels up to the bottom of the stack, then IP or an Ethernet pseudowire (RFC 4448).
pub(super) fn mpls(mut piece: Piece<'_>) -> Option<Piece<'_>> {
    for _ in 0..HEADER_LIMIT {
        let mut bytes = piece.bytes;
        let label = u32(&mut bytes)?;
        piece = piece.skip(4)?;
        if label & 0x100 != 0 {
            return ip(piece).or_else(|| piece.skip(4).and_then(ethernet));
        }
    }
    None
}

pub(super) fn ppp(piece: Piece<'_>) -> Option<Piece<'_>> {
    let piece = if piece.bytes.starts_with(&[0xff, 0x03]) {
        piece.skip(2)?
    } else {
        piece
    };
    let mut bytes = piece.bytes;
    // The protocol may be compressed to one byte, which is odd then.
    let first = u8(&mut bytes)?;
    let (protocol, len) = if first & 1 == 1 {
        (u16::from(first), 1)
    } else {
        (u16::from_be_bytes([first, u8(&mut bytes)?]), 2)
    };
    let packet = piece.skip(len)?;
    match protocol {
        0x0021 | 0x0057 => ip(packet),
        0x0281 => mpls(packet),
        _ => None,
    }
}

/// A session header of six bytes (RFC 2516), then PPP.
fn pppoe(piece: Piece<'_>) -> Option<Piece<'_>> {
    piece.skip(6).and_then(ppp)
}

fn cooked2(frame: Piece<'_>) -> Option<Piece<'_>> {
    let mut bytes = frame.bytes;
    let ethertype = u16(&mut bytes)?;
    ethertype_payload(ethertype, frame.skip(20)?)
}

fn radiotap(frame: Piece<'_>) -> Option<Piece<'_>> {
    let [_, _, low, high] = *frame.bytes.first_chunk::<4>()?;
    frame
        .skip(usize::from(u16::from_le_bytes([low, high])))
        .and_then(station)
}

/// The length is in network order with AVS, and in that of the machine with Prism, which may have
/// been captured with AVS's header too.
fn prism(frame: Piece<'_>) -> Option<Piece<'_>> {
    let [magic, _, _, _, l0, l1, l2, l3] = *frame.bytes.first_chunk::<8>()?;
    let len = match magic {
        0x80 | 0 => u32::from_be_bytes([l0, l1, l2, l3]),
        _ => u32::from_le_bytes([l0, l1, l2, l3]),
    };
    frame.skip(usize::try_from(len).ok()?).and_then(station)
}

/// A frame of 802.11.
fn station(frame: Piece<'_>) -> Option<Piece<'_>> {
    wlan(*frame.bytes.first_chunk::<2>()?, frame)
}

/// Unencrypted data frames of 802.11, given their frame control.
pub(super) fn wlan([control, flags]: [u8; 2], frame: Piece<'_>) -> Option<Piece<'_>> {
    let (kind, subtype) = (control >> 2 & 3, control >> 4);
    if kind != 2 || subtype & 4 != 0 || flags & 0x40 != 0 {
        return None;
    }
    let mut len: usize = 24;
    if flags & 3 == 3 {
        len = len.saturating_add(6);
    }
    if subtype & 8 != 0 {
        len = len.saturating_add(2);
        // High-throughput control.
        if flags & 0x80 != 0 {
            len = len.saturating_add(4);
        }
    }
    // 802.2 with SNAP follows, as behind a length in Ethernet.
    ethertype_payload(0, frame.skip(len)?)
}

/// PPI: a header with its length and the link type of what follows, little-endian.
fn packet_information(frame: Piece<'_>) -> Option<Piece<'_>> {
    let [_, _, low, high, link, link_high, 0, 0] = *frame.bytes.first_chunk::<8>()? else {
        return None;
    };
    let inner = u16::from_le_bytes([link, link_high]);
    let payload = frame.skip(usize::from(u16::from_le_bytes([low, high])))?;
    if inner == 192 {
        return None;
    }
    match carried(inner, payload) {
        Carried::Ip(packet) => Some(packet),
        Carried::Other | Carried::Unknown => None,
    }
}

/// Type-length-value records in the order of the capturing machine; 9 is the packet.
fn nflog(frame: Piece<'_>) -> Option<Piece<'_>> {
    let mut bytes = frame.bytes;
    take(&mut bytes, 4)?;
    let mut passed: usize = 4;
    for _ in 0..64 {
        let [l0, l1, t0, t1] = *bytes.first_chunk::<4>()?;
        // Types are small numbers: the byte that is zero tells the order.
        let little = t1 == 0;
        let read = |low, high| {
            if little {
                u16::from_le_bytes([low, high])
            } else {
                u16::from_be_bytes([low, high])
            }
        };
        let (len, kind) = (usize::from(read(l0, l1)), read(t0, t1));
        if kind == 9 {
            let payload = frame.skip(passed.saturating_add(4))?;
            return ip(payload.limit(len.saturating_sub(4)));
        }
        let step = len.max(4).next_multiple_of(4);
        take(&mut bytes, step)?;
        passed = passed.saturating_add(step);
    }
    None
}
