//! The kernel's own type information (BTF), as far as offsets of struct members need it.
//!
//! Written by hand: the kernel's BTF is read once at start, only structs are of interest, and the
//! file can be given by the user, so every access is checked. Format:
//! <https://docs.kernel.org/bpf/btf.html>.

use std::path::Path;

use crate::error::CaptureError;

/// Where the running kernel shows its BTF.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// A distribution kernel has 4 to 8 MiB of it; a debug build stays below this.
const MAX_BTF_BYTES: u64 = 64 << 20;

/// Nesting of anonymous structs and of typedefs; the kernel stays below 10. A damaged file could
/// refer to itself.
const MAX_DEPTH: usize = 32;

const MAGIC: u16 = 0xeb9f;
const TYPE_BYTES: usize = 12;

/// Kinds of types, by their number in the format.
pub mod kind {
    pub const INT: u8 = 1;
    pub const PTR: u8 = 2;
    pub const ARRAY: u8 = 3;
    pub const STRUCT: u8 = 4;
    pub const UNION: u8 = 5;
    pub const ENUM: u8 = 6;
    pub const TYPEDEF: u8 = 8;
    pub const VOLATILE: u8 = 9;
    pub const CONST: u8 = 10;
    pub const RESTRICT: u8 = 11;
    pub const FUNC: u8 = 12;
    pub const FUNC_PROTO: u8 = 13;
    pub const VAR: u8 = 14;
    pub const DATASEC: u8 = 15;
    pub const FLOAT: u8 = 16;
    pub const DECL_TAG: u8 = 17;
    pub const TYPE_TAG: u8 = 18;
    pub const ENUM64: u8 = 19;
}

/// Types of one kernel.
#[derive(Debug)]
pub struct Btf {
    bytes: Vec<u8>,
    strings: std::ops::Range<usize>,
    /// Where each type begins in `bytes`; type 1 is the first.
    types: Vec<u32>,
}

/// One type as it stands in the file.
#[derive(Clone, Copy, Debug)]
struct Type {
    at: usize,
    name: u32,
    kind: u8,
    count: usize,
    /// Members carry the size of a bit field in the upper 8 bits of their offset.
    bitfields: bool,
    size_or_type: u32,
}

/// Where a member lies in the struct that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub offset_bytes: u32,
    /// 0 where the type has no size (a flexible array).
    pub size_bytes: u32,
}

/// Why a member has no placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    Struct,
    Member,
    /// It is there, but as a bit field.
    BitField,
}

impl Btf {
    /// Reads the BTF of the running kernel, or that of `path`.
    ///
    /// # Errors
    /// No file, or none that can be read.
    pub fn load(path: Option<&Path>) -> Result<Self, CaptureError> {
        let path = path.unwrap_or(Path::new(KERNEL_BTF));
        let unusable = |reason: String| CaptureError::Kernel {
            what: format!(
                "cannot read the kernel's type information at {}",
                path.display()
            ),
            reason,
            remedy: "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (distributions have it since \
                     5.10), or give a BTF file made for this kernel"
                .to_owned(),
        };
        let bytes = crate::bounded::read(path, MAX_BTF_BYTES)
            .map_err(|error| unusable(error.to_string()))?;
        if bytes.len() as u64 >= MAX_BTF_BYTES {
            return Err(unusable(format!(
                "it is larger than {} MiB",
                MAX_BTF_BYTES >> 20
            )));
        }
        Self::parse(bytes).map_err(unusable)
    }

    /// # Errors
    /// What is wrong with the bytes, as a sentence part.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let short = || "it is cut off".to_owned();
        let magic = bytes
            .first_chunk::<2>()
            .map(|found| u16::from_le_bytes(*found))
            .ok_or_else(short)?;
        if magic != MAGIC {
            return Err(format!(
                "it does not begin with the BTF magic {MAGIC:#x} but with {magic:#x}"
            ));
        }
        let header_len = word(&bytes, 4).ok_or_else(short)? as usize;
        let section = |offset_at: usize| -> Option<std::ops::Range<usize>> {
            let start = header_len.checked_add(word(&bytes, offset_at)? as usize)?;
            let end = start.checked_add(word(&bytes, offset_at.checked_add(4)?)? as usize)?;
            (end <= bytes.len()).then_some(start..end)
        };
        let type_section = section(8).ok_or_else(short)?;
        let strings = section(16).ok_or_else(short)?;

