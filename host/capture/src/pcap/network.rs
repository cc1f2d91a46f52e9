//! Internet protocol, both versions, and the tunnels in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::{take, u8, u16, u32};
use super::fragments::{Fragment, Fragments, Whole};
use super::link::{ethernet, ethertype_payload, ip, mpls};
use super::segment::{Piece, Segment};
use crate::event::Nanos;

/// Tunnels in tunnels that are followed.
const TUNNEL_LIMIT: usize = 8;

/// Extension headers of one IPv6 packet that are followed.
const EXTENSION_LIMIT: usize = 16;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// One IP packet, without its header.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: Piece<'a>,
    fragment: Option<Fragment>,
}

/// Finds the TCP segment in an IP packet and gives it to `act`.
pub(super) fn segment(
    packet: Piece<'_>,
    time: Nanos,
    fragments: &mut Fragments,
    act: &mut dyn FnMut(Segment<'_>),
) {
    unwrap(packet, time, fragments, TUNNEL_LIMIT, act);
}

fn unwrap(
    packet: Piece<'_>,
    time: Nanos,
    fragments: &mut Fragments,
    depth: usize,
    act: &mut dyn FnMut(Segment<'_>),
) {
    let Some(packet) = parse(packet) else { return };
    match packet.fragment {
        Some(fragment) => {
            let addresses = (packet.source, packet.destination);
            if let Some(Whole { protocol, bytes }) =
                fragments.add(addresses, packet.protocol, fragment, packet.payload, time)
            {
                let payload = Piece {
                    bytes: &bytes,
                    len: bytes.len(),
                };
                let packet = Packet {
                    protocol,
                    payload,
                    fragment: None,
                    ..packet
                };
                dispatch(&packet, time, fragments, depth, act);
            }
        }
        None => dispatch(&packet, time, fragments, depth, act),
    }
}

fn dispatch(
    packet: &Packet<'_>,
    time: Nanos,
    fragments: &mut Fragments,
    depth: usize,
    act: &mut dyn FnMut(Segment<'_>),
) {
    if packet.protocol == TCP {
        if let Some(segment) = Segment::parse(packet.payload, packet.source, packet.destination) {
            act(segment);
        }
        return;
    }
    let inner = match packet.protocol {
        // IP in IP, 6in4.
        4 | 41 => ip(packet.payload),
        47 => gre(packet.payload),
        UDP => udp_tunnel(packet.payload),
        137 => mpls(packet.payload),
        _ => None,
    };
    if let (Some(inner), Some(depth)) = (inner, depth.checked_sub(1)) {
        unwrap(inner, time, fragments, depth, act);
    }
}

fn parse(packet: Piece<'_>) -> Option<Packet<'_>> {
    match packet.bytes.first()? >> 4 {
        4 => version4(packet),
        6 => version6(packet),
        _ => None,
    }
}

/// RFC 791
fn version4(packet: Piece<'_>) -> Option<Packet<'_>> {
    let mut bytes = packet.bytes;
    let header_len = usize::from(u8(&mut bytes)? & 0x0f).saturating_mul(4);
    u8(&mut bytes)?;
    let total = usize::from(u16(&mut bytes)?);
    let id = u16(&mut bytes)?;
    let fragment = u16(&mut bytes)?;
    u8(&mut bytes)?;
    let protocol = u8(&mut bytes)?;
    u16(&mut bytes)?;
    let source = IpAddr::V4(Ipv4Addr::from_bits(u32(&mut bytes)?));
    let destination = IpAddr::V4(Ipv4Addr::from_bits(u32(&mut bytes)?));
    if header_len < 20 {
        return None;
    }
    // A total length of 0 is what segmentation offload leaves in a packet over 64 KiB.
    let packet = if total == 0 {
        packet
    } else {
        packet.limit(total)
    };
    let fragment = (fragment & 0x3fff != 0).then(|| Fragment {
        id: u32::from(id),
        offset: usize::from(fragment & 0x1fff).saturating_mul(8),
        more: fragment & 0x2000 != 0,
    });
    Some(Packet {
        source,
        destination,
        protocol,
        payload: packet.skip(header_len)?,
        fragment,
    })
}

/// RFC 8200
fn version6(packet: Piece<'_>) -> Option<Packet<'_>> {
    let mut bytes = packet.bytes;
    take(&mut bytes, 4)?;
    let len = usize::from(u16(&mut bytes)?);
    let mut protocol = u8(&mut bytes)?;
    u8(&mut bytes)?;
    let source = IpAddr::V6(Ipv6Addr::from(*take(&mut bytes, 16)?.first_chunk::<16>()?));
    let destination = IpAddr::V6(Ipv6Addr::from(*take(&mut bytes, 16)?.first_chunk::<16>()?));
    let mut payload = packet.skip(40)?;
    // 0: a jumbogram, or segmentation offload.
    if len != 0 {
        payload = payload.limit(len);
    }
    let mut fragment = None;
    for _ in 0..EXTENSION_LIMIT {
        let mut bytes = payload.bytes;
        let skipped = match protocol {
            // Hop-by-hop, routing, destination options, mobility, host identity, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => {
                protocol = u8(&mut bytes)?;
                usize::from(u8(&mut bytes)?)
                    .saturating_add(1)
                    .saturating_mul(8)
            }
            // Authentication: its length counts in units of four.
            51 => {
                protocol = u8(&mut bytes)?;
                usize::from(u8(&mut bytes)?)
                    .saturating_add(2)
                    .saturating_mul(4)
            }
            44 => {
                protocol = u8(&mut bytes)?;
                u8(&mut bytes)?;
                let offset = u16(&mut bytes)?;
                let id = u32(&mut bytes)?;
                payload = payload.skip(8)?;
                let more = offset & 1 != 0;
                let offset = usize::from(offset & 0xfff8);
                // An atomic fragment (RFC 6946) is whole.
                if more || offset != 0 {
                    fragment = Some(Fragment { id, offset, more });
                    break;
                }
                0
            }
            _ => break,
        };
        payload = payload.skip(skipped)?;
    }
    Some(Packet {
        source,
        destination,
        protocol,
        payload,
        fragment,
    })
}

/// RFC 2784 and 2890; ERSPAN and PPTP's version 1 carry no plain packets.
fn gre(piece: Piece<'_>) -> Option<Piece<'_>> {
    let mut bytes = piece.bytes;
    let flags = u16(&mut bytes)?;
    let ethertype = u16(&mut bytes)?;
    if flags & 0x0007 != 0 || flags & 0x4000 != 0 {
        return None;
    }
    let optional = [0x8000, 0x2000, 0x1000]
        .into_iter()
        .filter(|flag| flags & flag != 0)
        .count();
    let payload = piece.skip(optional.saturating_mul(4).saturating_add(4))?;
    match ethertype {
        // ERSPAN type II: eight bytes, then Ethernet. Type III: twelve, and eight more if it says so.
        0x88be if flags & 0x1000 != 0 => payload.skip(8).and_then(ethernet),
        0x88be => ethernet(payload),
        0x22eb => {
            let platform = payload.bytes.get(11)? & 1 != 0;
            payload
                .skip(if platform { 20 } else { 12 })
                .and_then(ethernet)
        }
        _ => ethertype_payload(ethertype, payload),
    }
}

fn udp_tunnel(piece: Piece<'_>) -> Option<Piece<'_>> {
    let mut bytes = piece.bytes;
    let source = u16(&mut bytes)?;
    let destination = u16(&mut bytes)?;
    let payload = piece.skip(8)?;
    match destination {
        // VXLAN (RFC 7348), and the port Linux used before there was a number.
        4789 | 8472 => payload.skip(8).and_then(ethernet),
        6081 => geneve(payload),
        2152 => gtp(payload),
        // MPLS over UDP (RFC 7510)
        6635 => mpls(payload),
        _ if source == 2152 => gtp(payload),
        _ => None,
    }
}

/// RFC 8926
fn geneve(piece: Piece<'_>) -> Option<Piece<'_>> {
    let mut bytes = piece.bytes;
    let options = usize::from(u8(&mut bytes)? & 0x3f).saturating_mul(4);
    u8(&mut bytes)?;
    let ethertype = u16(&mut bytes)?;
    ethertype_payload(ethertype, piece.skip(options.saturating_add(8))?)
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
