//! HPACK (RFC 7541), for a reader that may have joined in the middle.
//!
//! An index counts from the newest entry of the dynamic table, so entries inserted since the
//! reader joined resolve exactly; what lies behind them is unknown and said to be. Of the table
//! only the values that a span can need are kept; of the other entries their sizes are enough.
//!
//! ```
//! use wirespan_parser_grpc::hpack::{Decoder, Field, Name, Sink, Value};
//!
//! struct Path(Vec<u8>);
//!
//! impl Sink for Path {
//!     fn field(&mut self, field: Field<'_>) {
//!         if let (Name::Path, Value::Known(path)) = (field.name, field.value) {
//!             self.0 = path.to_vec();
//!         }
//!     }
//! }
//!
//! let mut path = Path(Vec::new());
//! Decoder::new().decode(b"\x82\x44\x02/a", &mut path)?;
//! assert_eq!(path.0, b"/a");
//! # Ok::<(), wirespan_parser_grpc::hpack::Error>(())
//! ```

mod decoder;
mod huffman;
mod integer;
mod name;
mod table;

pub use decoder::{Decoder, Field, Sink, Value};
pub use name::Name;

/// Why a header block cannot be decoded. The table is not known any more after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
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
