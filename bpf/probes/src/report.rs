//! Writes records into the ring of the current CPU.

use core::ffi::c_void;
use core::ptr::{self, read_volatile};

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_smp_processor_id,
    bpf_probe_read_kernel as probe_read_kernel, bpf_ringbuf_discard, bpf_ringbuf_query,
    bpf_ringbuf_reserve, bpf_ringbuf_submit,
};
use wirespan_events::config::{control, wake};
use wirespan_events::direction::SENT;
use wirespan_events::{
    Close, Counter, Data, End, Exec, Header, MAGIC, Open, Secured, UNIX_NAME, UNIX_NAME_ROOM, Unix,
    VERSION, flag, kind, missing,
};

use crate::globals::{offset, setting};
use crate::maps::{CONTROL, Call, RINGS, Ring, STARTS_WATCHED, Socket, count, socket_flag};
use crate::walk::{self, Found, kernel};

/// The ring of the current CPU.
#[inline(always)]
pub fn ring() -> Option<*mut c_void> {
    let rings: u32 = setting!(rings);
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let index = if rings == 0 { 0 } else { cpu % rings };
    RINGS
        .get(index)
        .map(|ring| ptr::from_ref::<Ring>(ring).cast_mut().cast())
}

/// Whether less than an eighth of the ring is free: what is left is for records without payload. Where a
/// 32nd of it waits the host is to look soon.
#[inline(always)]
pub fn is_tight(ring: *mut c_void) -> bool {
    let (held, size) = filling(ring);
    if held > size >> 5 {
        hurry();
    }
    held > size - (size >> 3)
}

/// Whether less than half of the ring is free: what is left is for connections that somebody wants.
#[inline(always)]
pub fn is_half_full(ring: *mut c_void) -> bool {
    let (held, size) = filling(ring);
    held > size >> 1
}

/// Bytes that wait in a ring, and that it can hold.
#[inline(always)]
fn filling(ring: *mut c_void) -> (u64, u64) {
    // SAFETY: `ring` is a ring map.
    let held = unsafe { bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA.into()) };
    (held, setting!(ring_bytes).into())
}

/// Room for a record, uninitialised.
#[inline(always)]
pub fn reserve<T>(ring: *mut c_void) -> Option<*mut T> {
    // SAFETY: `ring` is a ring map; the size is a constant.
    let room: *mut T = unsafe { bpf_ringbuf_reserve(ring, size_of::<T>() as u64, 0) }.cast();
    if room.is_null() { None } else { Some(room) }
}

/// Hands a record over. The host drains on a timer and asks to be woken only when it is idle.
///
/// # Safety
/// `record` came from [`reserve`] and is initialised.
#[inline(always)]
pub unsafe fn submit<T>(record: *mut T) {
    let mut flags = BPF_RB_NO_WAKEUP;
    if let Some(asked) = CONTROL.get_ptr_mut(control::WAKE) {
        // SAFETY: a value of an array map; a lost update wakes the host twice.
        unsafe {
            if *asked == wake::BY_ANY {
                *asked = wake::NEVER;
                flags = BPF_RB_FORCE_WAKEUP;
            }
        }
    }
    count(Counter::Records, 1);
    // SAFETY: as the caller promises.
    unsafe { bpf_ringbuf_submit(record.cast(), flags.into()) };
}

/// The next record wakes the host, unless that looks soon.
#[inline(always)]
pub fn hurry() {
    if let Some(asked) = CONTROL.get_ptr_mut(control::WAKE) {
        // SAFETY: as in `submit`.
        unsafe {
            if *asked == wake::BY_NEED {
                *asked = wake::BY_ANY;
            }
        }
    }
}

#[inline(always)]
pub fn header(kind: u16, len: u32, sk: u64, inode: u64, time: u64) -> Header {
    Header {
        magic: MAGIC,
        version: VERSION,
        kind,
        len,
        reserved: 0,
        sk,
        inode,
        time,
    }
}

