//! Records that are opened: their plaintext, and the socket that they were received on.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use wirespan_events::{Counter, flag};

use super::{
    APPLICATION_DATA, COMPARED, LOWEST, MAX_PLAINTEXT, NONCE, TAG, TAG_AND_NONCE, TAG_AND_TYPE,
    TLS_1_3, enter, flags_of, kind, kind_of, leave, state,
};
use crate::copy::user;
use crate::maps::{
    RECEIVED_LAST, RECORD_CALLS, RECORD_OBJECTS, RecordCall, RecordObject, SOCKETS, TlsKey, count,
    process_flag, socket_flag,
};
use crate::output::{self, RECORD_HEADER};
use crate::tls::{self, NEXT, Plaintext};
use crate::walk::Found;
use crate::{binding, life};

/// On the wire content types are so much more than rustls's variants.
const ON_WIRE: u8 = 20;
/// Length of a record that changes ciphers.
const CHANGE_OF_CIPHER: u64 = RECORD_HEADER + 1;

/// `fn decrypt<'a>(&mut self, msg: InboundOpaqueMessage<'a>, seq: u64)
/// -> Result<InboundPlainMessage<'a>, Error>`
#[uprobe]
pub fn rustls_open(ctx: ProbeContext) -> u32 {
    if let Some(call) = enter(&ctx, kind::OPEN) {
        // SAFETY: a value of the map of calls, which is this thread's own.
        unsafe { opens(call, bpf_get_current_pid_tgid()) };
    }
    0
}

/// A return instruction of it.
#[uprobe]
#[inline(always)]
pub fn rustls_opened(ctx: ProbeContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    if let Some(call) = leave(&ctx, kind::OPEN) {
        // SAFETY: a value of the map of calls, which is this thread's own.
        unsafe { opened(call, thread) };
    }
    let _ = RECORD_CALLS.remove(thread);
    0
}

/// A record is being opened: finds where it lies, and whose it is.
#[inline(always)]
unsafe fn opens(call: *mut RecordCall, thread: u64) {
    // SAFETY: as in `rustls_open`; the others are values of maps.
    unsafe {
        let [one, two, three, ..] = (*call).message;
        let (address, length) = if has_header(one, two) {
            (one, two)
        } else if has_header(two, three) {
            (two, three)
        } else {
            (0, 0)
        };
        (*call).sealed = address;
        (*call).bytes = length;
        let key = TlsKey {
            tls: (*call).object,
            tgid: thread >> 32,
        };
        let sequence = (*call).sequence;
        let mut object = RecordObject {
            next: sequence,
            sk: 0,
            inode: 0,
            flags: 0,
        };
        // A key that begins has missed nothing.
        if sequence != 0 {
            object.flags = state::MISSED;
            if let Some(known) = RECORD_OBJECTS.get_ptr(&key) {
                object.sk = (*known).sk;
                object.inode = (*known).inode;
                if (*known).next == sequence {
                    object.flags = (*known).flags;
                }
            }
        }
        let bound = match SOCKETS.get_ptr_mut(object.sk) {
            Some(socket) if (*socket).inode == object.inode => {
                (*socket).flags |= socket_flag::RECORDS;
                true
            }
            _ => false,
        };
        if !bound {
            let found = received_by(address, length, thread);
            object.sk = found.sk;
            object.inode = found.inode;
        }
        let _ = RECORD_OBJECTS.insert(&key, &object, BPF_ANY.into());
    }
}

/// Whether there is the header of a record of this length before an address.
#[inline(always)]
fn has_header(address: u64, length: u64) -> bool {
    if address < LOWEST {
        return false;
    }
    let header = address.wrapping_sub(RECORD_HEADER);
    let Some([_, _, _, high, low]) = user::<[u8; RECORD_HEADER as usize]>(header) else {
        return false;
    };
    output::is_record(header) && length == u64::from(u16::from_be_bytes([high, low]))
}

/// The socket on which this thread has received the end of what lies at an address, as its last.
#[inline(always)]
unsafe fn received_by(address: u64, length: u64, thread: u64) -> Found {
    let nothing = Found { sk: 0, inode: 0 };
    // SAFETY: values of maps.
    unsafe {
        let Some(last) = RECEIVED_LAST.get_ptr(thread) else {
            return nothing;
        };
        let end = address.wrapping_add(length);
        let begun = (*last).address;
        let filled = begun.wrapping_add((*last).bytes);
        if address == 0 || end <= begun || end > filled {
            return nothing;
        }
        // What has been opened is taken from the front, and the rest moves there; the end stays where it
        // was too, unless it is overwritten by what has moved by less than itself, as happens once: a
        // change of cipher, which is not encrypted, comes before the first record that is.
        let end_of_it = filled.wrapping_sub(COMPARED);
        let moved = end_of_it.wrapping_sub(CHANGE_OF_CIPHER);
        if user::<[u64; 2]>(end_of_it) != Some((*last).last)
            && user::<[u64; 2]>(moved) != Some((*last).last)
        {
            return nothing;
        }
        let found = Found {
            sk: (*last).sk,
            inode: (*last).inode,
        };
        match SOCKETS.get_ptr_mut(found.sk) {
            Some(socket) if (*socket).inode == found.inode => {
                (*socket).flags |= socket_flag::RECORDS;
                found
            }
            _ => nothing,
        }
    }
}

