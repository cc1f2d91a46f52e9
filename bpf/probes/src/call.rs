//! A call that moves bytes through a socket, between its entry and its exit.
//!
//! At the entry the call is remembered; at the exit, when it is known how many bytes passed and all of
//! the caller's memory is resident, they are copied.

use core::ptr::read_volatile;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use wirespan_events::{
    Counter, close, data_flag,
    direction::{RECEIVED, SENT},
    layer, missing,
};

use crate::maps::{
    Call, MORE, MORE_AT_FUNCTION, SOCKETS, Socket, count, pieces, shape, socket_flag, zero,
};
use crate::opening::{self, Shown};
use crate::thread::{self, stage};
use crate::walk::{self, Found, RCV_SHUTDOWN, tcp};
use crate::{binding, copy, go, hand_over, life, output, position, report, socket};

const MSG_OOB: u32 = 0x1;
const MSG_PEEK: u32 = 0x2;
const MSG_TRUNC: u32 = 0x20;
const MSG_ERRQUEUE: u32 = 0x2000;

/// What an entry says of its call.
pub struct Entry {
    pub call: u8,
    pub direction: u8,
    pub shape: u8,
    pub argument: u64,
    /// Length of the buffer, number of iovecs or of messages.
    pub length: u64,
    /// Where the kernel lists the pieces of its memory.
    pub pieces: u64,
    /// The `struct socket`, where the call is seen at a function that is given it.
    pub socket: u64,
}

/// A thread enters a call on a socket.
#[inline(always)]
pub fn enter(entry: &Entry, found: Found, thread: u64) {
    let tgid = (thread >> 32) as u32;
    let Some(state) = socket::of_call(found) else {
        return;
    };
    // SAFETY: a value of the map of sockets.
    if unsafe { is_ciphertext(state, found, thread, entry) } {
        return;
    }
    // SAFETY: `bpf_ktime_get_ns` has no arguments; `state` is a value of the map of sockets.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: as above.
    unsafe {
        socket::locate(state, found.sk);
        let first = if (*state).flags & socket_flag::ANNOUNCED == 0 {
            go::entered(now)
        } else {
            now
        };
        if opening::show(state, found.sk, tgid, first) == Shown::Hidden {
            // Each handshake sends, so nothing is lost by not looking at what is received.
            let has_first = entry.shape < shape::MESSAGES || entry.shape == shape::PIECES;
            if entry.direction == SENT && has_first {
                let how = u32::from(entry.direction) | u32::from(entry.shape) << 8;
                binding::hidden(state, found.sk, entry.argument, how, now);
            }
            return;
        }
        // Here, where nothing is copied: the exit is as much as old verifiers can follow.
        if entry.direction == SENT
            && go::is_used()
            && let Some(address) =
                output::first_byte::<{ pieces::KERNEL }>(entry.shape, entry.argument)
        {
            let cut = go::bind(found.sk, state, address);
            if cut != 0 {
                // Not there, where less of the stack is left.
                if let Some(lacking) = SOCKETS.get_ptr_mut(cut) {
                    life::cut_off(lacking, cut);
                }
                if cut == found.sk {
                    return;
                }
            }
        }
    }
    // SAFETY: a value of the map of sockets.
    let (sequence, alone) = unsafe {
        if (*state).flags & socket_flag::UNIX != 0 {
            let (left, entered) = socket::calls(state, entry.direction);
            (entered as u32, left == entered)
        } else {
            (walk::sequence(found.sk, entry.direction), true)
        }
    };
    let Some(place) = thread::current(thread) else {
        return;
    };
    let none = zero();
    // SAFETY: values of maps; the thread's own is nobody else's.
    unsafe {
        let call = &raw mut (*place).call;
        if (*call).stage != stage::IDLE {
            forget_unended(call);
        }
        (*call).sk = found.sk;
        (*call).inode = found.inode;
        (*call).entry = now;
        (*call).argument = entry.argument;
        (*call).iov = entry.pieces;
        (*call).segment = none;
        (*call).segment_left = none;
        (*call).message_left = none;
        (*call).lost = none;
        (*call).skip_until = none;
        (*call).tls = none;
        (*call).message = entry.socket;
        (*call).messages_left = none as u32;
        (*call).iov_left = none as u32;
        (*call).sequence = sequence;
        (*call).tgid = tgid;
        (*call).tid = thread as u32;
        (*call).data_flags = if alone {
            0
        } else {
            data_flag::POSITION_DISPUTED
        };
        (*call).length = if entry.length > u64::from(u32::MAX) {
            u32::MAX
        } else {
            entry.length as u32
        };
        (*call).call = entry.call;
        (*call).direction = entry.direction;
        (*call).layer = layer::SOCKET;
        (*call).shape = entry.shape;
        (*call).cause = missing::LIMIT;
        (*call).stage = stage::ENTERED;
        socket::enter(state, entry.direction);
    }
}

