//! Plaintext of Go's crypto/tls, bound to its socket.
//!
//! A call belongs to a goroutine, not to a thread: it can be entered on one and return on another.
//! The goroutine is in R14 (since Go 1.17), and in the thread's local storage while it is in a system
//! call. Its stack moves when it grows, so places on it are remembered by their distance from its
//! upper end, which a move does not change. There are no return probes: a plain probe sits on each
//! return instruction, and what has returned is told by the height of the stack.
//!
//! What is written is seen when the function returns, which on a busy machine can be long after the
//! peer has it: after it has answered, after another goroutine has closed the connection. So a write
//! takes its place among the bytes when it sends, and the end of what is sent, and of the socket, are
//! told when the last write that has sent has returned.
//!
//! A connection is bound to the socket on which the goroutine, while it is inside of a function of
//! that connection, sends TLS records. Handshakes are watched for that alone. There are no
//! stand-ins: plaintext of a connection without a socket is left out and counted.

mod calls;
mod connection;
mod leave;

use core::ptr::read_volatile;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns};
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use wirespan_events::config::filter;
use wirespan_events::{Counter, direction::SENT};

use self::connection::{ambiguous, beneath, get, mid, missed, set, socket_of, state};
use crate::copy::user;
use crate::globals::{is_watched, offset, setting};
use crate::maps::{
    FILTER_TGIDS, GO_IN_FLIGHT, GO_WATCHED, GoCall, GoConnection, GoKey, SOCKETS, Socket, count,
    socket_flag,
};
use crate::walk::{Found, kernel};
use crate::{binding, life, output, report, socket};

/// Members of `runtime.g`: the stack's bounds come first.
const STACK_HIGH: u64 = 8;
/// Where a thread has its goroutine, below the address in FS.
const THREAD_GOROUTINE: u64 = 8;

/// Bits of [`GoCall::flags`].
mod call {
    /// The thread that entered it has the goroutine where it is looked for in system calls.
    pub const BINDABLE: u32 = 1;
    /// The buffer is on the goroutine's stack: its distance from the upper end is remembered.
    pub const ON_STACK: u32 = 2;
    /// A write that has sent: it has its position.
    pub const SENT: u32 = 4;
    /// Hands were shaken within it.
    pub const SHOOK: u32 = 8;
    /// It has returned, and what it has passed is where the thread has its calls.
    pub const REPORTED: u32 = 16;
}

/// What is told when the last write that has sent has returned: it is added to [`Socket::writing`].
pub mod owed {
    /// That this end sends no more.
    pub const END: u64 = 1 << 32;
    /// That the socket has ended.
    pub const CLOSE: u64 = 1 << 48;
}

/// The part of [`Socket::writing`] that counts writes.
const WRITES: u64 = owed::END - 1;

/// How long the end of a socket waits for its writes to return, at least: 5 s, as [`clock`] counts.
const GRACE: u32 = (5_000_000_000_u64 >> 20) as u32;

/// What a call is, in [`GoCall::kind`].
mod kind {
    pub const READ: u32 = 0;
    pub const WRITE: u32 = 1;
    pub const HANDSHAKE: u32 = 2;
}

/// A process, told from the one that it was before an `exec`.
#[inline(always)]
fn process(thread: u64) -> u64 {
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    let memory: u64 = kernel(task + offset!(task_mm));
    // The structure is aligned to 64 bytes at least.
    thread >> 32 | (memory >> 6) << 32
}

/// The goroutine that the current thread runs, as the thread itself has it.
#[inline(always)]
fn goroutine() -> u64 {
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    let storage: u64 = kernel(task + offset!(task_fsbase));
    user(storage.wrapping_sub(THREAD_GOROUTINE)).unwrap_or(0)
}

