//! System calls that move bytes.
//!
//! At its entry a call's descriptor is resolved to a socket and the call is remembered; at its
//! exit, when it is known how many bytes passed and all of the caller's memory is resident, they
//! are copied. One program serves every exit.

use core::ptr::read_volatile;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use wirespan_events::{
    Counter, call as name, data_flag,
    direction::{RECEIVED, SENT},
    layer, missing, role,
};

use crate::globals::is_watched;
use crate::maps::{
    Call, IN_FLIGHT, MORE, SOCKETS, Socket, TLS_IN_FLIGHT, count, shape, socket_flag,
};
use crate::walk::{self, Found, RCV_SHUTDOWN};
use crate::{binding, copy, hand_over, report, socket};

const MSG_OOB: u32 = 0x1;
const MSG_PEEK: u32 = 0x2;
const MSG_TRUNC: u32 = 0x20;
const MSG_ERRQUEUE: u32 = 0x2000;

/// Arguments of a system call begin here in the context of its entry, and its result in that of
/// its exit (64-bit kernels).
const ARGUMENTS: usize = 16;

#[inline(always)]
fn argument(ctx: &TracePointContext, index: usize) -> u64 {
    // SAFETY: within the context; the kernel refuses to attach a program that reads beyond it.
    unsafe { ctx.as_ptr().add(ARGUMENTS + 8 * index).cast::<u64>().read() }
}

/// What an entry says of its call.
struct Entry {
    fd: u32,
    call: u8,
    direction: u8,
    shape: u8,
    argument: u64,
    /// Length of the buffer, number of iovecs or of messages.
    length: u64,
}

#[inline(always)]
fn enter(entry: &Entry) {
    let thread = bpf_get_current_pid_tgid();
    let tgid = (thread >> 32) as u32;
    if !is_watched(tgid) {
        return;
    }
    let Some(found) = walk::socket_of(entry.fd) else {
        return;
    };
    enter_socket(entry, found, thread);
}

#[inline(always)]
fn enter_socket(entry: &Entry, found: Found, thread: u64) {
    let tgid = (thread >> 32) as u32;
    let Some(state) = socket::of(found) else {
        return;
    };
    // SAFETY: `bpf_ktime_get_ns` has no arguments; `state` is a value of the map of sockets.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: as above.
    unsafe {
        socket::locate(state, found.sk);
        if !show(state, found.sk, tgid, now) {
            binding::hidden(
                found,
                state,
                entry.direction,
                entry.shape,
                entry.argument,
                now,
            );
            return;
        }
    }
    let call = Call {
        sk: found.sk,
        inode: found.inode,
        entry: now,
        exit: 0,
        argument: entry.argument,
        iov: 0,
        segment: 0,
        segment_left: 0,
        left: 0,
        message_left: 0,
        lost: 0,
        position: 0,
        skip_until: 0,
        tls: 0,
        message: 0,
        messages_left: 0,
        iov_left: 0,
        budget: 0,
        sequence: walk::sequence(found.sk, entry.direction),
        tgid,
        tid: thread as u32,
        data_flags: 0,
        length: if entry.length > u64::from(u32::MAX) {
            u32::MAX
        } else {
            entry.length as u32
        },
        call: entry.call,
        direction: entry.direction,
        layer: layer::SOCKET,
        shape: entry.shape,
        cause: missing::LIMIT,
        reserved: [0; 3],
    };
    if IN_FLIGHT.insert(thread, &call, BPF_ANY.into()).is_err() {
        count(Counter::InFlightFull, 1);
    }
}

/// Whether this socket is to be reported; announces it when it is, and its positions are known.
#[inline(always)]
unsafe fn show(state: *mut Socket, sk: u64, tgid: u32, now: u64) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if (*state).flags & socket_flag::POSITIONS != 0 {
            socket::decide(state, sk, tgid);
            if (*state).flags & (socket_flag::HIDDEN | socket_flag::ANNOUNCED) == 0 {
                // Within a call of a TLS function the plaintext will count from that call's entry.
                let time = match TLS_IN_FLIGHT.get_ptr(bpf_get_current_pid_tgid()) {
                    Some(outer) if (*outer).entry < now => (*outer).entry,
                    _ => now,
                };
                report::open(state, sk, tgid, time);
            }
        }
        (*state).flags & socket_flag::HIDDEN == 0
    }
}

