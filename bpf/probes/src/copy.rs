//! Copies the bytes of a call into records.
//!
//! The cursor lives in the entry of the call in flight, which is the thread's own. For the verifier
//! this has a second use: what is loaded from a map is unknown to it, so the states at the head of
//! the loop differ in the counter alone.

use core::ffi::c_void;
use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::helpers::generated::bpf_probe_read_user as probe_read_user;
use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_user};
use wirespan_events::{CLASSES, Counter, Data, kind, missing};

use crate::maps::{Call, count, pieces};
use crate::report;

/// Stretches of memory, or chunks of the largest class, that one program copies: the verifier counts
/// loops. `UIO_FASTIOV` is 8, writers of many pieces use 16 to 64; some use all that the kernel
/// allows, 1024 (`UIO_MAXIOV`), and for them other programs go on, up to 33 of them.
const STEPS: u32 = 40;

/// Layout of `struct mmsghdr` on 64-bit: a `msghdr` of 56 bytes, the length, padding.
const MESSAGE_SIZE: u64 = 64;
const MESSAGE_LEN: u64 = 56;
/// `msg_iov` and `msg_iovlen` in `struct msghdr`.
pub const MESSAGE_IOV: u64 = 16;

/// `UIO_MAXIOV`: the kernel takes no more pieces, or messages.
pub const MOST_PIECES: u64 = 1024;

#[repr(C)]
struct Chunk<const N: usize> {
    data: Data,
    payload: [u8; N],
}

/// Reads a value of the current process; `None` where the memory is not there.
#[inline(always)]
pub fn user<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address and fails where it is bad.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// Address and length of a piece of a call's memory, as it is listed.
#[inline(always)]
pub fn piece<const PIECES: u8>(address: u64) -> Option<[u64; 2]> {
    if PIECES == pieces::KERNEL {
        // SAFETY: the helper checks the address and fails where it is bad.
        unsafe { bpf_probe_read_kernel(address as *const [u64; 2]) }.ok()
    } else {
        user(address)
    }
}

/// Writes records for the call's bytes as far as the budget and the number of steps go. True when
/// there is more to copy.
///
/// # Safety
/// `call` is a value of the map of calls, which no other thread uses.
#[inline(always)]
pub unsafe fn copy<const PIECES: u8>(call: *mut Call, ring: *mut c_void) -> bool {
    if PIECES == pieces::NOWHERE {
        return false;
    }
    // SAFETY: as the caller promises.
    unsafe {
        for _ in 0..STEPS {
            if !step::<PIECES>(call, ring) {
                return false;
            }
        }
        (*call).left != 0 && (*call).budget != 0
    }
}

/// Writes a record for what was not copied of a call.
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
pub unsafe fn rest(call: *mut Call, ring: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut left = (*call).left;
        if left == 0 {
            return;
        }
        let position = (*call).position;
        let end = position.wrapping_add(left);
        if end < (*call).skip_until {
            count(Counter::SkippedBytes, left);
            return;
        }
        if position < (*call).skip_until {
            let skipped = (*call).skip_until.wrapping_sub(position);
            count(Counter::SkippedBytes, skipped);
            (*call).position = (*call).skip_until;
            left = left.wrapping_sub(skipped);
        }
        if left == 0 {
            // The host waits for the stream to get here.
            bare(call, ring, 0, missing::UNWANTED);
            return;
        }
        if bare(call, ring, left, (*call).cause) {
            match (*call).cause {
                missing::UNOBSERVED => count(Counter::UnobservedBytes, left),
                missing::FAULT => count(Counter::FaultBytes, left),
                missing::RING => count(Counter::RingShortenedBytes, left),
                _ => count(Counter::LimitBytes, left),
            }
        }
    }
}

/// One stretch of memory, or one chunk of it. False when nothing more is to be copied.
#[inline(always)]
unsafe fn step<const PIECES: u8>(call: *mut Call, ring: *mut c_void) -> bool {
    // SAFETY: as in `copy`.
    unsafe {
        if (*call).left == 0 || (*call).budget == 0 {
            return false;
        }
        if PIECES == pieces::MESSAGES && (*call).message_left == 0 {
            if (*call).messages_left == 0 {
                return false;
            }
            let message = (*call).message;
            let Some([iov, iov_left]) = user::<[u64; 2]>(message + MESSAGE_IOV) else {
                (*call).cause = missing::FAULT;
                return false;
            };
            (*call).message_left = message_len(call, message);
            (*call).iov = iov;
            (*call).iov_left = iov_left as u32;
            (*call).segment_left = 0;
            (*call).message = message + MESSAGE_SIZE;
            (*call).messages_left -= 1;
            if (*call).message_left == 0 {
                return true;
            }
        }
        if (*call).segment_left == 0 {
            if (*call).iov_left == 0 {
                return false;
            }
            let Some([segment, len]) = piece::<PIECES>((*call).iov) else {
                (*call).cause = missing::FAULT;
                return false;
            };
            (*call).iov += 16;
            (*call).iov_left -= 1;
            (*call).segment = segment;
            (*call).segment_left = len;
            if len == 0 {
                return true;
            }
        }
        let mut len = (*call).segment_left;
        if len > (*call).message_left {
            len = (*call).message_left;
        }
        let position = (*call).position;
        let skip_until = (*call).skip_until;
        if position < skip_until {
            let below = skip_until - position;
            if below <= len {
                // The host waits for the stream to get here.
                len = below;
                if bare(call, ring, len, missing::UNWANTED) {
                    count(Counter::SkippedBytes, len);
                }
            } else {
                count(Counter::SkippedBytes, len);
            }
            advance(call, len);
            return true;
        }
        if len > u64::from((*call).budget) {
            len = u64::from((*call).budget);
        }
        if len > CLASSES[3] as u64 {
            len = CLASSES[3] as u64;
        }
        (*call).length = len as u32;
        if len <= CLASSES[0] as u64 {
            chunk::<{ CLASSES[0] }>(call, ring);
        } else if len <= CLASSES[1] as u64 {
            chunk::<{ CLASSES[1] }>(call, ring);
        } else if len <= CLASSES[2] as u64 {
            chunk::<{ CLASSES[2] }>(call, ring);
        } else {
            chunk::<{ CLASSES[3] }>(call, ring);
        }
        let len = u64::from((*call).length);
        (*call).budget -= (*call).length;
        advance(call, len);
        true
    }
}