#[inline(always)]
fn enter(ctx: &ProbeContext, kind: u32) {
    let thread = bpf_get_current_pid_tgid();
    let tgid = (thread >> 32) as u32;
    if !is_watched(tgid) {
        return;
    }
    if setting!(filter) & filter::TGID != 0 && FILTER_TGIDS.get_ptr(tgid).is_none() {
        return;
    }
    // SAFETY: the context of a probe on user space is its registers.
    let (conn, buffer, length, goroutine_here, stack) = unsafe {
        let registers = ctx.regs;
        (
            (*registers).rax,
            (*registers).rbx,
            (*registers).rcx,
            (*registers).r14,
            (*registers).rsp,
        )
    };
    let key = GoKey {
        goroutine: goroutine_here,
        process: process(thread),
    };
    let Some([low, high]) = user::<[u64; 2]>(key.goroutine) else {
        return;
    };
    let height = high.wrapping_sub(stack);
    if GO_IN_FLIGHT.get(0).is_none() {
        return;
    }
    if let Some(outer) = calls::find(&key) {
        // SAFETY: a value of the map; its goroutine is here.
        unsafe {
            let outer_conn = (*outer).conn;
            if height > (*outer).height {
                if outer_conn != conn {
                    // TLS inside of TLS: only the inner connection has a socket. (A call that was left
                    // by a panic looks the same; that connection is through anyway.)
                    let known = get(outer_conn, (*outer).beneath, key.process);
                    ambiguous(outer_conn, (*outer).beneath, key.process);
                    if let Some(known) = known
                        && let Some(socket) = socket_of(&known)
                    {
                        life::cut_off(socket, known.sk);
                    }
                } else if kind == kind::HANDSHAKE {
                    // That of a connection that is read or written for the first time.
                    (*outer).inner = height;
                    (*outer).flags |= call::SHOOK;
                    return;
                }
            }
            if (*outer).flags & call::SENT != 0
                && let Some(socket) = socket_of_write(outer)
            {
                // It was left by a panic: nothing tells what it has sent.
                life::cut_off(socket, (*outer).sk);
            }
        }
    }
    let mut flags = 0;
    // Where a program has its goroutines elsewhere, its system calls cannot be told to be of one.
    if goroutine() == key.goroutine {
        flags |= call::BINDABLE;
    }
    let mut place = buffer;
    if (low..high).contains(&buffer) {
        flags |= call::ON_STACK;
        place = high.wrapping_sub(buffer);
    }
    let entered = GoCall {
        conn,
        beneath: beneath(conn),
        buffer: place,
        length,
        height,
        // SAFETY: a helper without arguments.
        entry: unsafe { bpf_ktime_get_ns() },
        inner: 0,
        sk: 0,
        born: 0,
        position: 0,
        kind,
        flags,
    };
    if !calls::insert(&key, &entered) {
        count(Counter::InFlightFull, 1);
        missed(conn, entered.beneath, key.process);
    }
}

#[uprobe]
pub fn go_read(ctx: ProbeContext) -> u32 {
    enter(&ctx, kind::READ);
    0
}

#[uprobe]
pub fn go_write(ctx: ProbeContext) -> u32 {
    enter(&ctx, kind::WRITE);
    0
}

#[uprobe]
pub fn go_handshake(ctx: ProbeContext) -> u32 {
    enter(&ctx, kind::HANDSHAKE);
    0
}

/// The socket that a write has sent on, if it is still there, as it was then.
#[inline(always)]
unsafe fn socket_of_write(entered: *mut GoCall) -> Option<*mut Socket> {
    // SAFETY: values of maps.
    unsafe {
        let socket = SOCKETS.get_ptr_mut((*entered).sk)?;
        if (*socket).born == (*entered).born {
            Some(socket)
        } else {
            None
        }
    }
}

/// How many writes have sent and not returned.
#[inline(always)]
unsafe fn writes(socket: *mut Socket) -> u64 {
    // SAFETY: a value of the map of sockets.
    unsafe { read_volatile(&raw const (*socket).writing) & WRITES }
}

/// Leaves it to the writes that have sent and not returned to tell of something. False when there is
/// none.
///
/// # Safety
/// `socket` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn leave_to_writes(socket: *mut Socket, what: u64) -> bool {
    // SAFETY: as the caller promises. The addition is a barrier: a write that returns meanwhile sees it,
    // or is seen to have returned.
    unsafe {
        socket::increase(&raw mut (*socket).writing, what);
        writes(socket) != 0
    }
}

/// Whether plaintext has passed, or may have, that has not been told when a socket ends: there is a write
/// that has sent, or records were received in a call that has not returned.
///
/// # Safety
/// `socket` is a value of the map of sockets; `received` is the position of its ciphertext.
#[inline(always)]
pub unsafe fn is_lacking(socket: *mut Socket, received: u64) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        (*socket).flags & socket_flag::SECURED != 0
            && (writes(socket) != 0 || received as u32 != (*socket).returned)
    }
}

/// A socket has ended: leaves it to the writes that have sent and not returned to tell of it, for
/// [`GRACE`]. False when there is none.
///
/// # Safety
/// `socket` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn ends(socket: *mut Socket) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        // It has no sequence numbers any more.
        (*socket).flags |= socket_flag::LEFT;
        (*socket).origin[0] = clock();
        leave_to_writes(socket, owed::CLOSE)
    }
}

/// Whether the writes of a socket that has ended, as whoever asks has found, are given more time to return.
///
/// # Safety
/// `socket` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn has_time(socket: *mut Socket) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if read_volatile(&raw const (*socket).writing) < owed::CLOSE {
            // Nothing has told of its end.
            return ends(socket);
        }
        let since = clock().wrapping_sub((*socket).origin[0]);
        since < GRACE && writes(socket) != 0
    }
}

/// Time in units of 2²⁰ ns.
#[inline(always)]
fn clock() -> u32 {
    // SAFETY: a helper without arguments.
    unsafe { (bpf_ktime_get_ns() >> 20) as u32 }
}

