//! The state of a socket: positions, first sight, whether it is hidden.

use core::arch::asm;
use core::ptr::{self, read_volatile};

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_get_current_cgroup_id;
use wirespan_events::config::filter;
use wirespan_events::direction::{RECEIVED, SENT};
use wirespan_events::{Counter, layer};

use crate::globals::setting;
use crate::life;
use crate::maps::{
    FILTER_CGROUPS, FILTER_PORTS, FILTER_TGIDS, Flow, OWN_FLOWS, OWN_SOCKETS, SOCKETS, Socket,
    VERDICTS, count, socket_flag, zero,
};
use crate::walk::{self, Found, tcp};

/// The state of a socket, made when there is none.
#[inline(always)]
pub fn of(found: Found) -> Option<*mut Socket> {
    if let Some(socket) = SOCKETS.get_ptr_mut(found.sk) {
        // SAFETY: values of a preallocated map stay readable; one that is reused has another inode.
        if unsafe { (*socket).inode } == found.inode {
            return Some(socket);
        }
        // The end of the former socket at this address was not seen.
        count(Counter::Replaced, 1);
        // SAFETY: a value of the map of sockets.
        unsafe { life::replaced(socket, found.sk) };
    }
    add(found, 0)
}

/// The same for what a call was made on, which may be no stream at all.
#[inline(always)]
pub fn of_call(found: Found) -> Option<*mut Socket> {
    if let Some(socket) = SOCKETS.get_ptr_mut(found.sk)
        // SAFETY: as in `of`.
        && unsafe { (*socket).inode } == found.inode
    {
        return Some(socket);
    }
    if walk::is_stream(found) {
        of(found)
    } else {
        None
    }
}

/// Begins to follow a socket.
#[inline(always)]
pub fn add(found: Found, flags: u32) -> Option<*mut Socket> {
    let mut flags = flags;
    if flags & socket_flag::STAND_IN == 0 && walk::is_unix(found.sk) {
        // Whether bytes have passed before cannot be known of those whose beginning was not seen.
        flags |= socket_flag::UNIX | socket_flag::POSITIONS | socket_flag::MID_STREAM;
    }
    let socket = add_fresh(found.sk, found.inode, flags);
    if socket.is_null() { None } else { Some(socket) }
}

/// A function of its own, as a state takes a third of the stack.
#[inline(never)]
fn add_fresh(sk: u64, inode: u64, flags: u32) -> *mut Socket {
    // SAFETY: a helper without arguments.
    let born = unsafe { bpf_ktime_get_ns() };
    let none = zero();
    let fresh = Socket {
        inode,
        position: [none; 2],
        lost: [none; 2],
        plaintext: [none; 2],
        unwanted_at: [none; 2],
        unwanted: [none; 2],
        born,
        origin: [none as u32; 2],
        entered: [none; 2],
        left: [none; 2],
        budget: [setting!(unknown_bytes); 2],
        turns: none as u32,
        flags,
        last_direction: none as u8,
        role: none as u8,
        unprobed: [none as u8; 2],
        returned: none as u32,
        writing: none,
        more: setting!(unknown_more_bytes),
        holder: none as u32,
    };
    if SOCKETS.insert(sk, &fresh, BPF_NOEXIST.into()).is_err() {
        // Another thread may have been quicker, with its first call on the same socket.
        // Not `inode`, which would take eight bytes of the stack more than callers have left.
        if let Some(socket) = SOCKETS.get_ptr_mut(sk)
            // SAFETY: as in `of`; a reference is valid.
            && unsafe { (*socket).inode == read_volatile(&raw const fresh.inode) }
        {
            return socket;
        }
        if SOCKETS.insert(sk, &fresh, BPF_ANY.into()).is_err() {
            count(Counter::SocketsFull, 1);
            return ptr::null_mut();
        }
    }
    count(Counter::Followed, 1);
    SOCKETS.get_ptr_mut(sk).unwrap_or(ptr::null_mut())
}

/// Follows a socket no longer; `inode` is whose end was seen. Another one may lie at its address by now,
/// which somebody else has begun to follow.
#[inline(always)]
pub fn remove(sk: u64, inode: u64) {
    if let Some(now) = SOCKETS.get_ptr(sk)
        // SAFETY: a value of the map of sockets.
        && unsafe { read_volatile(&raw const (*now).inode) } == inode
    {
        let _ = SOCKETS.remove(sk);
        let _ = VERDICTS.remove(sk);
    }
}

/// A call begins that moves this direction. How many others have ended and begun before it: when
/// these agree, it is alone so far.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn enter(socket: *mut Socket, direction: u8) {
    // SAFETY: as the caller promises; the index is 0 or 1.
    unsafe { increase(&raw mut (*socket).entered[usize::from(direction & 1)], 1) };
}

/// A call ends that moved this direction.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn leave(socket: *mut Socket, direction: u8) {
    // SAFETY: as the caller promises; the index is 0 or 1.
    unsafe { increase(&raw mut (*socket).left[usize::from(direction & 1)], 1) };
}

/// So many bytes of a socket have passed that does not count them itself.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn advance(socket: *mut Socket, direction: u8, bytes: u64) {
    // SAFETY: as the caller promises; the index is 0 or 1.
    unsafe {
        increase(
            &raw mut (*socket).position[usize::from(direction & 1)],
            bytes,
        )
    };
}

