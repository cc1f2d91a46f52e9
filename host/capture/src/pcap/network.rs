//! Internet protocol, both versions, down to the segment of TCP in a packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::{take, u8, u16, u32};
use super::fragments::{Datagram, Fragment, Fragments, Whole};
use super::segment::{Piece, Segment};
use super::tunnel::{self, Tunnel};
use crate::event::Nanos;

/// Tunnels in tunnels that are followed.
const TUNNEL_LIMIT: usize = 8;

/// Extension headers of one IPv6 packet that are followed.
const EXTENSION_LIMIT: usize = 16;

const TCP: u8 = 6;

const AUTHENTICATION: u8 = 51;

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
    unwrap(packet, time, fragments, Tunnel::NONE, TUNNEL_LIMIT, act);
}

fn unwrap(
    packet: Piece<'_>,
    time: Nanos,
    fragments: &mut Fragments,
    tunnel: Tunnel,
    depth: usize,
    act: &mut dyn FnMut(Segment<'_>),
) {
    let Some(packet) = parse(packet) else { return };
    let Some(fragment) = packet.fragment else {
        dispatch(&packet, time, fragments, tunnel, depth, act);
        return;
    };
    let of = Datagram {
        source: packet.source,
        destination: packet.destination,
        id: fragment.id,
        // The fragments of one packet of IPv6 may name different headers (RFC 8200).
        protocol: packet.source.is_ipv4().then_some(packet.protocol),
        tunnel,
    };
    if let Some(Whole { protocol, bytes }) =
        fragments.add(of, packet.protocol, fragment, packet.payload, time)
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
        dispatch(&packet, time, fragments, tunnel, depth, act);
    }
}

fn dispatch(
    packet: &Packet<'_>,
    time: Nanos,
    fragments: &mut Fragments,
    tunnel: Tunnel,
    depth: usize,
    act: &mut dyn FnMut(Segment<'_>),
) {
    if packet.protocol == TCP {
        let ends = (packet.source, packet.destination);
        if let Some(segment) = Segment::parse(packet.payload, ends.0, ends.1, tunnel) {
            act(segment);
        }
        return;
    }
    let inner = tunnel::open(packet.protocol, packet.payload);
    if let (Some((inner, key)), Some(depth)) = (inner, depth.checked_sub(1)) {
        unwrap(inner, time, fragments, tunnel.within(key), depth, act);
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
    let mut protocol = u8(&mut bytes)?;
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
    let mut payload = packet.skip(header_len)?;
    // Authentication (RFC 4302): what it guards is readable.
    if protocol == AUTHENTICATION && fragment.is_none() {
        let [next, len] = *payload.bytes.first_chunk::<2>()?;
        protocol = next;
        payload = payload.skip(usize::from(len).saturating_add(2).saturating_mul(4))?;
    }
    Some(Packet {
        source,
        destination,
        protocol,
        payload,
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
            AUTHENTICATION => {
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
