//! Reading numbers from the front of a slice, without a way to panic.

/// Takes `len` bytes from the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(front)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

pub(super) fn u8(bytes: &mut &[u8]) -> Option<u8> {
    array::<1>(bytes).map(|[byte]| byte)
}

/// Network byte order.
pub(super) fn u16(bytes: &mut &[u8]) -> Option<u16> {
    array(bytes).map(u16::from_be_bytes)
}

/// Network byte order.
pub(super) fn u32(bytes: &mut &[u8]) -> Option<u32> {
    array(bytes).map(u32::from_be_bytes)
}

/// Byte order of a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: &mut &[u8]) -> Option<u16> {
        let number = array(bytes)?;
        Some(match self {
            Self::Little => u16::from_le_bytes(number),
            Self::Big => u16::from_be_bytes(number),
        })
    }

    pub(super) fn u32(self, bytes: &mut &[u8]) -> Option<u32> {
        let number = array(bytes)?;
        Some(match self {
            Self::Little => u32::from_le_bytes(number),
            Self::Big => u32::from_be_bytes(number),
        })
    }

    pub(super) fn i64(self, bytes: &mut &[u8]) -> Option<i64> {
        let number = array(bytes)?;
        Some(match self {
            Self::Little => i64::from_le_bytes(number),
            Self::Big => i64::from_be_bytes(number),
        })
    }
}
