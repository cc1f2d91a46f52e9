//! What host and guests agree on besides the WIT itself: the version stamp and the fact registry.
//!
//! The WIT package of each published version lies in a folder of its own (`v0.1/`), which is never
//! edited after its release.
#![no_std]
#![forbid(unsafe_code)]

pub mod fact;
pub mod limit;

/// Contract version that a component built against this crate carries.
pub const VERSION: &str = "0.1";

/// Name of the custom section that carries [`VERSION`]. It is read before the code is compiled.
pub const VERSION_SECTION: &str = "wirespan:parser";
