//! One TLS library: opened through the process that maps it, and where its functions begin.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::elf;
use super::maps::Mapping;
use super::placement;

/// `statfs` type of overlay file systems (`include/uapi/linux/magic.h`).
const OVERLAY: u64 = 0x794c_7630;

/// Which file it is, wherever it is mounted.
///
/// Each container's overlay has a device of its own, while a uprobe sits on the inode beneath, which
/// all containers of an image share: probed once for each, every call would be reported many times.
/// An overlay passes on the inode number and the change time of what is beneath (where all layers
/// lie on one file system, as container runtimes have it), so there these two stand for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// `u64::MAX` for a file in an overlay.
    pub device: u64,
    pub inode: u64,
    /// Nanoseconds of the last change in an overlay, else 0.
    pub changed: i128,
}

/// A function that plaintext passes, or that ends a TLS object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsFunction {
    /// `int SSL_read(SSL *ssl, void *buf, int num)`
    Read,
    /// `int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes)`
    ReadEx,
    /// `int SSL_write(SSL *ssl, const void *buf, int num)`
    Write,
    /// `int SSL_write_ex(SSL *ssl, const void *buf, size_t num, size_t *written)`
    WriteEx,
    /// `void SSL_free(SSL *ssl)`
    Free,
    /// What `SSL_read` and `SSL_read_ex` both call, with the arguments of the latter.
    ReadInner,
    /// What `SSL_write` and `SSL_write_ex` both call, with the arguments of the latter.
    WriteInner,
    /// The same since OpenSSL 3.3: flags come before the pointer to the number of bytes.
    WriteInnerFlags,
}

impl TlsFunction {
    /// Those that a library exports.
    pub const EXPORTED: [Self; 5] = [
        Self::Read,
        Self::ReadEx,
        Self::Write,
        Self::WriteEx,
        Self::Free,
    ];

    /// The symbol of an exported function; of an inner one that of its plain wrapper.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Read | Self::ReadInner => "SSL_read",
            Self::ReadEx => "SSL_read_ex",
            Self::Write | Self::WriteInner | Self::WriteInnerFlags => "SSL_write",
            Self::WriteEx => "SSL_write_ex",
            Self::Free => "SSL_free",
        }
    }
}

/// Which library it is, by what it exports: a file's name says little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFlavour {
    OpenSsl3,
    /// 1.1.1.
    OpenSsl1,
    /// The same functions from elsewhere: BoringSSL, LibreSSL, OpenSSL before 1.1.1.
    OpenSslLike,
}

/// A library that can be probed.
#[derive(Debug)]
pub struct TlsLibrary {
    pub id: FileId,
    /// Keeps [`Self::path`] valid when the process that mapped it has ended or the file is deleted.
    pub file: File,
    /// Opens for this process as long as [`Self::file`] is held: `/proc/self/fd/<n>`.
    pub path: PathBuf,
    /// What the process calls it, in its own mount namespace.
    pub display_path: PathBuf,
    pub flavour: TlsFlavour,
    /// Offsets into the file at which functions begin. Reading, writing or both are there.
    pub functions: Vec<(TlsFunction, u64)>,
    /// The process it was found in; 0 for one that is installed and may not be in use.
    pub first_pid: u32,
}

/// Why there is no library.
#[derive(Debug)]
pub enum OpenError {
    /// The process has ended, or a privilege is missing.
    Unreadable(io::Error),
    /// There is nothing to probe.
    Refused(String),
}

/// `libssl.so`, `libssl.so.3`, and `libssl-1a2b3c4d.so.3` as Python wheels carry it. NSS has a
/// `libssl3.so` with other functions.
#[must_use]
pub fn is_tls_name(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let Some(rest) = name.strip_prefix(b"libssl") else {
        return false;
    };
    rest.starts_with(b".so")
        || (rest.starts_with(b"-") && rest.windows(3).any(|part| part == b".so"))
}

pub(super) fn path_of(mapping: &Mapping<'_>) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(mapping.path))
}

/// Opens what `pid` has mapped, and finds the functions in it.
///
/// # Errors
/// See [`OpenError`].
pub fn open(root: &Path, pid: u32, mapping: &Mapping<'_>) -> Result<TlsLibrary, OpenError> {
    let file = open_mapped(root, pid, mapping)?;
    examine(file, path_of(mapping), pid)
}

/// Opens a file that nobody needs to have mapped.
///
/// # Errors
/// See [`OpenError`].
pub(super) fn open_installed(path: &Path) -> Result<TlsLibrary, OpenError> {
    examine(open_regular(path)?, path.to_owned(), 0)
}

fn examine(file: File, display_path: PathBuf, first_pid: u32) -> Result<TlsLibrary, OpenError> {
    let id = identify(&file).map_err(OpenError::Unreadable)?;
    let (functions, flavour) = functions(&file).map_err(OpenError::Refused)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok(TlsLibrary {
        id,
        file,
        path,
        display_path,
        flavour,
        functions,
        first_pid,
    })
}

