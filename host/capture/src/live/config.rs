//! What a live capture is told, and what it answers.

use std::str::FromStr;

use super::deny::{self, DenyList};
use super::uprobes::UprobeMeans;
use wirespan_events::config::{
    DEFAULT_CALL_BYTES, DEFAULT_UNKNOWN_BYTES, DEFAULT_UNKNOWN_MORE_BYTES,
};

/// Budget of all rings together: at 2 ms between drains it holds 16 GB/s.
const DEFAULT_RINGS_BYTES: u64 = 32 << 20;
/// Connections followed at once; each costs some 350 bytes of kernel memory.
const DEFAULT_CONNECTIONS: u32 = 64 * 1024;

/// Where calls that move bytes are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallPlaces {
    /// At functions of sockets where the kernel allows it, else at system calls.
    #[default]
    Auto,
    /// At the trace points of system calls.
    SystemCalls,
    /// At functions of sockets (fentry), or not at all.
    Functions,
}

impl FromStr for CallPlaces {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "tracepoints" => Ok(Self::SystemCalls),
            "fentry" => Ok(Self::Functions),
            _ => Err("use auto, tracepoints or fentry".to_owned()),
        }
    }
}

/// Settings of a live capture.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// The kernel side: an eBPF object built from `bpf/probes`.
    pub object: Vec<u8>,
    /// Copy everything, whatever the verdicts say: for recordings.
    pub copy_all: bool,
    /// Memory of all rings together; rounded down to what the kernel accepts.
    pub rings_bytes: u64,
    /// Number of rings; `None`: one per CPU, up to eight.
    pub rings: Option<u32>,
    /// Bytes of one call that are copied at most.
    pub call_bytes: u32,
    /// Bytes of each side of an undecided connection that are copied.
    pub unknown_bytes: u32,
    /// Further bytes of such a connection, both sides together, that are copied while the ring is not
    /// half full.
    pub unknown_more_bytes: u32,
    /// Connections followed at once.
    pub connections: u32,
    /// Other agents whose connections are not to be reported either; this process always is one.
    pub agents: Vec<u32>,
    /// Report this process's own connections too: for tests.
    pub observe_self: bool,
    /// Only these processes; empty: all.
    pub pids: Vec<u32>,
    /// Only connections with one of these ports at either end; empty: all.
    pub ports: Vec<u16>,
    /// Only containers whose ids begin with one of these; empty: all. The kernel side leaves out what is
    /// certainly of others; the rest is for whoever reads the events.
    pub containers: Vec<String>,
    /// Observe TLS libraries.
    pub tls: bool,
    /// But not on these kernels, nor in these processes.
    pub deny: DenyList,
    /// Where calls are looked at.
    pub calls: CallPlaces,
    /// Attach uprobes by `uprobe_multi` links where the kernel has them, else by perf events.
    pub uprobe_links: bool,
}

impl LiveConfig {
    /// The whole node, with the defaults.
    #[must_use]
    pub fn new(object: Vec<u8>) -> Self {
        Self {
            object,
            copy_all: false,
            rings_bytes: DEFAULT_RINGS_BYTES,
            rings: None,
            call_bytes: DEFAULT_CALL_BYTES,
            unknown_bytes: DEFAULT_UNKNOWN_BYTES,
            unknown_more_bytes: DEFAULT_UNKNOWN_MORE_BYTES,
            connections: DEFAULT_CONNECTIONS,
            agents: Vec::new(),
            observe_self: false,
            pids: Vec::new(),
            ports: Vec::new(),
            containers: Vec::new(),
            tls: true,
            deny: DenyList::default(),
            calls: CallPlaces::Auto,
            uprobe_links: true,
        }
    }
}

impl LiveConfig {
    /// Why no TLS library is to be probed, if so.
    #[must_use]
    pub fn without_tls(&self) -> Option<String> {
        without_tls(self.tls, &self.deny)
    }
}

/// Why no TLS library is to be probed on this kernel, if so.
#[must_use]
pub fn without_tls(wanted: bool, deny: &DenyList) -> Option<String> {
    if !wanted {
        return Some("turned off (tls.enabled)".to_owned());
    }
    let release = deny::release();
    let pattern = deny.kernel(&release)?;
    Some(format!(
        "this kernel, {release}, is one on which it is not done (tls.deny_kernels has {pattern})"
    ))
}

/// What became of a probe set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSet {
    pub name: &'static str,
    /// `None`: attached. Else why it was left out.
    pub left_out: Option<String>,
    /// What cannot be seen without it.
    pub without: &'static str,
}

/// What a live capture found and attached when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveReport {
    pub sets: Vec<ProbeSet>,
    /// Offsets that this kernel lacks, and why.
    pub missing_offsets: Vec<(String, String)>,
    pub rings: u32,
    pub ring_bytes: u64,
    /// Where calls are looked at; never [`CallPlaces::Auto`] of a capture that was opened.
    pub calls: CallPlaces,
    /// Why not at functions of sockets, if so.
    pub without_functions: Option<String>,
    /// How probes on TLS libraries are attached.
    pub uprobes: UprobeMeans,
}
