//! Plaintext of TLS libraries, as it passes their functions.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use wirespan_events::config::filter;
use wirespan_events::{
    Counter, call as name,
    direction::{RECEIVED, SENT},
    is_stand_in, layer, missing,
};

use crate::copy::user;
use crate::globals::{is_watched, setting};
use crate::maps::{
    Call, FILTER_TGIDS, SOCKETS, Socket, TLS_OBJECTS, Thread, TlsCall, TlsKey, TlsObject, count,
    pieces, shape, socket_flag, zero,
};
use crate::thread::{self, stage};
use crate::walk::Found;
use crate::{binding, hand_over, life, opening, output, socket};

/// The "direction" of a handshake, of which there is no plaintext.
pub const TLS_HANDSHAKE: u8 = 2;
const _: () = assert!(TLS_HANDSHAKE != SENT && TLS_HANDSHAKE != RECEIVED);

/// Bits of a pointer into user space that tell two of them apart, and of the process id above.
const POINTER_BITS: u32 = 47;
const POINTER_MASK: u64 = (1 << POINTER_BITS) - 1;
const PROCESS_MASK: u64 = 0xffff;

#[inline(always)]
fn enter(ctx: &ProbeContext, direction: u8, out: Option<usize>) {
    let buffer = (ctx.arg(1).unwrap_or(0), ctx.arg(2).unwrap_or(0));
    enter_with(ctx, direction, buffer, out);
}

/// With the memory, address and length, that the plaintext passes through; 0 where it has no address.
#[inline(always)]
fn enter_with(ctx: &ProbeContext, direction: u8, memory: (u64, u64), out: Option<usize>) {
    let thread = bpf_get_current_pid_tgid();
    let tgid = (thread >> 32) as u32;
    if !is_watched(tgid) {
        return;
    }
    let Some(place) = admit(thread) else {
        return;
    };
    let tls: u64 = ctx.arg(0).unwrap_or(0);
    let (buffer, length) = memory;
    let out: u64 = out.and_then(|number| ctx.arg(number)).unwrap_or(0);
    // SAFETY: values of maps; the thread's own is nobody else's.
    unsafe {
        let call = &raw mut (*place).tls;
        // BoringSSL shakes hands within a read or a write.
        if direction == TLS_HANDSHAKE && (*call).inside != 0 {
            return;
        }
        (*call).tls = tls;
        (*call).buffer = buffer;
        (*call).length = length;
        (*call).out = out;
        (*call).entry = bpf_ktime_get_ns();
        (*call).sk = 0;
        (*call).known_sk = 0;
        (*call).passed = [zero(); 2];
        (*call).outputs = 0;
        (*call).direction = direction;
        (*call).inside = 1;
        let key = TlsKey {
            tls,
            tgid: tgid.into(),
        };
        // Whether that socket still lives is asked where it matters.
        if let Some(known) = TLS_OBJECTS.get_ptr(&key)
            && !is_stand_in((*known).sk)
        {
            (*call).known_sk = (*known).sk;
            (*call).known_inode = (*known).inode;
        }
    }
}

