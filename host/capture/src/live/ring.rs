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
        Self::over(unsafe { OwnedFd::from_raw_fd(fd) }, bytes)
    }

    /// Maps a ring of `bytes`, or a file that looks like one.
    ///
    /// # Errors
    /// It cannot be mapped.
    pub(super) fn over(map: OwnedFd, bytes: u32) -> io::Result<Self> {
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
                self.position = end & !7;
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    /// The smallest ring.
    const DATA: u64 = 4096;

    /// A file that looks like what the kernel maps, and a ring over it. The data stands twice in it,
    /// for the kernel maps it twice.
    struct Fake {
        file: File,
        ring: Ring,
        page: u64,
        produced: u64,
    }

    impl Fake {
        fn new() -> Self {
            let file = tempfile::tempfile().unwrap();
            let page = rustix::param::page_size();
            let len = page + 2 * DATA as usize;
            file.set_len((page + len) as u64).unwrap();
            let ring = Ring {
                map: file.try_clone().unwrap().into(),
                consumer: Mapping::new(file.as_fd(), page, 0, true).unwrap(),
                producer: Mapping::new(file.as_fd(), len, page, false).unwrap(),
                page,
                mask: DATA - 1,
                position: 0,
            };
            Self {
                file,
                ring,
                page: page as u64,
                produced: 0,
            }
        }

        fn write(&self, position: u64, bytes: &[u8]) {
            for (at, byte) in (position..).zip(bytes) {
                for copy in [0, DATA] {
                    let place = 2 * self.page + at % DATA + copy;
                    self.file.write_all_at(&[*byte], place).unwrap();
                }
            }
        }

        fn header(&self, position: u64, header: u32) {
            self.write(position, &header.to_ne_bytes());
        }

        /// A record as the kernel writes it.
        fn produce(&mut self, flags: u32, bytes: &[u8]) -> u64 {
            let position = self.produced;
            self.header(position, bytes.len() as u32 | flags);
            self.write(position + RECORD_HEADER, bytes);
            self.produced = (position + RECORD_HEADER + bytes.len() as u64).next_multiple_of(8);
            self.publish(self.produced);
            position
        }

        fn publish(&self, produced: u64) {
            self.file
                .write_all_at(&produced.to_ne_bytes(), self.page)
                .unwrap();
        }

        fn consumed(&self) -> u64 {
            let mut bytes = [0; 8];
            self.file.read_exact_at(&mut bytes, 0).unwrap();
            u64::from_ne_bytes(bytes)
        }

        fn drain(&mut self, limit: usize) -> (Drained, Vec<Vec<u8>>) {
            let mut records = Vec::new();
            let outcome = self
                .ring
                .drain(limit, |record| records.push(record.to_vec()));
            (outcome, records)
        }
    }

    #[test]
    fn records_come_in_order_past_the_end_of_the_data_and_once() {
        let mut fake = Fake::new();
        for round in 0..200_u32 {
            let record = vec![round as u8; 1 + round as usize * 7 % 900];
            fake.produce(0, &record);
            fake.produce(DISCARD, b"never");
            assert!(!fake.ring.is_empty());
            assert_eq!(fake.drain(10), (Drained::Empty, vec![record]));
            assert!(fake.ring.is_empty());
            assert_eq!(fake.consumed(), fake.produced, "the room is given back");
        }
        assert!(fake.produced > 10 * DATA);
    }

    #[test]
    fn a_drain_stops_at_its_limit_and_before_what_is_being_written() {
        let mut fake = Fake::new();
        fake.produce(0, b"one");
        fake.produce(0, b"two");
        let busy = fake.produce(BUSY, b"three");
        fake.produce(0, b"four");
        assert_eq!(fake.drain(1), (Drained::More, vec![b"one".to_vec()]));
        assert_eq!(fake.drain(9), (Drained::Busy, vec![b"two".to_vec()]));
        assert_eq!(fake.drain(9), (Drained::Busy, vec![]));
        assert_eq!(fake.consumed(), busy, "not beyond it");
        fake.header(busy, 5);
        let rest = vec![b"three".to_vec(), b"four".to_vec()];
        assert_eq!(fake.drain(9), (Drained::Empty, rest));
    }

    #[test]
    fn a_length_that_cannot_be_is_stepped_over_with_all_that_is_there() {
        let mut fake = Fake::new();
        let bad = fake.produce(0, b"one");
        fake.produce(0, b"two");
        for len in [DATA as u32, BUSY - 1 - DISCARD] {
            fake.header(bad, len);
            // As damaged as the length: no multiple of 8.
            fake.publish(fake.produced + 3);
            fake.ring.position = bad;
            assert_eq!(fake.drain(9), (Drained::Empty, vec![]));
            assert_eq!(fake.ring.position, fake.produced);
        }
        fake.publish(fake.produced);
        fake.produce(0, b"three");
        assert_eq!(fake.drain(9).1, [b"three"]);
        // The longest that fits, from the last place that there is.
        fake.ring.position = DATA - 8;
        fake.header(DATA - 8, DATA as u32 - 1);
        fake.publish(2 * DATA);
        let (_, records) = fake.drain(1);
        assert_eq!(records[0].len() as u64, DATA - 1);
    }
}
