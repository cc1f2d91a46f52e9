//! One ring of records, drained in batches.
//!
//! aya's ring buffer publishes its position after every record, which costs the producers a cache
//! line each time; this one does so once a batch.

#![expect(
    unsafe_code,
    reason = "memory shared with the kernel, and a call that no crate offers in this form"
)]

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// `BPF_MAP_CREATE` of `bpf(2)`, and the map type.
const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_TYPE_RINGBUF: u32 = 27;

/// `BPF_RINGBUF_BUSY_BIT`: reserved, not yet submitted.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`.
const DISCARD: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`: length and page offset before each record.
const RECORD_HEADER: u64 = 8;

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing is left that was there when it began.
    Empty,
    /// The next record is still being written.
    Busy,
    /// The limit was reached.
    More,
}

/// A ring of the kernel, mapped.
#[derive(Debug)]
pub(super) struct Ring {
    map: OwnedFd,
    consumer: Mapping,
    /// Producer's page, then the data twice in a row, so that no record is cut by the end.
    producer: Mapping,
    page: usize,
    mask: u64,
    position: u64,
}

impl Ring {
    /// Makes a ring of `bytes`, a power of two and a multiple of the page size.
    ///
    /// The map is made by a plain call without a name or BTF, as the array that it goes into
    /// compares it with its template.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn create(bytes: u32) -> io::Result<Self> {
        #[repr(C)]
        struct Attributes {
            map_type: u32,
            key_size: u32,
            value_size: u32,
            max_entries: u32,
            flags: u32,
        }
        let attributes = Attributes {
            map_type: BPF_MAP_TYPE_RINGBUF,
            key_size: 0,
            value_size: 0,
            max_entries: bytes,
            flags: 0,
        };
        // SAFETY: `bpf(2)` reads `size_of::<Attributes>()` bytes and takes the rest as zero.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_CREATE,
                &raw const attributes,
                size_of::<Attributes>(),
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the call has just returned this descriptor; nobody else has it.
        let map = unsafe { OwnedFd::from_raw_fd(fd) };
        let page = rustix::param::page_size();
        let data = usize::try_from(bytes).map_err(io::Error::other)?;
        let consumer = Mapping::new(map.as_fd(), page, 0, true)?;
        let producer = Mapping::new(
            map.as_fd(),
            page.saturating_add(data.saturating_mul(2)),
            page,
            false,
        )?;
        Ok(Self {
            map,
            consumer,
            producer,
            page,
            mask: u64::from(bytes).wrapping_sub(1),
            position: 0,
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }

    fn produced(&self) -> u64 {
        // SAFETY: the producer's position is the first word of its first page.
        unsafe { self.producer.word(0) }.load(Ordering::Acquire)
    }

    /// Whether anything has been produced beyond what was drained.
    pub(super) fn is_empty(&self) -> bool {
        self.produced() == self.position
    }

    /// Hands up to `limit` records to `each`, then gives their room back.
    pub(super) fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> Drained {
        let end = self.produced();
        let begin = self.position;
        let mut outcome = Drained::Empty;
        let mut taken = 0usize;
        while self.position < end {
            if taken >= limit {
                outcome = Drained::More;
                break;
            }
            let offset = self.position & self.mask;
            // SAFETY: the offset is below the size of the data, records are aligned to 8 bytes.
            let header = unsafe { self.header(offset) }.load(Ordering::Acquire);
            if header & BUSY != 0 {
                outcome = Drained::Busy;
                break;
            }
            let len = u64::from(header & !(BUSY | DISCARD));
            if len > self.mask {
                // Not possible unless the kernel's memory is damaged: start over where it writes.
                self.position = end;
                break;
            }
            if header & DISCARD == 0 {
                // SAFETY: a submitted record lies within the data, which is mapped twice in a row;
                // the kernel does not touch it before the consumer's position has passed it.
                each(unsafe { self.record(offset, len) });
            }
            let whole = len.wrapping_add(RECORD_HEADER).wrapping_add(7) & !7;
            self.position = self.position.wrapping_add(whole);
            taken = taken.saturating_add(1);
        }
        if self.position != begin {
            // SAFETY: the consumer's position is the first word of its page.
            unsafe { self.consumer.word(0) }.store(self.position, Ordering::Release);
        }
        outcome
    }

    /// # Safety
    /// `offset` is a multiple of 8 and below the size of the data.
    unsafe fn header(&self, offset: u64) -> &AtomicU32 {
        let at = self.page.wrapping_add(offset as usize);
        // SAFETY: within the mapping as the caller promises, and aligned.
        unsafe { &*self.producer.base.as_ptr().add(at).cast::<AtomicU32>() }
    }

    /// # Safety
    /// A record of `len` bytes has been submitted at `offset`.
    unsafe fn record(&self, offset: u64, len: u64) -> &[u8] {
        let at = self
            .page
            .wrapping_add(offset.wrapping_add(RECORD_HEADER) as usize);
        // SAFETY: within the mapping as the caller promises.
        unsafe {
            std::slice::from_raw_parts(
                self.producer.base.as_ptr().add(at).cast::<u8>(),
                len as usize,
            )
        }
    }
}

/// Shared memory of a map.
#[derive(Debug)]
struct Mapping {
    base: NonNull<c_void>,
    len: NonZeroUsize,
}

// SAFETY: plain shared memory; all access is through atomics or to what the kernel has finished.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, len: usize, offset: usize, writable: bool) -> io::Result<Self> {
        let len = NonZeroUsize::new(len).ok_or_else(|| io::Error::other("empty mapping"))?;
        let protection = if writable {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            libc::PROT_READ
        };
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len.get(),
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { base, len })
    }

    /// # Safety
    /// `offset` is a multiple of 8 within the mapping.
    unsafe fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as the caller promises.
        unsafe { &*self.base.as_ptr().add(offset).cast::<AtomicU64>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `mmap` with this length, and nothing borrows from it any more.
        unsafe { libc::munmap(self.base.as_ptr(), self.len.get()) };
    }
}