/// Tells the host of a socket, unless another thread has. False when there is no room.
///
/// # Safety
/// `socket` is a value of the map of sockets, with its positions set.
#[inline(always)]
pub unsafe fn open(socket: *mut Socket, sk: u64, tgid: u32, time: u64) -> bool {
    // SAFETY: as the caller promises; every field of the reservation is written.
    unsafe {
        let Some(ring) = ring() else { return false };
        if (*socket).flags & socket_flag::UNIX != 0 && !unix(ring, socket, sk, time) {
            return false;
        }
        let Some(record) = reserve::<Open>(ring) else {
            count(Counter::RingFull, 1);
            return false;
        };
        // In this order: as long as nobody has announced it, nobody has moved it.
        let positions = &raw mut (*record).positions;
        positions.write(read_volatile(&raw const (*socket).position));
        if read_volatile(&raw const (*socket).flags) & socket_flag::ANNOUNCED != 0 {
            bpf_ringbuf_discard(record.cast(), BPF_RB_NO_WAKEUP.into());
            return true;
        }
        let inode = (*socket).inode;
        (&raw mut (*record).header).write(header(
            kind::OPEN,
            size_of::<Open>() as u32,
            sk,
            inode,
            time,
        ));
        (&raw mut (*record).cgroup_id).write(bpf_get_current_cgroup_id());
        (&raw mut (*record).task_started).write(walk::process_started());
        let stand_in = (*socket).flags & socket_flag::STAND_IN != 0;
        // Where a stand-in points is no kernel memory: reading there gives 0, family 0 says it.
        let family: u16 = if stand_in {
            0
        } else {
            kernel(sk + offset!(skc_family))
        };
        let (local, remote): ([u64; 2], [u64; 2]) = if family == 2 {
            let local: u32 = kernel(sk + offset!(skc_rcv_saddr));
            let remote: u32 = kernel(sk + offset!(skc_daddr));
            ([local.into(), 0], [remote.into(), 0])
        } else if (*socket).flags & socket_flag::UNIX != 0 {
            ([0; 2], [0; 2])
        } else {
            (
                kernel(sk + offset!(skc_v6_rcv_saddr)),
                kernel(sk + offset!(skc_v6_daddr)),
            )
        };
        (&raw mut (*record).local).cast::<[u64; 2]>().write(local);
        (&raw mut (*record).remote).cast::<[u64; 2]>().write(remote);
        (&raw mut (*record).comm).cast::<[u64; 2]>().write([0; 2]);
        bpf_get_current_comm((&raw mut (*record).comm).cast(), 16);
        let ports: [u16; 2] = [
            kernel(sk + offset!(inet_sport)),
            kernel(sk + offset!(skc_dport)),
        ];
        (&raw mut (*record).local_port).write(u16::from_be(ports[0]));
        (&raw mut (*record).remote_port).write(u16::from_be(ports[1]));
        (&raw mut (*record).family).write(family);
        (&raw mut (*record).role).write((*socket).role);
        let flags = (*socket).flags;
        // What passed while there was no room to announce it is not seen either.
        let passed = (*positions)[0] | (*positions)[1] != 0;
        let mid = if flags & socket_flag::MID_STREAM != 0 || passed {
            flag::MID_STREAM
        } else {
            0
        };
        let known = if flags & socket_flag::POSITIONS != 0 {
            flag::POSITIONS
        } else {
            0
        };
        (&raw mut (*record).flags).write(mid | known);
        let net: u64 = kernel(sk + offset!(skc_net));
        (&raw mut (*record).network_namespace).write(kernel(net + offset!(net_ns_inum)));
        (&raw mut (*record).tgid).write(tgid);
        (&raw mut (*record).image).write(walk::image());
        (*socket).holder = tgid;
        hurry();
        submit(record);
        // Behind that: whoever finds it announced may hand over bytes in another ring, and the host must
        // not find those first.
        (*socket).flags |= socket_flag::ANNOUNCED;
        true
    }
}

