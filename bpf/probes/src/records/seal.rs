//! Records that are sealed: their plaintext, and the socket that sends them.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use wirespan_events::{Counter, is_stand_in};

use super::{
    APPLICATION_DATA, LOWEST, MAX_PLAINTEXT, SEALS, TAG, TAG_AND_NONCE, TAG_AND_TYPE, enter,
    flags_of, kind, kind_of, leave, state,
};
use crate::copy::user;
use crate::maps::{
    RECORD_CALLS, RECORD_OBJECTS, RecordCall, RecordObject, SOCKETS, TLS_OBJECTS, TLS_PROCESSES,
    TlsKey, TlsOutput, count, process_flag, socket_flag,
};
use crate::output::{self, RECORD_HEADER};
use crate::tls::{self, NEXT, Plaintext};
use crate::{binding, life};

/// Pieces that are passed over to find the first one of a part.
const MAX_PASSED: u32 = 64;

/// `fn encrypt(&mut self, msg: OutboundPlainMessage<'_>, seq: u64) -> Result<OutboundOpaqueMessage, Error>`:
/// the result's address comes first, and what is larger than two registers is passed by address.
#[uprobe]
pub fn rustls_seal(ctx: ProbeContext) -> u32 {
    enter(&ctx, kind::SEAL);
    0
}

/// A return instruction of it.
#[uprobe]
#[inline(always)]
pub fn rustls_sealed(ctx: ProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    if let Some(call) = leave(&ctx, kind::SEAL) {
        // SAFETY: a value of the map of calls, which is this thread's own.
        unsafe { sealed(call, thread) };
    }
    let _ = RECORD_CALLS.remove(thread);
    0
}

/// How much longer a record is than its plaintext, its header not counted.
#[inline(always)]
fn added(length: u64, bytes: u64) -> u64 {
    length.wrapping_sub(bytes).wrapping_sub(RECORD_HEADER)
}

/// Whether a record of that length can be one of so much plaintext.
#[inline(always)]
fn is_longer(length: u64, bytes: u64) -> bool {
    matches!(added(length, bytes), TAG | TAG_AND_TYPE | TAG_AND_NONCE)
}

/// Which content type was sealed, 0 when that is not proven. Leaves the length of the plaintext and the
/// address of the record in the call.
#[inline(never)]
unsafe fn prove_sealed(call: *mut RecordCall) -> u32 {
    // SAFETY: a value of the map of calls, which is this thread's own.
    unsafe {
        let [chunks, first, second, third, kind] = (*call).message;
        let Some((content, _)) = kind_of(kind) else {
            return 0;
        };
        // Either one piece, address and length, behind a null; or an array of pieces, of which a part
        // from one position to another.
        let bytes = if chunks == 0 {
            second
        } else if first < LOWEST {
            third.wrapping_sub(second)
        } else {
            return 0;
        };
        if bytes > MAX_PLAINTEXT {
            return 0;
        }
        let Some(result) = user::<[u64; 5]>((*call).result) else {
            return 0;
        };
        // A vector that has been made as large as it must be: its capacity is its length. The address is
        // between them, or before.
        let [one, two, three, four, five] = result;
        let (length, record) = if one == three && is_longer(one, bytes) {
            (one, two)
        } else if two == four && is_longer(two, bytes) {
            (two, three)
        } else if three == five && is_longer(three, bytes) {
            (three, four)
        } else if two == three && is_longer(two, bytes) {
            (two, one)
        } else if three == four && is_longer(three, bytes) {
            (three, two)
        } else {
            return 0;
        };
        let added = added(length, bytes);
        // The header is not written yet.
        if user::<[u8; RECORD_HEADER as usize]>(record) != Some([0; RECORD_HEADER as usize]) {
            return 0;
        }
        (*call).bytes = bytes;
        (*call).sealed = 0;
        // What is handshake or alert says so on the wire in TLS 1.2; those are not looked for there.
        let looks_like_data = added == TAG_AND_TYPE || content == APPLICATION_DATA;
        if looks_like_data && bytes.wrapping_add(added) >= size_of::<[u64; 4]>() as u64 {
            (*call).sealed = record.wrapping_add(RECORD_HEADER);
        }
        content.into()
    }
}

