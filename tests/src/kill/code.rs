//! The code of running programs, held against their files: a probe is an instruction that was replaced.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

use super::kernel;

/// Libraries and programs whose functions are probed have one of these in their names.
const PROBED: [&str; 3] = ["libssl", "libcrypto", "/https"];

/// A stretch of code, and where it is in its file.
#[derive(Debug)]
struct Stretch {
    pid: u32,
    from: u64,
    bytes: usize,
    offset: u64,
    path: String,
}

/// The code of some processes that does not move.
#[derive(Debug)]
pub(super) struct Code(Vec<Stretch>);

/// What the comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    Changed,
    /// It has changed, but others on this machine have probes too.
    OthersProbe,
}

impl Code {
    /// # Errors
    /// When a process is gone, or has no such code.
    pub(super) fn of(pids: &[u32]) -> Result<Self> {
        let mut all = Vec::new();
        for &pid in pids {
            let path = format!("/proc/{pid}/maps");
            let maps = fs::read_to_string(&path).with_context(|| path.clone())?;
            let before = all.len();
            all.extend(maps.lines().filter_map(|line| stretch(pid, line)));
            ensure!(all.len() > before, "{path} has no code that is probed");
        }
        Ok(Self(all))
    }

    /// # Errors
    /// When a process or a file is gone.
    pub(super) fn compare(&self) -> Result<Comparison> {
        for stretch in &self.0 {
            if !stretch.is_unchanged()? {
                return Ok(if kernel::somebody_probes()? {
                    Comparison::OthersProbe
                } else {
                    Comparison::Changed
                });
            }
        }
        Ok(Comparison::Same)
    }
}

/// `7f1200000000-7f1200080000 r-xp 0001f000 08:01 1234   /usr/lib/x86_64-linux-gnu/libssl.so.3`
fn stretch(pid: u32, line: &str) -> Option<Stretch> {
    let mut words = line.split_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let flags = words.next()?;
    let offset = words.next()?;
    let path = words.nth(2)?;
    let probed = PROBED.iter().any(|name| path.contains(name));
    if !probed || !flags.contains('x') {
        return None;
    }
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    let from = number(from)?;
    Some(Stretch {
        pid,
        from,
        bytes: usize::try_from(number(to)?.checked_sub(from)?).ok()?,
        offset: number(offset)?,
        path: path.to_owned(),
    })
}

impl Stretch {
    fn is_unchanged(&self) -> Result<bool> {
        let read = |path: &str, at: u64| {
            let mut bytes = vec![0; self.bytes];
            let file = File::open(path)?;
            let mut filled = 0;
            while filled < bytes.len() {
                // A mapping goes on to the end of its last page, a file ends before.
                match file.read_at(&mut bytes[filled..], at + filled as u64)? {
                    0 => break,
                    count => filled += count,
                }
            }
            Ok::<_, std::io::Error>(bytes)
        };
        let memory = format!("/proc/{}/mem", self.pid);
        let running = read(&memory, self.from).with_context(|| memory.clone())?;
        let file = read(&self.path, self.offset).with_context(|| self.path.clone())?;
        Ok(running == file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_probed_files_counts() {
        let line =
            |flags, path| format!("7f1200000000-7f1200080000 {flags} 0001f000 08:01 1234   {path}");
        let found = stretch(7, &line("r-xp", "/usr/lib/libssl.so.3")).unwrap();
        assert_eq!((found.pid, found.from), (7, 0x7f12_0000_0000));
        assert_eq!((found.bytes, found.offset), (0x80000, 0x1f000));
        assert_eq!(found.path, "/usr/lib/libssl.so.3");
        assert!(stretch(7, &line("r--p", "/usr/lib/libssl.so.3")).is_none());
        assert!(stretch(7, &line("r-xp", "/usr/lib/libc.so.6")).is_none());
        assert!(stretch(7, "7f00-7f10 r-xp 0 00:00 0").is_none());
        assert!(stretch(7, "").is_none());
    }
}
