//! One TLS library, or program with one of its own: opened through the process that maps it, and where
//! its functions begin.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::elf::{self, ElfError};
use super::go::{self, GoProgram};
use super::maps::Mapping;
use super::placement;
use super::rustls::{self, RustlsProgram};

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

/// A function that plaintext or ciphertext passes, or that begins or ends a TLS object. Named after
/// OpenSSL's; those of GnuTLS have the same arguments.
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
    /// `int SSL_do_handshake(SSL *ssl)`
    Handshake,
    /// `ossl_ssize_t SSL_sendfile(SSL *s, int fd, off_t offset, size_t size, int flags)`
    SendFile,
    /// `int BIO_write(BIO *b, const void *data, int dlen)`
    Output,
    /// `ssize_t gnutls_record_recv_packet(gnutls_session_t session, gnutls_packet_t *packet)`
    ReadPacket,
    /// What `SSL_read` and `SSL_read_ex` both call, with the arguments of the latter.
    ReadInner,
    /// What `SSL_write` and `SSL_write_ex` both call, with the arguments of the latter.
    WriteInner,
    /// The same since OpenSSL 3.3: flags come before the pointer to the number of bytes.
    WriteInnerFlags,
    /// `func (c *Conn) Read(b []byte) (int, error)` of Go's crypto/tls
    GoRead,
    /// `func (c *Conn) Write(b []byte) (int, error)`
    GoWrite,
    /// `func (c *Conn) clientHandshake(ctx context.Context) error`, and that of servers
    GoHandshake,
    /// A return instruction of any of the three.
    GoReturn,
    /// `MessageEncrypter::encrypt` of rustls, and a return instruction of it
    RecordSeal,
    RecordSealed,
    /// `MessageDecrypter::decrypt` of rustls, and a return instruction of it
    RecordOpen,
    RecordOpened,
}

/// Functions by their symbols. What ends an object is first: probed in this order, no object is seen
/// whose end is not.
const SYMBOLS: [(TlsFunction, &str); 15] = [
    (TlsFunction::Free, "SSL_free"),
    (TlsFunction::Output, "BIO_write"),
    (TlsFunction::Handshake, "SSL_do_handshake"),
    (TlsFunction::Read, "SSL_read"),
    (TlsFunction::ReadEx, "SSL_read_ex"),
    (TlsFunction::Write, "SSL_write"),
    (TlsFunction::WriteEx, "SSL_write_ex"),
    (TlsFunction::SendFile, "SSL_sendfile"),
    (TlsFunction::Free, "gnutls_deinit"),
    (TlsFunction::Handshake, "gnutls_handshake"),
    (TlsFunction::Read, "gnutls_record_recv"),
    (TlsFunction::Read, "gnutls_record_recv_seq"),
    (TlsFunction::ReadPacket, "gnutls_record_recv_packet"),
    (TlsFunction::Write, "gnutls_record_send"),
    (TlsFunction::Write, "gnutls_record_send2"),
];
/// Tell versions apart: only ever in OpenSSL 3, in 1.1.1 and later, in GnuTLS.
const MARKS: [&str; 3] = ["SSL_CTX_new_ex", "SSL_read_early_data", "gnutls_deinit"];

/// Which library it is, by what it exports: a file's name says little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFlavour {
    OpenSsl3,
    /// 1.1.1.
    OpenSsl1,
    /// The same functions from elsewhere: BoringSSL, LibreSSL, OpenSSL before 1.1.1.
    OpenSslLike,
    GnuTls,
    /// No TLS of its own, but the BIOs that TLS writes to: `libcrypto`.
    Crypto,
    /// crypto/tls, in a program made by Go.
    Go,
    /// In a program made by Rust.
    Rustls,
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

impl TlsLibrary {
    /// Whether records of rustls are sealed and opened in it.
    #[must_use]
    pub fn has_records(&self) -> bool {
        let is_record = |(function, _): &(TlsFunction, u64)| *function == TlsFunction::RecordSeal;
        self.functions.iter().any(is_record)
    }
}

/// Why there is no library.
#[derive(Debug)]
pub enum OpenError {
    /// The process has ended, or a privilege is missing.
    Unreadable(io::Error),
    /// There is nothing to probe.
    Refused(String),
    /// A program without TLS of its own, as most are.
    WithoutTls,
}

/// Names of libraries, as far as they are the same everywhere.
const NAMES: [&[u8]; 3] = [b"libssl", b"libcrypto", b"libgnutls"];

/// `libssl.so`, `libssl.so.3`, and `libssl-1a2b3c4d.so.3` as Python wheels carry it. NSS has a
/// `libssl3.so` with other functions.
#[must_use]
pub fn is_tls_name(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    NAMES.iter().any(|known| {
        name.strip_prefix(*known).is_some_and(|rest| {
            rest.starts_with(b".so")
                || (rest.starts_with(b"-") && rest.windows(3).any(|part| part == b".so"))
        })
    })
}

/// What the process runs, as its mappings name it.
pub(super) fn program(directory: &Path) -> Option<Vec<u8>> {
    const DELETED: &[u8] = b" (deleted)";
    let target = std::fs::read_link(directory.join("exe")).ok()?;
    let mut path = target.into_os_string().into_vec();
    if path.ends_with(DELETED) {
        path.truncate(path.len().saturating_sub(DELETED.len()));
    }
    Some(path)
}

pub(super) fn path_of(mapping: &Mapping<'_>) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(mapping.path))
}

