//! From a file descriptor of the current task to its socket, and what the socket says of itself.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel};

use wirespan_events::config::CAST;

use crate::globals::{offset, setting};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;

/// States of a TCP socket.
pub mod tcp {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const FIN_WAIT1: u8 = 4;
    pub const CLOSE: u8 = 7;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const NEW_SYN_RECV: u8 = 12;
}

/// `RCV_SHUTDOWN` of `sk_shutdown`: nothing more will be received.
pub const RCV_SHUTDOWN: u8 = 1;

/// Bit of `sk_flags` (`SOCK_DONE`): the peer's FIN is here.
const PEER_IS_DONE: u64 = 1 << 1;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub sk: u64,
    pub inode: u64,
}

/// Reads a kernel value of 1, 2, 4 or 8 bytes, or an array of the last; 0 where there is none.
#[inline(always)]
pub fn kernel<T: Copy + Default>(address: u64) -> T {
    let kind = setting!(cast_type);
    if kind == 0 {
        return copied(address);
    }
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: `T` is of one of the sizes above, for which every pattern of bits is a value, and all of it is
    // written; what is read is memory of the kernel, or 0.
    unsafe {
        if size_of::<T>() <= 8 {
            value.write(cast(address, kind).cast::<T>().read_volatile());
        } else {
            let words = value.as_mut_ptr().cast::<u64>();
            for index in 0..size_of::<T>() / 8 {
                let word = cast(address + 8 * index as u64, kind).cast::<u64>();
                words.add(index).write(word.read_volatile());
            }
        }
        value.assume_init()
    }
}

/// The same by a helper, which takes some hundred instructions; of an address that is none of the kernel's
/// own, such as that of a program's context, too.
#[inline(always)]
pub fn copied<T: Copy + Default>(address: u64) -> T {
    // SAFETY: the helper checks the address and fails where it is bad.
    unsafe { bpf_probe_read_kernel(address as *const T) }.unwrap_or_default()
}

/// Any address as a pointer to something that begins with two numbers of 64 bits, which the verifier lets be
/// loaded: where nothing is the load gives 0. The kernel makes a move between two registers of the call.
#[inline(always)]
fn cast(address: u64, kind: u32) -> *const u8 {
    let pointer: *const u8;
    // SAFETY: a call without effects; it is only made where the host has put in the number of a function.
    unsafe {
        asm!(
            "call {cast}",
            cast = const CAST,
            lateout("r0") pointer,
            inlateout("r1") address => _,
            inlateout("r2") u64::from(kind) => _,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(nostack),
        );
    }
    pointer
}

/// A member of what a typed pointer leads to: the verifier knows the type, and lets it be loaded without a
/// helper, which costs some hundred instructions. 0 where the pointer leads nowhere.
///
/// # Safety
/// The offset is that of a member with 8 bytes.
#[inline(always)]
pub unsafe fn member(pointer: *const u8, offset: u64) -> *const u8 {
    // SAFETY: the verifier refuses a program that reads anything but a member.
    unsafe { pointer.add(offset as usize).cast::<*const u8>().read() }
}

/// How many slots the current task's table of files has, and where they are.
#[inline(always)]
fn table_of_files() -> [u64; 2] {
    if setting!(typed_task) != 0 {
        // SAFETY: a helper without arguments; `struct task_struct`, `files_struct` and `fdtable` have these
        // members, of which the number is an `unsigned int`.
        unsafe {
            let task: *const u8 = bpf_get_current_task_btf().cast_const().cast();
            let files = member(task, offset!(task_files));
            let table = member(files, offset!(files_fdt));
            let slots: u32 = table
                .add(offset!(fdt_max_fds) as usize)
                .cast::<u32>()
                .read();
            return [slots.into(), member(table, offset!(fdt_fd)) as u64];
        }
    }
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = kernel(task + offset!(task_files));
    let table: u64 = kernel(files + offset!(files_fdt));
    // The number of slots and where they are lie side by side, which the host has made sure of: every
    // program of the node pays for each of these reads.
    kernel(table + offset!(fdt_max_fds))
}

/// The file behind a descriptor of the current task; 0 where there is none.
#[inline(always)]
pub fn file_of(fd: u32) -> u64 {
    let [slots, array] = table_of_files();
    if fd >= slots as u32 {
        return 0;
    }
    kernel(array + u64::from(fd) * 8)
}

