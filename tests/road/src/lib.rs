//! The road from socket events to spans in one process: streams, sandbox and the built-in parsers,
//! as the agent has them.
//!
//! Two questions are put to it. [`Recogniser`]: who takes a connection that begins like this?
//! [`invariance`]: are the spans of a capture the same however its bytes are cut, and what does a
//! loss cost?

mod capture;
mod change;
mod compare;
pub mod invariance;
mod recogniser;
pub mod recognition;
mod road;

pub use capture::{Capture, Item};
pub use change::{Loss, cut, lose};
pub use compare::{Harm, differences, judge};
pub use recogniser::{Finding, Recogniser, Setting};
pub use road::{Road, Told};
