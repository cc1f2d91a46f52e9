//! Values of maps that both sides touch.

/// Size of what the kernel side knows of a socket: value of the map `SOCKETS`.
pub const SOCKET_BYTES: usize = 176;

/// Size of what the kernel side knows of a thread: value of the map `THREADS`.
pub const THREAD_BYTES: usize = 256;
/// Places in it that are 0 while the thread is in no call, and in no function of a TLS library.
pub const THREAD_STAGE: usize = 157;
pub const THREAD_INSIDE: usize = 253;

/// What the host decided about a connection; value of the map `VERDICTS`, keyed by `sk`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The verdict counts only for the socket with this inode.
    pub inode: u64,
    /// Nothing below these positions is wanted, by direction.
    pub skip_until: [u64; 2],
    /// See [`verdict`].
    pub kind: u32,
    /// The [`layer`](crate::layer) it is about: what holds of the ciphertext says nothing of the
    /// plaintext. Or [`verdict::EVERY_LAYER`].
    pub layer: u32,
}

/// Kinds of [`Verdict`].
pub mod verdict {
    /// Copy a limited number of bytes of each side.
    pub const UNKNOWN: u32 = 0;
    /// Copy everything above the skipped positions.
    pub const WANTED: u32 = 1;
    /// Copy nothing, keep counting.
    pub const IGNORED: u32 = 2;
    /// Of [`Verdict::layer`](super::Verdict::layer).
    pub const EVERY_LAYER: u32 = u32::MAX;
}

const _: () = assert!(size_of::<Verdict>() == 32);
