//! What the host tells the kernel side before it is loaded.

/// Offsets, in bytes, of the kernel's structures, read by the host from the running kernel's BTF
/// and from the trace points' format files.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    pub task_files: u32,
    pub task_group_leader: u32,
    pub task_start_boottime: u32,
    pub task_mm: u32,
    pub mm_start_stack: u32,
    /// Base of a thread's local storage (x86-64).
    pub task_fsbase: u32,
    pub files_fdt: u32,
    pub fdt_max_fds: u32,
    pub fdt_fd: u32,
    pub file_inode: u32,
    pub file_private_data: u32,
    /// References to a file, counted from 1; or, in kernels that count from 0, the next.
    pub file_count: u32,
    pub file_ref: u32,
    pub inode_ino: u32,
    pub socket_sk: u32,
    pub socket_file: u32,
    /// From a `struct socket` to its inode.
    pub socket_to_inode: u32,
    pub sock_socket: u32,
    pub sock_flags: u32,
    pub sock_type: u32,
    pub sock_protocol: u32,
    pub sock_shutdown: u32,
    pub skc_family: u32,
    pub skc_state: u32,
    pub skc_daddr: u32,
    pub skc_rcv_saddr: u32,
    pub skc_dport: u32,
    /// The port of this end, in network order. Not `skc_num`: TCP gives that back when it leaves the
    /// connection, while what was received may still be read.
    pub inet_sport: u32,
    pub skc_v6_daddr: u32,
    pub skc_v6_rcv_saddr: u32,
    pub skc_net: u32,
    pub net_ns_inum: u32,
    pub tcp_write_seq: u32,
    pub tcp_snd_nxt: u32,
    pub tcp_copied_seq: u32,
    pub tcp_rcv_nxt: u32,
    pub tcp_bytes_sent: u32,
    pub tcp_bytes_retrans: u32,
    pub tcp_bytes_received: u32,
    pub icsk_ulp_ops: u32,
    pub ulp_name: u32,
    pub tcp_urg_seq: u32,
    pub unix_peer: u32,
    pub unix_addr: u32,
    pub unix_address_len: u32,
    pub unix_address_name: u32,
    /// From a `struct msghdr` to what its `msg_iter` says of the caller's memory.
    pub iter_type: u32,
    pub iter_offset: u32,
    pub iter_pieces: u32,
    pub iter_count: u32,
    /// Values of its type: one stretch of memory, and several.
    pub iter_is_buffer: u32,
    pub iter_is_pieces: u32,
    /// Fields of the trace points.
    pub set_state_skaddr: u32,
    pub set_state_oldstate: u32,
    pub set_state_newstate: u32,
    pub set_state_protocol: u32,
    pub destroy_skaddr: u32,
    pub receive_reset_skaddr: u32,
    pub send_reset_skaddr: u32,
}

/// How many sets of extra agents can be left out.
pub const AGENTS: usize = 4;

/// Settings of one run.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Thread groups whose sockets are never reported: this agent, and others; 0 is none.
    pub agents: [u32; AGENTS],
    /// How many rings there are.
    pub rings: u32,
    /// Bytes of one call that are copied at most.
    pub call_bytes: u32,
    /// Bytes of each side of an undecided connection that are copied.
    pub unknown_bytes: u32,
    /// Copy everything, whatever the verdicts say.
    pub copy_all: u32,
    /// Only processes in `FILTER_TGIDS`, ports in `FILTER_PORTS`, control groups not in
    /// `FILTER_CGROUPS`: bits of [`filter`].
    pub filter: u32,
    /// Further bytes of an undecided connection, both sides together, that are copied while the ring is
    /// not half full.
    pub unknown_more_bytes: u32,
    /// What a ring can hold.
    pub ring_bytes: u32,
    /// Not 0: the kernel tells the current task as a typed pointer (from 5.11 on).
    pub typed_task: u32,
    /// Not 0: the kernel has a function that makes a typed pointer of any address ([`CAST`]), and this is the
    /// type that it is asked for, by its number in the kernel's type information.
    pub cast_type: u32,
}

