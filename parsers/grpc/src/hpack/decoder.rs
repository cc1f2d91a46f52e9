//! Header blocks of one direction (RFC 7541, 3 and 6).

use super::name::{STATIC_ENTRIES, static_entry, static_name};
use super::table::{DEFAULT_TABLE_BYTES, Entry, Lookup, Table};
use super::{Error, Name, huffman, integer};
use crate::limits::{PATH_BYTES, VALUE_BYTES};

/// Takes the fields of a block, in order.
pub trait Sink {
    /// The next field.
    fn field(&mut self, field: Field<'_>);
}

/// A field of a block.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its name, as far as a span can need it.
    pub name: Name,
    /// Its name as it is; `None` but from [`Decoder::keeping_everything`], and where it is unknown.
    pub text: Option<&'a [u8]>,
    /// Its value.
    pub value: Value<'a>,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// As it was sent.
    Known(&'a [u8]),
    /// It stands in the entry with this number, which was never seen. The number is the same as
    /// long as the entry lives: 1 for the one that was newest when the reader joined, and so on to
    /// the oldest; 0 for one that was dropped for the sake of a limit.
    Unseen(u64),
    /// Not kept: of no interest, or too long.
    Dropped,
}

/// The decoder of one direction.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The largest table that the receiver ever allowed; `None` where that is not known.
    allowed: Option<u32>,
    failed: bool,
    /// Names and values are kept that no span can need.
    everything: bool,
}