/// Whether a call moves what the plaintext of its TLS object is told of already: made inside of a
/// function of that object, on the socket that is known to be its. Nothing can come of it but a length,
/// or an end.
#[inline(always)]
unsafe fn is_ciphertext(state: *mut Socket, found: Found, thread: u64, entry: &Entry) -> bool {
    /// Both directions are seen to move, so nothing moves past the probes.
    const OBSERVED: u32 = socket_flag::SECURED
        | socket_flag::POSITIONS
        | socket_flag::MOVED[0]
        | socket_flag::MOVED[1];
    const OTHERWISE: u32 = socket_flag::UNIX
        | socket_flag::GO
        | socket_flag::RECORDS
        | socket_flag::LACKS
        | socket_flag::LEFT
        | socket_flag::UNANSWERED
        | socket_flag::HIDDEN;
    // SAFETY: values of maps; the thread's own is nobody else's.
    unsafe {
        if (*state).flags & (OBSERVED | OTHERWISE) != OBSERVED || entry.shape == shape::MESSAGES {
            return false;
        }
        let Some(place) = thread::known(thread) else {
            return false;
        };
        let Some(outer) = thread::within(place) else {
            return false;
        };
        if (*outer).known_sk != found.sk || (*outer).known_inode != found.inode {
            return false;
        }
        let call = &raw mut (*place).call;
        if (*call).stage != stage::IDLE {
            forget_unended(call);
        }
        (*call).sk = found.sk;
        (*call).inode = found.inode;
        (*call).direction = entry.direction;
        (*call).message = entry.socket;
        (*call).length = u32::from(entry.length != 0);
        (*call).stage = stage::CIPHERTEXT;
        true
    }
}

/// The thread was inside a call whose exit was not seen: kernels that preempt programs run no other
/// one on that CPU meanwhile. What the call has moved is not known. TCP's positions tell; a Unix
/// socket's are lost.
///
/// # Safety
/// `call` is that of the thread.
#[inline(never)]
unsafe fn forget_unended(call: *mut Call) -> bool {
    count(Counter::Unended, 1);
    // SAFETY: values of maps.
    unsafe {
        if (*call).stage == stage::ENTERED
            && let Some(state) = state_of(call)
        {
            socket::leave(state, (*call).direction);
            if (*state).flags & socket_flag::UNIX != 0 {
                give_up(state, (*call).sk, bpf_ktime_get_ns());
            }
        }
        (*call).stage = stage::IDLE;
    }
    true
}

/// Tells nothing more of a connection.
///
/// # Safety
/// `state` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn give_up(state: *mut Socket, sk: u64, now: u64) {
    // SAFETY: as in `exit_call`.
    unsafe {
        let flags = (*state).flags;
        if flags & socket_flag::ANNOUNCED != 0 {
            let positions = (*state).position;
            report::close(state, sk, positions, close::UNOBSERVED, now);
        }
        (*state).flags = (flags & !socket_flag::ANNOUNCED) | socket_flag::HIDDEN;
    }
}

/// For receives: peeking consumes nothing, truncating copies nothing.
#[inline(always)]
pub fn receive_shape(flags: u32, plain: u8) -> u8 {
    if flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE) != 0 {
        shape::PEEK
    } else if flags & MSG_TRUNC != 0 {
        shape::NONE
    } else {
        plain
    }
}

