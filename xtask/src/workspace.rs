//! Where things are: the sources, and what is made from them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root of the workspace and its target directory.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The workspace this xtask was compiled in.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .join("..")
            .canonicalize()
            .with_context(|| format!("the workspace above {} is not there", manifest.display()))?;
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |directory| root.join(directory));
        Ok(Self { root, target })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo puts the host's programs and tests.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The programs of the one profile that is used.
    pub(crate) fn programs(&self) -> PathBuf {
        self.target.join("release")
    }

    /// The eBPF object and the parsers, as the agent embeds them.
    pub(crate) fn artefacts(&self) -> PathBuf {
        self.target.join("artefacts")
    }

    /// The directories of `parsers/` that hold a crate, by name.
    pub(crate) fn parsers(&self) -> Result<Vec<String>> {
        let directory = self.root.join("parsers");
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory)
            .with_context(|| format!("{} cannot be listed", directory.display()))?
        {
            let path = entry?.path();
            let manifest = path.join("Cargo.toml");
            let is_component =
                fs::read_to_string(&manifest).is_ok_and(|text| text.contains("\"cdylib\""));
            if let Some(name) = path.file_name().and_then(|name| name.to_str())
                && is_component
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}