/// Stands in the kernel side's instructions where `bpf_rdonly_cast` of the kernel is called: functions of the
/// kernel have a number of their own in each kernel, which the host puts in. No helper has this one.
pub const CAST: i32 = 0x5749_5245;

/// Bits of [`Settings::filter`].
pub mod filter {
    pub const TGID: u32 = 1;
    pub const PORT: u32 = 2;
    /// Control groups in `FILTER_CGROUPS` are not wanted.
    pub const CGROUP: u32 = 4;
}

/// Bytes of a call that are copied unless the settings say otherwise: holds all but bulk
/// transfers, whose bodies nobody reads to the end. Programs with many streams on one connection
/// (gRPC) move several 100 KiB of small messages at once.
pub const DEFAULT_CALL_BYTES: u32 = 1024 * 1024;
/// Bytes of each side of an undecided connection: enough for a parser to recognise itself, and for
/// what piles up until its verdict is back.
pub const DEFAULT_UNKNOWN_BYTES: u32 = 64 * 1024;
/// Bytes of an undecided connection beyond those, which take no room that others might need: an upload
/// can have begun and be over before a busy node has let the host look at its first byte. What comes
/// between two looks is bounded by the rings; this bounds what a connection can cost on which no verdict
/// comes at all.
pub const DEFAULT_UNKNOWN_MORE_BYTES: u32 = 16 * 1024 * 1024;
/// Rings at most.
pub const MAX_RINGS: usize = 64;
/// Value of `TLS_SINCE` while probes are being attached to a TLS library. 0: to none so far.
pub const TLS_ATTACHING: u64 = u64::MAX;
/// The array that host and kernel side share: see [`control`].
pub const CONTROLS: usize = 4;

/// Indices into the control array.
pub mod control {
    /// Whether the host is to be woken: one of [`wake`](super::wake).
    pub const WAKE: u32 = 0;
    /// Not 0: all probes are attached. Before, some calls would be seen and others not, which looks
    /// like loss.
    pub const WATCHING: u32 = 1;
    /// Set by the kernel side, and never cleared: there are processes in `TLS_PROCESSES`.
    pub const TLS_OUTPUTS: u32 = 2;
}

/// Values of [`control::WAKE`].
pub mod wake {
    /// It looks by itself, soon.
    pub const NEVER: u32 = 0;
    /// By the next record: it sleeps.
    pub const BY_ANY: u32 = 1;
    /// It looks by itself, but later than it would if a connection were new or undecided, or much were
    /// waiting: the first record of that kind makes `BY_ANY` of this.
    pub const BY_NEED: u32 = 2;
}

/// Programs that go on with a call where one had to stop, by their place in the array.
pub mod more {
    pub const MORE_PROGRAMS: usize = 2;
    /// In the order of that array.
    pub const NAMES: [&str; MORE_PROGRAMS] = ["more_of_call", "more_of_messages"];
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            agents: [0; AGENTS],
            rings: 1,
            call_bytes: DEFAULT_CALL_BYTES,
            unknown_bytes: DEFAULT_UNKNOWN_BYTES,
            copy_all: 0,
            filter: 0,
            unknown_more_bytes: DEFAULT_UNKNOWN_MORE_BYTES,
            ring_bytes: 0,
            typed_task: 0,
            cast_type: 0,
        }
    }
}

const _: () = assert!(size_of::<Offsets>() == 59 * 4);
const _: () = assert!(size_of::<Settings>() == 52);

#[cfg(feature = "user")]
mod user {
    // SAFETY: both are `#[repr(C)]` integers without padding, as their asserted sizes show.
    #[expect(unsafe_code, reason = "aya's marker for types that are plain bytes")]
    unsafe impl aya::Pod for super::Offsets {}
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "aya's marker for types that are plain bytes")]
    unsafe impl aya::Pod for super::Settings {}
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "aya's marker for types that are plain bytes")]
    unsafe impl aya::Pod for crate::state::Verdict {}
}
