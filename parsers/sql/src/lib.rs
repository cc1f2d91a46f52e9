//! What the parsers of SQL databases share: the texts of statements and where they are kept, how
//! certain it is that both sides are read in step, and the reading of prefixes.

pub mod limits;
mod look;
mod step;
mod table;
mod text;

pub use look::{Look, look};
pub use step::{Step, Trust, flags_at_close, since};
pub use table::{Name, Table};
pub use text::{Known, Statement, Text, is_plain};
