//! From a call whose bytes have passed to the records that tell of them.

use core::ffi::c_void;

use wirespan_events::{Counter, direction::SENT, missing, verdict};

use crate::call::state_of;
use crate::copy::{self, MESSAGE_IOV, user};
use crate::globals::setting;
use crate::maps::{Call, Socket, VERDICTS, count, pieces, shape};
use crate::report;

/// Reports the bytes of a call, of which `call` says where they are and what their position is.
/// True when there are more than one program can copy: then [`finish`] is to follow.
///
/// # Safety
/// `call` is a value of the map of calls and `state` one of the map of sockets.
#[inline(always)]
pub unsafe fn start<const PIECES: u8>(call: *mut Call, state: *mut Socket, result: u64) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let Some(ring) = begin::<PIECES>(call, state, result) else {
            return false;
        };
        if go_on::<PIECES>(call, state, ring) {
            return true;
        }
        finish(call, state, ring);
        false
    }
}

/// What comes before the copying; the ring to copy to, `None` where nothing of this call is to be
/// reported.
///
/// # Safety
/// As for [`start`].
#[inline(always)]
pub unsafe fn begin<const PIECES: u8>(
    call: *mut Call,
    state: *mut Socket,
    result: u64,
) -> Option<*mut c_void> {
    // SAFETY: as the caller promises.
    unsafe {
        count(Counter::PassedBytes, (*call).left);
        let ring = report::ring()?;
        if !allow(call, state, ring) {
            return None;
        }
        if (*state).holder != (*call).tgid {
            report::held(call, state);
        }
        describe::<PIECES>(call, result);
        let (entry, exit) = ((*call).entry, (*call).exit);
        let (direction, layer) = ((*call).direction, (*call).layer);
        report::passed_over(state, (*call).sk, direction, layer, entry, exit);
        Some(ring)
    }
}

/// Copies what one program can of what is left of a call. True when there is more.
///
/// # Safety
/// As for [`start`].
#[inline(always)]
pub unsafe fn go_on<const PIECES: u8>(
    call: *mut Call,
    state: *mut Socket,
    ring: *mut c_void,
) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if report::is_tight(ring) {
            (*call).budget = 0;
            (*call).cause = missing::RING;
        }
        let budget = (*call).budget;
        let more = copy::copy::<PIECES>(call, ring);
        let copied = budget.wrapping_sub((*call).budget);
        let beyond = if (*call).direction == SENT {
            let left = (*state).budget[0];
            (*state).budget[0] = left.saturating_sub(copied);
            copied.saturating_sub(left)
        } else {
            let left = (*state).budget[1];
            (*state).budget[1] = left.saturating_sub(copied);
            copied.saturating_sub(left)
        };
        (*state).more = (*state).more.saturating_sub(beyond);
        more
    }
}

/// Reports what is not copied of a call.
///
/// # Safety
/// As for [`start`].
#[inline(always)]
pub unsafe fn finish(call: *mut Call, state: *mut Socket, ring: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe {
        copy::rest(call, ring);
        if (*call).direction == SENT {
            (*state).lost[0] = (*state).lost[0].wrapping_add((*call).lost);
        } else {
            (*state).lost[1] = (*state).lost[1].wrapping_add((*call).lost);
        }
    }
}

/// [`finish`] for a call that nobody goes on with.
///
/// # Safety
/// `call` is a value of the map of calls.
#[inline(always)]
pub unsafe fn give_up(call: *mut Call) {
    // SAFETY: as the caller promises.
    unsafe {
        if let Some(state) = state_of(call)
            && let Some(ring) = report::ring()
        {
            finish(call, state, ring);
        } else {
            // The socket has ended, or there is no ring.
            count(Counter::RingFullBytes, (*call).left);
        }
    }
}

