//! Records that cross the boundary by the hundred.
//!
//! The generated code of a record goes through layout and memory once for each field: of an HTTP
//! exchange, 75 fields and 450 ns. A [`Row`] is the same record, checked against the same type, that
//! is read or written as one block of bytes; what is in it is checked as before.

use std::mem::MaybeUninit;
use std::ops::Deref;

use wasmtime::Result;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::bindings::{
    Ask, EventRow, RequestRow, Side, Slice, SpanFlags, SpanKind, SpanRow, Status, ValueRow,
};

/// A record in a list.
#[derive(Clone, Copy, Debug)]
pub struct Row<T>(pub T);

impl<T> Deref for Row<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A record that is read from a block of bytes.
pub trait Read: Lift {
    /// `bytes` are as many as the record has. `None` where an enumeration has a number that it does
    /// not know.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// A record that is written to a block of bytes.
pub trait Write: Lower {
    /// Layout in the canonical ABI, padding included.
    type Bytes: AsRef<[u8]>;

    fn bytes(&self) -> Self::Bytes;
}

#[expect(
    unsafe_code,
    reason = "wasmtime marks these traits so: their layout has to be that of the type"
)]
mod component {
    use super::*;

    // SAFETY: everything that says how the type is laid out is the generated type's.
    unsafe impl<T: ComponentType> ComponentType for Row<T> {
        type Lower = T::Lower;
        const ABI: CanonicalAbiInfo = T::ABI;
        const MAY_REQUIRE_REALLOC: bool = T::MAY_REQUIRE_REALLOC;

        fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
            T::typecheck(ty, types)
        }
    }

    // SAFETY: outside of memory the generated type reads itself; in memory, only the bytes that are
    // given are read, and every value is checked.
    unsafe impl<T: Read> Lift for Row<T> {
        fn linear_lift_from_flat(
            cx: &mut LiftContext<'_>,
            ty: InterfaceType,
            src: &Self::Lower,
        ) -> Result<Self> {
            T::linear_lift_from_flat(cx, ty, src).map(Self)
        }

        #[inline]
        fn linear_lift_from_memory(
            _: &mut LiftContext<'_>,
            _: InterfaceType,
            bytes: &[u8],
        ) -> Result<Self> {
            T::read(bytes)
                .map(Self)
                .ok_or_else(|| wasmtime::format_err!("a number that its enumeration does not have"))
        }
    }

    // SAFETY: outside of memory the generated type writes itself; in memory, a slice of the length
    // that the type has is written through.
    unsafe impl<T: Write> Lower for Row<T> {
        fn linear_lower_to_flat<U>(
            &self,
            cx: &mut LowerContext<'_, U>,
            ty: InterfaceType,
            dst: &mut MaybeUninit<Self::Lower>,
        ) -> Result<()> {
            self.0.linear_lower_to_flat(cx, ty, dst)
        }

        fn linear_lower_to_memory<U>(
            &self,
            cx: &mut LowerContext<'_, U>,
            ty: InterfaceType,
            offset: usize,
        ) -> Result<()> {
            Self::linear_store_list_to_memory(cx, ty, offset, std::slice::from_ref(self))
        }

        fn linear_store_list_to_memory<U>(
            cx: &mut LowerContext<'_, U>,
            _: InterfaceType,
            offset: usize,
            items: &[Self],
        ) -> Result<()> {
            let memory = cx.as_slice_mut().get_mut(offset..).unwrap_or_default();
            for (item, place) in items.iter().zip(memory.chunks_exact_mut(Self::SIZE32)) {
                place.copy_from_slice(item.0.bytes().as_ref());
            }
            Ok(())
        }
    }
}

impl Write for EventRow {
    type Bytes = [u8; 40];

    #[inline]
    fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let [conn, time, position, len] =
            [self.conn, self.time, self.position, self.len].map(u64::to_le_bytes);
        bytes[..8].copy_from_slice(&conn);
        bytes[8..16].copy_from_slice(&time);
        bytes[16..24].copy_from_slice(&position);
        bytes[24..32].copy_from_slice(&len);
        bytes[32..36].copy_from_slice(&self.offset.to_le_bytes());
        bytes[36..39].copy_from_slice(&[self.kind as u8, self.side as u8, self.cause as u8]);
        bytes
    }
}

