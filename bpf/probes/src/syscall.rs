//! System calls that move bytes, at their trace points.
//!
//! The descriptor of a call is resolved to a socket at its entry. One program serves every exit.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use wirespan_events::{
    call as name,
    direction::{RECEIVED, SENT},
};

use crate::call::{self, Entry, receive_shape};
use crate::globals::is_watched;
use crate::maps::{pieces, shape};
use crate::walk;

/// Arguments of a system call begin here in the context of its entry, and its result in that of
/// its exit (64-bit kernels).
const ARGUMENTS: usize = 16;

#[inline(always)]
pub fn argument(ctx: &TracePointContext, index: usize) -> u64 {
    // SAFETY: within the context; the kernel refuses to attach a program that reads beyond it.
    unsafe { ctx.as_ptr().add(ARGUMENTS + 8 * index).cast::<u64>().read() }
}

/// A call, and on what.
struct Descriptor {
    fd: u32,
    entry: Entry,
}

#[inline(always)]
fn enter(called: &Descriptor) {
    let thread = bpf_get_current_pid_tgid();
    let tgid = (thread >> 32) as u32;
    // What is only looked at does not pass.
    if called.entry.shape == shape::PEEK || !is_watched(tgid) {
        return;
    }
    let Some(found) = walk::any_socket_in(walk::file_of(called.fd)) else {
        return;
    };
    call::enter(&called.entry, found, thread);
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
fn entry(ctx: &TracePointContext, call: u8, direction: u8, shape: u8, length: u64) -> Descriptor {
    Descriptor {
        fd: argument(ctx, 0) as u32,
        entry: Entry {
            call,
            direction,
            shape,
            argument: argument(ctx, 1),
            length,
            pieces: 0,
            socket: 0,
        },
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
        call: name::SPLICE,
        direction: SENT,
        shape: shape::NONE,
        argument: 0,
        length: argument(&ctx, 4),
        pieces: 0,
        socket: 0,
    };
    let mut found = walk::any_socket_in(walk::file_of(argument(&ctx, 2) as u32));
    if found.is_none() {
        entry.direction = RECEIVED;
        found = walk::any_socket_in(walk::file_of(argument(&ctx, 0) as u32));
    }
    if let Some(found) = found {
        call::enter(&entry, found, thread);
    }
    0
}

/// The exit of any of them but those below.
#[tracepoint]
pub fn exit_call(ctx: TracePointContext) -> u32 {
    call::exit::<{ pieces::USER }, _>(&ctx, |ctx| argument(ctx, 0).cast_signed());
    0
}

/// The exit of those that take a vector of messages. A program of its own: two more loops are much
/// to ask of the verifiers of old kernels.
#[tracepoint]
pub fn exit_messages(ctx: TracePointContext) -> u32 {
    call::exit::<{ pieces::MESSAGES }, _>(&ctx, |ctx| argument(ctx, 0).cast_signed());
    0
}

/// Goes on with a call of more pieces than one program can copy.
#[tracepoint]
pub fn more_of_call(ctx: TracePointContext) -> u32 {
    call::resume::<{ pieces::USER }>(&ctx);
    0
}

/// The same for a vector of messages.
#[tracepoint]
pub fn more_of_messages(ctx: TracePointContext) -> u32 {
    call::resume::<{ pieces::MESSAGES }>(&ctx);
    0
}
