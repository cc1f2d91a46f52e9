//! Probes that do nothing, made by bpftrace: what the kernel's machinery costs by itself.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;
use wirespan_tests::process::Running;
use wirespan_tests::tools;

/// System calls whose entry and exit the agent probes, and that servers make often.
const CALLS: [&str; 14] = [
    "read",
    "write",
    "readv",
    "writev",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "sendmmsg",
    "recvmmsg",
    "sendfile64",
    "splice",
    "accept",
    "accept4",
];

/// What probes that show plaintext are usually put on.
const FUNCTIONS: [&str; 2] = ["SSL_read", "SSL_write"];

/// bpftrace compiles and attaches within this on a busy machine.
const READY: Duration = Duration::from_secs(60);

/// The kernel lets go of one probe after the other, each time when every CPU has been idle or switched.
const DETACHED: Duration = Duration::from_secs(180);

/// Held as long as the probes are to be there.
pub(crate) struct Noop {
    process: Running,
    _folder: TempDir,
}

impl Noop {
    /// At the entry and the exit of system calls.
    pub(crate) fn syscalls() -> Result<Self> {
        Self::attach(CALLS.iter().flat_map(|call| {
            ["enter", "exit"].map(|end| format!("tracepoint:syscalls:sys_{end}_{call}"))
        }))
    }

    /// At the entry and the return of functions of a TLS library.
    pub(crate) fn functions(library: &Path) -> Result<Self> {
        let library = library.display();
        Self::attach(FUNCTIONS.iter().flat_map(|function| {
            ["uprobe", "uretprobe"].map(|kind| format!("{kind}:{library}:{function}"))
        }))
    }

    fn attach(places: impl Iterator<Item = String>) -> Result<Self> {
        let places: Vec<String> = places.collect();
        let script = format!("{} {{}}", places.join(","));
        let folder = tempfile::tempdir()?;
        let mut process = Running::start(
            folder.path(),
            &tools::program("bpftrace")?,
            ["-e", &script],
            &[],
        )?;
        process.wait_ready("bpftrace has attached", READY, |process| {
            Ok(perf_events(process.pid())? >= places.len())
        })?;
        Ok(Self {
            process,
            _folder: folder,
        })
    }

    pub(crate) fn detach(self) -> Result<()> {
        self.process.signal(Signal::INT)?;
        self.process.finish(DETACHED)?;
        Ok(())
    }
}

/// Each probe is one.
fn perf_events(pid: u32) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).context("files of bpftrace")? {
        // Files come and go while they are listed.
        let target = std::fs::read_link(entry?.path()).unwrap_or_default();
        count += usize::from(target == Path::new("anon_inode:[perf_event]"));
    }
    Ok(count)
}