/// The thread leaves the call that it is in. `result` is asked for it once there is one: read before, it
/// takes a register all the way, and old verifiers a million steps.
#[inline(always)]
pub fn exit<const PIECES: u8, C: EbpfContext>(ctx: &C, result: impl FnOnce(&C) -> i64) {
    let Some(call) = thread::call_of(bpf_get_current_pid_tgid()) else {
        return;
    };
    // SAFETY: a value of the map of threads; it is this thread's own.
    unsafe {
        if is_another::<PIECES>(call, ctx) {
            return;
        }
        let result = result(ctx);
        if (*call).stage == stage::CIPHERTEXT {
            ciphertext(call, result);
        } else if let Some(state) = state_of(call) {
            if result > 0 {
                if passed::<PIECES>(call, state, result.cast_unsigned()) {
                    hand_on::<PIECES>(ctx);
                    // Nobody goes on: what is left is told as such.
                    hand_over::give_up(call);
                }
            } else if result == 0 && (*call).direction == RECEIVED && (*call).length != 0 {
                ended(call, state);
            }
            socket::leave(state, (*call).direction);
        }
        (*call).stage = stage::IDLE;
    }
}

/// The exit of a call of which only the length counts.
#[inline(always)]
unsafe fn ciphertext(call: *mut Call, result: i64) {
    // SAFETY: as in `exit_call`.
    unsafe {
        if result > 0 {
            let total = result.cast_unsigned();
            count(Counter::PassedBytes, total);
            count(Counter::CiphertextBytes, total);
            // Its socket need not be looked up here: the function that the thread is in does when it returns.
            if let Some(outer) = thread::around(call) {
                if (*call).direction == SENT {
                    (*outer).passed[0] = (*outer).passed[0].wrapping_add(total);
                } else {
                    (*outer).passed[1] = (*outer).passed[1].wrapping_add(total);
                }
            }
        } else if result == 0
            && (*call).direction == RECEIVED
            && (*call).length != 0
            && let Some(state) = state_of(call)
        {
            ended(call, state);
        }
    }
}

/// Whether what ends is not the call that began, but one inside of it on another socket, whose entry was
/// left out: where memory of the caller lies in a file on the network, the kernel fetches it.
#[inline(always)]
unsafe fn is_another<const PIECES: u8>(call: *mut Call, ctx: &impl EbpfContext) -> bool {
    if PIECES == pieces::USER || PIECES == pieces::MESSAGES {
        return false;
    }
    // SAFETY: `call` is that of a value of the map of threads, `ctx` begins with a function's first argument.
    unsafe { (*call).message != ctx.as_ptr().cast::<u64>().read() }
}

/// Another program goes on, unless there is none.
#[inline(always)]
unsafe fn hand_on<const PIECES: u8>(ctx: &impl EbpfContext) {
    // SAFETY: nothing here has to be dropped.
    unsafe {
        if PIECES == pieces::KERNEL {
            MORE_AT_FUNCTION.tail_call(ctx, 0);
        } else {
            MORE.tail_call(ctx, PIECES.into());
        }
    }
}

