//! Functions of the kernel that only sockets reach, where they begin and where they return.
//!
//! The kernel calls them through tables, so they are never inlined, and on every road: system calls of 64
//! and of 32 bits, io_uring in the submitting thread or in one of the kernel's for it, and what the kernel
//! splices. They are given the socket, and where the caller's memory lies. What is attached here costs a
//! system call that is not about a socket nothing. One program serves several functions with the same
//! arguments.
//!
//! All are inlined into what the kernel calls: a function that is called may not go on with another program
//! where the kernel has no type information of it, and has a stack of its own, which adds up.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task};
use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use wirespan_events::{
    call as name,
    direction::{RECEIVED, SENT},
    role as opener,
};

use crate::call::{self, Entry, receive_shape};
use crate::globals::{is_watched, offset};
use crate::maps::{OWN_SOCKETS, SOCKETS, pieces, shape, socket_flag};
use crate::walk::{self, Found, kernel, member};
use crate::{life, role, thread};

/// What the functions return lies behind their arguments.
const AFTER_THREE: usize = 3;
const AFTER_FOUR: usize = 4;
const AFTER_FIVE: usize = 5;

/// The first arguments of a function. Pointers among them are typed for the verifier: it allows to add
/// an offset that is set before the program is loaded. By way of a helper, as numbers, they would take
/// stack that kernels before 6.13 do not have left here.
#[inline(always)]
fn arguments<const N: usize>(ctx: &impl EbpfContext) -> [u64; N] {
    let first: *const u64 = ctx.as_ptr().cast();
    // SAFETY: within the context; the verifier refuses a program that reads beyond it.
    core::array::from_fn(|index| unsafe { first.add(index).read() })
}

/// What a function returns that is a `ssize_t`.
#[inline(always)]
fn result(ctx: &FExitContext, index: usize) -> i64 {
    // SAFETY: within the context; the verifier refuses a program that reads beyond it.
    unsafe { ctx.as_ptr().cast::<i64>().add(index).read() }
}

/// What a function returns that is an `int`: the upper half of the register can be anything.
#[inline(always)]
fn int_result(ctx: &FExitContext, index: usize) -> i64 {
    i64::from(result(ctx, index) as i32)
}

/// The socket that a function is given, unless it is the kernel's own, to which no file refers.
#[inline(always)]
fn socket_with_file(socket: u64) -> Option<Found> {
    let socket = socket as *const u8;
    // SAFETY: `struct socket`, `struct file` and `struct inode` have these members.
    unsafe {
        let file = member(socket, offset!(socket_file));
        if file.is_null() {
            return None;
        }
        let sk = member(socket, offset!(socket_sk)) as u64;
        if sk == 0 {
            return None;
        }
        let inode = member(file, offset!(file_inode));
        Some(Found {
            sk,
            inode: member(inode, offset!(inode_ino)) as u64,
        })
    }
}

/// `msg_iter` of a message: how the caller's memory lies, where it begins, and where its pieces are listed.
/// Its members lie side by side, and before the number of pieces two of which either can be the first
/// (since 6.4 where they are listed): the host has made sure of it.
#[inline(always)]
fn memory(message: u64) -> (u8, u64, u64) {
    let [kind, begin, third, fourth, count]: [u64; 5] = kernel(message + offset!(iter_type));
    let kind = u64::from(kind as u8);
    let at = if offset!(iter_pieces) == offset!(iter_type) + 16 {
        third
    } else {
        fourth
    };
    // Some of it may have been used by an earlier attempt: `begin`.
    if kind == offset!(iter_is_buffer) {
        return (shape::BUFFER, at.wrapping_add(begin), 0);
    }
    if kind != offset!(iter_is_pieces) {
        // Pages of the kernel, or of a file.
        return (shape::NONE, 0, 0);
    }
    let first: u64 = kernel(at);
    let shape = if count > 1 {
        shape::PIECES
    } else {
        shape::BUFFER
    };
    (shape, first.wrapping_add(begin), at)
}

