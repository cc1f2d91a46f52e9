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
use wirespan_events::config::ASK_SPLICE_LENGTH;
use wirespan_events::{
    Counter, call as name, close, data_flag,
    direction::{RECEIVED, SENT},
    layer, missing, role,
};

use crate::globals::{is_agent, is_watched};
use crate::maps::{Call, MORE, OWN_SOCKETS, SOCKETS, Socket, count, shape, socket_flag};
use crate::thread::{self, stage};
use crate::walk::{self, Found, RCV_SHUTDOWN, tcp};
use crate::{binding, copy, go, hand_over, life, output, report, socket};

const MSG_OOB: u32 = 0x1;
const MSG_PEEK: u32 = 0x2;
const MSG_TRUNC: u32 = 0x20;
const MSG_ERRQUEUE: u32 = 0x2000;

/// Arguments of a system call begin here in the context of its entry, and its result in that of
/// its exit (64-bit kernels).
const ARGUMENTS: usize = 16;

#[inline(always)]
pub fn argument(ctx: &TracePointContext, index: usize) -> u64 {
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
    // What is only looked at does not pass.
    if entry.shape == shape::PEEK || !is_watched(tgid) {
        return;
    }
    let Some(found) = walk::any_socket_in(walk::file_of(entry.fd)) else {
        return;
    };
    enter_socket(entry, found, thread);
}

