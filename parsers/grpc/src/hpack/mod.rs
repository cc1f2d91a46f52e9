//! HPACK (RFC 7541), for a reader that may have joined in the middle.
//!
//! An index counts from the newest entry of the dynamic table, so entries inserted since the
//! reader joined resolve exactly; what lies behind them is unknown and said to be. Of the table
//! only the values that a span can need are kept; of the other entries their sizes are enough.

mod decoder;
mod huffman;
mod integer;
mod name;
mod table;

pub(crate) use decoder::{Decoder, Sink, Value};
pub(crate) use name::Name;

/// Why a header block cannot be decoded. The table is not known any more after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// An integer too large or too long (RFC 7541, 5.1).
    Integer,
    /// The block ends within a field.
    Truncated,
    /// No entry has this index.
    Index,
    /// No Huffman code, or a wrong end (RFC 7541, 5.2).
    Huffman,
    /// A table size beyond what was agreed, or in the wrong place (RFC 7541, 4.2 and 6.3).
    TableSize,
    /// An earlier block could not be decoded.
    Closed,
}
