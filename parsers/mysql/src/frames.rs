//! Compressed frames (`CLIENT_COMPRESS`, `CLIENT_ZSTD_COMPRESSION_ALGORITHM`).

/// The frames of one side.
#[derive(Debug)]
pub(crate) struct Frames {}
