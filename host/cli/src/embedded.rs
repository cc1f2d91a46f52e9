//! What `cargo xtask build` has made and `build.rs` has found.

use wirespan_agent::Embedded;

/// The ELF reader wants its input aligned.
#[repr(C, align(64))]
struct Aligned<Bytes: ?Sized>(Bytes);

// Used also where there is nothing to embed.
const _: Aligned<[u8; 0]> = Aligned([]);

pub(crate) const EMBEDDED: Embedded = Embedded(include!(concat!(env!("OUT_DIR"), "/embedded.rs")));
