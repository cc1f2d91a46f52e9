//! The records themselves.

/// First word of every record ("WSP1").
pub const MAGIC: u32 = 0x5753_5031;
/// Raised whenever a record changes; host and kernel side of different versions refuse each other.
pub const VERSION: u16 = 3;

/// What a record is, in [`Header::kind`].
pub mod kind {
    pub const OPEN: u16 = 1;
    pub const DATA: u16 = 2;
    pub const SECURED: u16 = 3;
    pub const END: u16 = 4;
    pub const CLOSE: u16 = 5;
    pub const UNIX: u16 = 6;
    pub const EXEC: u16 = 7;
    /// As an [`Exec`](crate::Exec).
    pub const HELD: u16 = 8;
}

/// Direction as seen from the observed end; also the index into arrays of two.
pub mod direction {
    pub const SENT: u8 = 0;
    pub const RECEIVED: u8 = 1;
}

/// Which byte stream of a connection a record is about.
pub mod layer {
    pub const SOCKET: u8 = 0;
    pub const PLAINTEXT: u8 = 1;
}

/// Why fewer bytes were copied than passed.
pub mod missing {
    /// Nothing is missing, or the host asked to leave it out.
    pub const UNWANTED: u8 = 0;
    /// A limit of the capture.
    pub const LIMIT: u8 = 1;
    /// The memory could not be read.
    pub const FAULT: u8 = 2;
    /// No room in the ring.
    pub const RING: u8 = 3;
    /// The road the bytes took cannot be copied from.
    pub const UNOBSERVED: u8 = 4;
}

/// Who opened the connection.
pub mod role {
    pub const UNKNOWN: u8 = 0;
    pub const CLIENT: u8 = 1;
    pub const SERVER: u8 = 2;
}

/// How a connection ended.
pub mod close {
    pub const FINISHED: u8 = 0;
    pub const RESET: u8 = 1;
    /// It goes on, but one of its sides cannot be observed.
    pub const UNOBSERVED: u8 = 2;
}

/// Bits of [`Data::flags`].
pub mod data_flag {
    /// Another call moved the same direction at the same time; the position is the better guess.
    pub const POSITION_DISPUTED: u32 = 1;
}

/// Bits of [`Open::flags`], [`Secured::flags`] and [`Close::flags`].
pub mod flag {
    /// Bytes had passed before the observation began.
    pub const MID_STREAM: u8 = 1;
    /// The positions are known (of a close: were ever known).
    pub const POSITIONS: u8 = 2;
    /// Of [`Secured`](crate::Secured): nobody may hear of this socket, nor of what was told of its stand-in.
    pub const HIDDEN: u8 = 4;
    /// Of [`Secured`](crate::Secured): it is so already; only what was told of its stand-in is new.
    pub const JOINED: u8 = 8;
}

/// Whether an `sk` is no socket, but stands in for that of a TLS object: addresses of the kernel have
/// their highest bit set.
#[must_use]
pub const fn is_stand_in(sk: u64) -> bool {
    sk != 0 && sk >> 63 == 0
}

/// Begins every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub magic: u32,
    pub version: u16,
    pub kind: u16,
    /// Bytes of the record from its header on, payload included, whatever was reserved behind it.
    pub len: u32,
    pub reserved: u32,
    /// Address of the kernel's `struct sock`. Where the socket of a TLS object is not known: what
    /// stands in for it, see [`is_stand_in`].
    pub sk: u64,
    /// Inode of the socket: with `sk` the identity of a connection's end.
    pub inode: u64,
    /// Monotonic nanoseconds at which this happened (of data: the exit of the call).
    pub time: u64,
}

/// First sight of a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    pub header: Header,
    pub cgroup_id: u64,
    /// Boot-clock nanoseconds at which the process started.
    pub task_started: u64,
    /// Positions at first sight, by [`direction`].
    pub positions: [u64; 2],
    /// IPv4 addresses are in the first four bytes.
    pub local: [u8; 16],
    pub remote: [u8; 16],
    pub comm: [u8; 16],
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    pub role: u8,
    pub flags: u8,
    pub network_namespace: u32,
    pub tgid: u32,
    /// See [`Exec::image`].
    pub image: u64,
}

