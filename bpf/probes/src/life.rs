//! The life of a TCP socket, beyond what system calls say: a `close` is not the end of a connection.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::{raw_tracepoint, tracepoint};
use aya_ebpf::programs::{RawTracePointContext, TracePointContext};
use wirespan_events::direction::{RECEIVED, SENT};
use wirespan_events::{Counter, close, role as opener};

use crate::globals::{is_agent, is_watched, offset};
use crate::maps::{Flow, OWN_FLOWS, OWN_SOCKETS, SOCKETS, Socket, THREADS, count, socket_flag};
use crate::syscall::argument;
use crate::thread::{self, stage};
use crate::walk::{self, Found, copied, tcp};
use crate::{call, go, report, role, socket};

const IPPROTO_TCP: u16 = 6;

/// A field of a trace point, at an offset that the host read from its format.
#[inline(always)]
fn field<T: Copy + Default>(ctx: &TracePointContext, offset: u64) -> T {
    copied(ctx.as_ptr() as u64 + offset)
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
        tcp::CLOSE => leaving(sk),
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
            if (*state).flags & (socket_flag::ANNOUNCED | socket_flag::POSITIONS) != 0 {
                forget(state, sk);
            }
        }
    }
    // However it connects: bytes that are sent with the SYN need no `connect`.
    let inode = walk::inode_of(sk);
    if inode != 0 {
        role::set(Found { sk, inode }, opener::CLIENT);
    }
}

/// The other end of an agent's connection is told by its addresses.
#[inline(always)]
fn established(sk: u64) {
    if let Some(state) = SOCKETS.get_ptr_mut(sk) {
        // SAFETY: a value of the map of sockets.
        unsafe {
            if (*state).flags & socket_flag::UNANSWERED != 0 {
                (*state).origin[1] = walk::sequence(sk, RECEIVED);
                (*state).flags &= !socket_flag::UNANSWERED;
            } else if (*state).flags & socket_flag::POSITIONS == 0
                && socket::is_at_rest(state)
                && walk::inode_of(sk) == (*state).inode
            {
                // Here, where nothing moves: of several threads that make their first call at once one
                // would read the counters while another moves them.
                socket::locate_established(state, sk);
            }
        }
    }
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
            if flags & socket_flag::GO != 0 && go::leave_to_writes(state, go::owed::END) {
                return;
            }
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

/// TCP leaves the connection. What it has received may be read still; its sequence numbers are
/// changed next when it was dissolved (`SO_LINGER` of 0, `connect` to nowhere).
#[inline(always)]
fn leaving(sk: u64) {
    let Some(state) = SOCKETS.get_ptr_mut(sk) else {
        return;
    };
    // SAFETY: a value of the map of sockets.
    unsafe {
        let flags = (*state).flags;
        if flags & socket_flag::POSITIONS == 0 {
            return;
        }
        if flags & socket_flag::END_SENT == 0 {
            (*state).position[0] = socket::extend(state, SENT, walk::sequence(sk, SENT));
        }
        (*state).position[1] = socket::extend(state, RECEIVED, walk::sequence(sk, RECEIVED));
        (*state).flags = flags | socket_flag::LEFT;
    }
}

/// A socket has ended: reports it and forgets it, unless a write of Go is about to return, which then
/// does.
///
/// # Safety
/// `state` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn gone(state: *mut Socket, sk: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        if (*state).flags & socket_flag::GO != 0 {
            (*state).position = positions(state, sk);
            if go::ends(state) {
                return;
            }
        }
        forget(state, sk);
    }
}

/// Where a socket has come to.
#[inline(always)]
unsafe fn positions(state: *mut Socket, sk: u64) -> [u64; 2] {
    const COUNTED: u32 = socket_flag::STAND_IN | socket_flag::UNIX | socket_flag::LEFT;
    // SAFETY: as in `gone`.
    unsafe {
        let flags = (*state).flags;
        let sent = if flags & (socket_flag::END_SENT | COUNTED) != 0 {
            (*state).position[0]
        } else {
            socket::extend(state, 0, walk::sequence(sk, 0))
        };
        let received = if flags & COUNTED != 0 {
            (*state).position[1]
        } else {
            socket::extend(state, 1, walk::sequence(sk, 1))
        };
        [sent, received]
    }
}

/// Reports the end of a socket and forgets it.
///
/// # Safety
/// `state` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn forget(state: *mut Socket, sk: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let inode = (*state).inode;
        let flags = (*state).flags;
        if flags & socket_flag::ANNOUNCED != 0 {
            let [sent, received] = positions(state, sk);
            // The positions are those of the ciphertext: they do not tell what is missing at the end.
            let lost = (*state).lost[0] | (*state).lost[1] != 0;
            let reason = if flags & socket_flag::SECURED != 0 && lost
                || flags & socket_flag::GO != 0 && go::is_lacking(state, received)
                || is_half_unseen(state)
            {
                close::UNOBSERVED
            } else if flags & socket_flag::RESET != 0 {
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
        socket::remove(sk, inode);
    }
}

/// Whether a direction has moved, and never by a call: too seldom, since the host was told of the
/// connection, for it to be given up before its end.
#[inline(always)]
unsafe fn is_half_unseen(state: *mut Socket) -> bool {
    // SAFETY: as in `forget`.
    unsafe {
        let flags = (*state).flags;
        (*state).unprobed[0] != 0 && flags & socket_flag::MOVED[0] == 0
            || (*state).unprobed[1] != 0 && flags & socket_flag::MOVED[1] == 0
    }
}

