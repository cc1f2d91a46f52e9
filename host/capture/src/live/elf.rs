//! Where functions begin in an ELF file: what a uprobe is placed by.
//!
//! The file belongs to an observed process and may be anything. It is never mapped (it could be cut
//! short while being read) and only its headers and symbol tables are read, within a budget.

use std::cell::Cell;
use std::fs::File;

use object::elf::{
    ELFCLASS64, ELFDATA2LSB, FileHeader64, PF_X, PT_LOAD, ProgramHeader64, SHN_UNDEF, SHT_DYNSYM,
    SHT_SYMTAB, STT_FUNC, SectionType, Sym64,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use object::{LittleEndian, ReadCache, ReadRef};

/// Bytes of one file that are read. Symbols and names of a large program with debugging information
/// stay below; libssl has 70 KiB of them.
const MAX_READ_BYTES: u64 = 64 << 20;

#[cfg(target_arch = "x86_64")]
const NATIVE: object::elf::Machine = object::elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const NATIVE: object::elf::Machine = object::elf::EM_AARCH64;

/// All that is native has it.
const ENDIAN: LittleEndian = LittleEndian;

/// Why nothing is probed in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    #[error("not an ELF file")]
    NotElf,
    /// 32-bit or of another architecture: such programs run, but their calls look different.
    #[error("made for another architecture than this node's 64-bit one")]
    Foreign,
    #[error("its symbol tables do not fit {} MiB", MAX_READ_BYTES >> 20)]
    TooLarge,
    /// Truncated, or it contradicts itself.
    #[error("damaged: {0}")]
    Damaged(String),
}

/// One file within its budget.
#[derive(Clone, Copy)]
struct Bounded<'file> {
    cache: &'file ReadCache<&'file File>,
    left: &'file Cell<u64>,
}

impl Bounded<'_> {
    fn take(self, bytes: u64) -> Result<(), ()> {
        self.left.set(
            self.left
                .get()
                .checked_sub(bytes)
                .ok_or_else(|| self.left.set(0))?,
        );
        Ok(())
    }
}

impl<'file> ReadRef<'file> for Bounded<'file> {
    fn len(self) -> Result<u64, ()> {
        self.cache.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'file [u8], ()> {
        // Checked before the cache allocates, whatever size the file claims.
        self.take(size)?;
        self.cache.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(
        self,
        range: std::ops::Range<u64>,
        delimiter: u8,
    ) -> Result<&'file [u8], ()> {
        self.take(range.end.saturating_sub(range.start))?;
        self.cache.read_bytes_at_until(range, delimiter)
    }
}

/// A function as a symbol table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where in the file its code begins.
    pub offset: u64,
    /// 0 where the table does not say.
    pub bytes: u64,
}

type Header = FileHeader64<LittleEndian>;

/// A program or library for this machine, opened.
pub struct Image<'file> {
    data: Bounded<'file>,
    segments: &'file [ProgramHeader64<LittleEndian>],
    sections: SectionTable<'file, Header, Bounded<'file>>,
}