#[inline(always)]
fn enter_socket(entry: &Entry, found: Found, thread: u64) {
    let tgid = (thread >> 32) as u32;
    let Some(state) = socket::of_call(found) else {
        return;
    };
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
        if !show(state, found.sk, tgid, first) {
            // Each handshake sends, so nothing is lost by not looking at what is received.
            if entry.direction == SENT && entry.shape < shape::MESSAGES {
                let how = u32::from(entry.direction) | u32::from(entry.shape) << 8;
                binding::hidden(state, found.sk, entry.argument, how, now);
            }
            return;
        }
        if is_ciphertext(state, found, thread, entry) {
            return;
        }
        // Here, where nothing is copied: the exit is as much as old verifiers can follow.
        if entry.direction == SENT
            && go::is_used()
            && let Some(address) = output::first_byte(entry.shape, entry.argument)
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
        (*call).iov = 0;
        (*call).segment = 0;
        (*call).segment_left = 0;
        (*call).message_left = 0;
        (*call).lost = 0;
        (*call).skip_until = 0;
        (*call).tls = 0;
        (*call).messages_left = 0;
        (*call).iov_left = 0;
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
        | socket_flag::UNANSWERED;
    // SAFETY: values of maps; the thread's own is nobody else's.
    unsafe {
        if (*state).flags & (OBSERVED | OTHERWISE) != OBSERVED || entry.shape == shape::MESSAGES {
            return false;
        }
        let Some(outer) = thread::tls_call_of(thread) else {
            return false;
        };
        if (*outer).known_sk != found.sk || (*outer).known_inode != found.inode {
            return false;
        }
        let Some(place) = thread::known(thread) else {
            return false;
        };
        let call = &raw mut (*place).call;
        if (*call).stage != stage::IDLE {
            forget_unended(call);
        }
        (*call).sk = found.sk;
        (*call).inode = found.inode;
        (*call).direction = entry.direction;
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

/// Whether this socket is to be reported; announces it when it is, and its positions are known.
#[inline(always)]
unsafe fn show(state: *mut Socket, sk: u64, tgid: u32, now: u64) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if (*state).flags & socket_flag::POSITIONS != 0 {
            socket::decide(state, sk, tgid);
            if (*state).flags & (socket_flag::HIDDEN | socket_flag::ANNOUNCED) == 0 {
                // Within a call of a TLS function the plaintext will count from that call's entry.
                let time = match thread::tls_call_of(bpf_get_current_pid_tgid()) {
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
    if argument(&ctx, 4) == ASK_SPLICE_LENGTH && argument(&ctx, 0) as i32 == -1 {
        life::verify(argument(&ctx, 1), argument(&ctx, 3) != 0);
        return 0;
    }
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
    let mut found = walk::any_socket_in(walk::file_of(entry.fd));
    if found.is_none() {
        entry.fd = argument(&ctx, 0) as u32;
        entry.direction = RECEIVED;
        found = walk::any_socket_in(walk::file_of(entry.fd));
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
    let Some(call) = thread::call_of(bpf_get_current_pid_tgid()) else {
        return;
    };
    let result = argument(ctx, 0).cast_signed();
    // SAFETY: a value of the map of threads; it is this thread's own.
    unsafe {
        if (*call).stage == stage::CIPHERTEXT {
            ciphertext(call, result);
        } else if let Some(state) = state_of(call) {
            if result > 0 {
                if passed::<MESSAGES>(call, state, result.cast_unsigned()) {
                    MORE.tail_call(ctx, u32::from(MESSAGES));
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
            if let Some(state) = state_of(call) {
                let total = result.cast_unsigned();
                socket::advance(state, (*call).direction, total);
                count(Counter::PassedBytes, total);
                count(Counter::CiphertextBytes, total);
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
    let Some(call) = thread::call_of(bpf_get_current_pid_tgid()) else {
        return;
    };
    // SAFETY: a value of the map of threads; it is this thread's own.
    unsafe {
        if let Some(state) = state_of(call)
            && let Some(ring) = report::ring()
        {
            if hand_over::go_on::<MESSAGES>(call, state, ring) {
                MORE.tail_call(ctx, u32::from(MESSAGES));
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
unsafe fn passed<const MESSAGES: bool>(call: *mut Call, state: *mut Socket, result: u64) -> bool {
    // SAFETY: as in `exit_call`.
    unsafe {
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
            if !show(state, sk, (*call).tgid, (*call).entry) {
                return false;
            }
        }
        if (*state).flags & socket_flag::ANNOUNCED == 0 {
            // There was no room to announce it before. Its positions are still those before this
            // call, as the announcement must have them.
            report::open(state, sk, (*call).tgid, (*call).entry);
        }
        if (*state).flags & socket_flag::UNIX != 0 {
            position_of_unix(call, state);
            socket::advance(state, direction, total);
        } else {
            position(call, state);
            let end = (*call).position.wrapping_add((*call).left);
            if direction == SENT {
                if end > (*state).position[0] {
                    (*state).position[0] = end;
                }
                (*state).flags |= socket_flag::MOVED[0];
            } else {
                if end > (*state).position[1] {
                    (*state).position[1] = end;
                }
                (*state).flags |= socket_flag::MOVED[1];
            }
        }
        let total = read_volatile(&raw const (*call).left);
        if (*state).flags & socket_flag::ANNOUNCED == 0 {
            count(Counter::PassedBytes, total);
            count(Counter::RingFullBytes, total);
            return false;
        }
        if total == 0 || is_half_unprobed(call, state) {
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
/// what is there at the exit, are as far apart as what passed when no other call moved the same
/// direction in between. When they are not, nothing tells whose bytes lie where: what passed since
/// the entry, as far as nobody has told of it, becomes a gap.
#[inline(always)]
unsafe fn position(call: *mut Call, state: *mut Socket) {
    // SAFETY: as in `exit_call`.
    unsafe {
        let sk = (*call).sk;
        let direction = (*call).direction;
        let total = (*call).left;
        let before = (*call).sequence;
        let mut after = walk::sequence(sk, direction);
        let moved = after.wrapping_sub(before);
        let ends = direction == SENT && (*state).flags & socket_flag::END_SENT != 0;
        if moved == total as u32 || (ends && moved == (total as u32).wrapping_add(1)) {
            (*call).position = socket::extend(state, direction, before);
            return;
        }
        if direction == RECEIVED
            && moved == (total as u32).wrapping_add(1)
            && walk::is_urgent(sk, before)
        {
            let first = before.wrapping_add(1);
            (*call).position = socket::extend(state, direction, first);
            return;
        }
        if ends {
            // A FIN takes a sequence number of its own.
            after = after.wrapping_sub(1);
        }
        let mut begin = socket::extend(state, direction, before);
        let end = socket::extend(state, direction, after);
        let told = if direction == SENT {
            (*state).position[0]
        } else {
            (*state).position[1]
        };
        if told > begin {
            begin = told;
        }
        dispute(call, begin, end.saturating_sub(begin));
    }
}

/// The same for a socket that does not count: of calls that overlap only how much they moved is
/// known.
#[inline(always)]
unsafe fn position_of_unix(call: *mut Call, state: *mut Socket) {
    // SAFETY: as in `exit_call`.
    unsafe {
        let direction = (*call).direction;
        let (_, entered) = socket::calls(state, direction);
        let position = if direction == SENT {
            (*state).position[0]
        } else {
            (*state).position[1]
        };
        (*call).position = position;
        let alone = (*call).data_flags & data_flag::POSITION_DISPUTED == 0;
        if !alone || entered as u32 != (*call).sequence.wrapping_add(1) {
            dispute(call, position, (*call).left);
        }
    }
}

/// Makes a gap of it.
#[inline(always)]
unsafe fn dispute(call: *mut Call, position: u64, len: u64) {
    // SAFETY: as in `exit_call`.
    unsafe {
        count(Counter::DisputedBytes, len);
        (*call).data_flags |= data_flag::POSITION_DISPUTED;
        (*call).shape = shape::NONE;
        (*call).position = position;
        (*call).left = len;
    }
}

/// Times that a direction must have moved without any call, and never with one, before its
/// connection is given up: a thread that has waited in a call since before the probes were attached
/// can move it once.
const UNPROBED_TIMES: u8 = 3;

/// Whether the other direction only moves on a road without a probe, such as io_uring: half a
/// conversation would look like one without answers, so none of it is told.
#[inline(always)]
unsafe fn is_half_unprobed(call: *mut Call, state: *mut Socket) -> bool {
    // SAFETY: as in `exit_call`.
    unsafe {
        const COUNTED: u32 = socket_flag::UNIX | socket_flag::UNANSWERED | socket_flag::LEFT;
        let sk = (*call).sk;
        let other = if (*call).direction == SENT {
            RECEIVED
        } else {
            SENT
        };
        let moved = socket_flag::MOVED[usize::from(other & 1)];
        if (*state).flags & (moved | COUNTED) != 0 {
            return false;
        }
        let (left, entered) = socket::calls(state, other);
        if left != entered {
            return false;
        }
        let known = (*state).position[usize::from(other & 1)];
        let now = socket::extend(state, other, walk::sequence(sk, other));
        let fin = u64::from(other == SENT && (*state).flags & socket_flag::END_SENT != 0);
        if now <= known.wrapping_add(fin) {
            return false;
        }
        count(Counter::UnprobedBytes, now - known);
        (*state).position[usize::from(other & 1)] = now;
        let times = (*state).unprobed[usize::from(other & 1)].saturating_add(1);
        (*state).unprobed[usize::from(other & 1)] = times;
        if times < UNPROBED_TIMES {
            return false;
        }
        count(Counter::UnprobedConnections, 1);
        give_up(state, sk, (*call).exit);
        true
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

/// Remembers who opened the connection, whose beginning this is.
#[inline(always)]
pub fn set_role(found: Found, opener: u8) {
    if let Some(state) = socket::of(found) {
        // SAFETY: a value of the map of sockets.
        unsafe {
            (*state).role = opener;
            if (*state).flags & (socket_flag::UNIX | socket_flag::ANNOUNCED) == socket_flag::UNIX {
                (*state).flags &= !socket_flag::MID_STREAM;
            }
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
        set_role(found, role::SERVER);
    }
    0
}

#[tracepoint]
pub fn enter_connect(ctx: TracePointContext) -> u32 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let Some(found) = walk::socket_of(argument(&ctx, 0) as u32) else {
        return 0;
    };
    if is_watched(tgid) {
        // Set now: another thread may use the connection before this call has returned. A socket
        // that never connects carries no bytes and is never announced.
        set_role(found, role::CLIENT);
    } else if is_agent(tgid) && walk::is_unix(found.sk) {
        // The other end is told by its peer.
        let _ = OWN_SOCKETS.insert(found.sk, 1u8, BPF_ANY.into());
    }
    0
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
        set_role(found, role::UNKNOWN);
    }
    if let Some(found) = walk::socket_of(second) {
        set_role(found, role::UNKNOWN);
    }
    0
}