/// For receives: peeking consumes nothing, truncating copies nothing.
#[inline(always)]
fn receive_shape(flags: u32, plain: u8) -> u8 {
    if flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE) != 0 {
        shape::PEEK
    } else if flags & MSG_TRUNC != 0 {
        shape::NONE
    } else {
        plain
    }
}

macro_rules! entries {
    ($($program:ident($ctx:ident) => $entry:expr;)+) => {
        $(
            #[tracepoint]
            pub fn $program($ctx: TracePointContext) -> u32 {
                enter(&$entry);
                0
            }
        )+
    };
}

#[inline(always)]
fn entry(ctx: &TracePointContext, call: u8, direction: u8, shape: u8, length: u64) -> Entry {
    Entry {
        fd: argument(ctx, 0) as u32,
        call,
        direction,
        shape,
        argument: argument(ctx, 1),
        length,
    }
}

entries! {
    enter_read(ctx) => entry(&ctx, name::READ, RECEIVED, shape::BUFFER, argument(&ctx, 2));
    enter_write(ctx) => entry(&ctx, name::WRITE, SENT, shape::BUFFER, argument(&ctx, 2));
    enter_readv(ctx) => entry(&ctx, name::READV, RECEIVED, shape::IOVECS, argument(&ctx, 2));
    enter_writev(ctx) => entry(&ctx, name::WRITEV, SENT, shape::IOVECS, argument(&ctx, 2));
    enter_sendto(ctx) => entry(&ctx, name::SENDTO, SENT, shape::BUFFER, argument(&ctx, 2));
    enter_recvfrom(ctx) => entry(
        &ctx,
        name::RECVFROM,
        RECEIVED,
        receive_shape(argument(&ctx, 3) as u32, shape::BUFFER),
        argument(&ctx, 2),
    );
    enter_sendmsg(ctx) => entry(&ctx, name::SENDMSG, SENT, shape::MESSAGE, 1);
    enter_recvmsg(ctx) => entry(
        &ctx,
        name::RECVMSG,
        RECEIVED,
        receive_shape(argument(&ctx, 2) as u32, shape::MESSAGE),
        1,
    );
    enter_sendmmsg(ctx) => entry(&ctx, name::SENDMMSG, SENT, shape::MESSAGES, argument(&ctx, 2));
    enter_recvmmsg(ctx) => entry(
        &ctx,
        name::RECVMMSG,
        RECEIVED,
        receive_shape(argument(&ctx, 3) as u32, shape::MESSAGES),
        argument(&ctx, 2),
    );
    enter_sendfile(ctx) => entry(&ctx, name::SENDFILE, SENT, shape::NONE, argument(&ctx, 3));
}

/// `splice(in, in_offset, out, out_offset, len, flags)`: one end is a pipe.
#[tracepoint]
pub fn enter_splice(ctx: TracePointContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    if !is_watched((thread >> 32) as u32) {
        return 0;
    }
    let mut entry = Entry {
        fd: argument(&ctx, 2) as u32,
        call: name::SPLICE,
        direction: SENT,
        shape: shape::NONE,
        argument: 0,
        length: argument(&ctx, 4),
    };
    let mut found = walk::socket_of(entry.fd);
    if found.is_none() {
        entry.fd = argument(&ctx, 0) as u32;
        entry.direction = RECEIVED;
        found = walk::socket_of(entry.fd);
    }
    if let Some(found) = found {
        enter_socket(&entry, found, thread);
    }
    0
}

/// The exit of any of them but those below.
#[tracepoint]
pub fn exit_call(ctx: TracePointContext) -> u32 {
    exit::<false>(&ctx);
    0
}

/// The exit of those that take a vector of messages. A program of its own: two more loops are much
/// to ask of the verifiers of old kernels.
#[tracepoint]
pub fn exit_messages(ctx: TracePointContext) -> u32 {
    exit::<true>(&ctx);
    0
}