/// Goes on with a call of more pieces than one program can copy.
#[inline(always)]
pub fn resume<const PIECES: u8>(ctx: &impl EbpfContext) {
    let Some(call) = thread::call_of(bpf_get_current_pid_tgid()) else {
        return;
    };
    // SAFETY: a value of the map of threads; it is this thread's own.
    unsafe {
        if let Some(state) = state_of(call)
            && let Some(ring) = report::ring()
        {
            if hand_over::go_on::<PIECES>(call, state, ring) {
                hand_on::<PIECES>(ctx);
            }
            hand_over::finish(call, state, ring);
            socket::leave(state, (*call).direction);
        }
        (*call).stage = stage::IDLE;
    }
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
unsafe fn passed<const PIECES: u8>(call: *mut Call, state: *mut Socket, result: u64) -> bool {
    // SAFETY: as in `exit_call`.
    unsafe {
        let now = bpf_ktime_get_ns();
        (*call).exit = now;
        (*call).left = result;
        if PIECES == pieces::MESSAGES {
            copy::add_messages(call, result);
        }
        let total = read_volatile(&raw const (*call).left);
        let sk = (*call).sk;
        let direction = (*call).direction;
        if (*state).flags & socket_flag::POSITIONS == 0 {
            // The handshake was made by this very call: count back to before it.
            socket::locate(state, sk);
            if (*state).flags & socket_flag::POSITIONS == 0 {
                if direction != SENT || walk::state(sk) != tcp::SYN_SENT {
                    return false;
                }
                socket::locate_unanswered(state, sk, total);
            } else {
                let before = (*state).position[usize::from(direction & 1)].wrapping_sub(total);
                (*state).position[usize::from(direction & 1)] = before;
                if (*state).position[0] | (*state).position[1] == 0 {
                    (*state).flags &= !socket_flag::MID_STREAM;
                }
            }
            (*call).sequence = walk::sequence(sk, direction).wrapping_sub(total as u32);
            if opening::show(state, sk, (*call).tgid, (*call).entry) == Shown::Hidden {
                return false;
            }
        }
        if (*state).flags & socket_flag::ANNOUNCED == 0 {
            // There was no room to announce it before. Its positions are still those before this
            // call, as the announcement must have them.
            report::open(state, sk, (*call).tgid, (*call).entry);
        }
        if (*state).flags & socket_flag::UNIX != 0 {
            position::of_unix(call, state);
            socket::advance(state, direction, total);
        } else {
            position::of_tcp(call, state);
            let end = (*call).position.wrapping_add((*call).left);
            if direction == SENT {
                if end > (*state).position[0] {
                    (*state).position[0] = end;
                }
                moved(state, socket_flag::MOVED[0]);
            } else {
                if end > (*state).position[1] {
                    (*state).position[1] = end;
                }
                moved(state, socket_flag::MOVED[1]);
            }
        }
        let total = read_volatile(&raw const (*call).left);
        if read_volatile(&raw const (*state).flags) & socket_flag::ANNOUNCED == 0 {
            count(Counter::PassedBytes, total);
            count(Counter::RingFullBytes, total);
            return false;
        }
        if total == 0 || position::is_half_unprobed(call, state) {
            return false;
        }
        binding::bind::<PIECES>(call, state);
        if (*state).flags & socket_flag::SECURED != 0 {
            count(Counter::PassedBytes, total);
            count(Counter::CiphertextBytes, total);
            return false;
        }
        hand_over::start::<PIECES>(call, state, result)
    }
}

/// Remembers that a direction has moved; once, as others may change flags at the same time.
#[inline(always)]
unsafe fn moved(state: *mut Socket, flag: u32) {
    // SAFETY: as in `exit_call`.
    unsafe {
        if (*state).flags & flag == 0 {
            (*state).flags |= flag;
        }
    }
}

/// A receive has returned 0.
#[inline(always)]
unsafe fn ended(call: *mut Call, state: *mut Socket) {
    // SAFETY: as in `exit_call`.
    unsafe {
        let sk = (*call).sk;
        // A message without room for a byte gives 0 too.
        if walk::shutdown(sk) & RCV_SHUTDOWN == 0 {
            return;
        }
        let flags = (*state).flags;
        if flags & socket_flag::POSITIONS == 0 {
            return;
        }
        let position = if flags & socket_flag::SECURED != 0 {
            (*state).plaintext[1]
        } else if flags & socket_flag::UNIX != 0 {
            (*state).position[1]
        } else {
            socket::extend(state, RECEIVED, walk::sequence(sk, RECEIVED))
        };
        if flags & (socket_flag::ANNOUNCED | socket_flag::END_TOLD) == socket_flag::ANNOUNCED {
            (*state).flags = flags | socket_flag::END_TOLD;
            let now = bpf_ktime_get_ns();
            report::passed_over(state, sk, RECEIVED, socket::layer(state), now, now);
            report::end(sk, (*call).inode, RECEIVED, position, now);
        }
    }
}