/// What a function was asked to do.
struct Seen {
    socket: u64,
    call: u8,
    direction: u8,
    length: u64,
}

/// A message is sent or received, whose memory `shape` says something of already.
#[inline(always)]
fn enter<const AGAIN: bool>(seen: &Seen, message: u64, plain: u8) {
    let thread = bpf_get_current_pid_tgid();
    let socket = seen.socket;
    if plain == shape::PEEK
        || !is_watched((thread >> 32) as u32)
        || (AGAIN && is_known(thread, socket))
    {
        return;
    }
    let Some(found) = socket_with_file(socket) else {
        return;
    };
    let (mut shape, argument, pieces) = if message == 0 {
        (shape::NONE, 0, 0)
    } else {
        memory(message)
    };
    if plain == shape::NONE {
        shape = plain;
    }
    if shape == shape::NONE && !has_memory() {
        // A thread of the kernel, on a socket that a program has given it.
        return;
    }
    let entry = Entry {
        call: seen.call,
        direction: seen.direction,
        shape,
        argument,
        length: seen.length,
        pieces,
        socket,
    };
    call::enter(&entry, found, thread);
}

/// Whether the first of two programs has seen that this thread enters a call on this socket.
#[inline(always)]
fn is_known(thread: u64, socket: u64) -> bool {
    match thread::call_of(thread) {
        // SAFETY: a value of the map of threads.
        Some(call) => unsafe { (*call).message == socket },
        None => false,
    }
}

/// Whether the current thread has the memory of a process.
#[inline(always)]
fn has_memory() -> bool {
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    kernel::<u64>(task + offset!(task_mm)) != 0
}

/// `int …_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`
#[fentry]
#[inline(always)]
pub fn socket_sends(ctx: FEntryContext) -> i32 {
    sends::<false>(&ctx);
    0
}

/// The same behind the first one. Where the kernel preempts programs it skips one that is under way on that
/// CPU already, for as long as the thread waits that it has been taken from: many calls of another. Seldom
/// both.
#[fentry]
#[inline(always)]
pub fn socket_sends_again(ctx: FEntryContext) -> i32 {
    sends::<true>(&ctx);
    0
}

#[inline(always)]
fn sends<const AGAIN: bool>(ctx: &FEntryContext) {
    let [socket, message, length] = arguments(ctx);
    let seen = Seen {
        socket,
        call: name::SENDMSG,
        direction: SENT,
        length,
    };
    enter::<AGAIN>(&seen, message, shape::BUFFER);
}

#[fexit]
#[inline(always)]
pub fn socket_sent(ctx: FExitContext) -> i32 {
    call::exit::<{ pieces::KERNEL }, _>(&ctx, |ctx| int_result(ctx, AFTER_THREE));
    0
}

/// Goes on with a message of more pieces than one program can copy.
#[fexit]
#[inline(always)]
pub fn socket_sent_more(ctx: FExitContext) -> i32 {
    call::resume::<{ pieces::KERNEL }>(&ctx);
    0
}

/// `int …_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`
#[fentry]
#[inline(always)]
pub fn socket_receives(ctx: FEntryContext) -> i32 {
    receives::<false>(&ctx);
    0
}

/// As [`socket_sends_again`].
#[fentry]
#[inline(always)]
pub fn socket_receives_again(ctx: FEntryContext) -> i32 {
    receives::<true>(&ctx);
    0
}

#[inline(always)]
fn receives<const AGAIN: bool>(ctx: &FEntryContext) {
    let [socket, message, length, flags] = arguments(ctx);
    let seen = Seen {
        socket,
        call: name::RECVMSG,
        direction: RECEIVED,
        length,
    };
    enter::<AGAIN>(&seen, message, receive_shape(flags as u32, shape::BUFFER));
}

#[fexit]
#[inline(always)]
pub fn socket_received(ctx: FExitContext) -> i32 {
    call::exit::<{ pieces::KERNEL }, _>(&ctx, |ctx| int_result(ctx, AFTER_FOUR));
    0
}