/// Other CPUs may do the same at this moment.
///
/// # Safety
/// `number` is aligned, and in a value of a map.
#[inline(always)]
pub unsafe fn increase(number: *mut u64, by: u64) {
    // SAFETY: as the callers promise. The compiler knows no atomic operation for this target; this
    // one does not ask for the former value, which kernels before 5.12 cannot tell.
    unsafe {
        asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) number, in(reg) by, options(nostack));
    }
}

/// What the records of this socket are about.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn layer(socket: *mut Socket) -> u8 {
    // SAFETY: as the caller promises.
    if unsafe { (*socket).flags } & socket_flag::SECURED != 0 {
        layer::PLAINTEXT
    } else {
        layer::SOCKET
    }
}

/// Sets the positions from TCP's own counters, once the handshake has set those.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn locate(socket: *mut Socket, sk: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        if (*socket).flags & socket_flag::POSITIONS != 0 {
            return;
        }
        let state = walk::state(sk);
        if state == tcp::SYN_SENT
            || state == tcp::CLOSE
            || state == tcp::LISTEN
            || state == tcp::NEW_SYN_RECV
        {
            return;
        }
        locate_established(socket, sk);
    }
}

/// The same where it is known that the handshake has set them.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn locate_established(socket: *mut Socket, sk: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let written = walk::bytes_written(sk);
        let read = walk::bytes_read(sk);
        let origin = [
            walk::sequence(sk, 0).wrapping_sub(written as u32),
            walk::sequence(sk, 1).wrapping_sub(read as u32),
        ];
        let flags = read_volatile(&raw const (*socket).flags);
        if flags & socket_flag::POSITIONS != 0 {
            // Another thread has made its first call meanwhile, and moves bytes already.
            return;
        }
        (*socket).position = [written, read];
        (*socket).origin = origin;
        let passed = if written | read == 0 {
            0
        } else {
            socket_flag::MID_STREAM
        };
        (*socket).flags = flags | socket_flag::POSITIONS | passed;
    }
}

/// Whether no call is under way, in either direction.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn is_at_rest(socket: *mut Socket) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let (sends_left, sends) = calls(socket, SENT);
        let (receives_left, receives) = calls(socket, RECEIVED);
        sends_left == sends && receives_left == receives
    }
}

/// Calls of a direction that were left and entered so far; in this order, so that one which ends
/// meanwhile is never missed.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn calls(socket: *mut Socket, direction: u8) -> (u64, u64) {
    // SAFETY: as the caller promises; the index is 0 or 1.
    unsafe {
        let index = usize::from(direction & 1);
        let left = read_volatile(&raw const (*socket).left[index]);
        (left, read_volatile(&raw const (*socket).entered[index]))
    }
}

/// Positions of a client that has sent bytes with its SYN: what it will receive begins with the
/// answer to that.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn locate_unanswered(socket: *mut Socket, sk: u64, sent: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        (*socket).position = [0, 0];
        (*socket).origin = [walk::sequence(sk, 0).wrapping_sub(sent as u32), 0];
        (*socket).flags |= socket_flag::POSITIONS | socket_flag::UNANSWERED;
    }
}

/// The 64-bit position of a sequence number near the last known position.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn extend(socket: *mut Socket, direction: u8, sequence: u32) -> u64 {
    // SAFETY: as the caller promises; the index is 0 or 1.
    unsafe {
        let (last, origin) = if direction == 0 {
            ((*socket).position[0], (*socket).origin[0])
        } else {
            ((*socket).position[1], (*socket).origin[1])
        };
        let distance = sequence
            .wrapping_sub(origin)
            .wrapping_sub(last as u32)
            .cast_signed();
        last.wrapping_add_signed(i64::from(distance))
    }
}

/// Decides, once the addresses are known, whether anyone may hear of this socket.
///
/// # Safety
/// `socket` is a value of [`SOCKETS`].
#[inline(always)]
pub unsafe fn decide(socket: *mut Socket, sk: u64, tgid: u32) {
    // SAFETY: as the caller promises.
    unsafe {
        if (*socket).flags & socket_flag::DECIDED != 0 {
            return;
        }
        let narrow: u32 = setting!(filter);
        let unix = (*socket).flags & socket_flag::UNIX != 0;
        // A Unix socket has no ports, and its other end is known by its address.
        let flow: Flow = if unix {
            Flow::default()
        } else {
            walk::flow(sk)
        };
        let mut hidden = if unix {
            OWN_SOCKETS.get_ptr(walk::unix_peer(sk)).is_some()
        } else {
            OWN_FLOWS.get_ptr(&flow).is_some()
        };
        if narrow & filter::TGID != 0 && FILTER_TGIDS.get_ptr(tgid).is_none() {
            hidden = true;
        }
        if narrow & filter::PORT != 0
            && FILTER_PORTS.get_ptr(flow.local_port as u16).is_none()
            && FILTER_PORTS.get_ptr(flow.remote_port as u16).is_none()
        {
            hidden = true;
        }
        if narrow & filter::CGROUP != 0
            && FILTER_CGROUPS
                .get_ptr(&bpf_get_current_cgroup_id())
                .is_some()
        {
            hidden = true;
        }
        (*socket).flags |= if hidden {
            socket_flag::DECIDED | socket_flag::HIDDEN
        } else {
            socket_flag::DECIDED
        };
    }
}