        let mut types = Vec::new();
        let mut at = type_section.start;
        while at < type_section.end {
            let found = type_at(&bytes, at).ok_or_else(short)?;
            let extra = match found.kind {
                kind::INT | kind::VAR | kind::DECL_TAG => 4,
                kind::ARRAY => 12,
                kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => {
                    found.count.saturating_mul(12)
                }
                kind::ENUM | kind::FUNC_PROTO => found.count.saturating_mul(8),
                kind::PTR..=kind::TYPE_TAG => 0,
                other => {
                    return Err(format!(
                        "type {} is of kind {other}, which this program does not know",
                        types.len() + 1
                    ));
                }
            };
            types.push(u32::try_from(at).map_err(|_| short())?);
            at = at.saturating_add(TYPE_BYTES).saturating_add(extra);
        }
        if at != type_section.end {
            return Err(short());
        }
        Ok(Self {
            bytes,
            strings,
            types,
        })
    }

    /// Ids of all types with this kind and name.
    pub fn find<'a>(&'a self, kind: u8, name: &'a str) -> impl Iterator<Item = u32> + 'a {
        (1u32..).zip(&self.types).filter_map(move |(id, &at)| {
            let found = type_at(&self.bytes, at as usize)?;
            (found.kind == kind && self.is_named(found.name, name)).then_some(id)
        })
    }

    /// Value of an enumerator, by its name, which in C no other one has.
    #[must_use]
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        let enums = self
            .types
            .iter()
            .filter_map(|&at| type_at(&self.bytes, at as usize))
            .filter(|found| found.kind == kind::ENUM);
        for found in enums {
            for index in 0..found.count {
                let at = found
                    .at
                    .checked_add(TYPE_BYTES)?
                    .checked_add(index.checked_mul(8)?)?;
                if self.is_named(word(&self.bytes, at)?, name) {
                    return word(&self.bytes, at.checked_add(4)?);
                }
            }
        }
        None
    }

    /// The first function with this name: its id, and how many parameters it has.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<(u32, usize)> {
        let id = self.find(kind::FUNC, name).next()?;
        let prototype = self.by_id(self.by_id(id)?.size_or_type)?;
        (prototype.kind == kind::FUNC_PROTO).then_some((id, prototype.count))
    }

    /// Finds `path` (members joined by dots, anonymous structs and unions left out) in `structure`.
    ///
    /// # Errors
    /// What is not there.
    pub fn member(&self, structure: &str, path: &str) -> Result<Placement, Absent> {
        let mut why = Absent::Struct;
        // Two parts of a kernel may use one name for different structs.
        for id in self.find(kind::STRUCT, structure) {
            match self.member_of(id, path) {
                Ok(placement) => return Ok(placement),
                Err(absent) => why = absent,
            }
        }
        Err(why)
    }

    fn member_of(&self, id: u32, path: &str) -> Result<Placement, Absent> {
        let mut id = id;
        let mut offset_bits = 0u32;
        for name in path.split('.') {
            let holder = self.resolve(id).ok_or(Absent::Member)?;
            let (bits, bitfield, member) = self.search(holder, name, 0).ok_or(Absent::Member)?;
            if bitfield {
                return Err(Absent::BitField);
            }
            offset_bits = offset_bits.checked_add(bits).ok_or(Absent::Member)?;
            id = member;
        }
        if !offset_bits.is_multiple_of(8) {
            return Err(Absent::BitField);
        }
        Ok(Placement {
            offset_bytes: offset_bits / 8,
            size_bytes: self.size(id, 0).unwrap_or(0),
        })
    }

    /// Offset in bits, whether it is a bit field, and the type of the member.
    fn search(&self, holder: Type, name: &str, depth: usize) -> Option<(u32, bool, u32)> {
        if depth > MAX_DEPTH || !matches!(holder.kind, kind::STRUCT | kind::UNION) {
            return None;
        }
        for index in 0..holder.count {
            let at = holder
                .at
                .checked_add(TYPE_BYTES)?
                .checked_add(index.checked_mul(12)?)?;
            let member_name = word(&self.bytes, at)?;
            let member_type = word(&self.bytes, at.checked_add(4)?)?;
            let place = word(&self.bytes, at.checked_add(8)?)?;
            let (bits, bitfield) = if holder.bitfields {
                (place & 0x00ff_ffff, place >> 24 != 0)
            } else {
                (place, false)
            };
            if member_name == 0 {
                let inner = self
                    .resolve(member_type)
                    .and_then(|inner| self.search(inner, name, depth.saturating_add(1)));
                if let Some((inner_bits, bitfield, id)) = inner {
                    return Some((bits.checked_add(inner_bits)?, bitfield, id));
                }
            } else if self.is_named(member_name, name) {
                return Some((bits, bitfield, member_type));
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, id: u32) -> Option<Type> {
        let mut found = self.by_id(id)?;
        for _ in 0..MAX_DEPTH {
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    found = self.by_id(found.size_or_type)?;
                }
                _ => return Some(found),
            }
        }
        None
    }

    fn size(&self, id: u32, depth: usize) -> Option<u32> {
        let found = self.resolve(id)?;
        match found.kind {
            kind::PTR => Some(8),
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::FLOAT => {
                Some(found.size_or_type)
            }
            kind::ARRAY if depth < MAX_DEPTH => {
                let at = found.at.checked_add(TYPE_BYTES)?;
                let element = self.size(word(&self.bytes, at)?, depth.saturating_add(1))?;
                element.checked_mul(word(&self.bytes, at.checked_add(8)?)?)
            }
            _ => None,
        }
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        let index = (id as usize).checked_sub(1)?;
        type_at(&self.bytes, *self.types.get(index)? as usize)
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let strings = self.bytes.get(self.strings.clone()).unwrap_or_default();
        let Some(rest) = strings
            .get(offset as usize..)
            .and_then(|tail| tail.strip_prefix(name.as_bytes()))
        else {
            return false;
        };
        rest.first() == Some(&0)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map(|found| u32::from_le_bytes(*found))
}

