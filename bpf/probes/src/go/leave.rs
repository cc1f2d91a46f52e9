//! Functions of crypto/tls that return.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use wirespan_events::Counter;

use super::connection::{self, state};
use super::{STACK_HIGH, call, calls, kind, process, returned, socket_of_write, writes};
use crate::call::state_of;
use crate::copy::user;
use crate::maps::{Call, GO_RETURNED, GoCall, GoConnection, GoKey, count, pieces, socket_flag};
use crate::tls::{self, NEXT, Plaintext};
use crate::walk::Found;
use crate::{hand_over, life, report, thread};

/// The call that the goroutine of a thread is in, and by what it is known.
#[inline(always)]
fn call_of(ctx: &ProbeContext, thread: u64) -> Option<(GoKey, *mut GoCall)> {
    let key = GoKey {
        // SAFETY: the context of a probe on user space is its registers.
        goroutine: unsafe { (*ctx.regs).r14 },
        process: process(thread),
    };
    let entered = calls::find(&key)?;
    Some((key, entered))
}

/// A return instruction of any of them.
///
/// What is to be reported is only found here; [`go_returned`] does the rest. In one program all that can be
/// found would be multiplied by all that reporting can come to, and kernels before 5.15 take a minute to
/// verify that.
#[uprobe]
#[inline(always)]
pub fn go_return(ctx: ProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some((key, entered)) = call_of(&ctx, thread) else {
        return 0;
    };
    // SAFETY: the context of a probe on user space is its registers.
    let (result, stack) = unsafe { ((*ctx.regs).rax, (*ctx.regs).rsp) };
    let high: u64 = user(key.goroutine.wrapping_add(STACK_HIGH)).unwrap_or(0);
    let height = high.wrapping_sub(stack);
    // SAFETY: a value of the map; its goroutine is here.
    unsafe {
        if height != (*entered).height {
            if height == (*entered).inner {
                (*entered).inner = 0;
            }
            return 0;
        }
        leave(entered, &key, high, result, thread);
        GO_RETURNED.tail_call(&ctx, 0);
        // There is no such program: what has passed is a gap, and nothing is certain after it.
        if let Some(cursor) = reported(entered, thread) {
            hand_over::give_up(cursor);
        }
        if let Some(socket) = socket_of_write(entered) {
            life::cut_off(socket, (*entered).sk);
        }
    }
    calls::remove(&key);
    0
}

/// Reports what [`go_return`] has found, and ends the call.
#[uprobe]
#[inline(always)]
pub fn go_returned(ctx: ProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some((key, entered)) = call_of(&ctx, thread) else {
        return 0;
    };
    // SAFETY: values of maps; the call's goroutine is here.
    unsafe {
        if let Some(cursor) = reported(entered, thread) {
            if let Some(socket) = state_of(cursor)
                && let Some(ring) = report::ring()
                && hand_over::go_on::<{ pieces::USER }>(cursor, socket, ring)
            {
                GO_RETURNED.tail_call(&ctx, 0);
            }
            hand_over::give_up(cursor);
        }
        if (*entered).flags & call::SENT != 0
            && let Some(socket) = socket_of_write(entered)
        {
            returned(socket, (*entered).sk);
        }
    }
    calls::remove(&key);
    0
}

/// Where a call has left what it has passed.
#[inline(always)]
unsafe fn reported(entered: *mut GoCall, thread: u64) -> Option<*mut Call> {
    // SAFETY: values of maps; the call's goroutine is here.
    unsafe {
        if (*entered).flags & call::REPORTED == 0 {
            return None;
        }
        Some(&raw mut (*thread::known(thread)?).call)
    }
}

/// A function returns `result`; `high` is the upper end of its goroutine's stack. What it has passed is left
/// for [`go_returned`] to report.
#[inline(always)]
unsafe fn leave(entered: *mut GoCall, key: &GoKey, high: u64, result: u64, thread: u64) {
    // SAFETY: `entered` is a value of the map of calls, its goroutine is here; the others are values of
    // the maps of connections and sockets.
    unsafe {
        let (kind, flags) = ((*entered).kind, (*entered).flags);
        // Never more than was asked for.
        let bytes =
            if kind == kind::HANDSHAKE || result.cast_signed() <= 0 || result > (*entered).length {
                0
            } else {
                result
            };
        let has_sent = flags & call::SENT != 0;
        // Not an option: of the parts of one that is none the compiler may read what was never written,
        // which kernels before 5.15 refuse.
        let known = connection::get((*entered).conn, (*entered).beneath, key.process).unwrap_or(
            GoConnection {
                sk: 0,
                inode: 0,
                beneath: 0,
                flags: 0,
            },
        );
        let (sk, socket) = if has_sent {
            ((*entered).sk, socket_of_write(entered))
        } else {
            (known.sk, connection::socket_of(&known))
        };
        let Some(socket) = socket else {
            if bytes != 0 {
                count(Counter::TlsUnbound, 1);
                connection::missed((*entered).conn, (*entered).beneath, key.process);
            }
            return;
        };
        if kind != kind::WRITE || flags & call::SHOOK != 0 {
            (*socket).returned = (*socket).position[1] as u32;
        }
        let place = (*entered).position;
        if kind == kind::WRITE && bytes != 0 && !has_sent && writes(socket) != 0 {
            // It was not seen to send, so nothing tells whether it did before or after another one.
            connection::missed((*entered).conn, (*entered).beneath, key.process);
            return;
        }
        if has_sent {
            let end = place.wrapping_add((*entered).length);
            if bytes < (*entered).length && (*socket).plaintext[0] == end {
                // It has failed, and no other one will succeed.
                (*socket).plaintext[0] = place.wrapping_add(bytes);
            }
        }
        if bytes == 0 {
            return;
        }
        let passed = Plaintext {
            tls: (*entered).conn,
            buffer: if flags & call::ON_STACK != 0 {
                high.wrapping_sub((*entered).buffer)
            } else {
                (*entered).buffer
            },
            held: 0,
            rest: 0,
            rests: 0,
            half: false,
            bytes,
            entry: (*entered).entry,
            sent: kind == kind::WRITE,
            mid: connection::mid(&known),
            position: if has_sent { place } else { NEXT },
        };
        let found = Found {
            sk,
            inode: (*socket).inode,
        };
        // A thread that returns from a function of its program is in no system call.
        if let Some(cursor) = tls::prepare(found, socket, &passed, thread, thread::current(thread))
            && hand_over::begin::<{ pieces::USER }>(cursor, socket, bytes).is_some()
        {
            (*entered).flags |= call::REPORTED;
        }
        if known.flags & state::MISSED != 0 && (*socket).flags & socket_flag::SECURED != 0 {
            // It has been said that something is missing before this.
            let whole = GoConnection {
                flags: known.flags & !state::MISSED,
                ..known
            };
            connection::set((*entered).conn, key.process, &whole);
        }
    }
}
