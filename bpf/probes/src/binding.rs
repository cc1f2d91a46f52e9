//! Which socket a TLS object uses.
//!
//! While a thread is inside a function of a TLS library, the system calls that it makes and whose
//! bytes begin with a TLS record tell the socket. Where it makes none, as with memory BIOs, the
//! ciphertext does: see [`output`](crate::output). A binding stays as long as the object lives. Until
//! there is one, a stand-in has the plaintext; when the socket becomes known, what was told of the
//! stand-in becomes the socket's. Peer unknown is an answer, a wrong peer is not.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use wirespan_events::config::TLS_ATTACHING;
use wirespan_events::{Counter, direction::SENT, flag, is_stand_in};

use crate::globals::setting;
use crate::maps::{
    Call, SOCKETS, Socket, TLS_OBJECTS, TLS_SINCE, TlsKey, TlsObject, count, pieces, socket_flag,
};
use crate::output::{self, RECORD_HEADER};
use crate::tls::TLS_HANDSHAKE;
use crate::walk::{self, Found};
use crate::{life, records, report, socket, thread};

/// [`TlsObject::whole`] of one that was seen from its handshake on.
pub const WHOLE: u64 = 1;

/// For [`secure`]: all plaintext of the direction that is told has been seen, whatever is known of the
/// probes.
pub const SEEN_WHOLE: u8 = 128;

const NOTHING: Found = Found { sk: 0, inode: 0 };

/// Called for each system call on a socket whose bytes have passed.
///
/// # Safety
/// `call` is a value of the map of calls and `state` one of the map of sockets.
#[inline(always)]
pub unsafe fn bind<const PIECES: u8>(call: *mut Call, state: *mut Socket) {
    // SAFETY: as the caller promises.
    unsafe {
        let tgid = u64::from((*call).tgid);
        let found = Found {
            sk: (*call).sk,
            inode: (*call).inode,
        };
        if let Some(outer) = thread::around(call) {
            if (*outer).sk == found.sk && (*outer).inode == found.inode {
                return;
            }
            if !carries_records::<PIECES>(call) {
                return;
            }
            let key = TlsKey {
                tls: (*outer).tls,
                tgid,
            };
            let fresh = TlsObject {
                sk: 0,
                inode: 0,
                born: (*outer).entry,
                whole: ((*outer).direction == TLS_HANDSHAKE).into(),
            };
            if adopt(&key, fresh, found, state, fresh.born) {
                (*outer).sk = found.sk;
                (*outer).inode = found.inode;
            }
        } else if (*call).direction == SENT
            && output::is_expected(tgid)
            && let Some(address) = output::first_byte::<PIECES>((*call).shape, (*call).argument)
            && let Some((key, object)) = output::origin_of(address, tgid)
        {
            if records::may_have(state, object.whole) {
                adopt(&key, object, found, state, (*call).exit);
            }
        } else if (*call).direction != SENT {
            records::received(call);
        }
    }
}

/// The same for a call, at its entry, on a socket that nobody may hear of: its plaintext must not be
/// heard either. `how` has the direction, and the shape of the call in its second byte.
///
/// A function of its own: its variables are half of the 512 bytes of stack that a program has, which
/// kernels before 6.13 count for all calls that are on their way.
///
/// # Safety
/// `state` is a value of the map of sockets.
#[inline(never)]
pub unsafe fn hidden(state: *mut Socket, sk: u64, argument: u64, how: u32, now: u64) -> bool {
    let thread = bpf_get_current_pid_tgid();
    let tgid = thread >> 32;
    let (direction, shape) = (how as u8, (how >> 8) as u8);
    // SAFETY: as the caller promises.
    unsafe {
        let found = Found {
            sk,
            inode: (*state).inode,
        };
        if let Some(outer) = thread::tls_call_of(thread) {
            // A process whose TLS objects put out nothing that is looked at is not expected to send it.
            if !output::is_expected(tgid)
                && !output::first_byte::<{ pieces::KERNEL }>(shape, argument)
                    .is_some_and(output::is_record)
            {
                return false;
            }
            let key = TlsKey {
                tls: (*outer).tls,
                tgid,
            };
            let fresh = TlsObject {
                sk: 0,
                inode: 0,
                born: (*outer).entry,
                whole: 0,
            };
            if adopt(&key, fresh, found, state, now) {
                (*outer).sk = found.sk;
                (*outer).inode = found.inode;
                return true;
            }
        } else if direction == SENT
            && output::is_expected(tgid)
            && let Some(address) = output::first_byte::<{ pieces::KERNEL }>(shape, argument)
            && let Some((key, object)) = output::origin_of(address, tgid)
        {
            return adopt(&key, object, found, state, now);
        }
        false
    }
}

/// Whether the bytes of a call, made inside a TLS function, are that TLS object's: they begin with the
/// header of a record, or the kernel makes records of them.
#[inline(always)]
unsafe fn carries_records<const PIECES: u8>(call: *mut Call) -> bool {
    // SAFETY: as in `bind`.
    unsafe { is_record::<PIECES>(call) || walk::is_ktls((*call).sk) }
}

/// Whether the bytes of a call begin with the header of a TLS record.
///
/// # Safety
/// `call` is a value of the map of calls.
#[inline(always)]
pub unsafe fn is_record<const PIECES: u8>(call: *mut Call) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        (*call).left >= RECORD_HEADER
            && match output::first_byte::<PIECES>((*call).shape, (*call).argument) {
                Some(address) => output::is_record(address),
                None => false,
            }
    }
}

