//! Compiled code on disk.
//!
//! An entry is named by a cryptographic hash of the component and of everything that the compiled
//! code depends on. Whoever can write an entry can run code as this agent, so the directory must
//! belong to this user alone, and an entry carries a hash of itself against damage.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code of the largest component is several times its size; more is not ours.
const MAX_ENTRY_BYTES: u64 = 512 << 20;
const DIGEST_BYTES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("the cache directory {path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the cache directory {path} is not a directory of this user alone (owner {owner}, mode {mode:o}): `chmod 700` it, or set another"
    )]
    Shared {
        path: PathBuf,
        owner: u32,
        mode: u32,
    },
}

#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    /// Engine version, settings and target.
    environment: [u8; DIGEST_BYTES],
}

impl Cache {
    pub(crate) fn open(directory: &Path, engine: &Engine) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io {
            path: directory.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io)?;
        let found = fs::symlink_metadata(directory).map_err(io)?;
        let (owner, mode) = (found.uid(), found.mode() & 0o7777);
        if !found.is_dir() || owner != rustix::process::geteuid().as_raw() || mode & 0o077 != 0 {
            return Err(CacheError::Shared {
                path: directory.to_owned(),
                owner,
                mode,
            });
        }
        let mut environment = Environment(Sha256::new());
        engine
            .precompile_compatibility_hash()
            .hash(&mut environment);
        Ok(Self {
            directory: directory.to_owned(),
            environment: environment.0.finalize().into(),
        })
    }

    /// Compiled code from the cache, else compiles and keeps it. A damaged entry is compiled anew; a
    /// full or read-only disk costs only the cache.
    pub(crate) fn component(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
        let path = self.directory.join(self.name(wasm));
        if let Some(code) = read(&path) {
            match deserialize(engine, &code) {
                Ok(component) => return Ok(component),
                Err(e) => tracing::warn!("{} is compiled anew: {e:#}", path.display()),
            }
        }
        let component = Component::from_binary(engine, wasm)?;
        if let Err(e) = write(&path, &component.serialize()?) {
            tracing::warn!("{} cannot be written: {e}", path.display());
        }
        Ok(component)
    }

    fn name(&self, wasm: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.environment);
        hash.update(wasm);
        let mut name: String = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        name.push_str(".cwasm");
        name
    }
}

/// Feeds what wasmtime hashes into a cryptographic hash.
struct Environment(Sha256);

impl Hasher for Environment {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[expect(
    unsafe_code,
    reason = "loading code that was compiled before is what a cache is for"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` must come from `Component::serialize` unchanged. It was read from a file that
    // belongs to this user, in a directory that only this user can write, under a name that is the
    // hash of the component and of this engine, and its own hash was right. wasmtime checks version
    // and settings once more.
    unsafe { Component::deserialize(engine, code) }
}

/// The code of an entry, if it is there, ours and whole.
fn read(path: &Path) -> Option<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(NO_FOLLOW)
        .open(path)
        .ok()?;
    let found = file.metadata().ok()?;
    let ours = found.is_file()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.mode() & 0o022 == 0;
    if !ours || found.len() > MAX_ENTRY_BYTES {
        tracing::warn!(
            "{} is left alone: not a file that this user alone can write",
            path.display()
        );
        return None;
    }
    let mut entry = Vec::new();
    file.take(MAX_ENTRY_BYTES).read_to_end(&mut entry).ok()?;
    let (digest, _) = entry.split_first_chunk::<DIGEST_BYTES>()?;
    let digest = *digest;
    entry.drain(..DIGEST_BYTES);
    if <[u8; DIGEST_BYTES]>::from(Sha256::digest(&entry)) != digest {
        tracing::warn!("{} is damaged and is compiled anew", path.display());
        return None;
    }
    Some(entry)
}

/// Whole or not at all: under another name first, then renamed.
fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let result = write_new(&temporary, code).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_new(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(NO_FOLLOW)
        .open(path)?;
    file.write_all(&Sha256::digest(code))?;
    file.write_all(code)?;
    file.sync_all()
}

const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const COMPONENT: &str = "(component)";

    fn entry(directory: &Path) -> PathBuf {
        fs::read_dir(directory)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    }

    #[test]
    fn compiled_code_is_kept_and_a_damaged_entry_is_replaced() {
        let engine = Engine::default();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let wasm = wat::parse_str(COMPONENT).unwrap();
        let cache = Cache::open(&path, &engine).unwrap();
        cache.component(&engine, &wasm).unwrap();
        let whole = fs::read(entry(&path)).unwrap();
        assert!(read(&entry(&path)).is_some());
        for cut in [0, 10, 40, whole.len() - 1] {
            fs::write(entry(&path), &whole[..cut]).unwrap();
            assert!(read(&entry(&path)).is_none());
            cache.component(&engine, &wasm).unwrap();
            assert_eq!(fs::read(entry(&path)).unwrap().len(), whole.len());
        }
        let mut flipped = whole;
        flipped[DIGEST_BYTES + 100] ^= 1;
        fs::write(entry(&path), &flipped).unwrap();
        assert!(read(&entry(&path)).is_none());
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let engine = Engine::default();
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::open(directory.path(), &engine)
            .unwrap_err()
            .to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }

    #[test]
    fn an_entry_that_others_can_write_is_not_read() {
        let engine = Engine::default();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let cache = Cache::open(&path, &engine).unwrap();
        cache
            .component(&engine, &wat::parse_str(COMPONENT).unwrap())
            .unwrap();
        fs::set_permissions(entry(&path), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read(&entry(&path)).is_none());
    }
}
