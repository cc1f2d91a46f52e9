//! Whether a file shows that its program may use memory BIOs: the names of the functions that give a TLS
//! object its BIOs are in it.
//!
//! A program that links against OpenSSL has the names of what it calls among those of its dynamic symbols,
//! and one that looks functions up by name (`dlsym`) has them among its constants. Both lie in the file as
//! text, so the whole file is searched for it, and not some of its sections. Most programs that use sockets
//! have none of these names: nginx, Redis and MariaDB give their TLS objects a descriptor (`SSL_set_fd`).

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use memchr::memmem::Finder;

/// Read at once.
const PIECE: usize = 256 << 10;
/// A larger file is not read: it may do anything.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Files whose answer is remembered when nobody maps them any more: commands come again.
const MAX_KNOWN: usize = 4096;
const MAGIC: &[u8] = b"\x7fELF";

/// What the names begin with, and how they go on. In two parts: this program has none of the names in it.
const NAMES: [(&[u8], &[&[u8]]); 2] = [
    (b"SSL_set", &[b"_bio", b"0_rbio", b"0_wbio"]),
    (
        b"BIO_",
        &[b"f_ssl", b"new_ssl", b"new_buffer_ssl", b"new_bio_pair"],
    ),
];
/// The longest of them, `BIO_new_buffer_ssl`.
const LONGEST: usize = 18;

/// Which file it is, and in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Searches files, and remembers what it has found.
#[derive(Debug)]
pub(super) struct Evidence {
    finders: [(Finder<'static>, &'static [&'static [u8]]); 2],
    known: HashMap<Stamp, bool>,
    /// Bytes of files read so far.
    read: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            finders: NAMES.map(|(begin, rests)| (Finder::new(begin), rests)),
            known: HashMap::new(),
            read: 0,
        }
    }
}

impl Evidence {
    /// Whether whoever has mapped the file may use memory BIOs.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn of(&mut self, file: &File) -> io::Result<bool> {
        let metadata = file.metadata()?;
        let stamp = Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        if let Some(known) = self.known.get(&stamp) {
            return Ok(*known);
        }
        let found = self.search(file, stamp.bytes, PIECE)?;
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(stamp, found);
        Ok(found)
    }

    /// Bytes of files read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    fn search(&mut self, file: &File, bytes: u64, piece: usize) -> io::Result<bool> {
        let mut magic = [0; MAGIC.len()];
        // Code that a program has made itself, in memory that only looks like a file, has no names.
        if read(file, &mut magic, 0)? < MAGIC.len() || magic != MAGIC {
            return Ok(false);
        }
        if bytes > MAX_FILE_BYTES {
            return Ok(true);
        }
        let mut buffer = vec![0; piece.saturating_add(LONGEST)];
        let (mut position, mut kept) = (0_u64, 0_usize);
        loop {
            let end = kept.saturating_add(piece);
            let Some(room) = buffer.get_mut(kept..end) else {
                return Ok(false);
            };
            let count = read(file, room, position)?;
            self.read = self.read.saturating_add(count as u64);
            position = position.saturating_add(count as u64);
            let held = kept.saturating_add(count);
            if self.has_name(buffer.get(..held).unwrap_or_default()) {
                return Ok(true);
            }
            // The file may grow meanwhile, without end.
            if count < piece || position > MAX_FILE_BYTES {
                return Ok(position > MAX_FILE_BYTES);
            }
            // A name may lie across the end of what was read.
            kept = LONGEST.saturating_sub(1).min(held);
            buffer.copy_within(held.saturating_sub(kept)..held, 0);
        }
    }

    fn has_name(&self, bytes: &[u8]) -> bool {
        self.finders.iter().any(|(finder, rests)| {
            finder.find_iter(bytes).any(|at| {
                let behind = bytes.get(at.saturating_add(finder.needle().len())..);
                behind.is_some_and(|behind| rests.iter().any(|rest| behind.starts_with(rest)))
            })
        })
    }
}

/// As much as there is.
fn read(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, position.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(count) => done = done.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn names() -> Vec<Vec<u8>> {
        let names = NAMES.iter();
        names
            .flat_map(|(begin, rests)| rests.iter().map(|rest| [*begin, *rest].concat()))
            .collect()
    }

    #[test]
    fn a_name_is_found_wherever_it_lies() {
        let mut evidence = Evidence::default();
        assert_eq!(names().iter().map(Vec::len).max(), Some(LONGEST));
        for name in names() {
            for piece in [32, 64, 100] {
                for at in MAGIC.len()..260 {
                    let mut bytes = [MAGIC, &[b'S'; 300]].concat();
                    bytes[at..at + name.len()].copy_from_slice(&name);
                    let file = file(&bytes);
                    let found = evidence.search(&file, bytes.len() as u64, piece);
                    assert!(found.unwrap(), "{name:?} at {at}, {piece} bytes at once");
                    // All but its last byte.
                    bytes[at + name.len() - 1] = b'S';
                    let file = self::file(&bytes);
                    let found = evidence.search(&file, bytes.len() as u64, piece);
                    assert!(!found.unwrap(), "{name:?} at {at}, {piece} bytes at once");
                }
            }
        }
    }

    #[test]
    fn what_is_no_program_says_nothing_and_what_is_too_large_may_do_anything() {
        for name in names() {
            let mut evidence = Evidence::default();
            assert!(evidence.of(&file(&[MAGIC, &name].concat())).unwrap());
            let mut evidence = Evidence::default();
            assert!(!evidence.of(&file(&name)).unwrap());
        }
        let mut evidence = Evidence::default();
        assert!(!evidence.of(&file(b"")).unwrap());
        assert!(!evidence.of(&file(MAGIC)).unwrap());
        let large = file(MAGIC);
        large.set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(evidence.of(&large).unwrap());
        let before = evidence.bytes_read();
        large.set_len(MAX_FILE_BYTES + 2).unwrap();
        assert!(evidence.of(&large).unwrap());
        assert_eq!(evidence.bytes_read(), before, "it is not read");
    }

    #[test]
    fn a_file_is_read_once_for_as_long_as_it_stays_the_same() {
        let mut evidence = Evidence::default();
        let mut file = file(&[MAGIC, &[0; 100]].concat());
        assert!(!evidence.of(&file).unwrap());
        let before = evidence.bytes_read();
        assert!(before > 0);
        assert!(!evidence.of(&file).unwrap());
        assert_eq!(evidence.bytes_read(), before);
        file.write_all(&names()[0]).unwrap();
        assert!(evidence.of(&file).unwrap());
    }
}