/// Tells the host that the current process goes on as another program.
#[inline(always)]
pub fn executed(tgid: u32, time: u64) {
    if let Some(ring) = ring() {
        describe(ring, kind::EXEC, (0, 0), tgid, time);
    }
}

/// Tells the host that the bytes of a call are moved by another process than those before: one that has
/// the socket from its parent, or was handed it. Again with the next call where there is no room.
///
/// A function of its own, for the stack of kernels before 6.13.
///
/// # Safety
/// `call` is a value of the map of calls, `socket` of the map of sockets.
#[inline(never)]
pub unsafe fn held(call: *mut Call, socket: *mut Socket) {
    let Some(ring) = ring() else { return };
    // SAFETY: as the caller promises.
    unsafe {
        // As the first of the bytes that are about to be told of.
        let time = if (*call).direction == SENT {
            (*call).entry
        } else {
            (*call).exit
        };
        let tgid = (*call).tgid;
        if describe(ring, kind::HELD, ((*call).sk, (*call).inode), tgid, time) {
            (*socket).holder = tgid;
        }
    }
}

/// Says what the current process is. Of an exec that wakes the host only where it has asked for it: else it is
/// of no interest before the next bytes. False when there is no room.
#[inline(always)]
fn describe(ring: *mut c_void, kind: u16, socket: (u64, u64), tgid: u32, time: u64) -> bool {
    let Some(record) = reserve::<Exec>(ring) else {
        count(Counter::RingFull, 1);
        return false;
    };
    // SAFETY: every field of the reservation is written.
    unsafe {
        let len = size_of::<Exec>() as u32;
        let (sk, inode) = socket;
        (&raw mut (*record).header).write(header(kind, len, sk, inode, time));
        (&raw mut (*record).task_started).write(walk::process_started());
        (&raw mut (*record).image).write(walk::image());
        (&raw mut (*record).comm).cast::<[u64; 2]>().write([0; 2]);
        bpf_get_current_comm((&raw mut (*record).comm).cast(), 16);
        (&raw mut (*record).tgid).write(tgid);
        (&raw mut (*record).reserved).write(0);
        let wakes =
            kind == kind::EXEC && STARTS_WATCHED.get_ptr(0).is_some_and(|wanted| *wanted != 0);
        if wakes {
            submit(record);
        } else {
            count(Counter::Records, 1);
            bpf_ringbuf_submit(record.cast(), BPF_RB_NO_WAKEUP.into());
        }
    }
    true
}

/// Tells the names of a Unix socket and of its peer. False when there is no room.
#[inline(always)]
unsafe fn unix(ring: *mut c_void, socket: *mut Socket, sk: u64, time: u64) -> bool {
    // SAFETY: as in `open`.
    unsafe {
        let Some(record) = reserve::<Unix>(ring) else {
            count(Counter::RingFull, 1);
            return false;
        };
        let inode = (*socket).inode;
        let peer = walk::unix_peer(sk);
        let len = size_of::<Unix>() as u32;
        (&raw mut (*record).header).write(header(kind::UNIX, len, sk, inode, time));
        (&raw mut (*record).peer_inode).write(walk::inode_of(peer));
        let local = unix_name((&raw mut (*record).names[0]).cast(), sk);
        let remote = unix_name((&raw mut (*record).names[1]).cast(), peer);
        (&raw mut (*record).lens).write([local, remote]);
        submit(record);
        true
    }
}

/// Copies the name that a Unix socket is bound to; its length, 0 where there is none.
#[inline(always)]
unsafe fn unix_name(room: *mut c_void, sk: u64) -> u32 {
    /// `sun_family`, which precedes the name.
    const FAMILY: u32 = 2;
    let address: u64 = kernel(sk + offset!(unix_addr));
    if sk == 0 || address == 0 {
        return 0;
    }
    let len: u32 = kernel(address + offset!(unix_address_len));
    let len = len.wrapping_sub(FAMILY) & (UNIX_NAME_ROOM as u32 - 1);
    if len > UNIX_NAME as u32 {
        return 0;
    }
    let from = address + offset!(unix_address_name) + u64::from(FAMILY);
    // SAFETY: room for as many bytes as the mask lets through; the helper checks the address.
    let failed = unsafe { probe_read_kernel(room, len, from as *const c_void) } != 0;
    if failed { 0 } else { len }
}

