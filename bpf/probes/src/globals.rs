//! What the host sets before it loads the programs.

use core::ptr::read_volatile;

use wirespan_events::config::{
    AGENTS, DEFAULT_CALL_BYTES, DEFAULT_UNKNOWN_BYTES, DEFAULT_UNKNOWN_MORE_BYTES, control,
};
use wirespan_events::{Offsets, Settings};

use crate::maps::CONTROL;

#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets {
    task_files: 0,
    task_group_leader: 0,
    task_start_boottime: 0,
    task_mm: 0,
    mm_start_stack: 0,
    task_fsbase: 0,
    files_fdt: 0,
    fdt_max_fds: 0,
    fdt_fd: 0,
    file_inode: 0,
    file_private_data: 0,
    file_count: 0,
    file_ref: 0,
    inode_ino: 0,
    socket_sk: 0,
    socket_file: 0,
    socket_to_inode: 0,
    sock_socket: 0,
    sock_flags: 0,
    sock_type: 0,
    sock_protocol: 0,
    sock_shutdown: 0,
    skc_family: 0,
    skc_state: 0,
    skc_daddr: 0,
    skc_rcv_saddr: 0,
    skc_dport: 0,
    inet_sport: 0,
    skc_v6_daddr: 0,
    skc_v6_rcv_saddr: 0,
    skc_net: 0,
    net_ns_inum: 0,
    tcp_write_seq: 0,
    tcp_snd_nxt: 0,
    tcp_copied_seq: 0,
    tcp_rcv_nxt: 0,
    tcp_bytes_sent: 0,
    tcp_bytes_retrans: 0,
    tcp_bytes_received: 0,
    icsk_ulp_ops: 0,
    ulp_name: 0,
    tcp_urg_seq: 0,
    unix_peer: 0,
    unix_addr: 0,
    unix_address_len: 0,
    unix_address_name: 0,
    iter_type: 0,
    iter_offset: 0,
    iter_pieces: 0,
    iter_count: 0,
    iter_is_buffer: 0,
    iter_is_pieces: 0,
    set_state_skaddr: 0,
    set_state_oldstate: 0,
    set_state_newstate: 0,
    set_state_protocol: 0,
    destroy_skaddr: 0,
    receive_reset_skaddr: 0,
    send_reset_skaddr: 0,
};

#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings {
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
};

/// Reads one offset.
macro_rules! offset {
    ($field:ident) => {
        u64::from($crate::globals::read(&$crate::globals::OFFSETS.$field))
    };
}
pub(crate) use offset;

/// Reads one setting.
macro_rules! setting {
    ($field:ident) => {
        $crate::globals::read(&$crate::globals::SETTINGS.$field)
    };
}
pub(crate) use setting;

/// Volatile, or the compiler would use the value it was compiled with.
#[inline(always)]
pub fn read<T: Copy>(field: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { read_volatile(field) }
}

/// Whether the calls of this thread group are to be followed: not before all probes are attached,
/// and never those of an agent.
#[inline(always)]
pub fn is_watched(tgid: u32) -> bool {
    let watching = CONTROL
        .get_ptr(control::WATCHING)
        // SAFETY: a value of an array map.
        .is_some_and(|flag| unsafe { *flag } != 0);
    watching && !is_agent(tgid)
}

/// Whether this thread group is an agent whose sockets must not be reported.
#[inline(always)]
pub fn is_agent(tgid: u32) -> bool {
    let agents: [u32; AGENTS] = setting!(agents);
    tgid == agents[0] || tgid == agents[1] || tgid == agents[2] || tgid == agents[3]
}
