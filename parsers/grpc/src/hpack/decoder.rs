//! Header blocks of one direction (RFC 7541, 3 and 6).

use std::cell::Cell;
use std::rc::Rc;

use super::name::{LONGEST_NAME, STATIC_ENTRIES, static_entry};
use super::table::{DEFAULT_TABLE_BYTES, ENTRY_BYTES, Entry, Lookup, Table};
use super::{Error, Name, huffman, integer};
use crate::limits::{PATH_BYTES, VALUE_BYTES};

/// Takes the fields of a block, in order.
pub(crate) trait Sink {
    fn field(&mut self, name: Name, value: Value<'_>);
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Static(&'static [u8]),
    /// Part of the table.
    Shared(&'a Rc<[u8]>),
    Bytes(&'a [u8]),
    /// It stands in the entry with this number that was never seen (see [`Lookup::Unknown`]).
    Unseen(u64),
    /// Not kept: of no interest, or too long.
    Dropped,
}

/// The decoder of one direction.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
    /// The largest table that the receiver ever allowed; `None` where that is not known.
    allowed: Option<u32>,
    failed: bool,
}

impl Decoder {
    /// Of a connection that is seen from its beginning.
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(),
            allowed: Some(DEFAULT_TABLE_BYTES),
            failed: false,
        }
    }

    /// Of a connection whose past is unknown.
    pub(crate) fn joined() -> Self {
        Self {
            table: Table::joined(),
            allowed: None,
            failed: false,
        }
    }

    /// Blocks have passed unseen: what is in the table is not known any more.
    pub(crate) fn rejoin(&mut self) {
        self.table = Table::joined();
    }

    /// The receiver allows a table of this size. Encoders may go on with a smaller one for a while
    /// (RFC 7541, 4.2), so it is the largest that counts.
    pub(crate) fn allow(&mut self, bytes: u32) {
        self.allowed = self.allowed.map(|allowed| allowed.max(bytes));
    }

    /// What the receiver allows may have changed unseen.
    pub(crate) fn allow_any(&mut self) {
        self.allowed = None;
    }

    pub(crate) fn shrink(&mut self) {
        self.table.shrink();
    }

    /// Decodes a block. After an error nothing of this direction is decoded any more.
    pub(crate) fn decode(&mut self, block: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Closed);
        }
        let mut scratch = SCRATCH.take();
        let result = self.fields(block, sink, &mut scratch);
        if scratch.capacity() <= SCRATCH_BYTES {
            SCRATCH.set(scratch);
        }
        if result.is_err() {
            self.failed = true;
            self.table = Table::joined();
        }
        result
    }

    fn fields(
        &mut self,
        mut rest: &[u8],
        sink: &mut impl Sink,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut first = true;
        while let Some(&byte) = rest.first() {
            rest = match byte {
                0x80.. => self.indexed(rest, sink)?,
                0x40.. => self.literal(rest, 6, true, sink, scratch)?,
                0x20.. if first => {
                    rest = self.resize(rest)?;
                    continue;
                }
                0x20.. => return Err(Error::TableSize),
                _ => self.literal(rest, 4, false, sink, scratch)?,
            };
            first = false;
        }
        Ok(())
    }

    /// RFC 7541, 6.1.
    fn indexed<'a>(&self, rest: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], Error> {
        let (index, rest) = integer::read(rest, 7)?;
        if let Some(entry) = static_entry(index) {
            sink.field(entry.name, Value::Static(entry.value));
            return Ok(rest);
        }
        match self.dynamic(index)? {
            Lookup::Entry(entry) => {
                let value = entry.value.as_ref().map_or(Value::Dropped, Value::Shared);
                sink.field(entry.name, value);
            }
            Lookup::Unknown(number) => sink.field(Name::Unknown, Value::Unseen(number)),
            Lookup::Invalid => return Err(Error::Index),
        }
        Ok(rest)
    }

    /// RFC 7541, 6.2.
    fn literal<'a>(
        &mut self,
        rest: &'a [u8],
        prefix: u32,
        insert: bool,
        sink: &mut impl Sink,
        scratch: &mut Vec<u8>,
    ) -> Result<&'a [u8], Error> {
        let (index, rest) = integer::read(rest, prefix)?;
        let (name, name_bytes, rest) = if index == 0 {
            let (text, rest) = Literal::read(rest)?;
            let bytes = text.decoded_len()?;
            let name = if bytes <= LONGEST_NAME {
                text.decode(scratch).map(Name::of)?
            } else {
                Name::Other
            };
            (name, u32::try_from(bytes).unwrap_or(u32::MAX), rest)
        } else if let Some(entry) = static_entry(index) {
            (entry.name, entry.name_bytes, rest)
        } else {
            match self.dynamic(index)? {
                Lookup::Entry(entry) => (entry.name, entry.name_bytes, rest),
                Lookup::Unknown(_) => (Name::Unknown, 0, rest),
                Lookup::Invalid => return Err(Error::Index),
            }
        };
        let (text, rest) = Literal::read(rest)?;
        if !insert && !name.is_wanted() {
            // Nobody needs it, and it is not kept.
            sink.field(name, Value::Dropped);
            return Ok(rest);
        }
        let limit = if name == Name::Path {
            PATH_BYTES
        } else {
            VALUE_BYTES
        };
        let (value, bytes) = if name.is_wanted() && text.bytes.len() <= limit {
            let value = text.decode(scratch)?;
            (Some(value), value.len())
        } else {
            (None, text.decoded_len()?)
        };
        if !insert {
            sink.field(name, value.map_or(Value::Dropped, Value::Bytes));
            return Ok(rest);
        }
        let value: Option<Rc<[u8]>> = value.map(Rc::from);
        sink.field(name, value.as_ref().map_or(Value::Dropped, Value::Shared));
        let size = u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .saturating_add(name_bytes)
            .saturating_add(ENTRY_BYTES);
        self.table.insert(Entry {
            name,
            name_bytes,
            size,
            value,
        });
        Ok(rest)
    }

    /// RFC 7541, 6.3.
    fn resize<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], Error> {
        let (size, rest) = integer::read(rest, 5)?;
        if self.allowed.is_some_and(|allowed| size > allowed) {
            return Err(Error::TableSize);
        }
        self.table.resize(size);
        Ok(rest)
    }

    fn dynamic(&self, index: u32) -> Result<Lookup<'_>, Error> {
        let index = index
            .checked_sub(STATIC_ENTRIES)
            .and_then(|index| index.checked_sub(1))
            .ok_or(Error::Index)?;
        Ok(self.table.get(index))
    }
}

