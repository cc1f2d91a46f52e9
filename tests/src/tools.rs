//! What the fixtures need from the machine.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

/// Where servers live that a user's PATH often lacks.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Path of a program.
///
/// # Errors
/// When it is not installed.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("`{name}` is not installed: run `cargo xtask setup`, which installs what the tests need"))
}

/// Python itself, rather than a version manager's script in front of it: a process's first
/// command would be the shell's.
///
/// # Errors
/// When it is not installed.
pub fn python() -> Result<PathBuf> {
    let system = Path::new("/usr/bin/python3");
    if system.is_file() {
        Ok(system.to_owned())
    } else {
        program("python3")
    }
}

/// Node, whoever made it: Debian's uses the node's OpenSSL, others have one of their own inside. Says which
/// this is, for a test of TLS shows that way and not the other.
///
/// # Errors
/// When it is not installed, or does not run.
pub fn node() -> Result<PathBuf> {
    const SHARED: &str = "process.version + (process.config.variables.node_shared_openssl ? \
        ', whose OpenSSL is a shared library' : ', whose OpenSSL is linked statically')";
    let program = program("node")?;
    let told = Command::new(&program).args(["-p", SHARED]).output()?;
    println!("Node {}", String::from_utf8_lossy(&told.stdout).trim());
    Ok(program)
}

/// The `wirespan` binary: `$WIRESPAN_BIN`, else the one built beside this program.
///
/// # Errors
/// When it has not been built.
pub fn wirespan() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WIRESPAN_BIN") {
        return Ok(path.into());
    }
    beside("wirespan").context("WIRESPAN_BIN is not set either")
}

/// A program that was built beside this one.
///
/// # Errors
/// When it has not been built.
pub fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this program")?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!(
                "there is no `{name}` beside {}: `cargo xtask test` builds it",
                own.display()
            )
        })
}

/// Where Python packages are that no release of Debian has, or not so.
///
/// # Errors
/// When they have not been fetched.
pub fn wheels() -> Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this program")?;
    own.ancestors()
        .map(|folder| folder.join("wheels"))
        .find(|candidate| candidate.is_dir())
        .with_context(|| {
            format!(
                "there is no `wheels` above {}: `cargo xtask test` fetches them",
                own.display()
            )
        })
}

/// A port of the loopback address that nobody listens on now. It is none of those that the kernel gives
/// to clients: one of them could have it before the server that it is for.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    const FIRST: u16 = 10_240;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let clients: u16 = range
        .split_whitespace()
        .next()
        .context("the range of clients' ports")?
        .parse()?;
    // Other processes that look for one begin elsewhere.
    let begin = RandomState::new().hash_one(NEXT.fetch_add(1, Ordering::Relaxed)) as u16;
    let ports = FIRST..clients.max(FIRST + 1);
    let count = ports.len();
    ports
        .cycle()
        .skip(usize::from(begin) % count)
        .take(count)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no port of the loopback address is free")
}

/// Whether tests that need the kernel are to be left out.
///
/// # Errors
/// Without privileges and without `WIRESPAN_SKIP_KERNEL=1`: a test that silently does nothing
/// would look like one that passed.
pub fn skip_kernel() -> Result<bool> {
    if std::env::var_os("WIRESPAN_SKIP_KERNEL").is_some_and(|value| value == "1") {
        eprintln!("SKIPPED: WIRESPAN_SKIP_KERNEL=1");
        return Ok(true);
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "this test attaches eBPF programs and needs root: run it as root, or set WIRESPAN_SKIP_KERNEL=1 to leave such tests out"
        );
    }
    Ok(false)
}

/// One test with a live agent at a time: each is about its own traffic, and two at once would
/// measure each other's load.
pub fn exclusive() -> MutexGuard<'static, ()> {
    static LIVE: Mutex<()> = Mutex::new(());
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