/// The connection goes on, but nothing tells what has passed on it, or whose it is: it is over for the
/// host, and begins again in the middle where it is seen next. A function of its own, as it is rare
/// and long.
///
/// # Safety
/// `state` is a value of the map of sockets.
#[inline(never)]
pub unsafe fn cut_off(state: *mut Socket, sk: u64) {
    // SAFETY: as the caller promises.
    unsafe { cut_off_here(state, sk) };
}

/// [`cut_off`] for those of whose stack too much is taken.
///
/// # Safety
/// `state` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn cut_off_here(state: *mut Socket, sk: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let inode = (*state).inode;
        if (*state).flags & socket_flag::ANNOUNCED != 0 {
            let positions = (*state).position;
            report::close(state, sk, positions, close::UNOBSERVED, bpf_ktime_get_ns());
        }
        socket::remove(sk, inode);
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

/// Another socket lies where this one was. A function of its own, as it is rare and long.
///
/// # Safety
/// `state` is a value of the map of sockets.
#[inline(never)]
pub unsafe fn replaced(state: *mut Socket, sk: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        // What is there now has sequence numbers of its own.
        (*state).flags |= socket_flag::LEFT;
        forget(state, sk);
    }
}

/// The host asks whether the socket at an address still lives. The program is attached to nothing: the
/// host runs it, with two numbers in place of a trace point's.
#[raw_tracepoint]
pub fn verify_socket(ctx: RawTracePointContext) -> i32 {
    let arguments: *const u64 = ctx.as_ptr().cast();
    // SAFETY: the kernel refuses to run the program with fewer than it looks at.
    let (sk, doubt) = unsafe { (arguments.read(), arguments.add(1).read() != 0) };
    verify(sk, doubt);
    0
}

/// An end can be missed, and of Unix sockets nothing tells when the last process that has it ends, where
/// only system calls are looked at. `doubt`: calls have been missed that may have moved the socket, of
/// which nothing tells where a Unix socket is concerned.
#[inline(always)]
fn verify(sk: u64, doubt: bool) {
    let Some(state) = SOCKETS.get_ptr_mut(sk) else {
        return;
    };
    // SAFETY: a value of the map of sockets.
    unsafe {
        let flags = (*state).flags;
        if flags & socket_flag::STAND_IN != 0 {
            return;
        }
        // Memory of a socket that is gone still says that no file refers to it, or what another
        // socket says that lies there now.
        let inode = walk::inode_of(sk);
        let orphaned = inode == 0 && flags & socket_flag::UNIX == 0;
        if inode == (*state).inode || (orphaned && walk::state(sk) != tcp::CLOSE) {
            const SHOWN: u32 = socket_flag::UNIX | socket_flag::ANNOUNCED;
            if doubt && flags & (SHOWN | socket_flag::HIDDEN) == SHOWN {
                count(Counter::Doubted, 1);
                call::give_up(state, sk, bpf_ktime_get_ns());
            }
            return;
        }
        if flags & socket_flag::GO != 0 && go::has_time(state) {
            return;
        }
        count(Counter::FoundGone, 1);
        replaced(state, sk);
    }
}

/// A descriptor is closed. For TCP that is not the end; a Unix socket ends with its last one.
#[tracepoint]
pub fn enter_close(ctx: TracePointContext) -> u32 {
    let file = walk::file_of(argument(&ctx, 0) as u32);
    let Some(found) = walk::socket_in(file) else {
        return 0;
    };
    let Some(state) = SOCKETS.get_ptr_mut(found.sk) else {
        if is_agent((bpf_get_current_pid_tgid() >> 32) as u32) {
            let _ = OWN_SOCKETS.remove(found.sk);
        }
        return 0;
    };
    // SAFETY: a value of the map of sockets.
    unsafe {
        if (*state).inode == found.inode
            && (*state).flags & socket_flag::UNIX != 0
            && walk::is_last_reference(file)
        {
            gone(state, found.sk);
        }
    }
    0
}

#[tracepoint]
pub fn enter_shutdown(ctx: TracePointContext) -> u32 {
    if let Some(found) = walk::socket_of(argument(&ctx, 0) as u32) {
        shuts_down(found, argument(&ctx, 1));
    }
    0
}

/// This end of a Unix socket says that this was all; of TCP its state tells.
#[inline(always)]
pub fn shuts_down(found: Found, how: u64) {
    const SHUT_RD: u32 = 0;
    if how as u32 == SHUT_RD {
        return;
    }
    if let Some(state) = SOCKETS.get_ptr_mut(found.sk) {
        // SAFETY: a value of the map of sockets; the helper has no arguments.
        unsafe {
            let flags = (*state).flags;
            let told = flags & socket_flag::END_SENT != 0;
            if (*state).inode != found.inode || flags & socket_flag::UNIX == 0 || told {
                return;
            }
            (*state).flags = flags | socket_flag::END_SENT;
            if flags & socket_flag::ANNOUNCED != 0 {
                let now = bpf_ktime_get_ns();
                let position = if flags & socket_flag::SECURED != 0 {
                    (*state).plaintext[0]
                } else {
                    (*state).position[0]
                };
                report::passed_over(state, found.sk, SENT, socket::layer(state), now, now);
                report::end(found.sk, found.inode, SENT, position, now);
            }
        }
    }
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
    if let Some(call) = thread::call_of(thread) {
        // SAFETY: a value of the map of threads.
        unsafe {
            if (*call).stage == stage::ENTERED
                && let Some(state) = call::state_of(call)
            {
                socket::leave(state, (*call).direction);
            }
        }
    }
    let _ = THREADS.remove(thread);
    0
}

/// A process goes on as another program: the connections that it keeps are that one's from now on.
#[tracepoint]
pub fn executed(_: TracePointContext) -> u32 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if is_watched(tgid) {
        // SAFETY: a helper without arguments.
        report::executed(tgid, unsafe { bpf_ktime_get_ns() });
    }
    0
}
