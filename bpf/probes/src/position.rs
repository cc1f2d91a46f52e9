//! Where in its stream the bytes of a call lie.

use wirespan_events::{
    Counter, data_flag,
    direction::{RECEIVED, SENT},
};

use crate::call::give_up;
use crate::maps::{Call, Socket, count, shape, socket_flag};
use crate::{socket, walk};

/// Where the bytes of this call begin. TCP counts them itself: what was there at the entry, and
/// what is there at the exit, are as far apart as what passed when no other call moved the same
/// direction in between. When they are not, nothing tells whose bytes lie where: what passed since
/// the entry, as far as nobody has told of it, becomes a gap.
///
/// # Safety
/// `call` is a value of the map of calls and `state` one of the map of sockets.
#[inline(always)]
pub unsafe fn of_tcp(call: *mut Call, state: *mut Socket) {
    // SAFETY: as the caller promises.
    unsafe {
        let sk = (*call).sk;
        let direction = (*call).direction;
        let total = (*call).left;
        let before = (*call).sequence;
        let mut after = walk::sequence(sk, direction);
        let moved = after.wrapping_sub(before);
        let ends = direction == SENT && (*state).flags & socket_flag::END_SENT != 0;
        if moved == total as u32 || (ends && moved == (total as u32).wrapping_add(1)) {
            (*call).position = socket::extend(state, direction, before);
            return;
        }
        if direction == RECEIVED
            && moved == (total as u32).wrapping_add(1)
            && walk::is_urgent(sk, before)
        {
            let first = before.wrapping_add(1);
            (*call).position = socket::extend(state, direction, first);
            return;
        }
        if ends {
            // A FIN takes a sequence number of its own.
            after = after.wrapping_sub(1);
        }
        let mut begin = socket::extend(state, direction, before);
        let end = socket::extend(state, direction, after);
        let told = if direction == SENT {
            (*state).position[0]
        } else {
            (*state).position[1]
        };
        if told > begin {
            begin = told;
        }
        dispute(call, begin, end.saturating_sub(begin));
    }
}

/// The same for a socket that does not count: of calls that overlap only how much they moved is
/// known.
///
/// # Safety
/// `call` is a value of the map of calls and `state` one of the map of sockets.
#[inline(always)]
pub unsafe fn of_unix(call: *mut Call, state: *mut Socket) {
    // SAFETY: as the caller promises.
    unsafe {
        let direction = (*call).direction;
        let (_, entered) = socket::calls(state, direction);
        let position = if direction == SENT {
            (*state).position[0]
        } else {
            (*state).position[1]
        };
        (*call).position = position;
        let alone = (*call).data_flags & data_flag::POSITION_DISPUTED == 0;
        if !alone || entered as u32 != (*call).sequence.wrapping_add(1) {
            dispute(call, position, (*call).left);
        }
    }
}

/// Makes a gap of it.
#[inline(always)]
unsafe fn dispute(call: *mut Call, position: u64, len: u64) {
    // SAFETY: as in `of_tcp`.
    unsafe {
        count(Counter::DisputedBytes, len);
        (*call).data_flags |= data_flag::POSITION_DISPUTED;
        (*call).shape = shape::NONE;
        (*call).position = position;
        (*call).left = len;
    }
}

/// Times that a direction must have moved without any call, and never with one, before its
/// connection is given up: a thread that has waited in a call since before the probes were attached
/// can move it once.
const UNPROBED_TIMES: u8 = 3;

/// Whether the other direction only moves on a road without a probe, such as io_uring: half a
/// conversation would look like one without answers, so none of it is told.
///
/// # Safety
/// `call` is a value of the map of calls and `state` one of the map of sockets.
#[inline(always)]
pub unsafe fn is_half_unprobed(call: *mut Call, state: *mut Socket) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        const COUNTED: u32 = socket_flag::UNIX | socket_flag::UNANSWERED | socket_flag::LEFT;
        let sk = (*call).sk;
        let other = if (*call).direction == SENT {
            RECEIVED
        } else {
            SENT
        };
        let moved = socket_flag::MOVED[usize::from(other & 1)];
        if (*state).flags & (moved | COUNTED) != 0 {
            return false;
        }
        let (left, entered) = socket::calls(state, other);
        if left != entered {
            return false;
        }
        let known = (*state).position[usize::from(other & 1)];
        let now = socket::extend(state, other, walk::sequence(sk, other));
        let fin = u64::from(other == SENT && (*state).flags & socket_flag::END_SENT != 0);
        if now <= known.wrapping_add(fin) {
            return false;
        }
        count(Counter::UnprobedBytes, now - known);
        (*state).position[usize::from(other & 1)] = now;
        let times = (*state).unprobed[usize::from(other & 1)].saturating_add(1);
        (*state).unprobed[usize::from(other & 1)] = times;
        if times < UNPROBED_TIMES {
            return false;
        }
        count(Counter::UnprobedConnections, 1);
        give_up(state, sk, (*call).exit);
        true
    }
}