#[inline(always)]
unsafe fn advance(call: *mut Call, len: u64) {
    // SAFETY: as in `copy`.
    unsafe {
        (*call).position = (*call).position.wrapping_add(len);
        (*call).segment = (*call).segment.wrapping_add(len);
        (*call).segment_left = (*call).segment_left.wrapping_sub(len);
        (*call).message_left = (*call).message_left.wrapping_sub(len);
        (*call).left = (*call).left.wrapping_sub(len);
    }
}

/// Copies `call.length` bytes of the segment, at least 1 and at most `N`.
#[inline(always)]
unsafe fn chunk<const N: usize>(call: *mut Call, ring: *mut c_void) {
    // SAFETY: as in `copy`; the reservation is as large as the record, and what is not written of
    // it lies behind the record's length.
    unsafe {
        let Some(record) = report::reserve::<Chunk<N>>(ring) else {
            let len = u64::from((*call).length);
            if bare(call, ring, len, missing::RING) {
                count(Counter::RingShortenedBytes, len);
            }
            return;
        };
        // Read again and masked, for the verifier to see a bound that the compiler cannot drop.
        let len = (read_volatile(&raw const (*call).length).wrapping_sub(1) & (N as u32 - 1)) + 1;
        let payload = (&raw mut (*record).payload).cast::<c_void>();
        let failed = probe_read_user(payload, len, (*call).segment as *const c_void) != 0;
        let (captured, cause) = if failed {
            (0, missing::FAULT)
        } else {
            (len, missing::UNWANTED)
        };
        if failed {
            count(Counter::FaultBytes, len.into());
        } else {
            count(Counter::CopiedBytes, len.into());
        }
        fill(&raw mut (*record).data, call, len.into(), captured, cause);
        report::submit(record);
    }
}

/// Reports `len` bytes at the cursor without copying them. False when there is no room for that
/// either.
#[inline(always)]
unsafe fn bare(call: *mut Call, ring: *mut c_void, len: u64, cause: u8) -> bool {
    // SAFETY: as in `copy`.
    unsafe {
        let Some(record) = report::reserve::<Data>(ring) else {
            count(Counter::RingFull, 1);
            count(Counter::RingFullBytes, len);
            (*call).lost = (*call).lost.wrapping_add(len);
            return false;
        };
        fill(record, call, len, 0, cause);
        report::submit(record);
        true
    }
}

#[inline(always)]
unsafe fn fill(data: *mut Data, call: *mut Call, len: u64, captured: u32, cause: u8) {
    // SAFETY: as in `copy`; `data` lies in a reservation.
    unsafe {
        data.write(Data {
            header: report::header(
                kind::DATA,
                size_of::<Data>() as u32 + captured,
                (*call).sk,
                (*call).inode,
                (*call).exit,
            ),
            entry: (*call).entry,
            position: (*call).position,
            bytes: len,
            tls: (*call).tls,
            captured,
            tgid: (*call).tgid,
            tid: (*call).tid,
            flags: (*call).data_flags,
            direction: (*call).direction,
            layer: (*call).layer,
            call: (*call).call,
            missing: cause,
            reserved: 0,
        });
    }
}

/// Bytes that were sent or received with one message of a vector.
#[inline(always)]
unsafe fn message_len(call: *mut Call, message: u64) -> u64 {
    // SAFETY: as in `copy`. By way of the map: of a value in a register the compiler would make two
    // paths, one of which the verifier refuses. Where the memory is not there the helper writes 0.
    unsafe {
        let room = &raw mut (*call).length;
        let _ = probe_read_user(room.cast(), 4, (message + MESSAGE_LEN) as *const c_void);
        read_volatile(room).into()
    }
}

/// Sets `call.left` to the bytes of all messages of its vector, of which `count` were sent or
/// received. The sum is kept in the map: in a register each number of messages would be a state of
/// its own to the verifier, from which it would look at all that follows.
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
pub unsafe fn add_messages(call: *mut Call, count: u64) {
    // SAFETY: as the caller promises.
    unsafe {
        (*call).left = 0;
        (*call).message = (*call).argument;
        write_volatile(&raw mut (*call).messages_left, count as u32);
        for _ in 0..MOST_PIECES {
            let left = read_volatile(&raw const (*call).messages_left);
            if left == 0 {
                break;
            }
            let message = read_volatile(&raw const (*call).message);
            let total = read_volatile(&raw const (*call).left);
            write_volatile(
                &raw mut (*call).left,
                total.wrapping_add(message_len(call, message)),
            );
            write_volatile(&raw mut (*call).message, message + MESSAGE_SIZE);
            write_volatile(&raw mut (*call).messages_left, left - 1);
        }
    }
}
