//! Plaintext of rustls, taken where its records are sealed and opened, bound to its socket.
//!
//! The functions that hand plaintext over are inlined into whoever calls them. But each record passes a
//! method of a trait object, which is called through a table and therefore is in the program:
//! `MessageEncrypter::encrypt` and `MessageDecrypter::decrypt`. Their arguments are structures whose
//! layout Rust leaves to the compiler. So nothing is believed because it lies where it was expected; a
//! record has to prove itself:
//!
//! - One that is opened lies behind its own header in memory, with the header's length. What came out of
//!   it lies in the same place, behind the nonce if there is one, and the function has returned that very
//!   address with a length.
//! - One that was sealed is as much longer than its plaintext as one of the ciphers makes it.
//!
//! A process in which a record could not be proven is not observed from there on. There are no return
//! probes: a panic could not be unwound through one. Plain probes sit on the return instructions.
//!
//! A key is an object of its own, another one in each direction, and counts its records from 0. The one
//! that seals is bound by its ciphertext, as memory BIOs are (see [`output`](crate::output)); the one that
//! opens by the memory that a socket's bytes were last received into by the same thread, when the record
//! ends there and the bytes are still those.

mod open;
mod seal;

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::programs::ProbeContext;
use wirespan_events::config::filter;
use wirespan_events::{Counter, flag};

use crate::copy::user;
use crate::globals::{is_watched, setting};
use crate::maps::{
    Call, FILTER_TGIDS, RECEIVED_LAST, RECORD_CALLS, RUSTLS_WATCHED, Received, RecordCall, Socket,
    TLS_PROCESSES, count, process_flag, shape, socket_flag,
};
use crate::output;
use crate::walk::Found;
use crate::{binding, life, report, socket};

/// What a call is, in [`RecordCall::kind`].
mod kind {
    pub const SEAL: u64 = 1;
    pub const OPEN: u64 = 2;
}

/// Bits of [`RecordObject::flags`].
mod state {
    /// Plaintext has passed that was not reported.
    pub const MISSED: u64 = 1;
    /// Of one that seals: it has been seen from its first record on.
    pub const WHOLE: u64 = 2;
}

/// `TlsObject::whole` of one that only seals.
pub const SEALS: u64 = 2;

/// Variants of rustls's `ContentType`, in the order of their declaration.
const ALERT: u8 = 1;
const APPLICATION_DATA: u8 = 3;
/// The same of `ProtocolVersion`: TLS 1.2, and 1.3.
const TLS_1_2: u16 = 4;
const TLS_1_3: u16 = 5;

/// Longest plaintext of a record (RFC 8446 §5.1).
const MAX_PLAINTEXT: u64 = 1 << 14;
/// What sealing adds: a tag; in TLS 1.3 the content type, in 1.2 with AES-GCM a nonce.
const TAG: u64 = 16;
const TAG_AND_TYPE: u64 = TAG + 1;
const TAG_AND_NONCE: u64 = TAG + NONCE;
const NONCE: u64 = 8;
/// Below this nothing is mapped.
const LOWEST: u64 = 1 << 16;
/// Bytes by which what was received is known again.
const COMPARED: u64 = 16;
#[inline(always)]
fn enter(ctx: &ProbeContext, kind: u64) -> Option<*mut RecordCall> {
    let thread = bpf_get_current_pid_tgid();
    let tgid = (thread >> 32) as u32;
    if !is_watched(tgid) {
        return None;
    }
    if setting!(filter) & filter::TGID != 0 && FILTER_TGIDS.get_ptr(tgid).is_none() {
        return None;
    }
    let entered = RecordCall {
        result: ctx.arg(0).unwrap_or(0),
        object: ctx.arg(1).unwrap_or(0),
        sequence: ctx.arg(3).unwrap_or(0),
        // SAFETY: a helper without arguments.
        entry: unsafe { bpf_ktime_get_ns() },
        message: user(ctx.arg::<u64>(2).unwrap_or(0)).unwrap_or([0; 5]),
        bytes: 0,
        sealed: 0,
        kind,
    };
    if RECORD_CALLS
        .insert(thread, &entered, BPF_ANY.into())
        .is_err()
    {
        count(Counter::InFlightFull, 1);
        return None;
    }
    RECORD_CALLS.get_ptr_mut(thread)
}

