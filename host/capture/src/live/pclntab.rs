//! Functions by name in the table that Go's runtime unwinds with.
//!
//! Its layout is that of `internal/abi` and `debug/gosym`: a header, names, and for each function
//! where it begins and where its description is. It has changed its magic number with each change of
//! its layout; what has another one is left alone.

use super::elf::{ElfError, Function, Image};

/// Go 1.16 and 1.17: addresses in the table of functions.
const MAGIC_1_16: u32 = 0xffff_fffa;
/// Go 1.18 and 1.19: distances from the beginning of the code.
const MAGIC_1_18: u32 = 0xffff_fff0;
/// From 1.20 on, the same but for parts that are not read here.
const MAGIC_1_20: u32 = 0xffff_fff1;

/// Functions of one program; the largest have some 300,000.
const MAX_FUNCTIONS: u64 = 4 << 20;

/// In programs that can be loaded anywhere it has the second name.
const SECTIONS: [&[u8]; 2] = [b".gopclntab", b".data.rel.ro.gopclntab"];

/// A little-endian table that is read by absolute positions in it.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn from(self, at: u64) -> Option<&'a [u8]> {
        self.0.get(usize::try_from(at).ok()?..)
    }

    fn u32(self, at: u64) -> Option<u64> {
        let bytes = self.from(at)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes).into())
    }

    fn u64(self, at: u64) -> Option<u64> {
        Some(u64::from_le_bytes(*self.from(at)?.first_chunk::<8>()?))
    }
}

struct Table<'a> {
    bytes: Bytes<'a>,
    functions: u64,
    /// What begins of functions count from.
    text: u64,
    names: u64,
    /// Where the table of functions begins, from which descriptions count too.
    entries: u64,
    /// Bytes of each of the two numbers that an entry has.
    wide: bool,
}

/// Those of `names` that the program has, in the order of `names`.
///
/// # Errors
/// The table is damaged, or too large.
pub(super) fn functions<const N: usize>(
    image: &Image<'_>,
    names: [&str; N],
) -> Result<[Option<Function>; N], ElfError> {
    for section in SECTIONS {
        if let Some(bytes) = image.section(section)? {
            let code = image.section_address(b".text").unwrap_or_default();
            return Ok(Table::parse(bytes, code)
                .map(|table| table.find(image, names))
                .unwrap_or([None; N]));
        }
    }
    Ok([None; N])
}

impl<'a> Table<'a> {
    /// `code`: where the code begins, for programs in which the loader fills that in.
    fn parse(bytes: &'a [u8], code: u64) -> Option<Self> {
        let bytes = Bytes(bytes);
        let magic = u32::try_from(bytes.u32(0)?).ok()?;
        let pointer = *bytes.from(7)?.first()?;
        if pointer != 8 {
            return None;
        }
        let functions = bytes.u64(8)?;
        if functions > MAX_FUNCTIONS {
            return None;
        }
        match magic {
            MAGIC_1_16 => Some(Self {
                bytes,
                functions,
                text: 0,
                names: bytes.u64(24)?,
                entries: bytes.u64(56)?,
                wide: true,
            }),
            MAGIC_1_18 | MAGIC_1_20 => {
                let text = bytes.u64(24)?;
                Some(Self {
                    bytes,
                    functions,
                    text: if text == 0 { code } else { text },
                    names: bytes.u64(32)?,
                    entries: bytes.u64(64)?,
                    wide: false,
                })
            }
            _ => None,
        }
    }

    fn find<const N: usize>(&self, image: &Image<'_>, names: [&str; N]) -> [Option<Function>; N] {
        let mut found = [None; N];
        for index in 0..self.functions {
            let Some((begin, end, name)) = self.function(index) else {
                break;
            };
            for (slot, wanted) in found.iter_mut().zip(names) {
                if slot.is_none()
                    && name
                        .strip_prefix(wanted.as_bytes())
                        .is_some_and(|rest| rest.first() == Some(&0))
                {
                    *slot = image.code_offset(begin).map(|offset| Function {
                        offset,
                        bytes: end.saturating_sub(begin),
                    });
                }
            }
        }
        found
    }

    /// Where it begins, where the next one does, and its name and what follows that.
    fn function(&self, index: u64) -> Option<(u64, u64, &'a [u8])> {
        let number = if self.wide { 8 } else { 4 };
        let read = |at| {
            if self.wide {
                self.bytes.u64(at)
            } else {
                self.bytes.u32(at)
            }
        };
        let entry = self.entries.checked_add(index.checked_mul(2 * number)?)?;
        let begin = read(entry)?;
        let description = read(entry.checked_add(number)?)?;
        let end = read(entry.checked_add(2 * number)?)?;
        // Its first number is where the function begins, its second where its name is.
        let name = self
            .entries
            .checked_add(description)?
            .checked_add(number)
            .and_then(|at| self.bytes.u32(at))?;
        let name = self.bytes.from(self.names.checked_add(name)?)?;
        Some((
            self.text.checked_add(begin)?,
            self.text.checked_add(end)?,
            name,
        ))
    }
}
