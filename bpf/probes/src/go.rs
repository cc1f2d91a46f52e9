//! Plaintext of Go's crypto/tls, bound to its socket.
//!
//! A call belongs to a goroutine, not to a thread: it can be entered on one and return on another.
//! The goroutine is in R14 (since Go 1.17), and in the thread's local storage while it is in a system
//! call. Its stack moves when it grows, so places on it are remembered by their distance from its
//! upper end, which a move does not change. There are no return probes: a plain probe sits on each
//! return instruction, and what has returned is told by the height of the stack.
//!
//! A connection is bound to the socket on which the goroutine, while it is inside of a function of
//! that connection, sends TLS records. Handshakes are watched for that alone. There are no
//! stand-ins: plaintext of a connection without a socket is left out and counted.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns};
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use wirespan_events::config::filter;
use wirespan_events::{Counter, flag};

use crate::copy::user;
use crate::globals::{is_watched, offset, setting};
use crate::maps::{
    FILTER_TGIDS, GO_CONNECTIONS, GO_IN_FLIGHT, GO_WATCHED, GoCall, GoConnection, GoKey, SOCKETS,
    Socket, count, socket_flag,
};
use crate::tls::{self, Plaintext};
use crate::walk::{Found, kernel};
use crate::{binding, life, output};

/// Members of `runtime.g`: the stack's bounds come first.
const STACK_HIGH: u64 = 8;
/// `crypto/tls.Conn` begins with the connection beneath, an interface: its type, and its value.
const BENEATH: u64 = 8;
/// Where a thread has its goroutine, below the address in FS.
const THREAD_GOROUTINE: u64 = 8;

/// Bits of [`GoCall::flags`].
mod call {
    /// The thread that entered it has the goroutine where it is looked for in system calls.
    pub const BINDABLE: u32 = 1;
    /// The buffer is on the goroutine's stack: its distance from the upper end is remembered.
    pub const ON_STACK: u32 = 2;
}

/// What a call is, in [`GoCall::kind`].
mod kind {
    pub const READ: u32 = 0;
    pub const WRITE: u32 = 1;
    pub const HANDSHAKE: u32 = 2;
}

