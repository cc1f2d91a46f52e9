//! The life of a TCP socket, beyond what system calls say: a `close` is not the end of a connection.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use wirespan_events::close;
use wirespan_events::direction::{RECEIVED, SENT};

use crate::globals::{is_agent, offset};
use crate::maps::{
    Flow, IN_FLIGHT, OWN_FLOWS, OWN_SOCKETS, SOCKETS, Socket, TLS_IN_FLIGHT, VERDICTS, socket_flag,
};
use crate::walk::{self, kernel, tcp};
use crate::{report, socket};

const IPPROTO_TCP: u16 = 6;

/// A field of a trace point, at an offset that the host read from its format.
#[inline(always)]
fn field<T: Copy + Default>(ctx: &TracePointContext, offset: u64) -> T {
    kernel(ctx.as_ptr() as u64 + offset)
}

#[tracepoint]
pub fn set_state(ctx: TracePointContext) -> u32 {
    let protocol: u16 = field(&ctx, offset!(set_state_protocol));
    if protocol != IPPROTO_TCP {
        return 0;
    }
    let sk: u64 = field(&ctx, offset!(set_state_skaddr));
    let new: u32 = field(&ctx, offset!(set_state_newstate));
    match new as u8 {
        tcp::SYN_SENT => connecting(sk),
        tcp::ESTABLISHED => established(sk),
        // Both come before the FIN takes its sequence number.
        tcp::FIN_WAIT1 | tcp::LAST_ACK => finishing(sk),
        _ => {}
    }
    0
}

/// In the context of the process that connects.
#[inline(always)]
fn connecting(sk: u64) {
    if is_agent((bpf_get_current_pid_tgid() >> 32) as u32) {
        let _ = OWN_SOCKETS.insert(sk, 1u8, BPF_ANY.into());
        return;
    }
    // A socket that was disconnected is used for another connection.
    if let Some(state) = SOCKETS.get_ptr_mut(sk) {
        // SAFETY: a value of the map of sockets.
        unsafe {
            if (*state).flags & socket_flag::ANNOUNCED != 0 {
                gone(state, sk);
            }
        }
    }
}

/// The other end of an agent's connection is told by its addresses.
#[inline(always)]
fn established(sk: u64) {
    if OWN_SOCKETS.get_ptr(sk).is_none() {
        return;
    }
    let _ = OWN_SOCKETS.remove(sk);
    let own = walk::flow(sk);
    let other = Flow {
        local: own.remote,
        remote: own.local,
        local_port: own.remote_port,
        remote_port: own.local_port,
    };
    let _ = OWN_FLOWS.insert(&other, 1u8, BPF_ANY.into());
}

/// This end sends a FIN.
#[inline(always)]
fn finishing(sk: u64) {
    let Some(state) = SOCKETS.get_ptr_mut(sk) else {
        return;
    };
    // SAFETY: a value of the map of sockets; the helper has no arguments.
    unsafe {
        let flags = (*state).flags;
        if flags & socket_flag::END_SENT != 0 || flags & socket_flag::POSITIONS == 0 {
            return;
        }
        (*state).flags = flags | socket_flag::END_SENT;
        let position = socket::extend(state, SENT, walk::sequence(sk, SENT));
        (*state).position[0] = position;
        if flags & socket_flag::ANNOUNCED != 0 {
            let shown = if flags & socket_flag::SECURED != 0 {
                (*state).plaintext[0]
            } else {
                position
            };
            let now = bpf_ktime_get_ns();
            report::passed_over(state, sk, SENT, socket::layer(state), now, now);
            report::end(sk, (*state).inode, SENT, shown, now);
        }
    }
}

/// Reports the end of a socket and forgets it.
#[inline(always)]
pub unsafe fn gone(state: *mut Socket, sk: u64) {
    // SAFETY: `state` is a value of the map of sockets.
    unsafe {
        let flags = (*state).flags;
        if flags & socket_flag::ANNOUNCED != 0 {
            let sent = if flags & (socket_flag::END_SENT | socket_flag::STAND_IN) != 0 {
                (*state).position[0]
            } else {
                socket::extend(state, 0, walk::sequence(sk, 0))
            };
            let counted = u64::from(flags & socket_flag::END_READ != 0);
            let received = if flags & socket_flag::STAND_IN != 0 {
                (*state).position[1]
            } else {
                socket::extend(state, 1, walk::sequence(sk, 1)).wrapping_sub(counted)
            };
            let reason = if flags & socket_flag::RESET != 0 {
                close::RESET
            } else {
                close::FINISHED
            };
            let now = bpf_ktime_get_ns();
            let layer = socket::layer(state);
            report::passed_over(state, sk, SENT, layer, now, now);
            report::passed_over(state, sk, RECEIVED, layer, now, now);
            report::close(state, sk, [sent, received], reason, now);
        }
        let _ = SOCKETS.remove(sk);
        let _ = VERDICTS.remove(sk);
    }
}

#[tracepoint]
pub fn destroy_sock(ctx: TracePointContext) -> u32 {
    let sk: u64 = field(&ctx, offset!(destroy_skaddr));
    // Of a connection that was refused: the next socket at this address is somebody else's.
    let _ = OWN_SOCKETS.remove(sk);
    if let Some(state) = SOCKETS.get_ptr_mut(sk) {
        // SAFETY: a value of the map of sockets.
        unsafe { gone(state, sk) };
    }
    0
}

#[inline(always)]
fn reset(sk: u64) {
    if let Some(state) = SOCKETS.get_ptr_mut(sk) {
        // SAFETY: a value of the map of sockets.
        unsafe { (*state).flags |= socket_flag::RESET };
    }
}

#[tracepoint]
pub fn receive_reset(ctx: TracePointContext) -> u32 {
    reset(field(&ctx, offset!(receive_reset_skaddr)));
    0
}

#[tracepoint]
pub fn send_reset(ctx: TracePointContext) -> u32 {
    reset(field(&ctx, offset!(send_reset_skaddr)));
    0
}

/// A thread that dies inside a call never leaves it.
#[tracepoint]
pub fn thread_exit(_: TracePointContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let _ = IN_FLIGHT.remove(thread);
    let _ = TLS_IN_FLIGHT.remove(thread);
    0
}
