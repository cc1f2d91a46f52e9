//! The kernel programs and the built-in parsers: part of the program, or files beside it.

use std::borrow::Cow;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::AgentError;

/// Name of the object with the kernel programs.
pub(crate) const PROBES_FILE: &str = "probes.o";

/// Overrides where files are looked for; what is embedded is then not used.
pub const DIRECTORY_VARIABLE: &str = "WIRESPAN_ARTEFACTS";

/// What was compiled into this program: file name and content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embedded(pub &'static [(&'static str, &'static [u8])]);

/// A built-in parser: name without `.wasm`, and the component.
#[derive(Clone, Debug)]
pub struct ParserArtefact {
    pub name: String,
    pub bytes: Cow<'static, [u8]>,
}

#[derive(Clone, Debug)]
pub struct Artefacts {
    embedded: Embedded,
    directories: Vec<PathBuf>,
}

impl Artefacts {
    #[must_use]
    pub fn new(embedded: Embedded) -> Self {
        if let Some(directory) = env::var_os(DIRECTORY_VARIABLE) {
            return Self {
                embedded: Embedded(&[]),
                directories: vec![directory.into()],
            };
        }
        let mut directories = Vec::new();
        if let Some(beside) = env::current_exe().ok().as_deref().and_then(Path::parent) {
            directories.push(beside.join("artefacts"));
            if let Some(above) = beside.parent() {
                directories.push(above.join("artefacts"));
            }
        }
        Self {
            embedded,
            directories,
        }
    }

    /// The object with the kernel programs.
    ///
    /// # Errors
    /// When it is neither embedded nor found.
    pub fn probes(&self) -> Result<Cow<'static, [u8]>, AgentError> {
        self.find(PROBES_FILE)
            .ok_or_else(|| self.missing("eBPF object probes.o"))
    }

    /// All built-in parsers, by name.
    ///
    /// # Errors
    /// When there is none at all.
    pub fn parsers(&self) -> Result<Vec<ParserArtefact>, AgentError> {
        let mut parsers: Vec<_> = self
            .embedded
            .0
            .iter()
            .filter_map(|(name, bytes)| {
                let name = name.strip_suffix(".wasm")?;
                Some(ParserArtefact {
                    name: name.to_owned(),
                    bytes: Cow::Borrowed(*bytes),
                })
            })
            .collect();
        if parsers.is_empty() {
            parsers = self
                .directories
                .iter()
                .map(|d| parsers_in(d))
                .find(|p| !p.is_empty())
                .unwrap_or_default();
        }
        if parsers.is_empty() {
            return Err(self.missing("set of built-in parsers (*.wasm)"));
        }
        parsers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(parsers)
    }

    fn find(&self, file: &str) -> Option<Cow<'static, [u8]>> {
        if let Some((_, bytes)) = self.embedded.0.iter().find(|(name, _)| *name == file) {
            return Some(Cow::Borrowed(*bytes));
        }
        self.directories
            .iter()
            .find_map(|d| fs::read(d.join(file)).ok())
            .map(Cow::Owned)
    }

    fn missing(&self, what: &str) -> AgentError {
        AgentError::Artefact {
            what: what.to_owned(),
            searched: self.directories.clone(),
        }
    }
}

fn parsers_in(directory: &Path) -> Vec<ParserArtefact> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            if path.extension()? != "wasm" {
                return None;
            }
            let name = path.file_stem()?.to_str()?.to_owned();
            Some(ParserArtefact {
                name,
                bytes: Cow::Owned(fs::read(&path).ok()?),
            })
        })
        .collect()
}