/// Gives a TLS object its socket; `object` is what is known of it where the map has nothing. False
/// when the host could not be told; there will be another time.
#[inline(always)]
unsafe fn adopt(
    key: &TlsKey,
    object: TlsObject,
    found: Found,
    state: *mut Socket,
    time: u64,
) -> bool {
    // SAFETY: as in `bind`.
    unsafe {
        let mut whole = object.whole;
        if let Some(known) = TLS_OBJECTS.get_ptr_mut(key) {
            whole = (*known).whole;
            let before = Found {
                sk: (*known).sk,
                inode: (*known).inode,
            };
            if before != found {
                let mid = if whole == records::SEALS | WHOLE {
                    since_sight(state)
                } else {
                    since_birth(state)
                };
                if is_stand_in(before.sk) && !take_over(before, found, state, key.tls, time, mid) {
                    return false;
                }
                (*known).sk = found.sk;
                (*known).inode = found.inode;
            }
        } else {
            let object = TlsObject {
                sk: found.sk,
                inode: found.inode,
                ..object
            };
            if TLS_OBJECTS.insert(key, &object, BPF_ANY.into()).is_err() {
                count(Counter::TlsFull, 1);
            }
        }
        if (*state).flags & (socket_flag::ANNOUNCED | socket_flag::HIDDEN) == socket_flag::ANNOUNCED
        {
            // One whose handshake was seen has shown all of its plaintext, however old its socket is.
            let mid = if whole == records::SEALS | WHOLE {
                since_sight(state)
            } else if whole & WHOLE != 0 && time > probed_since() {
                0
            } else {
                since_birth(state)
            };
            announce(state, found, NOTHING, key.tls, time, mid);
        }
        true
    }
}

/// What was told of a stand-in becomes the socket's.
#[inline(always)]
unsafe fn take_over(
    before: Found,
    found: Found,
    state: *mut Socket,
    tls: u64,
    time: u64,
    mid: u8,
) -> bool {
    // SAFETY: as in `bind`; `stand` is a value of the map of sockets.
    unsafe {
        let Some(stand) = SOCKETS.get_ptr_mut(before.sk) else {
            return true;
        };
        if (*stand).inode != before.inode {
            return true;
        }
        let flags = (*state).flags;
        if flags & socket_flag::HIDDEN != 0 {
            if !report::secured(found, before, tls, [0; 2], flag::HIDDEN, time) {
                return false;
            }
        } else if flags & socket_flag::SECURED != 0 && (*stand).flags & socket_flag::RECORDS != 0 {
            return records::join(stand, before, found, state, tls, time);
        } else if flags & socket_flag::SECURED != 0 {
            // It has plaintext of another TLS object.
            life::cut_off_here(stand, before.sk);
            return true;
        } else {
            if flags & socket_flag::ANNOUNCED == 0 {
                return false;
            }
            let passed = (*stand).plaintext;
            if !announce(state, found, before, tls, time, mid) {
                return false;
            }
            (*state).plaintext = passed;
        }
        socket::remove(before.sk, before.inode);
        true
    }
}

/// From here on the plaintext of this socket is reported. `mid`: 0, or [`flag::MID_STREAM`] where
/// plaintext has passed unseen, or [`SEEN_WHOLE`].
///
/// # Safety
/// `state` is a value of the map of sockets that the host knows of.
#[inline(always)]
pub unsafe fn secure(state: *mut Socket, sk: u64, tls: u64, time: u64, mid: u8) {
    // SAFETY: as the caller promises.
    unsafe {
        let found = Found {
            sk,
            inode: (*state).inode,
        };
        let mid = if mid == SEEN_WHOLE {
            since_sight(state)
        } else {
            since_birth(state) | mid
        };
        announce(state, found, NOTHING, tls, time, mid);
    }
}

/// Since when every TLS library that is known has been probed.
#[inline(always)]
fn probed_since() -> u64 {
    match TLS_SINCE.get_ptr(0) {
        // SAFETY: a value of an array map.
        Some(since) => unsafe { *since },
        None => TLS_ATTACHING,
    }
}

/// 0 for a connection that was seen from its beginning on.
#[inline(always)]
unsafe fn since_sight(state: *mut Socket) -> u8 {
    // SAFETY: `state` is a value of the map of sockets.
    if unsafe { (*state).flags } & socket_flag::MID_STREAM == 0 {
        0
    } else {
        flag::MID_STREAM
    }
}

/// 0 for a connection that is younger than the probes: it has shown all of its plaintext.
#[inline(always)]
unsafe fn since_birth(state: *mut Socket) -> u8 {
    // SAFETY: `state` is a value of the map of sockets.
    unsafe {
        if (*state).born > probed_since() && (*state).flags & socket_flag::MID_STREAM == 0 {
            0
        } else {
            flag::MID_STREAM
        }
    }
}

/// Tells the host that the plaintext of this socket follows, unless it has been told. False when it
/// could not be.
#[inline(always)]
unsafe fn announce(
    state: *mut Socket,
    found: Found,
    stand_in: Found,
    tls: u64,
    time: u64,
    mid: u8,
) -> bool {
    // SAFETY: as in `secure`.
    unsafe {
        if (*state).flags & socket_flag::SECURED != 0 {
            return true;
        }
        if !report::secured(found, stand_in, tls, (*state).plaintext, mid, time) {
            return false;
        }
        (*state).flags |= socket_flag::SECURED;
        (*state).budget = [setting!(unknown_bytes); 2];
        (*state).more = setting!(unknown_more_bytes);
        (*state).turns = 0;
        (*state).unwanted = [0; 2];
        true
    }
}
