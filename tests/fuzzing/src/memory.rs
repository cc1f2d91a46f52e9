//! What an input may cost in memory.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Each step of a conversation is copied a few times by what presents it.
const BYTES_A_BYTE: usize = 2_048;

/// Beside what grows with the input, `mebibytes` for buffers of fixed sizes: tables of 4 KiB, windows of
/// zstd, the symbols of a program.
///
/// # Panics
/// When `work` needed more than an input of `len` bytes may.
pub(crate) fn within_bounds(mebibytes: usize, len: usize, work: impl FnOnce()) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    work();
    let used = ALLOCATOR.peak_usage().saturating_sub(before);
    let allowed = (mebibytes << 20) + len.saturating_mul(BYTES_A_BYTE);
    assert!(
        used <= allowed,
        "{used} bytes of memory for an input of {len} bytes, allowed are {allowed}"
    );
}