/// Which content type was opened, 0 when that is not proven; where it lies and its length are left in the
/// call. With AES-GCM in TLS 1.2 ring moves it to the front, aws-lc leaves it behind the nonce.
#[inline(never)]
unsafe fn prove_opened(call: *mut RecordCall) -> u32 {
    // SAFETY: a value of the map of calls, which is this thread's own.
    unsafe {
        let (address, length) = ((*call).sealed, (*call).bytes);
        (*call).bytes = 0;
        let Some([one, two, three, four, five]) = user::<[u64; 5]>((*call).result) else {
            return 0;
        };
        let behind_nonce = address.wrapping_add(NONCE);
        let is_it = |one: u64| one == address || one == behind_nonce;
        let (begin, bytes, kind) = if is_it(one) {
            (one, two, three)
        } else if is_it(two) {
            (two, three, four)
        } else if is_it(three) {
            (three, four, five)
        } else {
            return 0;
        };
        let Some((content, version)) = kind_of(kind) else {
            return 0;
        };
        let added = length.wrapping_sub(bytes);
        if address == 0 || bytes > MAX_PLAINTEXT || added > length {
            return 0;
        }
        let on_wire = content.wrapping_add(ON_WIRE);
        let proof: Option<u8> = if version == TLS_1_3 {
            if added < TAG_AND_TYPE || begin != address {
                return 0;
            }
            // Where it could not be opened there are zeros.
            user(address.wrapping_add(bytes))
        } else {
            if added != TAG_AND_NONCE && (added != TAG || begin != address) {
                return 0;
            }
            user(address.wrapping_sub(RECORD_HEADER))
        };
        if proof != Some(on_wire) {
            return 0;
        }
        (*call).sealed = begin;
        (*call).bytes = bytes;
        content.into()
    }
}

/// A record has been opened, or could not be.
#[inline(always)]
unsafe fn opened(call: *mut RecordCall, thread: u64) {
    // SAFETY: as in `rustls_opened`; the others are values of maps.
    unsafe {
        let key = TlsKey {
            tls: (*call).object,
            tgid: thread >> 32,
        };
        let Some(object) = RECORD_OBJECTS.get_ptr_mut(&key) else {
            count(Counter::TlsUnbound, 1);
            return;
        };
        let content = prove_opened(call);
        let found = Found {
            sk: (*object).sk,
            inode: (*object).inode,
        };
        let socket = match SOCKETS.get_ptr_mut(found.sk) {
            Some(socket) if (*socket).inode == found.inode => Some(socket),
            _ => None,
        };
        if content != 0 {
            (*object).next = (*call).sequence.wrapping_add(1);
            if content != APPLICATION_DATA.into() || (*call).bytes == 0 {
                return;
            }
        }
        let flags = flags_of(key.tgid as u32);
        let observable = flags & (process_flag::PROVEN | process_flag::UNPROVEN)
            == process_flag::PROVEN
            && content != 0;
        let Some(socket) = socket else {
            count(Counter::TlsUnbound, 1);
            (*object).flags |= state::MISSED;
            return;
        };
        let missed = (*object).flags & state::MISSED != 0;
        let secured = (*socket).flags & socket_flag::SECURED != 0;
        let lacks = (*socket).flags & socket_flag::LACKS != 0;
        if !observable || lacks || (missed && secured) {
            // What follows would seem to follow what came before.
            (*object).flags |= state::MISSED;
            count(Counter::TlsUnbound, 1);
            if secured {
                life::cut_off(socket, found.sk);
            }
            return;
        }
        let passed = Plaintext {
            tls: key.tls,
            buffer: (*call).sealed,
            held: 0,
            rest: 0,
            rests: 0,
            half: true,
            bytes: (*call).bytes,
            entry: (*call).entry,
            sent: false,
            mid: if missed {
                flag::MID_STREAM
            } else {
                binding::SEEN_WHOLE
            },
            position: NEXT,
        };
        tls::deliver(found, socket, &passed, thread);
        if (*socket).flags & socket_flag::SECURED != 0 {
            (*object).flags &= !state::MISSED;
        }
    }
}
