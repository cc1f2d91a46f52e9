//! Traffic of fixed shape for the benchmarks of parsers: the same exchanges for the sandboxed parser
//! and, in the program of this crate, for the same parser compiled natively.

pub mod clock;
pub mod traffic;