/// Tells of what was passed over in a direction because nobody wants it, as one gap of its own: a hole
/// in the positions would look like loss, and be waited for.
///
/// # Safety
/// `socket` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn passed_over(
    socket: *mut Socket,
    sk: u64,
    direction: u8,
    layer: u8,
    entry: u64,
    exit: u64,
) {
    // SAFETY: as the caller promises; the reservation is as large as the record.
    unsafe {
        let (position, bytes) = if direction == SENT {
            ((*socket).unwanted_at[0], (*socket).unwanted[0])
        } else {
            ((*socket).unwanted_at[1], (*socket).unwanted[1])
        };
        if bytes == 0 {
            return;
        }
        if direction == SENT {
            (*socket).unwanted[0] = 0;
        } else {
            (*socket).unwanted[1] = 0;
        }
        let Some(ring) = ring() else { return };
        let Some(record) = reserve::<Data>(ring) else {
            // The positions tell of it, as of a loss.
            count(Counter::RingFull, 1);
            return;
        };
        record.write(Data {
            header: header(
                kind::DATA,
                size_of::<Data>() as u32,
                sk,
                (*socket).inode,
                exit,
            ),
            entry,
            position,
            bytes,
            tls: 0,
            captured: 0,
            tgid: 0,
            tid: 0,
            flags: 0,
            direction,
            layer,
            call: 0,
            missing: missing::UNWANTED,
            reserved: 0,
        });
        submit(record);
    }
}

/// One direction has ended.
#[inline(always)]
pub fn end(sk: u64, inode: u64, direction: u8, position: u64, time: u64) {
    let Some(ring) = ring() else { return };
    let Some(record) = reserve::<End>(ring) else {
        count(Counter::RingFull, 1);
        return;
    };
    // SAFETY: the reservation is as large as the record.
    unsafe {
        record.write(End {
            header: header(kind::END, size_of::<End>() as u32, sk, inode, time),
            position,
            direction,
            reserved: [0; 7],
        });
        submit(record);
    }
}

/// The socket is gone.
///
/// # Safety
/// `socket` is a value of the map of sockets.
#[inline(always)]
pub unsafe fn close(socket: *mut Socket, sk: u64, positions: [u64; 2], reason: u8, time: u64) {
    let Some(ring) = ring() else { return };
    let Some(record) = reserve::<Close>(ring) else {
        count(Counter::RingFull, 1);
        return;
    };
    // SAFETY: as the caller promises; the reservation is as large as the record.
    unsafe {
        let known = if (*socket).flags & socket_flag::POSITIONS != 0 {
            flag::POSITIONS
        } else {
            0
        };
        record.write(Close {
            header: header(
                kind::CLOSE,
                size_of::<Close>() as u32,
                sk,
                (*socket).inode,
                time,
            ),
            positions,
            lost: (*socket).lost,
            reason,
            flags: known,
            reserved: [0; 6],
        });
        submit(record);
    }
}

/// What follows on this socket is plaintext; so was what was told of `stand_in`.
#[inline(always)]
pub fn secured(
    found: Found,
    stand_in: Found,
    tls: u64,
    start: [u64; 2],
    flags: u8,
    time: u64,
) -> bool {
    let Some(ring) = ring() else { return false };
    let Some(record) = reserve::<Secured>(ring) else {
        count(Counter::RingFull, 1);
        return false;
    };
    // SAFETY: the reservation is as large as the record.
    unsafe {
        record.write(Secured {
            header: header(
                kind::SECURED,
                size_of::<Secured>() as u32,
                found.sk,
                found.inode,
                time,
            ),
            tls,
            positions: start,
            stand_in: [stand_in.sk, stand_in.inode],
            flags,
            reserved: [0; 7],
        });
        submit(record);
    }
    true
}
