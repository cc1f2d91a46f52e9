//! What TLS objects put out without a system call: with memory BIOs the program itself carries the
//! ciphertext to a socket.
//!
//! While a thread is inside a function of a TLS object, what the library writes to a BIO is that
//! object's. Of each record that begins there 32 bytes are remembered that no other record has, and a
//! socket that sends a record with the same bytes is the object's socket. Only what is sent counts,
//! not what is received: no socket can send a record before it was put out, while a record that is
//! received may have come in through another socket of the same process, as in a proxy.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use wirespan_events::config::control;
use wirespan_events::is_stand_in;

use crate::copy::{MESSAGE_IOV, user};
use crate::maps::{
    CONTROL, SOCKETS, TLS_OBJECTS, TLS_OUTPUTS, TLS_PROCESSES, TlsCall, TlsKey, TlsObject,
    TlsOrigin, TlsOutput, pieces, process_flag, shape,
};
use crate::thread;
use crate::tls::TLS_HANDSHAKE;

/// Content types of TLS records (RFC 8446 §5.1): change of cipher, alert, handshake, application data.
const FIRST_TYPE: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Major version of SSL 3.0 and every TLS; the minor one is at most 4.
const MAJOR: u8 = 3;
const LAST_MINOR: u8 = 4;
/// Length of a record's header.
pub const RECORD_HEADER: u64 = 5;
/// Messages of a handshake that begin with a random number, after their type, length and version
/// (RFC 8446 §4.1). Others, such as certificates, are the same on many connections.
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_HEADER: u64 = 6;
/// Begins the "random" of every HelloRetryRequest (RFC 8446 §4.1.3).
const RETRY: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];
/// Bytes of a record that are compared. Shorter records are not told apart.
const COMPARED: u16 = 32;

/// Where the bytes of a call begin. `PIECES`: who may list the pieces of its memory ([`pieces`]).
#[inline(always)]
pub fn first_byte<const PIECES: u8>(shape: u8, argument: u64) -> Option<u64> {
    let mut address = argument;
    let mut kind = shape;
    if kind == shape::MESSAGE {
        address = user(address + MESSAGE_IOV)?;
        kind = shape::IOVECS;
    }
    if kind == shape::IOVECS {
        return user(address);
    }
    if kind == shape::BUFFER || (PIECES == pieces::KERNEL && kind == shape::PIECES) {
        Some(address)
    } else {
        None
    }
}

/// Whether there is the header of a TLS record at an address.
#[inline(always)]
pub fn is_record(address: u64) -> bool {
    let Some([content, major, minor]) = user::<[u8; 3]>(address) else {
        return false;
    };
    (FIRST_TYPE..=APPLICATION_DATA).contains(&content) && major == MAJOR && minor <= LAST_MINOR
}

/// Whether the record at an address has application data, or what looks the same.
#[inline(always)]
pub fn is_application_data(address: u64) -> bool {
    user::<u8>(address) == Some(APPLICATION_DATA)
}

/// What no other record has of the one at an address.
#[inline(always)]
fn distinct(address: u64, tgid: u64) -> Option<TlsOutput> {
    let [content, major, minor, high, low, message]: [u8; 6] = user(address)?;
    if major != MAJOR || minor > LAST_MINOR {
        return None;
    }
    let length = u16::from_be_bytes([high, low]);
    let skipped = if content == HANDSHAKE && (message == CLIENT_HELLO || message == SERVER_HELLO) {
        HELLO_HEADER
    } else if content == APPLICATION_DATA {
        0
    } else {
        return None;
    };
    if length < COMPARED + skipped as u16 {
        return None;
    }
    let bytes: [u64; 4] = user(address + RECORD_HEADER + skipped)?;
    let [first, ..] = bytes;
    if skipped != 0 && first == u64::from_ne_bytes(RETRY) {
        return None;
    }
    Some(TlsOutput { tgid, bytes })
}

/// `int BIO_write(BIO *b, const void *data, int dlen)`
#[uprobe]
pub fn tls_output(ctx: ProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    if let Some(outer) = thread::tls_call_of(thread) {
        // SAFETY: a value of the map of threads; it is this thread's own.
        unsafe { put_out(outer, thread >> 32, ctx.arg(1).unwrap_or(0)) };
    }
    0
}