/// A record has been sealed.
#[inline(always)]
unsafe fn sealed(call: *mut RecordCall, thread: u64) {
    // SAFETY: as in `rustls_sealed`; the others are values of maps.
    unsafe {
        let tgid = thread >> 32;
        let key = TlsKey {
            tls: (*call).object,
            tgid,
        };
        let sequence = (*call).sequence;
        let content = prove_sealed(call);
        let known = RECORD_OBJECTS.get_ptr(&key);
        let follows = match known {
            Some(known) => (*known).next == sequence,
            None => false,
        };
        if content == 0 || !follows {
            // Another key at this address, or there is a hole.
            release(&key, sequence == 0);
        }
        note(tgid, content != 0);
        if content == 0 {
            count(Counter::TlsUnbound, 1);
            return;
        }
        let flags = match known {
            _ if sequence == 0 => state::WHOLE,
            Some(known) if follows => (*known).flags,
            _ => 0,
        };
        let next = RecordObject {
            next: sequence.wrapping_add(1),
            sk: 0,
            inode: 0,
            flags,
        };
        let _ = RECORD_OBJECTS.insert(&key, &next, BPF_ANY.into());
        let whole = if flags == 0 {
            SEALS
        } else {
            SEALS | binding::WHOLE
        };
        if (*call).sealed != 0
            && let Some(bytes) = user::<[u64; 4]>((*call).sealed)
        {
            let record = TlsOutput { tgid, bytes };
            if output::remember(&key, (*call).entry, whole, &record) {
                output::expect_sends(tgid);
            }
        }
        if content == APPLICATION_DATA.into() && (*call).bytes != 0 {
            send(call, &key, whole, thread);
        }
    }
}

/// What a key that seals has is its no more.
#[inline(always)]
unsafe fn release(key: &TlsKey, new: bool) {
    // SAFETY: values of maps.
    unsafe {
        let Some(object) = TLS_OBJECTS.get_ptr(key) else {
            return;
        };
        let sk = (*object).sk;
        if let Some(socket) = SOCKETS.get_ptr_mut(sk)
            && (*socket).inode == (*object).inode
            && (is_stand_in(sk) || !new)
        {
            life::cut_off(socket, sk);
        }
        let _ = TLS_OBJECTS.remove(key);
    }
}

/// Whether a record of this process was proven to be what it was taken for.
#[inline(always)]
fn note(tgid: u64, proven: bool) {
    let tgid = tgid as u32;
    let before = flags_of(tgid);
    let after = before
        | if proven {
            process_flag::PROVEN
        } else {
            process_flag::UNPROVEN
        };
    if after != before {
        let _ = TLS_PROCESSES.insert(tgid, after, BPF_ANY.into());
    }
}

/// Reports what has been sealed.
#[inline(always)]
unsafe fn send(call: *mut RecordCall, key: &TlsKey, whole: u64, thread: u64) {
    // SAFETY: as in `sealed`.
    unsafe {
        let Some((found, socket)) = tls::holder(key, (*call).entry, whole) else {
            return;
        };
        if is_stand_in(found.sk) {
            (*socket).flags |= socket_flag::RECORDS;
        }
        let [chunks, first, second, ..] = (*call).message;
        let (mut buffer, mut held, mut rest, mut rests) = (first, 0, 0, 0);
        if chunks != 0 {
            (buffer, held, rest, rests) = part(chunks, first, second);
        }
        let passed = Plaintext {
            tls: key.tls,
            buffer,
            held,
            rest,
            rests,
            half: true,
            bytes: (*call).bytes,
            entry: (*call).entry,
            sent: true,
            mid: if whole & binding::WHOLE != 0 {
                binding::SEEN_WHOLE
            } else {
                0
            },
            position: NEXT,
        };
        tls::deliver(found, socket, &passed, thread);
    }
}

/// The piece in which a part begins, from there on; and the pieces behind it. No address where they are
/// too many.
#[inline(always)]
fn part(chunks: u64, pieces: u64, start: u64) -> (u64, u64, u64, u32) {
    let (mut at, mut left, mut passed) = (chunks, pieces as u32, start);
    for _ in 0..MAX_PASSED {
        if left == 0 {
            break;
        }
        let Some([piece, length]) = user::<[u64; 2]>(at) else {
            break;
        };
        at = at.wrapping_add(16);
        left = left.wrapping_sub(1);
        if passed < length {
            return (
                piece.wrapping_add(passed),
                length.wrapping_sub(passed),
                at,
                left,
            );
        }
        passed = passed.wrapping_sub(length);
    }
    (0, 0, 0, 0)
}