/// Whether nothing else refers to this file.
#[inline(always)]
pub fn is_last_reference(file: u64) -> bool {
    let counted_from_one: u64 = kernel(file + offset!(file_count));
    let counted_from_zero: i64 = kernel(file + offset!(file_ref));
    // Of the two there is only one; where neither is, both read as 0.
    if offset!(file_count) != u64::from(u32::MAX) {
        counted_from_one == 1
    } else {
        offset!(file_ref) != u64::from(u32::MAX) && counted_from_zero == 0
    }
}

/// The stream socket, of TCP or of this host, behind a file descriptor of the current task.
#[inline(always)]
pub fn socket_of(fd: u32) -> Option<Found> {
    socket_in(file_of(fd))
}

/// The same, behind a file.
#[inline(always)]
pub fn socket_in(file: u64) -> Option<Found> {
    let found = any_socket_in(file)?;
    if is_stream(found) { Some(found) } else { None }
}

/// The socket behind a file, of whatever kind.
#[inline(always)]
pub fn any_socket_in(file: u64) -> Option<Found> {
    if file == 0 {
        return None;
    }
    let (socket, inode): (u64, u64) = if offset!(file_inode) == offset!(file_private_data) + 8 {
        // Neighbours since 6.12.
        let [socket, inode] = kernel(file + offset!(file_private_data));
        (socket, inode)
    } else {
        let inode = kernel(file + offset!(file_inode));
        (kernel(file + offset!(file_private_data)), inode)
    };
    // A socket and its inode are made in one piece, and of no other file the private data lie there. To
    // read the mode would cost each call of each program of the node some 20 ns more.
    if inode != socket + offset!(socket_to_inode) {
        return None;
    }
    let sk: u64 = kernel(socket + offset!(socket_sk));
    if sk == 0 {
        return None;
    }
    Some(Found {
        sk,
        inode: kernel(inode + offset!(inode_ino)),
    })
}

/// The same, of a `struct socket`.
#[inline(always)]
pub fn any_socket_at(socket: u64) -> Option<Found> {
    let sk: u64 = kernel(socket + offset!(socket_sk));
    if sk == 0 {
        return None;
    }
    Some(Found {
        sk,
        inode: kernel(socket + offset!(socket_to_inode) + offset!(inode_ino)),
    })
}

/// The same, where it is a stream.
#[inline(always)]
pub fn socket_at(socket: u64) -> Option<Found> {
    let found = any_socket_at(socket)?;
    if is_stream(found) { Some(found) } else { None }
}

/// Whether a file refers to a `struct socket`: to the kernel's own none does.
#[inline(always)]
pub fn has_file(socket: u64) -> bool {
    kernel::<u64>(socket + offset!(socket_file)) != 0
}

/// Whether it is a socket of TCP, or a stream of this host.
#[inline(always)]
pub fn is_stream(found: Found) -> bool {
    let sk = found.sk;
    let kind: u16 = kernel(sk + offset!(sock_type));
    if kind != SOCK_STREAM {
        return false;
    }
    let family: u16 = kernel(sk + offset!(skc_family));
    let known = if family == AF_INET || family == AF_INET6 {
        kernel::<u16>(sk + offset!(sock_protocol)) == IPPROTO_TCP
    } else {
        family == AF_UNIX
    };
    // And that it leads back to its file.
    known && inode_of(sk) == found.inode
}

/// When the current process started, in nanoseconds of the boot clock.
#[inline(always)]
pub fn process_started() -> u64 {
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    let leader: u64 = kernel(task + offset!(task_group_leader));
    kernel(leader + offset!(task_start_boottime))
}

/// Which of the programs that it has been one after the other the current process is: where its stack
/// begins; 0 where that is not known.
#[inline(always)]
pub fn image() -> u64 {
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    let memory: u64 = kernel(task + offset!(task_mm));
    kernel(memory + offset!(mm_start_stack))
}

#[inline(always)]
pub fn state(sk: u64) -> u8 {
    kernel(sk + offset!(skc_state))
}

#[inline(always)]
pub fn shutdown(sk: u64) -> u8 {
    kernel(sk + offset!(sock_shutdown))
}

/// Whether the kernel itself encrypts what is sent (`tcp_set_ulp`, name "tls").
#[inline(always)]
pub fn is_ktls(sk: u64) -> bool {
    let operations: u64 = kernel(sk + offset!(icsk_ulp_ops));
    let name: u32 = kernel(operations + offset!(ulp_name));
    name == u32::from_ne_bytes(*b"tls\0")
}