/// A process goes on as another program: its header names no socket. Of the kind [`kind::HELD`]: another
/// process than before moves the bytes of the socket that the header names, from this time on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    pub header: Header,
    /// Boot-clock nanoseconds at which the process started: before it was this program, if it was another.
    pub task_started: u64,
    /// Tells the programs that a process has been one after the other apart: where the stack of each
    /// begins (`startstack` of `/proc/<pid>/stat`). 0: not known.
    pub image: u64,
    pub comm: [u8; 16],
    pub tgid: u32,
    pub reserved: u32,
}

/// Longest name of a Unix socket: `sun_path`.
pub const UNIX_NAME: usize = 108;
/// Room for one: a power of two, for the verifier.
pub const UNIX_NAME_ROOM: usize = 128;

/// The names of a Unix socket, ahead of its [`Open`]. A path may end in a zero byte; an abstract name
/// begins with one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unix {
    pub header: Header,
    /// Inode of the socket at the other end; 0 where there is none.
    pub peer_inode: u64,
    /// Bytes of each name, this end's and the other's.
    pub lens: [u32; 2],
    pub names: [[u8; UNIX_NAME_ROOM]; 2],
}

/// Bytes that passed in one direction; `captured` bytes of payload follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    pub header: Header,
    /// Monotonic nanoseconds at which the call was entered.
    pub entry: u64,
    pub position: u64,
    /// How many bytes passed.
    pub bytes: u64,
    /// Address of the TLS object in its process; 0 on the socket layer.
    pub tls: u64,
    pub captured: u32,
    pub tgid: u32,
    pub tid: u32,
    pub flags: u32,
    pub direction: u8,
    pub layer: u8,
    pub call: u8,
    pub missing: u8,
    pub reserved: u32,
}

/// Plaintext of this socket's TLS follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Secured {
    pub header: Header,
    pub tls: u64,
    /// Where the plaintext starts, by [`direction`].
    pub positions: [u64; 2],
    /// `sk` and `inode` of what stood in for this socket: what was told of it belongs here. 0: none.
    pub stand_in: [u64; 2],
    pub flags: u8,
    pub reserved: [u8; 7],
}

/// One direction has ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub header: Header,
    pub position: u64,
    pub direction: u8,
    pub reserved: [u8; 7],
}

/// The socket is gone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Close {
    pub header: Header,
    /// Final positions, by [`direction`].
    pub positions: [u64; 2],
    /// Bytes of each direction that found no room in the ring.
    pub lost: [u64; 2],
    /// See [`close`].
    pub reason: u8,
    pub flags: u8,
    pub reserved: [u8; 6],
}

const _: () = assert!(size_of::<Header>() == 40);
const _: () = assert!(size_of::<Open>() == 144);
const _: () = assert!(size_of::<Exec>() == 80);
const _: () = assert!(size_of::<Data>() == 96);
const _: () = assert!(size_of::<Secured>() == 88);
const _: () = assert!(size_of::<Unix>() == 312);
const _: () = assert!(size_of::<End>() == 56);
const _: () = assert!(size_of::<Close>() == 80);

/// Payload sizes that are reserved: each is a power of two, so that a length masked by one less
/// than it satisfies the verifier. A call's bytes take the smallest that holds them; the largest
/// is read in chunks.
pub const CLASSES: [usize; 4] = [256, 1024, 4096, 16384];

/// The system calls whose bytes are observed, in [`Data::call`].
pub mod call {
    pub const READ: u8 = 1;
    pub const WRITE: u8 = 2;
    pub const READV: u8 = 3;
    pub const WRITEV: u8 = 4;
    pub const SENDTO: u8 = 5;
    pub const RECVFROM: u8 = 6;
    pub const SENDMSG: u8 = 7;
    pub const RECVMSG: u8 = 8;
    pub const SENDMMSG: u8 = 9;
    pub const RECVMMSG: u8 = 10;
    pub const SENDFILE: u8 = 11;
    pub const SPLICE: u8 = 12;
    /// Moves nothing: two sockets begin.
    pub const SOCKETPAIR: u8 = 13;
    pub const TLS_READ: u8 = 20;
    pub const TLS_WRITE: u8 = 21;
    /// A record was sealed or opened: of a TLS object that has one direction only.
    pub const TLS_RECORD: u8 = 22;
}