/// `map_files` leads to the very file, deleted or replaced meanwhile as it may be, but needs
/// `CAP_CHECKPOINT_RESTORE`; the path in the process's root does not.
fn open_mapped(root: &Path, pid: u32, mapping: &Mapping<'_>) -> Result<File, OpenError> {
    let directory = root.join(pid.to_string());
    let exact = directory
        .join("map_files")
        .join(format!("{:x}-{:x}", mapping.start, mapping.end));
    match open_regular(&exact) {
        Ok(file) => Ok(file),
        Err(OpenError::Unreadable(error)) if !mapping.deleted => {
            let inside = mapping.path.strip_prefix(b"/").unwrap_or(mapping.path);
            let named = directory.join("root").join(OsStr::from_bytes(inside));
            let file = open_regular(&named)?;
            let same = file
                .metadata()
                .is_ok_and(|found| found.ino() == mapping.inode);
            if same {
                Ok(file)
            } else {
                Err(OpenError::Unreadable(error))
            }
        }
        Err(error) => Err(error),
    }
}

/// Never opens a device or a pipe: that could block or do something.
fn open_regular(path: &Path) -> Result<File, OpenError> {
    let refuse_special = |is_file: bool| {
        if is_file {
            Ok(())
        } else {
            Err(OpenError::Refused("not a regular file".to_owned()))
        }
    };
    refuse_special(
        std::fs::metadata(path)
            .map_err(OpenError::Unreadable)?
            .is_file(),
    )?;
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(OpenError::Unreadable)?;
    refuse_special(file.metadata().map_err(OpenError::Unreadable)?.is_file())?;
    Ok(file)
}

fn identify(file: &File) -> io::Result<FileId> {
    let metadata = file.metadata()?;
    let kind = rustix::fs::fstatfs(file)?.f_type;
    if u64::try_from(kind).is_ok_and(|kind| kind == OVERLAY) {
        let changed =
            i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        return Ok(FileId {
            device: u64::MAX,
            inode: metadata.ino(),
            changed,
        });
    }
    Ok(FileId {
        device: metadata.dev(),
        inode: metadata.ino(),
        changed: 0,
    })
}

fn functions(file: &File) -> Result<(Vec<(TlsFunction, u64)>, TlsFlavour), String> {
    let [read, read_ex, write, write_ex, free] = TlsFunction::EXPORTED.map(TlsFunction::symbol);
    // Only ever in OpenSSL 3, and in 1.1.1 and later.
    let names = [
        read,
        read_ex,
        write,
        write_ex,
        free,
        "SSL_CTX_new_ex",
        "SSL_read_early_data",
    ];
    let found = elf::function_offsets(file, names).map_err(|error| error.to_string())?;
    let [.., three, one] = found;
    let mut functions: Vec<_> = TlsFunction::EXPORTED
        .into_iter()
        .zip(found)
        .filter_map(|(function, offset)| Some((function, offset?)))
        .collect();
    if !functions
        .iter()
        .any(|&(function, _)| function != TlsFunction::Free)
    {
        return Err(
            "it exports none of the functions that plaintext passes (SSL_read, SSL_write)"
                .to_owned(),
        );
    }
    place(file, &mut functions);
    let flavour = match (three, one) {
        (Some(_), _) => TlsFlavour::OpenSsl3,
        (None, Some(_)) => TlsFlavour::OpenSsl1,
        (None, None) => TlsFlavour::OpenSslLike,
    };
    Ok((functions, flavour))
}

/// Puts inner functions in the place of their wrappers, and moves the end of an object, to where
/// probes cost least. What has no such place stays where it is.
fn place(file: &File, functions: &mut Vec<(TlsFunction, u64)>) {
    let pairs = [
        (TlsFunction::Read, TlsFunction::ReadEx),
        (TlsFunction::Write, TlsFunction::WriteEx),
    ];
    for (plain, extended) in pairs {
        let offset = |wanted| {
            let found = functions.iter().find(|(function, _)| *function == wanted);
            found.map(|(_, offset)| *offset)
        };
        let (Some(plain_offset), Some(extended_offset)) = (offset(plain), offset(extended)) else {
            continue;
        };
        let Some(inner) = placement::inner(file, plain_offset, extended_offset) else {
            continue;
        };
        let stands_for = match (plain, inner.out) {
            (TlsFunction::Read, 3) => TlsFunction::ReadInner,
            (TlsFunction::Write, 3) => TlsFunction::WriteInner,
            (TlsFunction::Write, 4) => TlsFunction::WriteInnerFlags,
            _ => continue,
        };
        functions.retain(|(function, _)| *function != plain && *function != extended);
        functions.push((stands_for, inner.offset));
    }
    for (function, offset) in functions {
        if *function == TlsFunction::Free
            && let Some(cheap) = placement::cheap_entry(file, *offset)
        {
            *offset = cheap;
        }
    }
}
