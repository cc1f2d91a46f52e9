//! Plaintext of OpenSSL 3, bound to its socket.
//!
//! While a thread is inside `SSL_read` or `SSL_write`, the system calls that it makes and whose
//! bytes begin with a TLS record tell which socket the TLS object uses. The binding stays as long as
//! the object lives. Where there are no such calls, as with memory BIOs, the plaintext is reported
//! with a stand-in for the socket: peer unknown is an answer, a wrong peer is not.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use wirespan_events::config::{TLS_ATTACHING, filter};
use wirespan_events::{
    Counter, call as name,
    direction::{RECEIVED, SENT},
    flag, layer, missing,
};

use crate::copy::{MESSAGE_IOV, user};
use crate::globals::{is_watched, setting};
use crate::maps::{
    Call, FILTER_TGIDS, IN_FLIGHT, SOCKETS, Socket, TLS_IN_FLIGHT, TLS_OBJECTS, TLS_SINCE, TlsCall,
    TlsKey, TlsObject, count, shape, socket_flag,
};
use crate::walk::Found;
use crate::{hand_over, life, report, socket};

/// Content types of TLS records: change of cipher, alert, handshake, application data.
const FIRST_TYPE: u8 = 20;
const LAST_TYPE: u8 = 23;
/// Major version of SSL 3.0 and every TLS; the minor one is at most 4.
const MAJOR: u8 = 3;
const LAST_MINOR: u8 = 4;
/// Length of a record's header.
const RECORD_HEADER: u64 = 5;

/// Bits of a pointer into user space that tell two of them apart, and of the process id above.
const POINTER_BITS: u32 = 47;
const POINTER_MASK: u64 = (1 << POINTER_BITS) - 1;
const PROCESS_MASK: u64 = 0xffff;

#[inline(always)]
fn enter(ctx: &ProbeContext, direction: u8, out: Option<usize>) {
    let thread = bpf_get_current_pid_tgid();
    let tgid = (thread >> 32) as u32;
    if !is_watched(tgid) {
        return;
    }
    if setting!(filter) & filter::TGID != 0 && FILTER_TGIDS.get_ptr(tgid).is_none() {
        return;
    }
    let tls: u64 = ctx.arg(0).unwrap_or(0);
    let buffer: u64 = ctx.arg(1).unwrap_or(0);
    let length: u64 = ctx.arg(2).unwrap_or(0);
    let out: u64 = out.and_then(|number| ctx.arg(number)).unwrap_or(0);
    let call = TlsCall {
        tls,
        buffer,
        length,
        out,
        // SAFETY: a helper without arguments.
        entry: unsafe { bpf_ktime_get_ns() },
        sk: 0,
        inode: 0,
        direction: direction.into(),
    };
    if TLS_IN_FLIGHT.insert(thread, &call, BPF_ANY.into()).is_err() {
        count(Counter::InFlightFull, 1);
    }
}

#[uprobe]
pub fn tls_read(ctx: ProbeContext) -> u32 {
    enter(&ctx, RECEIVED, None);
    0
}

#[uprobe]
pub fn tls_read_ex(ctx: ProbeContext) -> u32 {
    enter(&ctx, RECEIVED, Some(3));
    0
}

#[uprobe]
pub fn tls_write(ctx: ProbeContext) -> u32 {
    enter(&ctx, SENT, None);
    0
}

#[uprobe]
pub fn tls_write_ex(ctx: ProbeContext) -> u32 {
    enter(&ctx, SENT, Some(3));
    0
}

/// The function behind `SSL_write_ex` since OpenSSL 3.3, which has flags before the pointer.
#[uprobe]
pub fn tls_write_flags(ctx: ProbeContext) -> u32 {
    enter(&ctx, SENT, Some(4));
    0
}

/// The return of any of them.
#[uretprobe]
pub fn tls_return(ctx: RetProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some(outer) = TLS_IN_FLIGHT.get_ptr_mut(thread) else {
        return 0;
    };
    let result: i32 = ctx.ret();
    // SAFETY: a value of the map of TLS calls; it is this thread's own until it is removed.
    unsafe {
        let bytes = if (*outer).out == 0 {
            if result > 0 {
                u64::from(result.cast_unsigned())
            } else {
                0
            }
        } else if result > 0 {
            user::<u64>((*outer).out).unwrap_or(0)
        } else {
            0
        };
        // Never more than was asked for, whatever the memory says by now.
        if bytes != 0 && bytes <= (*outer).length {
            plaintext(outer, thread, bytes);
        }
    }
    let _ = TLS_IN_FLIGHT.remove(thread);
    0
}

