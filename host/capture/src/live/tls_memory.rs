//! Who may use memory BIOs, as the scanner finds it out: see [`outputs`](super::super::outputs).

use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use super::super::library::{self, FileId};
use super::super::maps::{self, Mapping};
use super::super::watched::MappedFile;
use super::{MAX_MAPS_BYTES, TlsChanges, TlsScanner};
use crate::bounded;

impl TlsScanner {
    /// Looks for memory BIOs in these processes only; empty: in all.
    #[must_use]
    pub fn memory_bios_of(mut self, pids: &[u32]) -> Self {
        self.outputs.only(pids.to_vec());
        self
    }

    /// Whether the library is not to be probed where it puts out ciphertext, as nobody is known who may use
    /// it with memory BIOs.
    #[must_use]
    pub fn withholds(&self, library: &FileId) -> bool {
        self.outputs.is_withheld(library)
    }

    /// Whether there is such a library.
    #[must_use]
    pub fn withholds_any(&self) -> bool {
        self.outputs.any_withheld()
    }

    /// Looks at a program that has just been started, if it has a TLS library, and at no other.
    pub fn look_at_start(&mut self, pid: u32) -> TlsChanges {
        let mut changes = TlsChanges::default();
        let directory = self.root.join(pid.to_string());
        let mut text = std::mem::take(&mut self.buffer);
        if bounded::read_into(&directory.join("maps"), MAX_MAPS_BYTES, &mut text).is_ok() {
            self.begin();
            let is_new = executable(&text)
                .filter(|mapping| library::is_tls_name(mapping.path))
                .any(|mapping| !self.files.contains_key(&file(&mapping)));
            if is_new && let Ok(metadata) = std::fs::metadata(&directory) {
                self.look_again(pid);
                let (scan, inode) = (self.counters.scans, metadata.ino());
                self.visit(pid, inode, scan, Instant::now(), &mut changes);
                self.settle(&mut changes);
            } else {
                // Nothing else is looked for: that would take longer than it has.
                self.ask_for_memory_bios(pid, &text, &mut changes);
            }
        }
        self.buffer = text;
        changes
    }

    /// Libraries to be probed where they put out ciphertext too, as this process uses memory BIOs whatever
    /// its files say.
    pub fn uses_memory_bios(&mut self, pid: u32) -> Vec<FileId> {
        let Some(watched) = self.processes.get(&pid) else {
            return Vec::new();
        };
        let files = watched.files.iter();
        let mut libraries: Vec<FileId> = files
            .filter_map(|file| self.files.get(file)?.library)
            .collect();
        libraries.retain(|library| self.outputs.grant(library));
        libraries
    }

    /// Whether a process may use memory BIOs, where a library that it has mapped is not probed for that:
    /// then it is to be. `text`: its mappings. `false`: it is not known yet.
    pub(super) fn ask_for_memory_bios(
        &mut self,
        pid: u32,
        text: &[u8],
        changes: &mut TlsChanges,
    ) -> bool {
        if self.own == Some(pid) || !self.outputs.concern(pid) {
            return true;
        }
        let mut withheld: Vec<FileId> = executable(text)
            .filter_map(|mapping| self.files.get(&file(&mapping))?.library)
            .filter(|library| self.outputs.is_withheld(library))
            .collect();
        if withheld.is_empty() {
            return true;
        }
        // The library itself has all names.
        let mut others: Vec<Mapping<'_>> = executable(text)
            .filter(|mapping| !library::is_tls_name(mapping.path))
            .collect();
        // What binds a language to OpenSSL is small, and reading the large ones takes time.
        others.sort_by_key(|mapping| mapping.end.saturating_sub(mapping.start));
        for mapping in others {
            let mut known = self.files.get_mut(&file(&mapping));
            let asked = known.as_ref().and_then(|known| known.evidence);
            let evidence = asked.or_else(|| self.outputs.may_use(&self.root, pid, &mapping));
            if let Some(known) = &mut known {
                known.evidence = evidence;
            }
            match evidence {
                Some(true) => {
                    withheld.retain(|library| self.outputs.grant(library));
                    changes.outputs.append(&mut withheld);
                    return true;
                }
                Some(false) => {}
                None => return false,
            }
        }
        true
    }
}

fn executable(text: &[u8]) -> impl Iterator<Item = Mapping<'_>> {
    text.split(|&byte| byte == b'\n')
        .filter_map(maps::executable)
}

fn file(mapping: &Mapping<'_>) -> MappedFile {
    (mapping.device, mapping.inode)
}