/// A write that has sent has returned.
#[inline(always)]
unsafe fn returned(socket: *mut Socket, sk: u64) {
    // SAFETY: a value of the map of sockets.
    unsafe {
        socket::increase(&raw mut (*socket).writing, u64::MAX);
        let left = read_volatile(&raw const (*socket).writing);
        if left < owed::END || left & WRITES != 0 {
            return;
        }
        if left & (owed::CLOSE - owed::END) != 0 {
            let end = (*socket).plaintext[0];
            report::end(sk, (*socket).inode, SENT, end, bpf_ktime_get_ns());
        }
        if left >= owed::CLOSE {
            life::forget(socket, sk);
        }
    }
}

/// Whether there are probes on programs made by Go.
#[inline(always)]
pub fn is_used() -> bool {
    // SAFETY: a value of an array map.
    GO_WATCHED.get_ptr(0).is_some_and(|on| unsafe { *on } != 0)
}

/// When the current goroutine entered the function of crypto/tls that it is in; `now` when it is in
/// none.
#[inline(always)]
pub fn entered(now: u64) -> u64 {
    if !is_used() {
        return now;
    }
    let key = GoKey {
        goroutine: goroutine(),
        process: process(bpf_get_current_pid_tgid()),
    };
    match calls::find(&key) {
        // SAFETY: a value of the map; its goroutine is here.
        Some(entered) if unsafe { (*entered).entry } < now => unsafe { (*entered).entry },
        _ => now,
    }
}

/// Called at the entry of each system call that sends on a socket, where there is a program made by Go: if the goroutine is inside of a
/// function of a connection, and the bytes (`address` is the first) are a TLS record, the socket is that
/// connection's. Each handshake sends, so nothing is lost by not looking at what is received. Gives the
/// socket that is to be cut off, or 0; when it is this one, the call is forgotten with it.
///
/// A function of its own, as `binding::hidden` is, for the stack of kernels before 6.13.
///
/// # Safety
/// `socket` is the value of `sk` in the map of sockets.
#[inline(never)]
pub unsafe fn bind(sk: u64, socket: *mut Socket, address: u64) -> u64 {
    // SAFETY: as the caller promises.
    unsafe {
        let found = Found {
            sk,
            inode: (*socket).inode,
        };
        let flags = (*socket).flags;
        if flags & (socket_flag::SECURED | socket_flag::GO) == socket_flag::SECURED
            || !output::is_record(address)
        {
            return 0;
        }
        let thread = bpf_get_current_pid_tgid();
        let key = GoKey {
            goroutine: goroutine(),
            process: process(thread),
        };
        let Some(entered) = calls::find(&key) else {
            return 0;
        };
        if (*entered).flags & call::BINDABLE == 0 {
            return 0;
        }
        let (conn, beneath, entry) = ((*entered).conn, (*entered).beneath, (*entered).entry);
        let mut bound = GoConnection {
            sk: found.sk,
            inode: found.inode,
            beneath,
            flags: 0,
        };
        if let Some(known) = get(conn, beneath, key.process) {
            if known.flags & state::AMBIGUOUS != 0 {
                return 0;
            }
            let same = known.sk == bound.sk && known.inode == bound.inode;
            if !same
                && let Some(other) = SOCKETS.get_ptr_mut(known.sk)
                && (*other).inode == known.inode
            {
                // Two sockets carry its records.
                ambiguous(conn, beneath, key.process);
                return known.sk;
            }
            if same && known.flags & state::MISSED == 0 && flags & socket_flag::SECURED != 0 {
                takes_place(entered, sk, socket, address);
                return 0;
            }
            bound.flags = known.flags;
            if bound.flags & state::MISSED != 0 && flags & socket_flag::SECURED != 0 {
                // There is a hole of unknown length in its plaintext: it ends here, and is joined anew.
                return found.sk;
            }
        }
        (*socket).flags |= socket_flag::GO;
        (*socket).returned = (*socket).position[1] as u32;
        binding::secure(socket, bound.sk, conn, entry, mid(&bound));
        if (*socket).flags & socket_flag::SECURED != 0 {
            bound.flags &= !state::MISSED;
        }
        set(conn, key.process, &bound);
        takes_place(entered, sk, socket, address);
        0
    }
}

/// A write that sends its first record takes its place behind what was sent before: it holds a lock on
/// the connection now, which it will not hold any more when it returns.
#[inline(always)]
unsafe fn takes_place(entered: *mut GoCall, sk: u64, socket: *mut Socket, address: u64) {
    // SAFETY: as in `bind`.
    unsafe {
        let shakes = (*entered).inner != 0;
        if (*entered).kind != kind::WRITE
            || shakes
            || (*entered).flags & call::SENT != 0
            || (*socket).flags & socket_flag::SECURED == 0
            || !output::is_application_data(address)
        {
            return;
        }
        (*entered).flags |= call::SENT;
        (*entered).sk = sk;
        (*entered).born = (*socket).born;
        let place = (*socket).plaintext[0];
        (*entered).position = place;
        (*socket).plaintext[0] = place.wrapping_add((*entered).length);
        socket::increase(&raw mut (*socket).writing, 1);
    }
}
