//! Blocks of pcapng (draft-ietf-opsawg-pcapng), in little-endian order.

/// Options longer than this are cut: a comment is a sentence.
const OPTION_LIMIT: usize = 4_096;

/// LINKTYPE_RAW: packets begin with the IP header.
const RAW_IP: u16 = 101;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// Codes of options: those of every block, then those of the blocks in order.
const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_DESCRIPTION: u16 = 3;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;

/// Timestamps are in units of 10⁻⁹ s.
const NANOSECONDS: u8 = 9;

/// Appends blocks to memory.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) bytes: Vec<u8>,
}

/// An enhanced packet block but for its bytes.
pub(super) struct Meta<'a> {
    pub(super) interface: u32,
    pub(super) unix_nanos: u64,
    /// Sent by the observed end.
    pub(super) outbound: bool,
    pub(super) comment: &'a str,
}

impl Blocks {
    pub(super) fn section(&mut self, application: &str, comment: &str) {
        self.block(SECTION, |bytes| {
            bytes.extend(0x1a2b_3c4d_u32.to_le_bytes());
            bytes.extend(1_u16.to_le_bytes());
            bytes.extend(0_u16.to_le_bytes());
            // Its length is not given.
            bytes.extend(u64::MAX.to_le_bytes());
            option(bytes, COMMENT, comment.as_bytes());
            option(bytes, SECTION_APPLICATION, application.as_bytes());
            end_of_options(bytes);
        });
    }

    pub(super) fn interface(&mut self, name: &str, description: &str) {
        self.block(INTERFACE, |bytes| {
            bytes.extend(RAW_IP.to_le_bytes());
            bytes.extend(0_u16.to_le_bytes());
            // No snap length.
            bytes.extend(0_u32.to_le_bytes());
            option(bytes, INTERFACE_NAME, name.as_bytes());
            option(bytes, INTERFACE_DESCRIPTION, description.as_bytes());
            option(bytes, INTERFACE_RESOLUTION, &[NANOSECONDS]);
            end_of_options(bytes);
        });
    }

    /// `write` appends the packet.
    pub(super) fn packet(&mut self, meta: &Meta<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        self.block(ENHANCED_PACKET, |bytes| {
            bytes.extend(meta.interface.to_le_bytes());
            let [high, low] = [meta.unix_nanos >> 32, meta.unix_nanos & 0xffff_ffff];
            for half in [high, low] {
                bytes.extend(u32::try_from(half).unwrap_or(u32::MAX).to_le_bytes());
            }
            let lengths = bytes.len();
            bytes.extend([0; 8]);
            let start = bytes.len();
            write(bytes);
            let len = bytes.len().saturating_sub(start);
            let len = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
            // As captured, and as it was.
            for at in [lengths, lengths.saturating_add(4)] {
                if let Some(room) = bytes.get_mut(at..at.saturating_add(4)) {
                    room.copy_from_slice(&len);
                }
            }
            pad(bytes, start);
            if !meta.comment.is_empty() {
                option(bytes, COMMENT, meta.comment.as_bytes());
            }
            let direction: u32 = if meta.outbound { 2 } else { 1 };
            option(bytes, PACKET_FLAGS, &direction.to_le_bytes());
            end_of_options(bytes);
        });
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend([0; 4]);
        body(&mut self.bytes);
        let total = self.bytes.len().saturating_sub(start).saturating_add(4);
        let total = u32::try_from(total).unwrap_or(u32::MAX).to_le_bytes();
        self.bytes.extend(total);
        let at = start.saturating_add(4);
        if let Some(room) = self.bytes.get_mut(at..at.saturating_add(4)) {
            room.copy_from_slice(&total);
        }
    }
}

fn option(bytes: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..OPTION_LIMIT).unwrap_or(value);
    bytes.extend(code.to_le_bytes());
    bytes.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    let start = bytes.len();
    bytes.extend(value);
    pad(bytes, start);
}

fn end_of_options(bytes: &mut Vec<u8>) {
    bytes.extend([0; 4]);
}

/// To a multiple of four since `start`, which is one of the block.
fn pad(bytes: &mut Vec<u8>, start: usize) {
    let len = bytes.len().saturating_sub(start);
    bytes.resize(start.saturating_add(len.next_multiple_of(4)), 0);
}