/// Opens a file and has `look` look at it, all within one budget.
///
/// # Errors
/// The file is no program or library that can be probed, or `look` fails.
pub fn examine<T>(
    file: &File,
    look: impl FnOnce(&Image<'_>) -> Result<T, ElfError>,
) -> Result<T, ElfError> {
    let cache = ReadCache::new(file);
    let left = Cell::new(MAX_READ_BYTES);
    let data = Bounded {
        cache: &cache,
        left: &left,
    };
    match Image::parse(data).and_then(|image| look(&image)) {
        // Budgets that are used up look like a truncated file from inside the reader.
        Err(ElfError::Damaged(_)) if left.get() == 0 => Err(ElfError::TooLarge),
        found => found,
    }
}

/// File offsets of those of `names` that the file defines as functions, in the order of `names`;
/// `None` for the others.
///
/// # Errors
/// The file is no program or library that can be probed.
pub fn function_offsets<const N: usize>(
    file: &File,
    names: [&str; N],
) -> Result<[Option<u64>; N], ElfError> {
    examine(file, |image| {
        let found = image.functions(names)?;
        Ok(found.map(|function| function.map(|function| function.offset)))
    })
}

fn damaged(error: object::Error) -> ElfError {
    ElfError::Damaged(error.to_string())
}

impl<'file> Image<'file> {
    fn parse(data: Bounded<'file>) -> Result<Self, ElfError> {
        // Looked at by itself: the reader calls everything it cannot use "unsupported".
        let ident = data.read_bytes_at(0, 16).map_err(|()| ElfError::NotElf)?;
        if !ident.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf);
        }
        if ident.get(4..6) != Some(&[ELFCLASS64.0, ELFDATA2LSB.0]) {
            return Err(ElfError::Foreign);
        }
        let header = Header::parse(data).map_err(damaged)?;
        if header.e_machine(ENDIAN) != NATIVE {
            return Err(ElfError::Foreign);
        }
        Ok(Self {
            data,
            segments: header.program_headers(ENDIAN, data).map_err(damaged)?,
            sections: header.sections(ENDIAN, data).map_err(damaged)?,
        })
    }

    /// Where in the file the code at an address is.
    pub fn code_offset(&self, address: u64) -> Option<u64> {
        self.offset_in(address, |segment| segment.p_flags(ENDIAN).contains(PF_X))
    }

    fn offset_in(
        &self,
        address: u64,
        wanted: impl Fn(&ProgramHeader64<LittleEndian>) -> bool,
    ) -> Option<u64> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type(ENDIAN) == PT_LOAD && wanted(segment))
            .find_map(|segment| {
                let within = address.checked_sub(segment.p_vaddr(ENDIAN))?;
                (within < segment.p_filesz(ENDIAN))
                    .then(|| segment.p_offset(ENDIAN).checked_add(within))?
            })
    }

    /// What the file has for the memory at an address.
    pub fn at_address(&self, address: u64, bytes: u64) -> Option<&'file [u8]> {
        let offset = self.offset_in(address, |_| true)?;
        self.data.read_bytes_at(offset, bytes).ok()
    }

    pub fn has_section(&self, name: &[u8]) -> bool {
        self.sections.section_by_name(ENDIAN, name).is_some()
    }

    pub fn section_address(&self, name: &[u8]) -> Option<u64> {
        let (_, section) = self.sections.section_by_name(ENDIAN, name)?;
        Some(section.sh_addr(ENDIAN))
    }

    /// The bytes of a section; `None` where there is none of that name.
    ///
    /// # Errors
    /// When the file does not hold them, or they are too many.
    pub fn section(&self, name: &[u8]) -> Result<Option<&'file [u8]>, ElfError> {
        match self.sections.section_by_name(ENDIAN, name) {
            Some((_, section)) => section.data(ENDIAN, self.data).map(Some).map_err(damaged),
            None => Ok(None),
        }
    }

    /// Those of `names` that the file defines as functions, in the order of `names`.
    ///
    /// # Errors
    /// The symbol tables are damaged or too large.
    pub fn functions<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<Function>; N], ElfError> {
        let mut found = [None; N];
        // What is exported first: it is small, and a stripped library has nothing else.
        for wanted in [SHT_DYNSYM, SHT_SYMTAB] {
            self.each_function(wanted, |tail, function| {
                for (slot, name) in found.iter_mut().zip(names) {
                    if slot.is_none()
                        && tail
                            .strip_prefix(name.as_bytes())
                            .is_some_and(|rest| rest.first() == Some(&0))
                    {
                        *slot = function();
                    }
                }
            })?;
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        Ok(found)
    }

    /// Calls `visit` for each function of the symbol table that programs are not stripped of, with its
    /// name and a way to find it.
    ///
    /// # Errors
    /// The symbol table is damaged or too large.
    pub fn each(
        &self,
        mut visit: impl FnMut(&[u8], &dyn Fn() -> Option<Function>),
    ) -> Result<(), ElfError> {
        self.each_function(SHT_SYMTAB, |tail, function| {
            let name = tail.split(|byte| *byte == 0).next().unwrap_or_default();
            visit(name, function);
        })
    }

    /// Calls `visit` for each function of the symbol tables of one type, with its name (and what
    /// follows in the table of names, from the NUL on) and a way to find it.
    fn each_function(
        &self,
        wanted: SectionType,
        mut visit: impl FnMut(&[u8], &dyn Fn() -> Option<Function>),
    ) -> Result<(), ElfError> {
        for section in self.sections.iter() {
            if section.sh_type(ENDIAN) != wanted {
                continue;
            }
            let symbols: &[Sym64<LittleEndian>] =
                section.data_as_array(ENDIAN, self.data).map_err(damaged)?;
            let strings = self
                .sections
                .iter()
                .nth(section.sh_link(ENDIAN) as usize)
                .ok_or_else(|| ElfError::Damaged("a symbol table has no names".to_owned()))?;
            let strings = strings.data(ENDIAN, self.data).map_err(damaged)?;
            for symbol in symbols {
                // An indirect function (STT_GNU_IFUNC) begins with its resolver, not with the function.
                if symbol.st_type() != STT_FUNC || symbol.st_shndx(ENDIAN) == SHN_UNDEF {
                    continue;
                }
                if let Some(tail) = strings.get(symbol.st_name(ENDIAN) as usize..) {
                    visit(tail, &|| {
                        Some(Function {
                            offset: self.code_offset(symbol.st_value(ENDIAN))?,
                            bytes: symbol.st_size(ENDIAN),
                        })
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;

    use super::super::maps;
    use super::*;

    fn written(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_functions_offset_is_where_its_code_is() {
        let address = libc::getppid as *const () as u64;
        let maps = std::fs::read("/proc/self/maps").unwrap();
        let mut mappings = maps
            .split(|&byte| byte == b'\n')
            .filter_map(maps::executable);
        let libc = mappings
            .find(|mapping| (mapping.start..mapping.end).contains(&address))
            .unwrap();
        let file = File::open(OsStr::from_bytes(libc.path)).unwrap();
        let found = function_offsets(&file, ["getppid", "no_such_function"]).unwrap();
        assert_eq!(found, [Some(address - libc.start + libc.offset), None]);
    }

    #[test]
    fn what_is_no_native_program_is_refused() {
        let this = std::fs::read("/proc/self/exe").unwrap();
        let changed = |at: usize, byte: u8| {
            let mut bytes = this[..4096].to_vec();
            bytes[at] = byte;
            function_offsets(&written(&bytes), ["x"])
        };
        assert_eq!(
            function_offsets(&written(b""), ["x"]),
            Err(ElfError::NotElf)
        );
        assert_eq!(
            function_offsets(&written(b"#!/bin/sh\necho not a program\n"), ["x"]),
            Err(ElfError::NotElf)
        );
        assert_eq!(changed(4, 1), Err(ElfError::Foreign), "32-bit");
        assert_eq!(changed(5, 2), Err(ElfError::Foreign), "big endian");
        assert_eq!(changed(18, 8), Err(ElfError::Foreign), "MIPS");
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let this = std::fs::read("/proc/self/exe").unwrap();
        for len in (0..200).chain((200..this.len()).step_by(this.len() / 50)) {
            assert!(
                function_offsets(&written(&this[..len]), ["x"]).is_err(),
                "{len} of {} bytes",
                this.len()
            );
        }
    }

    #[test]
    fn damaged_headers_never_panic() {
        let this = std::fs::read("/proc/self/exe").unwrap();
        let mut state = 7u64;
        for _ in 0..300 {
            let mut bytes = this[..this.len().min(300_000)].to_vec();
            for _ in 0..4 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                bytes[16 + (state >> 40) as usize % 600] = (state >> 32) as u8;
            }
            let _ = function_offsets(&written(&bytes), ["x"]);
        }
    }

    #[test]
    fn a_huge_sparse_file_is_refused_without_being_read() {
        let this = std::fs::read("/proc/self/exe").unwrap();
        // The section table of a file that claims 4 GiB of sections, all of them there, all zero.
        let mut bytes = this[..64].to_vec();
        bytes[40..48].copy_from_slice(&4096u64.to_le_bytes());
        bytes[60..62].copy_from_slice(&0u16.to_le_bytes());
        let mut first_section = [0u8; 64];
        first_section[32..40].copy_from_slice(&(60u64 << 20).to_le_bytes());
        let mut file = written(&bytes);
        std::os::unix::fs::FileExt::write_all_at(&file, &first_section, 4096).unwrap();
        file.flush().unwrap();
        file.set_len(4 << 30).unwrap();
        // Time of this thread alone: others on the machine take theirs.
        let spent = || {
            let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            spent.tv_sec * 1000 + spent.tv_nsec / 1_000_000
        };
        let before = spent();
        assert_eq!(function_offsets(&file, ["x"]), Err(ElfError::TooLarge));
        assert!(spent() - before < 500, "{} ms", spent() - before);
    }
}
