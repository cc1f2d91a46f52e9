//! Lines of `/proc/<pid>/maps`.

/// One mapping with executable code of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<'text> {
    pub start: u64,
    pub end: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// Major and minor number as the kernel writes them here; on some file systems not those that
    /// `stat` tells.
    pub device: u64,
    pub inode: u64,
    /// As seen in the mount namespace of the process, without the mark of a deleted file.
    pub path: &'text [u8],
    pub deleted: bool,
}

/// `7f2c4e435000-7f2c4e48f000 r-xp 0001f000 fe:01 1835 /usr/lib/x86_64-linux-gnu/libssl.so.3`:
/// `None` for a mapping that is not executable or not of a file.
#[must_use]
pub fn executable(line: &[u8]) -> Option<Mapping<'_>> {
    let (range, rest) = split(line)?;
    let (permissions, rest) = split(rest)?;
    // Most lines end here.
    if permissions.get(2) != Some(&b'x') {
        return None;
    }
    let (offset, rest) = split(rest)?;
    let (device, rest) = split(rest)?;
    let (inode, rest) = split(rest)?;
    let path = rest.trim_ascii_start();
    if path.first() != Some(&b'/') {
        return None;
    }
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let colon = device.iter().position(|&byte| byte == b':')?;
    let (major, minor) = (
        number(device.get(..colon)?, 16)?,
        number(device.get(colon.checked_add(1)?..)?, 16)?,
    );
    let stripped = path.strip_suffix(b" (deleted)");
    Some(Mapping {
        start: number(range.get(..dash)?, 16)?,
        end: number(range.get(dash.checked_add(1)?..)?, 16)?,
        offset: number(offset, 16)?,
        device: major.checked_shl(32)? | minor,
        inode: number(inode, 10)?,
        path: stripped.unwrap_or(path),
        deleted: stripped.is_some(),
    })
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|&byte| byte == b' ')?;
    Some((line.get(..end)?, line.get(end.checked_add(1)?..)?))
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_reported() {
        let lib = "7f2c4e435000-7f2c4e48f000 r-xp 0001f000 fe:01 1835                       /usr/lib/libssl.so.3";
        let found = executable(lib.as_bytes()).unwrap();
        assert_eq!(
            found,
            Mapping {
                start: 0x7f2c_4e43_5000,
                end: 0x7f2c_4e48_f000,
                offset: 0x1f000,
                device: 0xfe << 32 | 1,
                inode: 1835,
                path: b"/usr/lib/libssl.so.3",
                deleted: false
            }
        );

        let blanks = "00400000-00401000 r-xp 00000000 00:2a 7 /a b/libssl.so.3 (deleted)";
        let found = executable(blanks.as_bytes()).unwrap();
        assert_eq!(
            (found.start, found.path, found.deleted),
            (0x40_0000, &b"/a b/libssl.so.3"[..], true)
        );

        for line in [
            "7f2c4e435000-7f2c4e48f000 r--p 0001f000 fe:01 1835                       /usr/lib/libssl.so.3",
            "7f2c4e435000-7f2c4e48f000 r-xp 00000000 00:00 0 ",
            "7fff2d5f2000-7fff2d5f4000 r-xp 00000000 00:00 0                          [vdso]",
            "7f2c4e435000-zz r-xp 0001f000 fe:01 1835 /x",
            "7f2c4e435000 r-xp 0001f000 fe:01 1835 /x",
            "1-2 r-xp 0 fe01 1835 /x",
            "1-2 r-xp 0 fe:01 99999999999999999999999 /x",
            "",
        ] {
            assert_eq!(executable(line.as_bytes()), None, "{line}");
        }
        for end in 0..lib.len() {
            let _ = executable(&lib.as_bytes()[..end]);
        }
    }

    #[test]
    fn this_process_maps_itself() {
        let own = std::fs::read_link("/proc/self/exe").unwrap();
        let maps = std::fs::read("/proc/self/maps").unwrap();
        assert!(
            maps.split(|&byte| byte == b'\n')
                .filter_map(executable)
                .any(|found| found.path == own.as_os_str().as_encoded_bytes())
        );
    }
}
