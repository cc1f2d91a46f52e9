//! Programs of observed processes: where functions begin in them, and where probes would sit.

use std::fs::File;
use std::io::Write;

use wirespan_capture::live::elf::function_offsets;
use wirespan_capture::live::fuzzing::{behind_both, cheap_entry};

/// Lengths that a file is given without having the bytes.
const LENGTHS: [u64; 6] = [0, 0, 0, 64 << 10, 8 << 20, 4 << 30];

/// What is looked for in a library.
const NAMES: [&str; 4] = ["SSL_read", "SSL_read_ex", "SSL_write", "SSL_free"];

/// Bytes behind where a probe may be found from where a function begins: what is looked at of it, and
/// the longest instruction.
const NEAR: u64 = 256 + 16;

/// The first byte says how much longer than its bytes the file is.
pub(crate) fn run(input: &[u8]) {
    let Some((&how, bytes)) = input.split_first() else {
        return;
    };
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    file.write_all(bytes)
        .expect("a temporary file can be written");
    let len = LENGTHS[usize::from(how) % LENGTHS.len()];
    if len > bytes.len() as u64 {
        file.set_len(len).expect("a file can be sparse");
    }
    if let Ok(found) = function_offsets(&file, NAMES) {
        let [read, read_ex, ..] = found;
        if let (Some(plain), Some(extended)) = (read, read_ex) {
            both(&file, plain, extended);
        }
        for function in found.into_iter().flatten() {
            entry(&file, function);
        }
    }
    // Any bytes as code.
    let at = u64::from(how);
    entry(&file, at);
    both(&file, at, at.saturating_mul(2));
    both(&file, u64::MAX - at, 0);
}

fn entry(file: &File, function: u64) {
    if let Some(place) = cheap_entry(file, function) {
        assert!(
            (function..function.saturating_add(NEAR)).contains(&place),
            "a probe for {function} at {place}"
        );
    }
}

fn both(file: &File, plain: u64, extended: u64) {
    if let Some((_, out)) = behind_both(file, plain, extended) {
        assert!(matches!(out, 3 | 4), "the argument {out}");
    }
}

/// A library with the functions, as short as one can be, whole and in parts.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let library = library();
    let mut seeds = vec![
        [&[0][..], &library].concat(),
        [&[3][..], &library].concat(),
        [&[5][..], &library].concat(),
        [&[0][..], &library[..100]].concat(),
    ];
    // 32 bits, another byte order, another machine, more sections than there are.
    for (at, byte) in [(4, 1), (5, 2), (18, 183), (60, 0xff)] {
        let mut other = [&[0][..], &library].concat();
        other[at + 1] = byte;
        seeds.push(other);
    }
    seeds
}

fn library() -> Vec<u8> {
    // Where its parts are in the file.
    const CODE: usize = 0x200;
    const SYMBOLS: usize = 0x500;
    const STRINGS: usize = 0x600;
    const SECTIONS: usize = 0x700;
    let mut file = vec![0; SECTIONS + 3 * 64];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    let half = u16::to_le_bytes;
    let word = u32::to_le_bytes;
    let long = |value: usize| (value as u64).to_le_bytes();
    let machine: u16 = if cfg!(target_arch = "x86_64") {
        62
    } else {
        183
    };
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[half(3), half(machine)].concat());
    put(20, &word(1));
    put(32, &[long(64), long(SECTIONS)].concat());
    put(
        52,
        &[half(64), half(56), half(1), half(64), half(3), half(2)].concat(),
    );
    // One segment with all of the code: readable and executable, as far in memory as in the file.
    put(64, &[word(1), word(5)].concat());
    put(72, &[0, 0, 0, SYMBOLS, SYMBOLS, 0x1000].map(long).concat());
    // SSL_read and SSL_read_ex hand on to a function that pushes first.
    put(
        CODE,
        b"\x48\x83\xec\x18\x85\xd2\x78\x60\x48\x89\xe1\x48\x63\xd2\xe8\xed\x01\0\0",
    );
    put(CODE + 0x100, b"\x48\x83\xec\x08\xe8\xf7\0\0\0");
    put(CODE + 0x200, b"\x41\x54\x55");
    let mut strings = vec![0];
    for (number, name) in NAMES.iter().enumerate() {
        let at = SYMBOLS + 24 * (number + 1);
        put(at, &word(strings.len() as u32));
        put(at + 4, &[0x12, 0, 1, 0]);
        put(at + 8, &long(CODE + 0x100 * (number % 3)));
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    put(STRINGS, &strings);
    let section = |kind: u32, at: usize, len: usize, link: u32, entry: usize| {
        [
            &[word(0), word(kind)].concat()[..],
            &[0, 0, at, len].map(long).concat(),
            &[word(link), word(1)].concat(),
            &[8, entry].map(long).concat(),
        ]
        .concat()
    };
    let symbols = section(11, SYMBOLS, 24 * (NAMES.len() + 1), 2, 24);
    put(SECTIONS + 64, &symbols);
    put(SECTIONS + 128, &section(3, STRINGS, strings.len(), 0, 0));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_of_the_seeds_has_its_functions() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&library()).unwrap();
        let [read, read_ex, write, free] = function_offsets(&file, NAMES).unwrap();
        assert_eq!(
            [read, read_ex, write, free],
            [0x200, 0x300, 0x400, 0x200].map(Some)
        );
        #[cfg(target_arch = "x86_64")]
        assert_eq!(behind_both(&file, 0x200, 0x300), Some((0x400, 3)));
    }
}