#[inline(always)]
fn exit<const MESSAGES: bool>(ctx: &TracePointContext) {
    let thread = bpf_get_current_pid_tgid();
    let Some(call) = IN_FLIGHT.get_ptr_mut(thread) else {
        return;
    };
    let result = argument(ctx, 0).cast_signed();
    // SAFETY: a value of the map of calls; it is this thread's own until it is removed.
    unsafe {
        if (*call).shape != shape::PEEK {
            if result > 0 {
                if passed::<MESSAGES>(call, result.cast_unsigned()) {
                    MORE.tail_call(ctx, u32::from(MESSAGES));
                    // Nobody goes on: what is left is told as such.
                    hand_over::give_up(call);
                }
            } else if result == 0 && (*call).direction == RECEIVED && (*call).length != 0 {
                ended(call);
            }
        }
    }
    let _ = IN_FLIGHT.remove(thread);
}

/// Goes on with a call of more pieces than one program can copy.
#[tracepoint]
pub fn more_of_call(ctx: TracePointContext) -> u32 {
    resume::<false>(&ctx);
    0
}

/// The same for a vector of messages.
#[tracepoint]
pub fn more_of_messages(ctx: TracePointContext) -> u32 {
    resume::<true>(&ctx);
    0
}

#[inline(always)]
fn resume<const MESSAGES: bool>(ctx: &TracePointContext) {
    let thread = bpf_get_current_pid_tgid();
    let Some(call) = IN_FLIGHT.get_ptr_mut(thread) else {
        return;
    };
    // SAFETY: a value of the map of calls; it is this thread's own until it is removed.
    unsafe {
        if let Some(state) = state_of(call)
            && let Some(ring) = report::ring()
        {
            if hand_over::go_on::<MESSAGES>(call, state, ring) {
                MORE.tail_call(ctx, u32::from(MESSAGES));
            }
            hand_over::finish(call, state, ring);
        }
    }
    let _ = IN_FLIGHT.remove(thread);
}

/// The state of the call's socket, unless the socket has been replaced.
///
/// # Safety
/// `call` is a value of the map of calls.
#[inline(always)]
pub unsafe fn state_of(call: *mut Call) -> Option<*mut Socket> {
    // SAFETY: as in `exit_call`.
    unsafe {
        let state = SOCKETS.get_ptr_mut((*call).sk)?;
        if (*state).inode == (*call).inode {
            Some(state)
        } else {
            None
        }
    }
}

/// Bytes have passed. True when there is more to copy of them.
#[inline(always)]
unsafe fn passed<const MESSAGES: bool>(call: *mut Call, result: u64) -> bool {
    // SAFETY: as in `exit_call`.
    unsafe {
        let Some(state) = state_of(call) else {
            return false;
        };
        let now = bpf_ktime_get_ns();
        (*call).exit = now;
        (*call).left = result;
        if MESSAGES {
            copy::add_messages(call, result);
        }
        let total = read_volatile(&raw const (*call).left);
        let sk = (*call).sk;
        let direction = (*call).direction;
        if (*state).flags & socket_flag::POSITIONS == 0 {
            // The handshake was made by this very call: count back to before it.
            socket::locate(state, sk);
            if (*state).flags & socket_flag::POSITIONS == 0 {
                return false;
            }
            let before = (*state).position[usize::from(direction & 1)].wrapping_sub(total);
            (*state).position[usize::from(direction & 1)] = before;
            if (*state).position[0] | (*state).position[1] == 0 {
                (*state).flags &= !socket_flag::MID_STREAM;
            }
            (*call).sequence = walk::sequence(sk, direction).wrapping_sub(total as u32);
            if !show(state, sk, (*call).tgid, (*call).entry) {
                return false;
            }
        }
        if (*state).flags & socket_flag::ANNOUNCED == 0 {
            // There was no room to announce it before. Its positions are still those before this
            // call, as the announcement must have them.
            report::open(state, sk, (*call).tgid, (*call).entry);
        }
        (*call).position = position(call, state, total);
        let end = (*call).position.wrapping_add(total);
        if direction == SENT {
            (*state).position[0] = end;
        } else {
            (*state).position[1] = end;
        }
        if (*state).flags & socket_flag::ANNOUNCED == 0 {
            count(Counter::PassedBytes, total);
            count(Counter::RingFullBytes, total);
            return false;
        }
        binding::bind(call, state);
        if (*state).flags & socket_flag::SECURED != 0 {
            count(Counter::PassedBytes, total);
            count(Counter::CiphertextBytes, total);
            return false;
        }
        hand_over::start::<MESSAGES>(call, state, result)
    }
}