fn type_at(bytes: &[u8], at: usize) -> Option<Type> {
    let info = word(bytes, at.checked_add(4)?)?;
    Some(Type {
        at,
        name: word(bytes, at)?,
        kind: ((info >> 24) & 0x1f) as u8,
        count: (info & 0xffff) as usize,
        bitfields: info >> 31 == 1,
        size_or_type: word(bytes, at.checked_add(8)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Btf {
        Btf::load(None).expect("this kernel has BTF")
    }

    #[test]
    fn members_are_found_through_anonymous_structs_unions_and_typedefs() {
        let btf = kernel();
        assert_eq!(
            btf.member("sock", "__sk_common")
                .map(|found| found.offset_bytes),
            Ok(0)
        );
        // skc_daddr is in a struct in a union at the start.
        assert_eq!(
            btf.member("sock", "__sk_common.skc_daddr"),
            Ok(Placement {
                offset_bytes: 0,
                size_bytes: 4
            })
        );
        assert_eq!(
            btf.member("sock_common", "skc_rcv_saddr"),
            Ok(Placement {
                offset_bytes: 4,
                size_bytes: 4
            })
        );
        assert_eq!(
            btf.member("iovec", "iov_len"),
            Ok(Placement {
                offset_bytes: 8,
                size_bytes: 8
            })
        );
        assert_eq!(
            btf.member("task_struct", "comm")
                .map(|found| found.size_bytes),
            Ok(16)
        );
    }

    #[test]
    fn enumerators_and_functions_are_found_by_name() {
        let btf = kernel();
        assert_eq!(btf.enumerator("TCP_ESTABLISHED"), Some(1));
        assert_eq!(btf.enumerator("NO_SUCH_ENUMERATOR"), None);
        let parameters = |name| btf.function(name).map(|(_, parameters)| parameters);
        assert_eq!(parameters("inet_sendmsg"), Some(3));
        assert_eq!(parameters("inet_recvmsg"), Some(4));
        assert_eq!(parameters("no_such_function"), None);
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let btf = kernel();
        assert_eq!(btf.member("no_such_struct", "x"), Err(Absent::Struct));
        assert_eq!(btf.member("sock", "no_such_member"), Err(Absent::Member));
        assert_eq!(btf.member("tcp_sock", "nonagle"), Err(Absent::BitField));
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused_and_never_panics() {
        let whole = std::fs::read(KERNEL_BTF).expect("this kernel has BTF");
        for len in (0..64).chain((64..whole.len()).step_by(100_003)) {
            assert!(
                Btf::parse(whole[..len].to_vec()).is_err(),
                "{len} of {} bytes",
                whole.len()
            );
        }
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let mut state = 1u64;
        let whole = std::fs::read(KERNEL_BTF).expect("this kernel has BTF");
        let mut bytes = whole[..200_000].to_vec();
        // A header that fits the shortened file: the first half types, the second strings.
        for (at, value) in [(8, 0u32), (12, 100_000), (16, 100_000), (20, 90_000)] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        for _ in 0..200 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = 24 + (state >> 33) as usize % (bytes.len() - 24);
            bytes[at] = (state >> 20) as u8;
            if let Ok(btf) = Btf::parse(bytes.clone()) {
                let _ = btf.member("sock", "__sk_common.skc_daddr");
                let _ = btf.member("task_struct", "files");
            }
        }
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let error = Btf::load(Some(Path::new("/nonexistent/btf")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nonexistent/btf") && error.contains("CONFIG_DEBUG_INFO_BTF"),
            "{error}"
        );
    }
}
