//! The moment at which the host is told of a socket.
//!
//! Several threads may use a socket for the first time at once, on several CPUs. Then each of them tells
//! of it, and the host takes the first: to leave it to one of them would let the bytes of the others
//! arrive before it. So each must say the same, which is where the socket was before any of them moved it.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;

use crate::maps::{Socket, socket_flag};
use crate::{report, socket, thread};

/// Whether the host hears of a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It is not to.
    Hidden,
    /// Not yet: where the socket has come to is not known, or there is no room to tell of it.
    Untold,
    Told,
}

/// Whether this socket is to be reported; announces it when it is, and its positions are known.
///
/// # Safety
/// `state` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn show(state: *mut Socket, sk: u64, tgid: u32, now: u64) -> Shown {
    // SAFETY: as the caller promises.
    unsafe {
        let flags = (*state).flags;
        if flags & socket_flag::HIDDEN != 0 {
            return Shown::Hidden;
        }
        if flags & socket_flag::ANNOUNCED != 0 {
            return Shown::Told;
        }
        if flags & socket_flag::POSITIONS == 0 {
            return Shown::Untold;
        }
        // Within a call of a TLS function the plaintext will count from that call's entry.
        let time = match thread::tls_call_of(bpf_get_current_pid_tgid()) {
            Some(outer) if (*outer).entry < now => (*outer).entry,
            _ => now,
        };
        tell(state, sk, tgid, time)
    }
}

/// Announces a socket, unless it is not to be reported.
///
/// # Safety
/// `state` is a value of the map of sockets, with its positions set.
#[inline(always)]
pub unsafe fn tell(state: *mut Socket, sk: u64, tgid: u32, time: u64) -> Shown {
    // SAFETY: as the caller promises.
    unsafe {
        socket::decide(state, sk, tgid);
        if (*state).flags & socket_flag::HIDDEN != 0 {
            Shown::Hidden
        } else if report::open(state, sk, tgid, time) {
            Shown::Told
        } else {
            Shown::Untold
        }
    }
}