/// Where the bytes of this call begin. TCP counts them itself: what was there at the entry, and
/// what is there at the exit less what passed, agree when no other call moved the same direction
/// in between.
#[inline(always)]
unsafe fn position(call: *mut Call, state: *mut Socket, total: u64) -> u64 {
    // SAFETY: as in `exit_call`.
    unsafe {
        let sk = (*call).sk;
        let direction = (*call).direction;
        let before = (*call).sequence;
        let after = walk::sequence(sk, direction);
        let moved = after.wrapping_sub(before);
        if moved == total as u32 {
            return socket::extend(state, direction, before);
        }
        if moved == (total as u32).wrapping_add(1) {
            // A FIN takes a sequence number of its own.
            if direction == RECEIVED && walk::shutdown(sk) & RCV_SHUTDOWN != 0 {
                (*state).flags |= socket_flag::END_READ;
                return socket::extend(state, direction, before);
            }
            if direction == SENT && (*state).flags & socket_flag::END_SENT != 0 {
                return socket::extend(state, direction, before);
            }
        }
        (*call).data_flags |= data_flag::POSITION_DISPUTED;
        socket::extend(state, direction, after.wrapping_sub(total as u32))
    }
}

/// A receive has returned 0.
#[inline(always)]
unsafe fn ended(call: *mut Call) {
    // SAFETY: as in `exit_call`.
    unsafe {
        let Some(state) = state_of(call) else { return };
        let sk = (*call).sk;
        // A message without room for a byte gives 0 too.
        if walk::shutdown(sk) & RCV_SHUTDOWN == 0 {
            return;
        }
        if (*state).flags & socket_flag::POSITIONS == 0 {
            return;
        }
        let after = walk::sequence(sk, RECEIVED);
        if after == (*call).sequence.wrapping_add(1) {
            (*state).flags |= socket_flag::END_READ;
        }
        let counted = u64::from((*state).flags & socket_flag::END_READ != 0);
        let position = if (*state).flags & socket_flag::SECURED != 0 {
            (*state).plaintext[1]
        } else {
            socket::extend(state, RECEIVED, after).wrapping_sub(counted)
        };
        if (*state).flags & (socket_flag::ANNOUNCED | socket_flag::END_TOLD)
            == socket_flag::ANNOUNCED
        {
            (*state).flags |= socket_flag::END_TOLD;
            let now = bpf_ktime_get_ns();
            report::passed_over(state, sk, RECEIVED, socket::layer(state), now, now);
            report::end(sk, (*call).inode, RECEIVED, position, now);
        }
    }
}

/// Remembers who opened the connection.
#[inline(always)]
fn set_role(found: Found, opener: u8) {
    if let Some(state) = socket::of(found) {
        // SAFETY: a value of the map of sockets.
        unsafe { (*state).role = opener };
    }
}

#[tracepoint]
pub fn exit_accept(ctx: TracePointContext) -> u32 {
    let fd = argument(&ctx, 0).cast_signed();
    if fd < 0 || !is_watched((bpf_get_current_pid_tgid() >> 32) as u32) {
        return 0;
    }
    if let Some(found) = walk::socket_of(fd as u32) {
        set_role(found, role::SERVER);
    }
    0
}

#[tracepoint]
pub fn enter_connect(ctx: TracePointContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    if !is_watched((thread >> 32) as u32) {
        return 0;
    }
    if let Some(found) = walk::socket_of(argument(&ctx, 0) as u32) {
        // Set now: another thread may use the connection before this call has returned. A socket
        // that never connects carries no bytes and is never announced.
        set_role(found, role::CLIENT);
    }
    0
}
