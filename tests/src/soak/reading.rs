//! What an agent holds at a moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{process, tools};

const ENTRIES: &str = include_str!("entries.py");

/// Links, and perf events where the kernel knows no links of them.
const HOLDERS: [&str; 2] = ["anon_inode:bpf_link", "anon_inode:[perf_event]"];

/// Memory, and what it holds in the kernel.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Resident, without what it shares with files: pages of programs come and go.
    pub memory_kib: u64,
    /// Entries of its maps that are hashes, by name.
    pub entries: BTreeMap<String, u64>,
    /// Probes, by what holds them to their places.
    pub probes: usize,
    pub files: usize,
    pub threads: usize,
}

impl Reading {
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let threads = status(pid, "Threads:")?;
        let mut probes = 0;
        let mut files = 0;
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
            files += 1;
            // Files come and go while they are listed.
            let target = fs::read_link(entry?.path()).unwrap_or_default();
            probes += usize::from(HOLDERS.iter().any(|holder| target == Path::new(holder)));
        }
        Ok(Self {
            memory_kib: memory_kib(pid)?,
            entries: entries(pid)?,
            probes,
            files,
            threads: usize::try_from(threads)?,
        })
    }

    /// Entries of one map; 0 when there is none of that name.
    #[must_use]
    pub fn entries_of(&self, map: &str) -> u64 {
        self.entries.get(map).copied().unwrap_or(0)
    }
}

/// Resident, without what it shares with files.
///
/// # Errors
/// When the process is gone.
pub fn memory_kib(pid: u32) -> Result<u64> {
    status(pid, "RssAnon:")
}

fn status(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the agent")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.split_whitespace().next())
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("{field} of the agent"))
}

fn entries(pid: u32) -> Result<BTreeMap<String, u64>> {
    let folder = tempfile::tempdir()?;
    let listed = process::run(
        folder.path(),
        &tools::python()?,
        ["-c", ENTRIES, &pid.to_string()],
        Duration::from_secs(60),
    )?;
    ensure!(listed.status.success(), "maps: {}", listed.errors);
    listed
        .output
        .lines()
        .map(|line| {
            let (name, count) = line.split_once(' ').context("a map's entries")?;
            Ok((name.to_owned(), count.parse()?))
        })
        .collect()
}

/// CPU time of all threads of a process, exactly.
///
/// # Errors
/// When the process is gone.
pub fn cpu_nanos(pid: u32) -> Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // Threads come and go.
        let path = task?.path().join("schedstat");
        let text = fs::read_to_string(path).unwrap_or_default();
        let nanos = text
            .split(' ')
            .next()
            .and_then(|text| text.parse::<u64>().ok());
        total += nanos.unwrap_or(0);
    }
    Ok(total)
}
