//! What the kernel side is told before it runs: its settings, what is selected, where members are.

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use wirespan_events::config::{AGENTS, filter};

use super::btf::Btf;
use super::config::LiveConfig;
use super::load::{borrow, refused};
use super::offsets::{ABSENT, Offsets};
use super::reads::{self, Cast};
use crate::error::CaptureError;

pub(super) fn settings(
    config: &LiveConfig,
    btf: &Btf,
    cast: Option<Cast>,
    rings: u32,
    ring_bytes: u32,
) -> wirespan_events::Settings {
    let mut agents = [0; AGENTS];
    let own = if config.observe_self {
        0
    } else {
        std::process::id()
    };
    for (slot, agent) in agents
        .iter_mut()
        .zip(std::iter::once(&own).chain(&config.agents))
    {
        *slot = *agent;
    }
    let mut bits = 0;
    if !config.pids.is_empty() {
        bits |= filter::TGID;
    }
    if !config.ports.is_empty() {
        bits |= filter::PORT;
    }
    if !config.containers.is_empty() {
        bits |= filter::CGROUP;
    }
    wirespan_events::Settings {
        agents,
        rings,
        call_bytes: config.call_bytes,
        unknown_bytes: config.unknown_bytes,
        copy_all: config.copy_all.into(),
        filter: bits,
        unknown_more_bytes: config.unknown_more_bytes,
        ring_bytes,
        typed_task: reads::typed_task(btf).is_ok().into(),
        cast_type: cast.map_or(0, |cast| cast.to),
    }
}

pub(super) fn fill_filters(ebpf: &mut Ebpf, config: &LiveConfig) -> Result<(), CaptureError> {
    let mut tgids: HashMap<&mut MapData, u32, u8> = borrow(ebpf, "FILTER_TGIDS")?;
    for pid in &config.pids {
        tgids
            .insert(pid, 1, 0)
            .map_err(|error| refused(&format!("process {pid} cannot be selected"), &error))?;
    }
    let mut ports: HashMap<&mut MapData, u16, u8> = borrow(ebpf, "FILTER_PORTS")?;
    for port in &config.ports {
        ports
            .insert(port, 1, 0)
            .map_err(|error| refused(&format!("port {port} cannot be selected"), &error))?;
    }
    Ok(())
}

/// Offsets under the names of the kernel side. What is absent is an offset that no memory is at,
/// so that reading there gives 0.
pub(super) fn offsets(found: &Offsets) -> wirespan_events::Offsets {
    let get = |global| found.get(global).unwrap_or(ABSENT);
    wirespan_events::Offsets {
        task_files: get("OFF_TASK_FILES"),
        task_group_leader: get("OFF_TASK_GROUP_LEADER"),
        task_start_boottime: get("OFF_TASK_START"),
        task_mm: get("OFF_TASK_MM"),
        mm_start_stack: get("OFF_MM_START_STACK"),
        task_fsbase: get("OFF_TASK_FSBASE"),
        files_fdt: get("OFF_FILES_FDT"),
        fdt_max_fds: get("OFF_FDT_MAX_FDS"),
        fdt_fd: get("OFF_FDT_FD"),
        file_inode: get("OFF_FILE_INODE"),
        file_private_data: get("OFF_FILE_PRIVATE"),
        file_count: get("OFF_FILE_COUNT"),
        file_ref: get("OFF_FILE_REF"),
        inode_ino: get("OFF_INODE_INO"),
        socket_sk: get("OFF_SOCKET_SK"),
        socket_file: get("OFF_SOCKET_FILE"),
        socket_to_inode: get("OFF_SOCKET_TO_INODE"),
        sock_socket: get("OFF_SOCK_SOCKET"),
        sock_flags: get("OFF_SOCK_FLAGS"),
        sock_type: get("OFF_SOCK_TYPE"),
        sock_protocol: get("OFF_SOCK_PROTOCOL"),
        sock_shutdown: get("OFF_SOCK_SHUTDOWN"),
        skc_family: get("OFF_SOCK_FAMILY"),
        skc_state: get("OFF_SOCK_STATE"),
        skc_daddr: get("OFF_SOCK_DADDR"),
        skc_rcv_saddr: get("OFF_SOCK_RCV_SADDR"),
        skc_dport: get("OFF_SOCK_DPORT"),
        inet_sport: get("OFF_INET_SPORT"),
        skc_v6_daddr: get("OFF_SOCK_V6_DADDR"),
        skc_v6_rcv_saddr: get("OFF_SOCK_V6_RCV_SADDR"),
        skc_net: get("OFF_SOCK_NET"),
        net_ns_inum: get("OFF_NET_INUM"),
        tcp_write_seq: get("OFF_TCP_WRITE_SEQ"),
        tcp_snd_nxt: get("OFF_TCP_SND_NXT"),
        tcp_copied_seq: get("OFF_TCP_COPIED_SEQ"),
        tcp_rcv_nxt: get("OFF_TCP_RCV_NXT"),
        tcp_bytes_sent: get("OFF_TCP_BYTES_SENT"),
        tcp_bytes_retrans: get("OFF_TCP_BYTES_RETRANS"),
        tcp_bytes_received: get("OFF_TCP_BYTES_RECEIVED"),
        icsk_ulp_ops: get("OFF_ICSK_ULP_OPS"),
        ulp_name: get("OFF_ULP_NAME"),
        tcp_urg_seq: get("OFF_TCP_URG_SEQ"),
        unix_peer: get("OFF_UNIX_PEER"),
        unix_addr: get("OFF_UNIX_ADDR"),
        unix_address_len: get("OFF_UNIX_ADDRESS_LEN"),
        unix_address_name: get("OFF_UNIX_ADDRESS_NAME"),
        iter_type: get("OFF_ITER_TYPE"),
        iter_offset: get("OFF_ITER_OFFSET"),
        iter_pieces: get("OFF_ITER_PIECES"),
        iter_count: get("OFF_ITER_COUNT"),
        iter_is_buffer: get("ITER_IS_BUFFER"),
        iter_is_pieces: get("ITER_IS_PIECES"),
        set_state_skaddr: get("OFF_EVENT_STATE_SKADDR"),
        set_state_oldstate: get("OFF_EVENT_STATE_OLD"),
        set_state_newstate: get("OFF_EVENT_STATE_NEW"),
        set_state_protocol: get("OFF_EVENT_STATE_PROTOCOL"),
        destroy_skaddr: get("OFF_EVENT_DESTROY_SKADDR"),
        receive_reset_skaddr: get("OFF_EVENT_RECEIVE_RESET_SKADDR"),
        send_reset_skaddr: get("OFF_EVENT_SEND_RESET_SKADDR"),
    }
}
