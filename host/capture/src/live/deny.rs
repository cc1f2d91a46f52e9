//! Where no probe is put on user space: kernels and processes that an operator has named.
//!
//! A kernel had a defect in its uprobes before and can have one again, and a program can be too
//! precious to be touched. What is named here is left alone; its connections stay encrypted.

use std::path::Path;

use crate::bounded;

/// Kernels on which probes on user space are known to do harm: reports of panics under TLS load on
/// 7.0.
pub const HARMFUL_KERNELS: [&str; 2] = ["7.0", "7.0.*"];

/// Patterns, in which `*` stands for any number of any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyList {
    /// Of releases, as `uname -r` tells them.
    pub kernels: Vec<String>,
    /// Of names of commands (at most 15 bytes), or of paths of executables.
    pub processes: Vec<String>,
}

impl Default for DenyList {
    fn default() -> Self {
        Self {
            kernels: HARMFUL_KERNELS.map(str::to_owned).to_vec(),
            processes: Vec::new(),
        }
    }
}

impl DenyList {
    /// The pattern that names this kernel.
    #[must_use]
    pub fn kernel(&self, release: &str) -> Option<&str> {
        first(&self.kernels, &[release.as_bytes()])
    }

    /// The pattern that names this process.
    #[must_use]
    pub fn process(&self, command: &[u8], executable: &[u8]) -> Option<&str> {
        first(&self.processes, &[command, executable])
    }
}

/// Of the running kernel, as `uname -r` tells it; empty where it cannot be read.
#[must_use]
pub fn release() -> String {
    /// `struct new_utsname` has 65 bytes for it.
    const MAX_RELEASE_BYTES: u64 = 256;
    let text = bounded::read(Path::new("/proc/sys/kernel/osrelease"), MAX_RELEASE_BYTES);
    String::from_utf8_lossy(&text.unwrap_or_default())
        .trim()
        .to_owned()
}

fn first<'a>(patterns: &'a [String], texts: &[&[u8]]) -> Option<&'a str> {
    patterns
        .iter()
        .find(|pattern| texts.iter().any(|text| fits(pattern.as_bytes(), text)))
        .map(String::as_str)
}

/// Without recursion: the last `*` is gone back to, once for each byte at most.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at = at.saturating_add(1);
            }
            Some(wanted) if wanted == byte => {
                at = at.saturating_add(1);
                read = read.saturating_add(1);
            }
            _ => {
                let Some((place, taken)) = star else {
                    return false;
                };
                at = place.saturating_add(1);
                read = taken.saturating_add(1);
                star = Some((place, read));
            }
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_texts() {
        for (pattern, text, expected) in [
            ("nginx", "nginx", true),
            ("nginx", "nginx2", false),
            ("nginx*", "nginx2", true),
            ("/opt/*/java", "/opt/a/b/java", true),
            ("/opt/*/java", "/opt/a/b/javac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("**", "x", true),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
        let long = "a".repeat(10_000);
        assert!(!fits(b"*a*a*a*a*b", long.as_bytes()));
    }

    #[test]
    fn a_kernel_and_a_process_are_found_by_their_names() {
        let list = DenyList {
            processes: vec!["postgres".to_owned(), "/opt/*".to_owned()],
            ..DenyList::default()
        };
        assert_eq!(list.kernel("7.0.3-cloud-amd64"), Some("7.0.*"));
        assert_eq!(list.kernel("7.3.4+deb13-cloud-amd64"), None);
        assert_eq!(list.kernel("6.1.0-50-cloud-amd64"), None);
        assert_eq!(list.process(b"postgres", b"/usr/lib/x"), Some("postgres"));
        assert_eq!(list.process(b"x", b"/opt/y/z"), Some("/opt/*"));
        assert_eq!(list.process(b"x", b"/usr/bin/x"), None);
        assert!(!release().is_empty());
    }
}
