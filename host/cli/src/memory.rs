//! Memory that the start or a burst took and nothing needs any more.

/// Gives back to the kernel what this thread has freed. The kernel side's object, the kernel's types and the
/// code of parsers take some 30 MiB while they are read; the allocator keeps what is freed until somebody
/// allocates again, which an idle agent does not. Nor does it after ten thousand connections at once, of which
/// less is kept when they rest.
pub(crate) fn give_back() {
    #[cfg(feature = "mimalloc")]
    mimalloc_collect();
}

#[cfg(feature = "mimalloc")]
#[expect(
    unsafe_code,
    reason = "the allocator's crate has no safe function for it"
)]
fn mimalloc_collect() {
    // SAFETY: `void mi_collect(bool force)` of mimalloc, which is linked as the allocator; it may be called
    // by any thread at any time.
    unsafe extern "C" {
        safe fn mi_collect(force: bool);
    }
    mi_collect(true);
}