/// A string as it is on the wire (RFC 7541, 5.2).
#[derive(Clone, Copy, Debug)]
struct Literal<'a> {
    huffman: bool,
    bytes: &'a [u8],
}

impl<'a> Literal<'a> {
    fn read(rest: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        let huffman = rest.first().is_some_and(|byte| byte & 0x80 != 0);
        let (len, rest) = integer::read(rest, 7)?;
        let len = usize::try_from(len).map_err(|_| Error::Truncated)?;
        let (bytes, rest) = rest.split_at_checked(len).ok_or(Error::Truncated)?;
        Ok((Self { huffman, bytes }, rest))
    }

    fn decoded_len(&self) -> Result<usize, Error> {
        if self.huffman {
            huffman::decoded_len(self.bytes)
        } else {
            Ok(self.bytes.len())
        }
    }

    fn decode<'s>(&self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Error>
    where
        'a: 's,
    {
        if !self.huffman {
            return Ok(self.bytes);
        }
        scratch.clear();
        huffman::decode(self.bytes, |byte| scratch.push(byte))?;
        Ok(scratch)
    }
}

/// Scratch space beyond this is given back.
const SCRATCH_BYTES: usize = 16 << 10;

thread_local! {
    /// Where Huffman-coded strings are decoded.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[cfg(test)]
mod tests;