/// Bits of [`GoConnection::flags`].
mod state {
    /// Plaintext has passed that was not reported.
    pub const MISSED: u64 = 1;
    /// It is not certain what it belongs to, ever.
    pub const AMBIGUOUS: u64 = 2;
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
    if let Some(outer) = GO_IN_FLIGHT.get_ptr(&key) {
        // SAFETY: a value of the map; its goroutine is here.
        let (outer_height, outer_conn) = unsafe { ((*outer).height, (*outer).conn) };
        if height > outer_height {
            if outer_conn != conn {
                // TLS inside of TLS: only the inner connection has a socket. (A call that was left by
                // a panic looks the same; that connection is through anyway.)
                ambiguous(outer_conn, key.process);
            } else if kind == kind::HANDSHAKE {
                // That of a connection that is read or written for the first time.
                return;
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
        kind,
        flags,
    };
    if GO_IN_FLIGHT.insert(&key, &entered, BPF_ANY.into()).is_err() {
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

/// A return instruction of any of them.
#[uprobe]
pub fn go_return(ctx: ProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the context of a probe on user space is its registers.
    let (result, goroutine_here, stack) = unsafe {
        let registers = ctx.regs;
        ((*registers).rax, (*registers).r14, (*registers).rsp)
    };
    let key = GoKey {
        goroutine: goroutine_here,
        process: process(thread),
    };
    let Some(entered) = GO_IN_FLIGHT.get_ptr(&key) else {
        return 0;
    };
    // SAFETY: a value of the map; its goroutine is here.
    let entered = unsafe { *entered };
    let high: u64 = user(key.goroutine.wrapping_add(STACK_HIGH)).unwrap_or(0);
    if high.wrapping_sub(stack) != entered.height {
        return 0;
    }
    let _ = GO_IN_FLIGHT.remove(&key);
    if entered.kind == kind::HANDSHAKE
        || result.cast_signed() <= 0
        // Never more than was asked for.
        || result > entered.length
    {
        return 0;
    }
    let buffer = if entered.flags & call::ON_STACK != 0 {
        high.wrapping_sub(entered.buffer)
    } else {
        entered.buffer
    };
    plaintext(&entered, &key, buffer, result, thread);
    0
}

/// Plaintext has passed.
#[inline(always)]
fn plaintext(entered: &GoCall, key: &GoKey, buffer: u64, bytes: u64, thread: u64) {
    let known = get(entered.conn, entered.beneath, key.process);
    if let Some(known) = known
        && known.flags & state::AMBIGUOUS == 0
        && let Some(socket) = SOCKETS.get_ptr_mut(known.sk)
        // SAFETY: a value of the map of sockets.
        && unsafe { (*socket).inode } == known.inode
    {
        let found = Found {
            sk: known.sk,
            inode: known.inode,
        };
        let passed = Plaintext {
            tls: entered.conn,
            buffer,
            bytes,
            entry: entered.entry,
            sent: entered.kind == kind::WRITE,
            mid: mid(&known),
        };
        // SAFETY: a value of the map of sockets; a thread that returns from a function of its program
        // is in no system call.
        unsafe { tls::deliver(found, socket, &passed, thread) };
        return;
    }
    count(Counter::TlsUnbound, 1);
    missed(entered.conn, entered.beneath, key.process);
}

/// When the current goroutine entered the function of crypto/tls that it is in; `now` when it is in
/// none.
#[inline(always)]
pub fn entered(now: u64) -> u64 {
    match GO_WATCHED.get_ptr(0) {
        // SAFETY: a value of an array map.
        Some(on) if unsafe { *on } != 0 => {}
        _ => return now,
    }
    let key = GoKey {
        goroutine: goroutine(),
        process: process(bpf_get_current_pid_tgid()),
    };
    match GO_IN_FLIGHT.get_ptr(&key) {
        // SAFETY: a value of the map; its goroutine is here.
        Some(entered) if unsafe { (*entered).entry } < now => unsafe { (*entered).entry },
        _ => now,
    }
}

/// Called at the entry of each system call that sends on a socket: if the goroutine is inside of a
/// function of a connection, and the bytes (`address` is the first) are a TLS record, the socket is that
/// connection's. Each handshake sends, so nothing is lost by not looking at what is received. True when
/// the socket has been forgotten and the call with it.
///
/// A function of its own, as `binding::hidden` is, for the stack of kernels before 6.13.
///
/// # Safety
/// `socket` is the value of `sk` in the map of sockets.
#[inline(never)]
pub unsafe fn bind(sk: u64, socket: *mut Socket, address: u64) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let found = Found {
            sk,
            inode: (*socket).inode,
        };
        match GO_WATCHED.get_ptr(0) {
            Some(on) if *on != 0 => {}
            _ => return false,
        }
        let flags = (*socket).flags;
        if flags & (socket_flag::SECURED | socket_flag::GO) == socket_flag::SECURED
            || !output::is_record(address)
        {
            return false;
        }
        let thread = bpf_get_current_pid_tgid();
        let key = GoKey {
            goroutine: goroutine(),
            process: process(thread),
        };
        let Some(entered) = GO_IN_FLIGHT.get_ptr(&key) else {
            return false;
        };
        if (*entered).flags & call::BINDABLE == 0 {
            return false;
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
                return false;
            }
            let same = known.sk == bound.sk && known.inode == bound.inode;
            if !same
                && let Some(other) = SOCKETS.get_ptr_mut(known.sk)
                && (*other).inode == known.inode
            {
                // Two sockets carry its records.
                ambiguous(conn, key.process);
                return false;
            }
            if same && known.flags & state::MISSED == 0 && flags & socket_flag::SECURED != 0 {
                return false;
            }
            bound.flags = known.flags;
            if bound.flags & state::MISSED != 0 && flags & socket_flag::SECURED != 0 {
                // There is a hole of unknown length in its plaintext: it ends here, and is joined anew.
                life::gone(socket, bound.sk);
                return true;
            }
        }
        (*socket).flags |= socket_flag::GO;
        binding::secure(socket, bound.sk, conn, entry, mid(&bound));
        if (*socket).flags & socket_flag::SECURED != 0 {
            bound.flags &= !state::MISSED;
        }
        set(conn, key.process, &bound);
        false
    }
}

#[inline(always)]
fn mid(known: &GoConnection) -> u8 {
    if known.flags & state::MISSED != 0 {
        flag::MID_STREAM
    } else {
        0
    }
}

/// What is beneath a connection: another one at the same address has something else there.
#[inline(always)]
fn beneath(conn: u64) -> u64 {
    user(conn.wrapping_add(BENEATH)).unwrap_or(0)
}

/// What is known of a connection.
#[inline(always)]
fn get(conn: u64, beneath: u64, process: u64) -> Option<GoConnection> {
    let key = GoKey {
        goroutine: conn,
        process,
    };
    let known = GO_CONNECTIONS.get_ptr(&key)?;
    // SAFETY: a value of the map.
    let known = unsafe { *known };
    if known.beneath == beneath {
        Some(known)
    } else {
        None
    }
}

#[inline(always)]
fn set(conn: u64, process: u64, to: &GoConnection) {
    let key = GoKey {
        goroutine: conn,
        process,
    };
    if GO_CONNECTIONS.insert(&key, to, BPF_ANY.into()).is_err() {
        count(Counter::TlsFull, 1);
    }
}

/// From here on nothing of this connection is reported, as it is not certain what it belongs to.
#[inline(always)]
fn ambiguous(conn: u64, process: u64) {
    let beneath = beneath(conn);
    if let Some(known) = get(conn, beneath, process)
        && let Some(socket) = SOCKETS.get_ptr_mut(known.sk)
    {
        // SAFETY: a value of the map of sockets.
        unsafe {
            if (*socket).inode == known.inode {
                life::gone(socket, known.sk);
            }
        }
    }
    let unknown = GoConnection {
        sk: 0,
        inode: 0,
        beneath,
        flags: state::AMBIGUOUS,
    };
    set(conn, process, &unknown);
}

/// Plaintext has passed, or will, that is not reported.
#[inline(always)]
fn missed(conn: u64, beneath: u64, process: u64) {
    let mut known = get(conn, beneath, process).unwrap_or(GoConnection {
        sk: 0,
        inode: 0,
        beneath,
        flags: 0,
    });
    known.flags |= state::MISSED;
    set(conn, process, &known);
}
