//! A cpio archive of the "newc" form, as the kernel unpacks it into its first file system
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

/// Collects entries; each is a header of hexadecimal numbers, a name, and bytes, padded to fours.
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

impl Archive {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            entries: 0,
        }
    }

    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }

    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), content);
    }

    pub(super) fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries = self.entries.saturating_add(1);
        let path = path.trim_start_matches('/');
        let (major, minor) = device;
        let (owner, group, links, time) = (0, 0, 1, 0);
        let length = content.len();
        let name_length = path.len().saturating_add(1);
        let header = format!(
            "070701{:08x}{mode:08x}{owner:08x}{group:08x}{links:08x}{time:08x}{length:08x}\
             {:08x}{:08x}{major:08x}{minor:08x}{name_length:08x}{:08x}",
            self.entries, 0, 0, 0
        );
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_are_padded_and_the_trailer_ends_them() {
        let mut archive = Archive::new();
        archive.directory("/a");
        archive.program("/a/b", b"xyz");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("070701").count(), 3);
        assert!(text.contains("TRAILER!!!"));
    }
}
