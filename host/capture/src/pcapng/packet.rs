//! One TCP segment in an IP packet.

use std::net::{IpAddr, SocketAddr};

/// Bytes of one segment: with its headers a packet stays below 64 KiB.
pub(super) const SEGMENT_BYTES: usize = 60_000;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
const HOPS: u8 = 64;

/// A segment, of which the peer has sent everything below `acknowledged`.
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    pub(super) payload: &'a [u8],
}

impl Segment<'_> {
    /// Appends the packet. Both addresses are of one family.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let segment_len = TCP_HEADER.saturating_add(self.payload.len());
        let mut pseudo = Vec::with_capacity(40);
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let total = u16::try_from(segment_len.saturating_add(20)).unwrap_or(u16::MAX);
                let mut header = vec![0x45, 0];
                header.extend(total.to_be_bytes());
                // No identification; not to be fragmented.
                header.extend([0, 0, 0x40, 0, HOPS, TCP, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                let sum = checksum(&[&header]).to_be_bytes();
                if let Some(room) = header.get_mut(10..12) {
                    room.copy_from_slice(&sum);
                }
                bytes.extend(header);
                pseudo.extend(source.octets());
                pseudo.extend(destination.octets());
            }
            (source, destination) => {
                let octets = |address: IpAddr| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                };
                let len = u16::try_from(segment_len).unwrap_or(u16::MAX);
                bytes.extend([0x60, 0, 0, 0]);
                bytes.extend(len.to_be_bytes());
                bytes.extend([TCP, HOPS]);
                bytes.extend(octets(source));
                bytes.extend(octets(destination));
                pseudo.extend(octets(source));
                pseudo.extend(octets(destination));
            }
        }
        pseudo.extend(u32::from(TCP).to_be_bytes());
        pseudo.extend(u32::try_from(segment_len).unwrap_or(u32::MAX).to_be_bytes());
        let mut header = Vec::with_capacity(TCP_HEADER);
        header.extend(self.source.port().to_be_bytes());
        header.extend(self.destination.port().to_be_bytes());
        header.extend(self.sequence.to_be_bytes());
        let acknowledged = if self.flags & ACK == 0 {
            0
        } else {
            self.acknowledged
        };
        header.extend(acknowledged.to_be_bytes());
        // Five words of header, the widest window without scaling, nothing urgent.
        header.extend([0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        let sum = checksum(&[&pseudo, &header, self.payload]).to_be_bytes();
        if let Some(room) = header.get_mut(16..18) {
            room.copy_from_slice(&sum);
        }
        bytes.extend(header);
        bytes.extend(self.payload);
    }
}

/// RFC 1071; all parts but the last are of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        let (pairs, rest) = part.as_chunks::<2>();
        for pair in pairs {
            sum = sum.wrapping_add(u64::from(u16::from_be_bytes(*pair)));
        }
        if let [last] = rest {
            sum = sum.wrapping_add(u64::from(*last) << 8);
        }
    }
    while let Some(carry) = Some(sum >> 16).filter(|carry| *carry != 0) {
        sum = (sum & 0xffff).wrapping_add(carry);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_a_packet_that_was_captured() {
        // RFC 1071's own example, and its complement.
        assert_eq!(
            checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]),
            !0xddf2
        );
        let segment = Segment {
            source: "192.0.2.1:40000".parse().unwrap(),
            destination: "192.0.2.2:80".parse().unwrap(),
            sequence: 1,
            acknowledged: 2,
            flags: ACK,
            payload: b"odd",
        };
        let mut bytes = Vec::new();
        segment.write(&mut bytes);
        assert_eq!(bytes.len(), 43);
        // A header with its checksum in it sums up to nothing.
        assert_eq!(checksum(&[&bytes[..20]]), 0);
        let pseudo = [&bytes[12..20], &[0, 6, 0, 23]].concat();
        assert_eq!(checksum(&[&pseudo, &bytes[20..]]), 0);
    }
}