impl Read for SpanRow {
    #[inline]
    fn read(bytes: &[u8]) -> Option<Self> {
        let row: &[u8; 96] = bytes.try_into().ok()?;
        Some(Self {
            conn: long(row, 0),
            start: long(row, 8),
            request_end: long(row, 16),
            response_start: long(row, 24),
            end: long(row, 32),
            position: long(row, 40),
            request_bytes: long(row, 48),
            response_bytes: long(row, 56),
            side: side(row[64])?,
            kind: match row[65] {
                0 => SpanKind::Exchange,
                1 => SpanKind::Message,
                2 => SpanKind::Internal,
                _ => return None,
            },
            status: match row[66] {
                0 => Status::Unset,
                1 => Status::Ok,
                2 => Status::Error,
                _ => return None,
            },
            protocol: row[67],
            flags: flags(u16::from_le_bytes([row[68], row[69]])),
            name: slice(row, 72),
            trace: slice(row, 80),
            values_start: word(row, 88),
            values_len: word(row, 92),
        })
    }
}

impl Read for ValueRow {
    #[inline]
    fn read(bytes: &[u8]) -> Option<Self> {
        let row: &[u8; 24] = bytes.try_into().ok()?;
        Some(Self {
            field: u16::from_le_bytes([row[0], row[1]]),
            number: long(row, 8).cast_signed(),
            text: slice(row, 16),
        })
    }
}

impl Read for RequestRow {
    #[inline]
    fn read(bytes: &[u8]) -> Option<Self> {
        let row: &[u8; 48] = bytes.try_into().ok()?;
        Some(Self {
            conn: long(row, 0),
            position: long(row, 8),
            other: long(row, 16),
            ask: match row[24] {
                0 => Ask::Consumed,
                1 => Ask::NeedTo,
                2 => Ask::SkipTo,
                3 => Ask::WakeAt,
                4 => Ask::Ignore,
                5 => Ask::Upgrade,
                6 => Ask::NotMine,
                _ => return None,
            },
            side: side(row[25])?,
            text: slice(row, 28),
            context: slice(row, 36),
        })
    }
}

// What is read and written here is as long as the contract says.
const _: () = assert!(
    Row::<EventRow>::SIZE32 == 40
        && Row::<SpanRow>::SIZE32 == 96
        && Row::<ValueRow>::SIZE32 == 24
        && Row::<RequestRow>::SIZE32 == 48
);

const fn side(number: u8) -> Option<Side> {
    match number {
        0 => Some(Side::Client),
        1 => Some(Side::Server),
        _ => None,
    }
}

/// In the order of the contract. Bits beyond them mean nothing, as the canonical ABI has it.
const FLAGS: [SpanFlags; 9] = [
    SpanFlags::MID_STREAM,
    SpanFlags::GAP,
    SpanFlags::REQUEST_TRUNCATED,
    SpanFlags::RESPONSE_TRUNCATED,
    SpanFlags::NO_RESPONSE,
    SpanFlags::RESET,
    SpanFlags::UNFINISHED,
    SpanFlags::ORDER_UNCERTAIN,
    SpanFlags::PARSER_RESTART,
];

fn flags(bits: u16) -> SpanFlags {
    let mut flags = SpanFlags::empty();
    if bits != 0 {
        for (bit, flag) in FLAGS.into_iter().enumerate() {
            if bits >> bit & 1 == 1 {
                flags |= flag;
            }
        }
    }
    flags
}

#[inline]
fn long(row: &[u8], at: usize) -> u64 {
    row.get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[inline]
fn word(row: &[u8], at: usize) -> u32 {
    row.get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[inline]
fn slice(row: &[u8], at: usize) -> Slice {
    Slice {
        start: word(row, at),
        len: word(row, at.saturating_add(4)),
    }
}