/// Applies the verdict; false when nothing of this call is to be reported.
#[inline(always)]
unsafe fn allow(call: *mut Call, state: *mut Socket, ring: *mut c_void) -> bool {
    // SAFETY: as in `start`; a verdict may change while it is read, which its meaning allows.
    unsafe {
        let direction = (*call).direction;
        let limit: u32 = setting!(call_bytes);
        (*call).budget = limit;
        let mut kind = verdict::UNKNOWN;
        if setting!(copy_all) != 0 {
            kind = verdict::WANTED;
        } else if let Some(said) = VERDICTS.get_ptr(&(*call).sk)
            && (*said).inode == (*call).inode
            && ((*said).layer == u32::from((*call).layer) || (*said).layer == verdict::EVERY_LAYER)
        {
            kind = (*said).kind;
            (*call).skip_until = if direction == SENT {
                (*said).skip_until[0]
            } else {
                (*said).skip_until[1]
            };
        }
        if kind == verdict::IGNORED {
            count(Counter::IgnoredBytes, (*call).left);
            return false;
        }
        let end = (*call).position.wrapping_add((*call).left);
        if end < (*call).skip_until {
            count(Counter::SkippedBytes, (*call).left);
            // Calls of several threads come in any order: one that ends before the stretch begins is
            // left to the positions.
            if direction == SENT {
                if (*state).unwanted[0] == 0 {
                    (*state).unwanted_at[0] = (*call).position;
                }
                let begin = (*state).unwanted_at[0];
                if end > begin {
                    (*state).unwanted[0] = end.wrapping_sub(begin);
                }
            } else {
                if (*state).unwanted[1] == 0 {
                    (*state).unwanted_at[1] = (*call).position;
                }
                let begin = (*state).unwanted_at[1];
                if end > begin {
                    (*state).unwanted[1] = end.wrapping_sub(begin);
                }
            }
            return false;
        }
        if kind == verdict::UNKNOWN {
            report::hurry();
            if (*state).last_direction != direction {
                (*state).last_direction = direction;
                let turns = (*state).turns.wrapping_add(1);
                (*state).turns = turns;
                // At the 1st, 2nd, 4th, 8th… turn.
                if turns & turns.wrapping_sub(1) == 0 {
                    (*state).budget = [setting!(unknown_bytes); 2];
                }
            }
            let budget = if direction == SENT {
                (*state).budget[0]
            } else {
                (*state).budget[1]
            };
            if budget < limit {
                let more = if (*call).left > u64::from(budget) && !report::is_half_full(ring) {
                    (*state).more
                } else {
                    0
                };
                let all = budget.saturating_add(more);
                (*call).budget = if all < limit { all } else { limit };
                if all == 0 {
                    count(Counter::UndecidedBytes, (*call).left);
                }
            }
        }
        true
    }
}

/// Sets the cursor to the first byte.
#[inline(always)]
unsafe fn describe<const PIECES: u8>(call: *mut Call, result: u64) {
    // SAFETY: as in `start`.
    unsafe {
        (*call).message_left = (*call).left;
        let argument = (*call).argument;
        match (*call).shape {
            shape::BUFFER => {
                (*call).segment = argument;
                (*call).segment_left = (*call).left;
            }
            // The first one may have been used in part before; no more passes than there is room for in
            // all of them.
            shape::PIECES if PIECES == pieces::KERNEL => match copy::piece::<PIECES>((*call).iov) {
                Some([first, len]) => {
                    (*call).segment = argument;
                    (*call).segment_left = first.wrapping_add(len).wrapping_sub(argument);
                    (*call).iov += 16;
                    (*call).iov_left = copy::MOST_PIECES as u32;
                }
                None => {
                    (*call).budget = 0;
                    (*call).cause = missing::FAULT;
                }
            },
            shape::IOVECS => {
                (*call).iov = argument;
                (*call).iov_left = (*call).length;
            }
            shape::MESSAGE => match user::<[u64; 2]>(argument + MESSAGE_IOV) {
                Some([iov, iov_left]) => {
                    (*call).iov = iov;
                    (*call).iov_left = iov_left as u32;
                }
                None => {
                    (*call).budget = 0;
                    (*call).cause = missing::FAULT;
                }
            },
            shape::MESSAGES if PIECES == pieces::MESSAGES => {
                (*call).message = argument;
                (*call).messages_left = result as u32;
                (*call).message_left = 0;
            }
            _ => {
                (*call).budget = 0;
                (*call).cause = missing::UNOBSERVED;
            }
        }
    }
}
