//! What a packet says once the layers below TCP are taken off.

use std::net::{IpAddr, SocketAddr};

use super::bytes::{take, u8, u16, u32};
use super::file::Made;
use super::tunnel::Tunnel;

/// A piece of a captured packet: what was copied of it, and how long it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// True length; at least that of `bytes`.
    pub(super) len: usize,
}

impl<'a> Piece<'a> {
    /// Without its first `len` bytes; `None` when these were not captured.
    pub(super) fn skip(self, len: usize) -> Option<Self> {
        let bytes = self.bytes.get(len..)?;
        Some(Self {
            bytes,
            len: self.len.saturating_sub(len),
        })
    }

    /// Its first `len` bytes.
    pub(super) fn limit(self, len: usize) -> Self {
        Self {
            bytes: self.bytes.get(..len).unwrap_or(self.bytes),
            len: self.len.min(len),
        }
    }
}

/// A TCP segment (RFC 9293).
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) sequence: u32,
    /// Where the ACK flag is set.
    pub(super) acknowledged: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: Piece<'a>,
    pub(super) tunnel: Tunnel,
    pub(super) made: Option<Made>,
}

impl<'a> Segment<'a> {
    /// Checksums are not looked at: the card computes them after the capture has seen the packet.
    pub(super) fn parse(
        piece: Piece<'a>,
        source: IpAddr,
        destination: IpAddr,
        tunnel: Tunnel,
    ) -> Option<Self> {
        let mut bytes = piece.bytes;
        let source_port = u16(&mut bytes)?;
        let destination_port = u16(&mut bytes)?;
        let sequence = u32(&mut bytes)?;
        let acknowledged = u32(&mut bytes)?;
        let offset = usize::from(u8(&mut bytes)? >> 4).saturating_mul(4);
        let flags = u8(&mut bytes)?;
        take(&mut bytes, 2)?;
        if offset < 20 || offset > piece.len {
            return None;
        }
        // Options may lie beyond the snap length, the length of the payload is known all the same.
        let payload = piece.skip(offset).unwrap_or(Piece {
            bytes: &[],
            len: piece.len.saturating_sub(offset),
        });
        Some(Self {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
            sequence,
            acknowledged: (flags & 0x10 != 0).then_some(acknowledged),
            syn: flags & 0x02 != 0,
            fin: flags & 0x01 != 0,
            rst: flags & 0x04 != 0,
            payload,
            tunnel,
            made: None,
        })
    }

    /// It is of a file that Wirespan wrote, in which the ends of one connection, and its ciphertext
    /// and its plaintext, are connections of their own.
    pub(super) fn made_by_us(&mut self, made: Made) {
        self.tunnel = Tunnel::interface(made.origin.interface());
        self.made = Some(made);
    }
}
