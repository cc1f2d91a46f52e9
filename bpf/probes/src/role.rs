//! Who opened a connection, as the calls tell that make sockets and connect them.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use wirespan_events::{call as name, role};

use crate::globals::{is_agent, is_watched};
use crate::maps::{OWN_SOCKETS, socket_flag};
use crate::syscall::argument;
use crate::thread::{self, stage};
use crate::walk::{self, Found};
use crate::{copy, socket};

/// Remembers who opened the connection, whose beginning this is.
#[inline(always)]
pub fn set(found: Found, opener: u8) {
    if let Some(state) = socket::of(found) {
        // SAFETY: a value of the map of sockets.
        unsafe {
            (*state).role = opener;
            if (*state).flags & (socket_flag::UNIX | socket_flag::ANNOUNCED) == socket_flag::UNIX {
                (*state).flags &= !socket_flag::MID_STREAM;
            }
            // Of what was accepted, before any thread can use it.
            socket::locate(state, found.sk);
        }
    }
}

#[tracepoint]
pub fn exit_accept(ctx: TracePointContext) -> u32 {
    let fd = argument(&ctx, 0).cast_signed();
    if fd < 0 || !is_watched((bpf_get_current_pid_tgid() >> 32) as u32) {
        return 0;
    }
    if let Some(found) = walk::socket_of(fd as u32) {
        set(found, role::SERVER);
    }
    0
}

#[tracepoint]
pub fn enter_connect(ctx: TracePointContext) -> u32 {
    if let Some(found) = walk::socket_of(argument(&ctx, 0) as u32) {
        connects(found);
    }
    0
}

/// The current process connects a socket.
#[inline(always)]
pub fn connects(found: Found) {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if is_watched(tgid) {
        // Set now: another thread may use the connection before this call has returned. A socket
        // that never connects carries no bytes and is never announced.
        set(found, role::CLIENT);
    } else if is_agent(tgid) && walk::is_unix(found.sk) {
        // The other end is told by its peer.
        let _ = OWN_SOCKETS.insert(found.sk, 1u8, BPF_ANY.into());
    }
}

/// `socketpair(family, type, protocol, descriptors)`
#[tracepoint]
pub fn enter_socketpair(ctx: TracePointContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    if !is_watched((thread >> 32) as u32) {
        return 0;
    }
    if let Some(place) = thread::current(thread) {
        // SAFETY: a value of the map of threads; it is this thread's own.
        unsafe {
            let call = &raw mut (*place).call;
            (*call).sk = 0;
            (*call).argument = argument(&ctx, 3);
            (*call).call = name::SOCKETPAIR;
            (*call).stage = stage::ENTERED;
        }
    }
    0
}

#[tracepoint]
pub fn exit_socketpair(ctx: TracePointContext) -> u32 {
    let Some(call) = thread::call_of(bpf_get_current_pid_tgid()) else {
        return 0;
    };
    // SAFETY: a value of the map of threads; it is this thread's own.
    let pair = unsafe {
        (*call).stage = stage::IDLE;
        (*call).argument
    };
    if argument(&ctx, 0) != 0 {
        return 0;
    }
    let Some([first, second]) = copy::user::<[u32; 2]>(pair) else {
        return 0;
    };
    if let Some(found) = walk::socket_of(first) {
        set(found, role::UNKNOWN);
    }
    if let Some(found) = walk::socket_of(second) {
        set(found, role::UNKNOWN);
    }
    0
}