/// Opens what `pid` has mapped, and finds the functions in it: a TLS library by its name, the program itself,
/// or another file, which may have a TLS library linked into it or be one by another name.
///
/// # Errors
/// See [`OpenError`].
pub fn open(
    root: &Path,
    pid: u32,
    mapping: &Mapping<'_>,
    is_program: bool,
) -> Result<TlsLibrary, OpenError> {
    let file = open_mapped(root, pid, mapping)?;
    if is_tls_name(mapping.path) {
        examine(file, path_of(mapping), pid)
    } else if is_program {
        examine_program(file, path_of(mapping), pid)
    } else {
        examine_other(file, path_of(mapping), pid)
    }
}

/// Looks for TLS in a file whose name says nothing of it. Most have none.
fn examine_other(file: File, path: PathBuf, pid: u32) -> Result<TlsLibrary, OpenError> {
    match functions(&file) {
        // What it encrypts by itself is no TLS.
        Ok((_, TlsFlavour::Crypto)) | Err(_) => Err(OpenError::WithoutTls),
        Ok((functions, flavour)) => library(file, path, functions, flavour, pid),
    }
}

/// Looks for TLS that is linked into a program.
fn examine_program(file: File, path: PathBuf, pid: u32) -> Result<TlsLibrary, OpenError> {
    let go = elf::examine(&file, |image| go::examine(&file, image));
    match go {
        Ok(Some(GoProgram::Tls(functions))) => library(file, path, functions, TlsFlavour::Go, pid),
        Ok(Some(GoProgram::WithoutTls)) => Err(OpenError::WithoutTls),
        Ok(Some(GoProgram::Refused(why))) => Err(OpenError::Refused(why)),
        Ok(None) => {
            let records = elf::examine(&file, |image| rustls::examine(&file, image));
            match (functions(&file), records) {
                // It may have both.
                (Ok((mut functions, flavour)), Ok(Some(RustlsProgram::Records(records)))) => {
                    functions.extend(records);
                    library(file, path, functions, flavour, pid)
                }
                (Ok((functions, flavour)), _) => library(file, path, functions, flavour, pid),
                (Err(_), Ok(Some(RustlsProgram::Records(records)))) => {
                    library(file, path, records, TlsFlavour::Rustls, pid)
                }
                (Err(_), Ok(Some(RustlsProgram::Refused(why)))) => Err(OpenError::Refused(why)),
                (Err(_), _) => Err(OpenError::WithoutTls),
            }
        }
        // Not a program at all, as of a process in a foreign architecture.
        Err(ElfError::NotElf | ElfError::Foreign) => Err(OpenError::WithoutTls),
        Err(error) => Err(OpenError::Refused(error.to_string())),
    }
}

/// Opens a file that nobody needs to have mapped.
///
/// # Errors
/// See [`OpenError`].
pub(super) fn open_installed(path: &Path) -> Result<TlsLibrary, OpenError> {
    examine(open_regular(path)?, path.to_owned(), 0)
}

fn examine(file: File, display_path: PathBuf, first_pid: u32) -> Result<TlsLibrary, OpenError> {
    let (functions, flavour) = functions(&file).map_err(OpenError::Refused)?;
    library(file, display_path, functions, flavour, first_pid)
}

fn library(
    file: File,
    display_path: PathBuf,
    functions: Vec<(TlsFunction, u64)>,
    flavour: TlsFlavour,
    first_pid: u32,
) -> Result<TlsLibrary, OpenError> {
    let id = identify(&file).map_err(OpenError::Unreadable)?;
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
pub(super) fn open_mapped(root: &Path, pid: u32, mapping: &Mapping<'_>) -> Result<File, OpenError> {
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
    let found = elf::function_offsets(file, SYMBOLS.map(|(_, symbol)| symbol))
        .map_err(|error| error.to_string())?;
    let mut functions: Vec<_> = SYMBOLS
        .into_iter()
        .zip(found)
        .filter_map(|((function, _), offset)| Some((function, offset?)))
        .collect();
    let has = |wanted: &[TlsFunction]| {
        functions
            .iter()
            .any(|(function, _)| wanted.contains(function))
    };
    let reads = has(&[TlsFunction::Read, TlsFunction::ReadEx]);
    let writes = has(&[TlsFunction::Write, TlsFunction::WriteEx]);
    let flavour = match (reads, writes) {
        (true, true) => flavour(file)?,
        (false, false) if has(&[TlsFunction::Output]) => TlsFlavour::Crypto,
        (false, false) => {
            return Err(
                "it has no symbols of the functions that plaintext passes (SSL_read, SSL_write)"
                    .to_owned(),
            );
        }
        // Half of a library would show half of each conversation.
        (true, false) => return Err("it has no symbol of a function that writes".to_owned()),
        (false, true) => return Err("it has no symbol of a function that reads".to_owned()),
    };
    if flavour == TlsFlavour::Crypto {
        functions.retain(|(function, _)| *function == TlsFunction::Output);
    } else if !has(&[TlsFunction::Free]) {
        // One object would be taken for another.
        return Err("it has no symbol of the function that ends a TLS object".to_owned());
    }
    place(file, &mut functions);
    Ok((functions, flavour))
}

fn flavour(file: &File) -> Result<TlsFlavour, String> {
    let found = elf::function_offsets(file, MARKS).map_err(|error| error.to_string())?;
    Ok(match found {
        [Some(_), ..] => TlsFlavour::OpenSsl3,
        [None, Some(_), _] => TlsFlavour::OpenSsl1,
        [None, None, Some(_)] => TlsFlavour::GnuTls,
        [None, None, None] => TlsFlavour::OpenSslLike,
    })
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
        let cheap = match function {
            TlsFunction::Free | TlsFunction::Output => placement::cheap_entry(file, *offset),
            TlsFunction::ReadInner | TlsFunction::WriteInner | TlsFunction::WriteInnerFlags => None,
            _ => placement::cheap_with_return(file, *offset),
        };
        if let Some(cheap) = cheap {
            *offset = cheap;
        }
    }
}
