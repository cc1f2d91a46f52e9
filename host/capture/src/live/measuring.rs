//! A ring without a kernel behind it, for measuring how fast it is read. It keeps no promise: only
//! [`LiveSource`](super::LiveSource) is for use.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::MemfdFlags;

use super::ring::{Drained, Ring};

/// Before each record: its length, and where the ring begins.
const RECORD_HEADER: usize = 8;

/// A ring that is full of one record, again and again.
#[derive(Debug)]
pub struct FullRing {
    ring: Ring,
    file: File,
    page: u64,
    bytes: u32,
    produced: u64,
}

impl FullRing {
    /// `bytes` is a power of two, and a multiple of what the record takes with its header.
    ///
    /// # Errors
    /// The record does not fit, or the memory cannot be had.
    pub fn new(bytes: u32, record: &[u8]) -> io::Result<Self> {
        let len = u32::try_from(record.len()).map_err(io::Error::other)?;
        let mut whole = len.to_ne_bytes().to_vec();
        whole.resize(RECORD_HEADER, 0);
        whole.extend_from_slice(record);
        whole.resize(whole.len().next_multiple_of(8), 0);
        let data = bytes as usize;
        if !bytes.is_power_of_two() || data.checked_rem(whole.len()) != Some(0) {
            return Err(io::Error::other(format!(
                "a ring of {bytes} bytes cannot be filled with records of {}",
                whole.len()
            )));
        }
        let file = File::from(rustix::fs::memfd_create("ring", MemfdFlags::CLOEXEC)?);
        let page = rustix::param::page_size() as u64;
        // Pages of the consumer and the producer, and the data, which the kernel maps twice.
        let copies = [0, u64::from(bytes)].map(|copy| page.saturating_mul(2).saturating_add(copy));
        file.set_len(copies[1].saturating_add(u64::from(bytes)))?;
        let filled = whole.repeat(data.checked_div(whole.len()).unwrap_or(0));
        for copy in copies {
            file.write_all_at(&filled, copy)?;
        }
        let ring = Ring::over(file.try_clone()?.into(), bytes)?;
        Ok(Self {
            ring,
            file,
            page,
            bytes,
            produced: 0,
        })
    }

    /// Fills the ring once more and drains it, `limit` records at a time.
    ///
    /// # Errors
    /// The memory cannot be written.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.produced = self.produced.wrapping_add(self.bytes.into());
        // As the kernel publishes what it has produced.
        let produced = self.produced.to_ne_bytes();
        self.file.write_all_at(&produced, self.page)?;
        while self.ring.drain(limit, &mut each) == Drained::More {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_full_again_each_time() {
        assert!(FullRing::new(4096, &[1; 53]).is_ok(), "64 bytes each");
        assert!(FullRing::new(4096, &[1; 70]).is_err());
        let mut ring = FullRing::new(4096, &[7; 24]).unwrap();
        for _ in 0..3 {
            let mut records = 0;
            ring.drain(100, |record| {
                assert_eq!(record, [7; 24]);
                records += 1;
            })
            .unwrap();
            assert_eq!(records, 4096 / 32);
        }
    }
}