/// What is known of a thread, made when there is nothing; `None` for one of a process that the filter leaves
/// out, and where there are too many.
#[inline(always)]
fn admit(thread: u64) -> Option<*mut Thread> {
    let tgid = (thread >> 32) as u32;
    let narrow = setting!(filter) & filter::TGID != 0;
    if let Some(known) = thread::known(thread) {
        // SAFETY: a value of the map of threads; it is this thread's own.
        unsafe {
            let call = &raw mut (*known).tls;
            // The filter stays as it is, and no thread becomes one of another process.
            if narrow && (*call).admitted == 0 {
                FILTER_TGIDS.get_ptr(tgid)?;
                (*call).admitted = 1;
            }
        }
        return Some(known);
    }
    if narrow {
        FILTER_TGIDS.get_ptr(tgid)?;
    }
    thread::current(thread)
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

/// `ossl_ssize_t SSL_sendfile(SSL *s, int fd, off_t offset, size_t size, int flags)`: the plaintext
/// passes no memory of the program.
#[uprobe]
pub fn tls_send_file(ctx: ProbeContext) -> u32 {
    enter_with(&ctx, SENT, (0, 0), None);
    0
}

/// `ssize_t gnutls_record_recv_packet(gnutls_session_t session, gnutls_packet_t *packet)`: where the
/// plaintext is only the library knows.
#[uprobe]
pub fn tls_read_packet(ctx: ProbeContext) -> u32 {
    enter_with(&ctx, RECEIVED, (0, 0), None);
    0
}

/// `int SSL_do_handshake(SSL *ssl)`
#[uprobe]
pub fn tls_handshake(ctx: ProbeContext) -> u32 {
    enter_with(&ctx, TLS_HANDSHAKE, (0, 0), None);
    0
}

#[uretprobe]
pub fn tls_handshake_return(_: RetProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some(outer) = thread::tls_call_of(thread) else {
        return 0;
    };
    // SAFETY: a value of the map of threads; it is this thread's own.
    unsafe {
        if (*outer).direction != TLS_HANDSHAKE {
            return 0;
        }
        leave(outer, thread);
    }
    0
}

/// The end of a call.
#[inline(always)]
unsafe fn leave(outer: *mut TlsCall, thread: u64) {
    // SAFETY: as in `tls_return`.
    unsafe {
        if (*outer).outputs != 0 && (*outer).sk == 0 {
            output::expect_sends(thread >> 32);
        }
        let [sent, received] = (*outer).passed;
        if sent | received != 0
            && let Some(state) = SOCKETS.get_ptr_mut((*outer).known_sk)
            && (*state).inode == (*outer).known_inode
        {
            settle(outer, state);
        }
        (*outer).inside = 0;
    }
}

/// Adds the ciphertext that has passed to the positions of its socket.
#[inline(always)]
unsafe fn settle(outer: *mut TlsCall, state: *mut Socket) {
    // SAFETY: as in `tls_return`; `state` is a value of the map of sockets.
    unsafe {
        let [sent, received] = (*outer).passed;
        (*outer).passed = [zero(); 2];
        // Once an end has been seen its position is that of TCP's counters, with these bytes in it.
        let flags = (*state).flags;
        if sent != 0 && flags & (socket_flag::END_SENT | socket_flag::LEFT) == 0 {
            socket::advance(state, SENT, sent);
        }
        if received != 0 && flags & socket_flag::LEFT == 0 {
            socket::advance(state, RECEIVED, received);
        }
    }
}

/// The return of a read or a write.
#[uretprobe]
#[inline(always)]
pub fn tls_return(ctx: RetProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some(place) = thread::known(thread) else {
        return 0;
    };
    let result: i32 = ctx.ret();
    // SAFETY: a value of the map of threads; it is this thread's own.
    unsafe {
        let Some(outer) = thread::within(place) else {
            return 0;
        };
        if (*outer).direction == TLS_HANDSHAKE {
            return 0;
        }
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
        // Never more than was asked for, whatever the memory says by now. Where there is no memory
        // there is nothing to read beyond.
        if bytes != 0 && (bytes <= (*outer).length || (*outer).buffer == 0) {
            plaintext(outer, place, thread, bytes);
        }
        leave(outer, thread);
    }
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

/// The socket that a TLS object belongs to, or what stands for it.
#[inline(always)]
unsafe fn owner(outer: *mut TlsCall, tgid: u64) -> Option<(Found, *mut Socket)> {
    // SAFETY: as in `tls_return`.
    unsafe {
        let found = Found {
            sk: (*outer).sk,
            inode: (*outer).inode,
        };
        if found.sk == 0 {
            if (*outer).known_sk != 0
                && let Some(state) = SOCKETS.get_ptr_mut((*outer).known_sk)
                && (*state).inode == (*outer).known_inode
            {
                let known = Found {
                    sk: (*outer).known_sk,
                    inode: (*outer).known_inode,
                };
                return Some((known, state));
            }
            let key = TlsKey {
                tls: (*outer).tls,
                tgid,
            };
            return holder(&key, (*outer).entry, 0);
        }
        let state = SOCKETS.get_ptr_mut(found.sk)?;
        if (*state).inode == found.inode {
            Some((found, state))
        } else {
            None
        }
    }
}

/// What the plaintext of a TLS object belongs to, as far as is known: its socket, or what stands for it.
/// `whole` as [`TlsObject::whole`] of an object that is not known.
///
/// # Safety
/// Like every access to values of maps.
#[inline(always)]
pub unsafe fn holder(key: &TlsKey, entry: u64, whole: u64) -> Option<(Found, *mut Socket)> {
    // SAFETY: values of maps.
    unsafe {
        let mut found = Found { sk: 0, inode: 0 };
        let born = match TLS_OBJECTS.get_ptr(key) {
            Some(known) => {
                found.sk = (*known).sk;
                found.inode = (*known).inode;
                (*known).born
            }
            None => entry,
        };
        if let Some(state) = SOCKETS.get_ptr_mut(found.sk)
            && (*state).inode == found.inode
        {
            return Some((found, state));
        }
        // A socket that has ended had another object at this address.
        let ended = found.sk != 0;
        stand_in(key, if ended { entry } else { born }, whole)
    }
}

/// A connection for a TLS object whose socket is not known.
#[inline(always)]
unsafe fn stand_in(key: &TlsKey, born: u64, whole: u64) -> Option<(Found, *mut Socket)> {
    count(Counter::TlsUnbound, 1);
    // Below every address of the kernel, and different in processes that were forked.
    let sk = (key.tls & POINTER_MASK) | ((key.tgid & PROCESS_MASK) << POINTER_BITS);
    let found = Found { sk, inode: born };
    let flags = socket_flag::STAND_IN
        | socket_flag::POSITIONS
        | socket_flag::DECIDED
        | socket_flag::MID_STREAM;
    let state = socket::add(found, flags)?;
    let object = TlsObject {
        sk,
        inode: born,
        born,
        whole,
    };
    if TLS_OBJECTS.insert(key, &object, BPF_ANY.into()).is_err() {
        count(Counter::TlsFull, 1);
        return None;
    }
    output::expect_sends(key.tgid);
    Some((found, state))
}

/// Plaintext has passed.
#[inline(always)]
unsafe fn plaintext(outer: *mut TlsCall, place: *mut Thread, thread: u64, bytes: u64) {
    // SAFETY: as in `tls_return`.
    unsafe {
        let Some((found, state)) = owner(outer, thread >> 32) else {
            return;
        };
        if found.sk == (*outer).known_sk && found.inode == (*outer).known_inode {
            settle(outer, state);
        }
        let passed = Plaintext {
            tls: (*outer).tls,
            buffer: (*outer).buffer,
            held: 0,
            rest: 0,
            rests: 0,
            half: false,
            bytes,
            entry: (*outer).entry,
            sent: (*outer).direction == SENT,
            mid: 0,
            position: NEXT,
        };
        if let Some(cursor) = prepare(found, state, &passed, thread, Some(place)) {
            report(cursor, state, bytes);
        }
    }
}

/// Plaintext that a function has taken or given.
pub struct Plaintext {
    /// Address of what stands for the TLS connection in its process.
    pub tls: u64,
    /// 0 where it passed no memory that is known.
    pub buffer: u64,
    /// Where it is only the first piece: its length, and where in memory the addresses and lengths of `rests`
    /// others follow each other. 0 where it is all.
    pub held: u64,
    pub rest: u64,
    pub rests: u32,
    /// It is of a TLS object that has one direction only.
    pub half: bool,
    pub bytes: u64,
    /// When the function was entered.
    pub entry: u64,
    pub sent: bool,
    /// As for [`binding::secure`].
    pub mid: u8,
    /// Where it lies, or [`NEXT`].
    pub position: u64,
}

/// Behind all that has passed in its direction.
pub const NEXT: u64 = u64::MAX;

/// Reports plaintext of a socket.
///
/// # Safety
/// `state` is the value of `found` in the map of sockets; the thread is in no system call.
#[inline(always)]
pub unsafe fn deliver(found: Found, state: *mut Socket, passed: &Plaintext, thread: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let place = thread::current(thread);
        if let Some(cursor) = prepare(found, state, passed, thread, place) {
            report(cursor, state, passed.bytes);
        }
    }
}

/// Reports what [`prepare`] has left.
#[inline(always)]
unsafe fn report(cursor: *mut Call, state: *mut Socket, bytes: u64) {
    // SAFETY: as in `deliver`.
    unsafe {
        if hand_over::start::<{ pieces::USER }>(cursor, state, bytes) {
            hand_over::give_up(cursor);
        }
    }
}

/// Gives plaintext its place, and the host what it has to know before. What says where it lies, for
/// [`hand_over`] to report it, is in the thread's place for a call; `None` where nothing is to be reported.
/// `place`: what is known of the thread, `None` where there were too many.
///
/// # Safety
/// As for [`deliver`].
#[inline(always)]
pub unsafe fn prepare(
    found: Found,
    state: *mut Socket,
    passed: &Plaintext,
    thread: u64,
    place: Option<*mut Thread>,
) -> Option<*mut Call> {
    // SAFETY: as the caller promises.
    unsafe {
        let (tgid, bytes) = ((thread >> 32) as u32, passed.bytes);
        if (*state).flags & socket_flag::HIDDEN != 0 {
            return None;
        }
        let position = if passed.position != NEXT {
            passed.position
        } else if passed.sent {
            (*state).plaintext[0]
        } else {
            (*state).plaintext[1]
        };
        if (*state).flags & socket_flag::ANNOUNCED == 0 {
            opening::tell(state, found.sk, tgid, passed.entry);
        }
        if (*state).flags & (socket_flag::ANNOUNCED | socket_flag::SECURED)
            == socket_flag::ANNOUNCED
        {
            binding::secure(state, found.sk, passed.tls, passed.entry, passed.mid);
        }
        if passed.position == NEXT {
            let end = position.wrapping_add(bytes);
            if passed.sent {
                (*state).plaintext[0] = end;
            } else {
                (*state).plaintext[1] = end;
            }
        }
        if (*state).flags & socket_flag::SECURED == 0 {
            count(Counter::PassedBytes, bytes);
            count(Counter::RingFullBytes, bytes);
            return None;
        }
        let in_pieces = passed.rest != 0;
        // The thread is in no system call now, so its place for one is free.
        let Some(place) = place else {
            if passed.sent {
                (*state).lost[0] = (*state).lost[0].wrapping_add(bytes);
            } else {
                (*state).lost[1] = (*state).lost[1].wrapping_add(bytes);
            }
            return None;
        };
        let cursor = &raw mut (*place).call;
        let none = zero();
        (*cursor).sk = found.sk;
        (*cursor).inode = found.inode;
        (*cursor).entry = passed.entry;
        (*cursor).exit = bpf_ktime_get_ns();
        (*cursor).argument = if in_pieces {
            passed.rest
        } else {
            passed.buffer
        };
        (*cursor).iov = none;
        (*cursor).segment = passed.buffer;
        (*cursor).segment_left = passed.held;
        (*cursor).left = bytes;
        (*cursor).message_left = none;
        (*cursor).lost = none;
        (*cursor).position = position;
        (*cursor).skip_until = none;
        (*cursor).tls = passed.tls;
        (*cursor).messages_left = none as u32;
        (*cursor).iov_left = none as u32;
        (*cursor).tgid = tgid;
        (*cursor).tid = thread as u32;
        (*cursor).data_flags = none as u32;
        (*cursor).length = passed.rests;
        (*cursor).call = if passed.half {
            name::TLS_RECORD
        } else if passed.sent {
            name::TLS_WRITE
        } else {
            name::TLS_READ
        };
        (*cursor).direction = if passed.sent { SENT } else { RECEIVED };
        (*cursor).layer = layer::PLAINTEXT;
        (*cursor).shape = if passed.buffer == 0 {
            shape::NONE
        } else if in_pieces {
            shape::IOVECS
        } else {
            shape::BUFFER
        };
        (*cursor).cause = missing::LIMIT;
        (*cursor).stage = stage::IDLE;
        Some(cursor)
    }
}