impl Decoder {
    /// Of a connection that is seen from its beginning.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: Table::new(),
            allowed: Some(DEFAULT_TABLE_BYTES),
            failed: false,
            everything: false,
        }
    }

    /// Of a connection whose past is unknown.
    #[must_use]
    pub fn joined() -> Self {
        Self {
            table: Table::joined(),
            allowed: None,
            ..Self::new()
        }
    }

    /// Also yields names and values that no span can need: to compare with other decoders.
    #[must_use]
    pub fn keeping_everything(mut self) -> Self {
        self.everything = true;
        self
    }

    /// Blocks have passed unseen: what is in the table is not known any more.
    pub fn rejoin(&mut self) {
        self.table = Table::joined();
    }

    /// The receiver allows a table of this size. Encoders may go on with a smaller one for a while
    /// (RFC 7541, 4.2), so it is the largest that counts.
    pub fn allow(&mut self, bytes: u32) {
        self.allowed = self.allowed.map(|allowed| allowed.max(bytes));
    }

    /// What the receiver allows may have changed unseen.
    pub fn allow_any(&mut self) {
        self.allowed = None;
    }

    /// Gives back memory that it does not need at the moment.
    pub fn shrink(&mut self) {
        self.table.shrink();
    }

    /// Decodes a block.
    ///
    /// # Errors
    /// When the block is not as RFC 7541 has it. Then nothing of this direction is decoded any
    /// more, and the fields that `sink` was given of this block may be wrong as well.
    pub fn decode(&mut self, block: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Closed);
        }
        let result = self.fields(block, sink);
        if result.is_err() {
            self.failed = true;
            self.table = Table::joined();
        }
        result
    }

    fn fields(&mut self, mut rest: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        // A change of the table's size comes first.
        while let Some(0x20..0x40) = rest.first() {
            rest = self.resize(rest)?;
        }
        while let Some(&byte) = rest.first() {
            rest = match byte {
                0x80.. => self.indexed(rest, sink)?,
                0x20..0x40 => return Err(Error::TableSize),
                _ => self.literal(rest, byte >= 0x40, sink)?,
            };
        }
        Ok(())
    }

    /// RFC 7541, 6.1.
    fn indexed<'a>(&self, rest: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], Error> {
        let (index, rest) = integer::read(rest, 7)?;
        if let Some(entry) = static_entry(index) {
            sink.field(Field {
                name: entry.name,
                text: self.everything.then(|| static_name(index)).flatten(),
                value: Value::Known(entry.value),
            });
            return Ok(rest);
        }
        sink.field(match self.dynamic(index)? {
            Lookup::Entry(entry) => {
                let (text, value) = self.texts(&entry);
                Field {
                    name: entry.name,
                    text,
                    value: value.map_or(Value::Dropped, Value::Known),
                }
            }
            Lookup::Unknown(number) => Field {
                name: Name::Unknown,
                text: None,
                value: Value::Unseen(number),
            },
            Lookup::Invalid => return Err(Error::Index),
        });
        Ok(rest)
    }

    /// RFC 7541, 6.2.
    #[inline(always)]
    fn literal<'a>(
        &mut self,
        rest: &'a [u8],
        insert: bool,
        sink: &mut impl Sink,
    ) -> Result<&'a [u8], Error> {
        let (index, rest) = integer::read(rest, if insert { 6 } else { 4 })?;
        // Only where everything is kept.
        let mut name_text = Vec::new();
        let (name, name_bytes, rest) = if index == 0 {
            self.new_name(rest, &mut name_text)?
        } else {
            let (name, name_bytes) = self.indexed_name(index, &mut name_text)?;
            (name, name_bytes, rest)
        };
        let text = (self.everything && name != Name::Unknown).then_some(&name_text[..]);
        let (literal, rest) = Literal::read(rest)?;
        let wanted = name.is_wanted() || self.everything;
        let limit = match name {
            _ if self.everything => usize::MAX,
            Name::Path => PATH_BYTES,
            _ => VALUE_BYTES,
        };
        // What nobody needs is not even decoded.
        let kept = wanted && literal.bytes.len() <= limit;
        let (value, bytes, at) = if kept {
            let most = literal.most_decoded().saturating_add(name_text.len());
            let (place, at) = self.table.room(most);
            place.extend_from_slice(&name_text);
            let from = place.len();
            literal.decode(place)?;
            let to = place.len();
            let value = Value::Known(self.table.put(from..to));
            (value, to.saturating_sub(from), Some(at))
        } else {
            let bytes = if insert { literal.decoded_len()? } else { 0 };
            (Value::Dropped, bytes, None)
        };
        sink.field(Field { name, text, value });
        if insert {
            self.table.insert(name, name_bytes, bytes, at);
        } else if let Some(at) = at {
            self.table.take_back(at);
        }
        Ok(rest)
    }

    /// The name that a literal brings: what it is, its length, and what follows.
    #[inline(always)]
    fn new_name<'a>(
        &self,
        rest: &'a [u8],
        text: &mut Vec<u8>,
    ) -> Result<(Name, u32, &'a [u8]), Error> {
        let (literal, rest) = Literal::read(rest)?;
        let (name, bytes) = if self.everything {
            literal.decode(text)?;
            (Name::of(text), text.len())
        } else if !literal.huffman {
            (Name::of(literal.bytes), literal.bytes.len())
        } else if let Some((name, bytes)) = Name::of_coded(literal.bytes) {
            return Ok((name, bytes, rest));
        } else {
            (Name::Other, literal.decoded_len()?)
        };
        Ok((name, u32::try_from(bytes).unwrap_or(u32::MAX), rest))
    }

    /// The name of the entry with this index, and its length.
    #[inline(always)]
    fn indexed_name(&self, index: u32, name: &mut Vec<u8>) -> Result<(Name, u32), Error> {
        if let Some(entry) = static_entry(index) {
            if self.everything {
                name.extend_from_slice(static_name(index).unwrap_or_default());
            }
            return Ok((entry.name, entry.name_bytes));
        }
        match self.dynamic(index)? {
            Lookup::Entry(entry) => {
                if self.everything {
                    name.extend_from_slice(self.texts(&entry).0.unwrap_or_default());
                }
                Ok((entry.name, entry.name_bytes()))
            }
            Lookup::Unknown(_) => Ok((Name::Unknown, 0)),
            Lookup::Invalid => Err(Error::Index),
        }
    }

    /// Name and value of an entry, as far as they are kept.
    fn texts(&self, entry: &Entry) -> (Option<&[u8]>, Option<&[u8]>) {
        let text = self.table.text(entry);
        match text {
            Some(text) if self.everything => {
                match text.split_at_checked(entry.name_bytes() as usize) {
                    Some((name, value)) => (Some(name), Some(value)),
                    None => (None, None),
                }
            }
            _ => (None, text),
        }
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

    fn dynamic(&self, index: u32) -> Result<Lookup, Error> {
        let index = index
            .checked_sub(STATIC_ENTRIES)
            .and_then(|index| index.checked_sub(1))
            .ok_or(Error::Index)?;
        Ok(self.table.get(index))
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
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

    /// Room that is needed to decode it.
    fn most_decoded(&self) -> usize {
        if self.huffman {
            huffman::most_decoded(self.bytes.len())
        } else {
            self.bytes.len()
        }
    }

    /// Adds it to `out`.
    fn decode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.huffman {
            huffman::decode(self.bytes, out)
        } else {
            out.extend_from_slice(self.bytes);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