#[inline(always)]
pub fn is_unix(sk: u64) -> bool {
    kernel::<u16>(sk + offset!(skc_family)) == AF_UNIX
}

/// The socket at the other end of a Unix socket; 0 where there is none.
#[inline(always)]
pub fn unix_peer(sk: u64) -> u64 {
    kernel(sk + offset!(unix_peer))
}

/// Inode of a socket that a file refers to; 0 for one that no file does.
#[inline(always)]
pub fn inode_of(sk: u64) -> u64 {
    let socket: u64 = kernel(sk + offset!(sock_socket));
    if socket == 0 {
        return 0;
    }
    kernel(socket + offset!(socket_to_inode) + offset!(inode_ino))
}

/// Sequence number of the next byte that a send adds (0; or of the FIN behind the last) or a receive
/// takes (1; a FIN is none).
#[inline(always)]
pub fn sequence(sk: u64, direction: u8) -> u32 {
    if direction == 0 {
        kernel(sk + offset!(tcp_write_seq))
    } else {
        let copied: u32 = kernel(sk + offset!(tcp_copied_seq));
        if is_peer_done(sk) && copied == kernel(sk + offset!(tcp_rcv_nxt)) {
            copied.wrapping_sub(1)
        } else {
            copied
        }
    }
}

/// Whether the byte at this sequence number was sent out of band: it is not read with the others.
#[inline(always)]
pub fn is_urgent(sk: u64, sequence: u32) -> bool {
    kernel::<u32>(sk + offset!(tcp_urg_seq)) == sequence
}

#[inline(always)]
fn is_peer_done(sk: u64) -> bool {
    kernel::<u64>(sk + offset!(sock_flags)) & PEER_IS_DONE != 0
}

/// Bytes that were handed to the socket so far. The SYN and the FIN do not count in `bytes_sent`.
#[inline(always)]
pub fn bytes_written(sk: u64) -> u64 {
    let write: u32 = kernel(sk + offset!(tcp_write_seq));
    let next: u32 = kernel(sk + offset!(tcp_snd_nxt));
    let sent: u64 = kernel(sk + offset!(tcp_bytes_sent));
    let again: u64 = kernel(sk + offset!(tcp_bytes_retrans));
    sent.wrapping_sub(again)
        .wrapping_add(u64::from(write.wrapping_sub(next)))
}

/// Bytes that were taken from the socket so far.
#[inline(always)]
pub fn bytes_read(sk: u64) -> u64 {
    let mut next: u32 = kernel(sk + offset!(tcp_rcv_nxt));
    // A FIN counts as received.
    let mut received: u64 = kernel(sk + offset!(tcp_bytes_received));
    // Both move at once where a segment arrives, which may be now.
    let again: u32 = kernel(sk + offset!(tcp_rcv_nxt));
    if again != next {
        next = again;
        received = kernel(sk + offset!(tcp_bytes_received));
    }
    received.wrapping_sub(u64::from(next.wrapping_sub(sequence(sk, 1))))
}

/// The addresses of a socket; IPv4 ones as IPv4-mapped IPv6 addresses, so that a dual-stack end
/// and an IPv4 end of one connection agree.
#[inline(always)]
pub fn flow(sk: u64) -> crate::maps::Flow {
    let family: u16 = kernel(sk + offset!(skc_family));
    let remote_port: u16 = kernel(sk + offset!(skc_dport));
    let local_port: u16 = kernel(sk + offset!(inet_sport));
    let (local, remote) = if family == AF_INET {
        let local: u32 = kernel(sk + offset!(skc_rcv_saddr));
        let remote: u32 = kernel(sk + offset!(skc_daddr));
        ([0, mapped(local)], [0, mapped(remote)])
    } else {
        (
            kernel(sk + offset!(skc_v6_rcv_saddr)),
            kernel(sk + offset!(skc_v6_daddr)),
        )
    };
    crate::maps::Flow {
        local,
        remote,
        local_port: u32::from(u16::from_be(local_port)),
        remote_port: u32::from(u16::from_be(remote_port)),
    }
}

/// The lower half of `::ffff:a.b.c.d`, for an address as it lies in memory.
#[inline(always)]
fn mapped(address: u32) -> u64 {
    u64::from(address) << 32 | 0xffff_0000
}