#[uprobe]
pub fn tls_free(ctx: ProbeContext) -> u32 {
    let tgid = bpf_get_current_pid_tgid() >> 32;
    let key = TlsKey {
        tls: ctx.arg(0).unwrap_or(0),
        tgid,
    };
    let Some(object) = TLS_OBJECTS.get_ptr(&key) else {
        return 0;
    };
    // SAFETY: values of maps.
    unsafe {
        let sk = (*object).sk;
        if let Some(state) = SOCKETS.get_ptr_mut(sk)
            && (*state).inode == (*object).inode
            && (*state).flags & socket_flag::STAND_IN != 0
        {
            life::gone(state, sk);
        }
    }
    let _ = TLS_OBJECTS.remove(&key);
    0
}

/// Called for each system call on a socket: if the thread is inside a TLS function and the bytes
/// are a TLS record, the socket is that TLS object's.
///
/// # Safety
/// `call` is a value of the map of calls and `state` one of the map of sockets.
#[inline(always)]
pub unsafe fn bind(call: *mut Call, state: *mut Socket) {
    // SAFETY: as the caller promises.
    unsafe {
        let thread = bpf_get_current_pid_tgid();
        let Some(outer) = TLS_IN_FLIGHT.get_ptr_mut(thread) else {
            return;
        };
        if (*outer).sk == (*call).sk && (*outer).inode == (*call).inode {
            return;
        }
        if !is_record(call) {
            return;
        }
        (*outer).sk = (*call).sk;
        (*outer).inode = (*call).inode;
        secure(state, (*call).sk, (*outer).tls, (*outer).entry, 0);
    }
}

/// From here on the plaintext of this socket is reported. `mid`: 0, or [`flag::MID_STREAM`] where
/// plaintext has passed unseen.
///
/// # Safety
/// `state` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn secure(state: *mut Socket, sk: u64, tls: u64, time: u64, mid: u8) {
    // SAFETY: as the caller promises.
    unsafe {
        if (*state).flags & socket_flag::SECURED != 0 {
            return;
        }
        // A connection that is younger than the probes has shown all of its plaintext.
        let since = match TLS_SINCE.get_ptr(0) {
            Some(since) => *since,
            None => TLS_ATTACHING,
        };
        let mid = if (*state).born <= since {
            flag::MID_STREAM
        } else {
            mid
        };
        if report::secured(sk, (*state).inode, tls, (*state).plaintext, mid, time) {
            (*state).flags |= socket_flag::SECURED;
            (*state).budget = [setting!(unknown_bytes); 2];
            (*state).turns = 0;
            (*state).unwanted = [0; 2];
        }
    }
}

/// Whether the bytes of a call begin with the header of a TLS record.
///
/// # Safety
/// `call` is a value of the map of calls.
#[inline(always)]
pub unsafe fn is_record(call: *mut Call) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if (*call).left < RECORD_HEADER {
            return false;
        }
        let mut address = (*call).argument;
        let mut kind = (*call).shape;
        if kind == shape::MESSAGE {
            address = user(address + MESSAGE_IOV).unwrap_or(0);
            kind = shape::IOVECS;
        }
        if kind == shape::IOVECS {
            address = user(address).unwrap_or(0);
        } else if kind != shape::BUFFER {
            return false;
        }
        let Some([content, major, minor]) = user::<[u8; 3]>(address) else {
            return false;
        };
        (FIRST_TYPE..=LAST_TYPE).contains(&content) && major == MAJOR && minor <= LAST_MINOR
    }
}

/// The socket that a TLS object belongs to, or what stands for it.
#[inline(always)]
unsafe fn owner(outer: *mut TlsCall, tgid: u64) -> Option<(Found, *mut Socket)> {
    // SAFETY: as in `tls_return`.
    unsafe {
        let key = TlsKey {
            tls: (*outer).tls,
            tgid,
        };
        if (*outer).sk == 0 {
            if let Some(known) = TLS_OBJECTS.get_ptr(&key) {
                let found = Found {
                    sk: (*known).sk,
                    inode: (*known).inode,
                };
                if let Some(state) = SOCKETS.get_ptr_mut(found.sk)
                    && (*state).inode == found.inode
                {
                    return Some((found, state));
                }
                // The socket has ended: what is at this address is another object.
            }
            return stand_in(outer, &key);
        }
        let found = Found {
            sk: (*outer).sk,
            inode: (*outer).inode,
        };
        let state = SOCKETS.get_ptr_mut(found.sk)?;
        if (*state).inode != found.inode {
            return None;
        }
        let known = TLS_OBJECTS.get_ptr(&key);
        if known.is_none_or(|known| (*known).sk != found.sk || (*known).inode != found.inode) {
            let object = TlsObject {
                sk: found.sk,
                inode: found.inode,
            };
            if TLS_OBJECTS.insert(&key, &object, BPF_ANY.into()).is_err() {
                count(Counter::TlsFull, 1);
            }
        }
        Some((found, state))
    }
}