#[inline(always)]
unsafe fn put_out(outer: *mut TlsCall, tgid: u64, data: u64) {
    // SAFETY: as in `tls_output`; the others are values of maps.
    unsafe {
        if (*outer).sk != 0 {
            return;
        }
        if (*outer).known_sk != 0
            && let Some(state) = SOCKETS.get_ptr((*outer).known_sk)
            && (*state).inode == (*outer).known_inode
        {
            return;
        }
        let tls = (*outer).tls;
        let key = TlsKey { tls, tgid };
        if let Some(known) = TLS_OBJECTS.get_ptr(&key)
            && is_bound(known)
        {
            return;
        }
        let Some(output) = distinct(data, tgid) else {
            return;
        };
        let whole = (*outer).direction == TLS_HANDSHAKE;
        if remember(&key, (*outer).entry, whole.into(), &output) {
            (*outer).outputs = (*outer).outputs.wrapping_add(1);
        }
    }
}

/// Keeps what a TLS object has put out until a socket sends it; false when its socket is known, or there
/// is no room. `entry` and `whole` are for an object that is not known.
///
/// # Safety
/// Like every access to values of maps.
#[inline(always)]
pub unsafe fn remember(key: &TlsKey, entry: u64, whole: u64, output: &TlsOutput) -> bool {
    // SAFETY: values of maps.
    unsafe {
        let born = match TLS_OBJECTS.get_ptr(key) {
            Some(known) if is_bound(known) => return false,
            Some(known) => (*known).born,
            None => {
                let object = TlsObject {
                    sk: 0,
                    inode: 0,
                    born: entry,
                    whole,
                };
                if TLS_OBJECTS.insert(key, &object, BPF_ANY.into()).is_err() {
                    return false;
                }
                entry
            }
        };
        if let Some(origin) = TLS_OUTPUTS.get_ptr_mut(output) {
            if (*origin).tls != key.tls || (*origin).born != born {
                // Whose it is cannot be told.
                (*origin).born = 0;
            }
            return true;
        }
        let origin = TlsOrigin { tls: key.tls, born };
        let _ = TLS_OUTPUTS.insert(output, &origin, BPF_ANY.into());
        true
    }
}

/// Whether a TLS object has a socket that is still there.
///
/// # Safety
/// `known` is a value of the map of TLS objects.
#[inline(always)]
pub unsafe fn is_bound(known: *const TlsObject) -> bool {
    // SAFETY: `known` is a value of the map of TLS objects.
    unsafe {
        let sk = (*known).sk;
        if sk == 0 || is_stand_in(sk) {
            return false;
        }
        match SOCKETS.get_ptr(sk) {
            Some(state) => (*state).inode == (*known).inode,
            None => false,
        }
    }
}

/// From now on the sends of this process are compared.
#[inline(always)]
pub fn expect_sends(tgid: u64) {
    let tgid = tgid as u32;
    let before = match TLS_PROCESSES.get_ptr(tgid) {
        // SAFETY: a value of the map of processes.
        Some(flags) => unsafe { *flags },
        None => 0,
    };
    if before & process_flag::EXPECTED != 0 {
        return;
    }
    let expected = before | process_flag::EXPECTED;
    let _ = TLS_PROCESSES.insert(tgid, expected, BPF_ANY.into());
    if let Some(flag) = CONTROL.get_ptr_mut(control::TLS_OUTPUTS) {
        // SAFETY: a value of an array map, which is only ever set.
        unsafe { *flag = 1 };
    }
}

/// Whether the sends of this process are compared.
#[inline(always)]
pub fn is_expected(tgid: u64) -> bool {
    let any = CONTROL
        .get_ptr(control::TLS_OUTPUTS)
        // SAFETY: a value of an array map.
        .is_some_and(|flag| unsafe { *flag } != 0);
    any && TLS_PROCESSES.get_ptr(tgid as u32).is_some()
}

/// The TLS object that put out the record with which a send begins. A record is sent once: it is forgotten.
#[inline(always)]
pub fn origin_of(address: u64, tgid: u64) -> Option<(TlsKey, TlsObject)> {
    let output = distinct(address, tgid)?;
    let origin = TLS_OUTPUTS.get_ptr(&output)?;
    // SAFETY: values of maps.
    unsafe {
        let born = (*origin).born;
        if born == 0 {
            return None;
        }
        let key = TlsKey {
            tls: (*origin).tls,
            tgid,
        };
        let _ = TLS_OUTPUTS.remove(&output);
        let known = TLS_OBJECTS.get_ptr(&key)?;
        // Another object at its address has not put out this record. One that has its socket put out
        // more at once than the first record: whoever sends it on is another one.
        if (*known).born == born && !is_bound(known) {
            Some((key, *known))
        } else {
            None
        }
    }
}