/// The call that returns here, if it is one of this kind and nothing else.
#[inline(always)]
fn leave(ctx: &ProbeContext, kind: u64) -> Option<*mut RecordCall> {
    let call = RECORD_CALLS.get_ptr_mut(bpf_get_current_pid_tgid())?;
    // SAFETY: a value of the map of calls, which is this thread's own; the context of a probe on user
    // space is its registers.
    unsafe {
        if (*call).kind == kind && (*ctx.regs).rax == (*call).result {
            Some(call)
        } else {
            None
        }
    }
}

/// Content type and version next to each other, in whichever order; neither has a value of the other.
#[inline(always)]
fn kind_of(word: u64) -> Option<(u8, u16)> {
    let (type_first, version_second) = (word as u8, (word >> 16) as u16);
    let (version_first, type_second) = (word as u16, (word >> 32) as u8);
    let is_type = |one: u8| (ALERT..=APPLICATION_DATA).contains(&one);
    let is_version = |one: u16| one == TLS_1_2 || one == TLS_1_3;
    if is_type(type_first) && is_version(version_second) {
        Some((type_first, version_second))
    } else if is_version(version_first) && is_type(type_second) {
        Some((type_second, version_first))
    } else {
        None
    }
}

#[inline(always)]
fn flags_of(tgid: u32) -> u8 {
    match TLS_PROCESSES.get_ptr(tgid) {
        // SAFETY: a value of the map of processes.
        Some(flags) => unsafe { *flags },
        None => 0,
    }
}

/// Called for each system call that has received on a socket: remembers where to, while there are
/// programs with rustls. A process that is not known to be one is asked for what TLS begins with.
///
/// A function of its own, as `binding::hidden` is, for the stack of kernels before 6.13.
///
/// # Safety
/// `call` is a value of the map of calls.
#[inline(never)]
pub unsafe fn received(call: *mut Call) {
    // SAFETY: as the caller promises; the others are values of maps.
    unsafe {
        match RUSTLS_WATCHED.get_ptr(0) {
            Some(on) if *on != 0 => {}
            _ => return,
        }
        let (mut address, mut bytes) = ((*call).argument, (*call).left);
        if (*call).shape != shape::BUFFER {
            return;
        }
        let thread = bpf_get_current_pid_tgid();
        if bytes < COMPARED {
            // The end of what was received before it, or too little to be known again.
            let Some(last) = RECEIVED_LAST.get_ptr(thread) else {
                return;
            };
            if (*last).sk != (*call).sk || (*last).address.wrapping_add((*last).bytes) != address {
                return;
            }
            address = (*last).address;
            bytes = bytes.wrapping_add((*last).bytes);
        }
        let known = flags_of((thread >> 32) as u32) & process_flag::PROVEN != 0;
        if !known && !output::is_record(address) {
            return;
        }
        let end = address.wrapping_add(bytes);
        let Some(last) = user(end.wrapping_sub(COMPARED)) else {
            return;
        };
        let received = Received {
            sk: (*call).sk,
            inode: (*call).inode,
            address,
            bytes,
            last,
        };
        let _ = RECEIVED_LAST.insert(thread, &received, BPF_ANY.into());
    }
}

/// Whether what a TLS object has put out may become this socket's. Of a key that seals: if what the socket
/// receives is seen too, for half of a conversation would look like requests without answers; and nothing
/// of this direction was missed while the other one was told as whole, which is cut off else.
///
/// # Safety
/// `socket` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn may_have(socket: *mut Socket, whole: u64) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if whole & SEALS == 0 {
            return true;
        }
        let flags = (*socket).flags;
        if whole & binding::WHOLE == 0
            && flags & socket_flag::SECURED != 0
            && (*socket).plaintext[0] == 0
        {
            (*socket).flags = flags | socket_flag::LACKS;
            return false;
        }
        flags & socket_flag::RECORDS != 0
    }
}

/// What was told of a stand-in of a key that seals becomes that of a socket whose other direction has
/// been told already; false when the host could not be told.
///
/// # Safety
/// Both are values of the map of sockets.
#[inline(always)]
pub unsafe fn join(
    stand: *mut Socket,
    before: Found,
    found: Found,
    socket: *mut Socket,
    tls: u64,
    time: u64,
) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let passed = (*stand).plaintext[0];
        let sent = (*socket).plaintext[0];
        if sent == 0 {
            if !report::secured(found, before, tls, [0; 2], flag::JOINED, time) {
                return false;
            }
            socket::remove(before.sk, before.inode);
        } else {
            // Of a key that has taken the place of another: a gap of as many bytes.
            life::cut_off_here(stand, before.sk);
        }
        (*socket).plaintext[0] = sent.wrapping_add(passed);
        true
    }
}