/// As [`socket_sent_more`].
#[fexit]
#[inline(always)]
pub fn socket_received_more(ctx: FExitContext) -> i32 {
    call::resume::<{ pieces::KERNEL }>(&ctx);
    0
}

/// `ssize_t …_sendpage(struct socket *sock, struct page *page, int offset, size_t size, int flags)`:
/// `sendfile` and `splice` before Linux 6.5.
#[fentry]
#[inline(always)]
pub fn socket_sends_page(ctx: FEntryContext) -> i32 {
    let [socket, _, _, length] = arguments(&ctx);
    let seen = Seen {
        socket,
        call: name::SENDFILE,
        direction: SENT,
        length,
    };
    enter::<false>(&seen, 0, shape::NONE);
    0
}

/// `ssize_t …_splice_read(struct socket *sock, loff_t *ppos, struct pipe_inode_info *pipe, size_t len,
/// unsigned int flags)`
#[fentry]
#[inline(always)]
pub fn socket_splices(ctx: FEntryContext) -> i32 {
    let [socket, _, _, length] = arguments(&ctx);
    let seen = Seen {
        socket,
        call: name::SPLICE,
        direction: RECEIVED,
        length,
    };
    enter::<false>(&seen, 0, shape::NONE);
    0
}

/// The return of these two.
#[fexit]
#[inline(always)]
pub fn socket_moved(ctx: FExitContext) -> i32 {
    call::exit::<{ pieces::NOWHERE }, _>(&ctx, |ctx| result(ctx, AFTER_FIVE));
    0
}

/// `int …_accept(struct socket *sock, struct socket *newsock, …)`: nothing is in the new one where it
/// has failed.
#[fexit]
#[inline(always)]
pub fn socket_accepted(ctx: FExitContext) -> i32 {
    let [_, socket] = arguments(&ctx);
    if is_watched((bpf_get_current_pid_tgid() >> 32) as u32)
        && walk::has_file(socket)
        && let Some(found) = walk::socket_at(socket)
    {
        role::set(found, opener::SERVER);
    }
    0
}

/// `int …_stream_connect(struct socket *sock, struct sockaddr *address, int length, int flags)`
#[fentry]
#[inline(always)]
pub fn socket_connects(ctx: FEntryContext) -> i32 {
    let [socket] = arguments(&ctx);
    if walk::has_file(socket)
        && let Some(found) = walk::socket_at(socket)
    {
        role::connects(found);
    }
    0
}

/// `int unix_socketpair(struct socket *first, struct socket *second)`: no file refers to them yet.
#[fentry]
#[inline(always)]
pub fn sockets_pair(ctx: FEntryContext) -> i32 {
    let [first, second] = arguments(&ctx);
    if !is_watched((bpf_get_current_pid_tgid() >> 32) as u32) {
        return 0;
    }
    if let Some(found) = walk::socket_at(first) {
        role::set(found, opener::UNKNOWN);
    }
    if let Some(found) = walk::socket_at(second) {
        role::set(found, opener::UNKNOWN);
    }
    0
}

/// `int unix_release(struct socket *sock)`: the last file that referred to it is gone.
#[fentry]
#[inline(always)]
pub fn socket_ends(ctx: FEntryContext) -> i32 {
    let [socket] = arguments(&ctx);
    let Some(found) = walk::socket_at(socket) else {
        return 0;
    };
    let Some(state) = SOCKETS.get_ptr_mut(found.sk) else {
        let _ = OWN_SOCKETS.remove(found.sk);
        return 0;
    };
    // SAFETY: a value of the map of sockets.
    unsafe {
        if (*state).inode == found.inode && (*state).flags & socket_flag::UNIX != 0 {
            life::gone(state, found.sk);
        }
    }
    0
}

/// `int unix_shutdown(struct socket *sock, int mode)`
#[fentry]
#[inline(always)]
pub fn socket_shuts_down(ctx: FEntryContext) -> i32 {
    let [socket, mode] = arguments(&ctx);
    if let Some(found) = walk::socket_at(socket) {
        life::shuts_down(found, mode);
    }
    0
}