/// A connection for a TLS object whose socket is not known.
#[inline(always)]
unsafe fn stand_in(outer: *mut TlsCall, key: &TlsKey) -> Option<(Found, *mut Socket)> {
    // SAFETY: as in `tls_return`.
    unsafe {
        count(Counter::TlsUnbound, 1);
        if setting!(filter) & filter::PORT != 0 {
            // Whether its ports are wanted cannot be known.
            return None;
        }
        // Below every address of the kernel, and different in processes that were forked.
        let sk = (key.tls & POINTER_MASK) | ((key.tgid & PROCESS_MASK) << POINTER_BITS);
        let found = Found {
            sk,
            inode: (*outer).entry,
        };
        let flags = socket_flag::STAND_IN | socket_flag::POSITIONS | socket_flag::DECIDED;
        let state = socket::add(found, flags | socket_flag::MID_STREAM)?;
        let object = TlsObject {
            sk,
            inode: found.inode,
        };
        if TLS_OBJECTS.insert(key, &object, BPF_ANY.into()).is_err() {
            count(Counter::TlsFull, 1);
            return None;
        }
        Some((found, state))
    }
}

/// Plaintext has passed.
#[inline(always)]
unsafe fn plaintext(outer: *mut TlsCall, thread: u64, bytes: u64) {
    // SAFETY: as in `tls_return`.
    unsafe {
        let Some((found, state)) = owner(outer, thread >> 32) else {
            return;
        };
        let passed = Plaintext {
            tls: (*outer).tls,
            buffer: (*outer).buffer,
            bytes,
            entry: (*outer).entry,
            sent: (*outer).direction == u64::from(SENT),
            mid: 0,
        };
        deliver(found, state, &passed, thread);
    }
}

/// Plaintext that a function has taken or given.
pub struct Plaintext {
    /// Address of what stands for the TLS connection in its process.
    pub tls: u64,
    pub buffer: u64,
    pub bytes: u64,
    /// When the function was entered.
    pub entry: u64,
    pub sent: bool,
    /// As for [`secure`].
    pub mid: u8,
}

/// Reports plaintext of a socket.
///
/// # Safety
/// `state` is the value of `found` in the map of sockets; the thread is in no system call.
#[inline(always)]
pub unsafe fn deliver(found: Found, state: *mut Socket, passed: &Plaintext, thread: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let (tgid, bytes) = ((thread >> 32) as u32, passed.bytes);
        if (*state).flags & socket_flag::HIDDEN != 0 {
            return;
        }
        let position = if passed.sent {
            (*state).plaintext[0]
        } else {
            (*state).plaintext[1]
        };
        if (*state).flags & socket_flag::ANNOUNCED == 0 {
            report::open(state, found.sk, tgid, passed.entry);
        }
        if (*state).flags & socket_flag::ANNOUNCED != 0 {
            secure(state, found.sk, passed.tls, passed.entry, passed.mid);
        }
        if passed.sent {
            (*state).plaintext[0] = position.wrapping_add(bytes);
        } else {
            (*state).plaintext[1] = position.wrapping_add(bytes);
        }
        if (*state).flags & socket_flag::SECURED == 0 {
            count(Counter::RingFullBytes, bytes);
            return;
        }
        let cursor = Call {
            sk: found.sk,
            inode: found.inode,
            entry: passed.entry,
            exit: bpf_ktime_get_ns(),
            argument: passed.buffer,
            iov: 0,
            segment: 0,
            segment_left: 0,
            left: bytes,
            message_left: 0,
            lost: 0,
            position,
            skip_until: 0,
            tls: passed.tls,
            message: 0,
            messages_left: 0,
            iov_left: 0,
            budget: 0,
            sequence: 0,
            tgid,
            tid: thread as u32,
            data_flags: 0,
            length: 0,
            call: if passed.sent {
                name::TLS_WRITE
            } else {
                name::TLS_READ
            },
            direction: if passed.sent { SENT } else { RECEIVED },
            layer: layer::PLAINTEXT,
            shape: shape::BUFFER,
            cause: missing::LIMIT,
            reserved: [0; 3],
        };
        // The thread is in no system call now, so its entry there is free.
        if IN_FLIGHT.insert(thread, &cursor, BPF_ANY.into()).is_err() {
            count(Counter::InFlightFull, 1);
            return;
        }
        if let Some(cursor) = IN_FLIGHT.get_ptr_mut(thread)
            && hand_over::start::<false>(cursor, state, bytes)
        {
            hand_over::give_up(cursor);
        }
        let _ = IN_FLIGHT.remove(thread);
    }
}
