//! The maps, and the values of those that only the kernel side touches.

use core::arch::asm;
use core::mem::offset_of;

use aya_ebpf::btf_maps::{
    Array, ArrayOfMaps, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf,
};
use aya_ebpf::macros::btf_map;
use wirespan_events::config::{CONTROLS, MAX_RINGS, more::MORE_PROGRAMS};
use wirespan_events::counter::COUNTERS as COUNTER_SLOTS;
use wirespan_events::state::{SOCKET_BYTES, THREAD_BYTES, THREAD_INSIDE, THREAD_STAGE};
use wirespan_events::{Counter, Verdict};

/// Size of the template that the kernel wants to see; the rings that the host puts in are larger.
const TEMPLATE_RING: usize = 4096;
/// Threads that make calls on sockets and have not ended. Prefilled: 5.10 wants it so for tracing
/// programs.
const MAX_THREADS: usize = 32 * 1024;
/// Sockets that are followed at once.
const MAX_SOCKETS: usize = 128 * 1024;
/// Own connections that can be told apart by their addresses.
const MAX_OWN_FLOWS: usize = 1024;
/// Processes or ports that a filter can name.
const MAX_FILTER: usize = 1024;
/// Control groups that a filter can leave out.
const MAX_CGROUPS: usize = 16 * 1024;
/// TLS objects that are followed at once.
const MAX_TLS: usize = 64 * 1024;
/// Records that TLS objects without a socket have put out and no socket has sent yet: some four for
/// each handshake under way.
const MAX_TLS_OUTPUTS: usize = 32 * 1024;
/// Processes with such objects.
const MAX_TLS_PROCESSES: usize = 4096;
/// Threads that are within rustls, or have just received what it is to open. None waits there.
const RECORDS_IN_FLIGHT: usize = 4096;
/// Keys of rustls: a connection has two. One that is forgotten is joined in the middle.
const MAX_RECORD_OBJECTS: usize = 16 * 1024;

/// Size of the templates that the kernel wants to see; the maps that the host puts in are larger.
const TEMPLATE_GO: usize = 64;

pub type Ring = RingBuf<u8, TEMPLATE_RING>;

#[btf_map]
pub static RINGS: ArrayOfMaps<Ring, MAX_RINGS> = ArrayOfMaps::new();

#[btf_map]
pub static COUNTERS: PerCpuArray<u64, COUNTER_SLOTS> = PerCpuArray::new();

#[btf_map]
pub static CONTROL: Array<u32, CONTROLS> = Array::new();

/// By thread; an entry stays until its thread ends: see [`thread`](crate::thread).
#[btf_map]
pub static THREADS: HashMap<u64, Thread, MAX_THREADS> = HashMap::new();

/// What a thread has that is in no call: it is never written to.
#[btf_map]
pub static IDLE_THREAD: Array<Thread, 1> = Array::new();

/// Programs that go on with a call where another had to stop: [`wirespan_events::config::more`].
#[btf_map]
pub static MORE: ProgramArray<MORE_PROGRAMS> = ProgramArray::new();

/// The same at a function of the kernel. Programs that go on at one cannot at another, so the host gives
/// the programs of each function an array of its own in place of this one.
#[btf_map]
pub static MORE_AT_FUNCTION: ProgramArray<1> = ProgramArray::new();

/// By address of the socket.
#[btf_map]
pub static SOCKETS: HashMap<u64, Socket, MAX_SOCKETS> = HashMap::new();

/// By address of the socket. Least recently used ones go: a verdict that came after the end of its
/// socket is never looked up again.
#[btf_map]
pub static VERDICTS: LruHashMap<u64, Verdict, MAX_SOCKETS> = LruHashMap::new();

/// Sockets that an agent opened and that are not established yet.
#[btf_map]
pub static OWN_SOCKETS: LruHashMap<u64, u8, MAX_OWN_FLOWS> = LruHashMap::new();

/// Addresses of own connections, as the other end sees them.
#[btf_map]
pub static OWN_FLOWS: LruHashMap<Flow, u8, MAX_OWN_FLOWS> = LruHashMap::new();

#[btf_map]
pub static FILTER_TGIDS: HashMap<u32, u8, MAX_FILTER> = HashMap::new();

#[btf_map]
pub static FILTER_PORTS: HashMap<u16, u8, MAX_FILTER> = HashMap::new();

/// Control groups that a filter leaves out.
#[btf_map]
pub static FILTER_CGROUPS: LruHashMap<u64, u8, MAX_CGROUPS> = LruHashMap::new();

/// Since when, in monotonic nanoseconds, every TLS library that is known has been probed.
#[btf_map]
pub static TLS_SINCE: Array<u64, 1> = Array::new();

/// TLS objects that have been seen.
#[btf_map]
pub static TLS_OBJECTS: LruHashMap<TlsKey, TlsObject, MAX_TLS> = LruHashMap::new();

/// Beginnings of TLS records that have left a TLS object whose socket is not known, by process and
/// content.
#[btf_map]
pub static TLS_OUTPUTS: LruHashMap<TlsOutput, TlsOrigin, MAX_TLS_OUTPUTS> = LruHashMap::new();

/// Processes whose sends are compared with those, and what is known of their records: see
/// [`process_flag`].
#[btf_map]
pub static TLS_PROCESSES: LruHashMap<u32, u8, MAX_TLS_PROCESSES> = LruHashMap::new();

/// Not 0: there are probes on programs with rustls.
#[btf_map]
pub static RUSTLS_WATCHED: Array<u32, 1> = Array::new();

/// Not 0: the host is to be woken when a program is started, to see what that maps.
#[btf_map]
pub static STARTS_WATCHED: Array<u32, 1> = Array::new();

/// Records that are being sealed or opened, by thread. Of one that has died in the middle of it nothing
/// tells; the least recently used go.
#[btf_map]
pub static RECORD_CALLS: LruHashMap<u64, RecordCall, RECORDS_IN_FLIGHT> = LruHashMap::new();

/// Keys of rustls that seal or open.
#[btf_map]
pub static RECORD_OBJECTS: LruHashMap<TlsKey, RecordObject, MAX_RECORD_OBJECTS> = LruHashMap::new();

/// What threads of programs with rustls have received last.
#[btf_map]
pub static RECEIVED_LAST: LruHashMap<u64, Received, RECORDS_IN_FLIGHT> = LruHashMap::new();

/// Not 0: there are probes on programs made by Go.
#[btf_map]
pub static GO_WATCHED: Array<u32, 1> = Array::new();

/// [`GoCall`] as its map has it. Kernels from 5.15 to 6.2 let a map take the place of a template only where
/// both have structures for values, by their type information, or neither does; what the host makes has
/// none.
pub type GoCallWords = [u64; size_of::<GoCall>() / 8];
/// The same of [`GoConnection`].
pub type GoConnectionWords = [u64; size_of::<GoConnection>() / 8];

pub type GoCalls = HashMap<GoKey, GoCallWords, TEMPLATE_GO>;
pub type GoConnections = LruHashMap<GoKey, GoConnectionWords, TEMPLATE_GO>;

/// Calls of Go's crypto/tls, by goroutine. The map is made when the first program made by Go is
/// probed: a node without one need not have the memory.
#[btf_map]
pub static GO_IN_FLIGHT: ArrayOfMaps<GoCalls, 1> = ArrayOfMaps::new();

/// The program that goes on where `go_return` has found what has returned. It
/// cannot be in [`MORE`], whose programs are for trace points.
#[btf_map]
pub static GO_RETURNED: ProgramArray<1> = ProgramArray::new();

/// Connections of Go's crypto/tls that have been seen, by their address; made at the same time.
#[btf_map]
pub static GO_CONNECTIONS: ArrayOfMaps<GoConnections, 1> = ArrayOfMaps::new();

/// A zero that the compiler does not know. Where it knows that two neighbours become zero it calls `memset`,
/// which goes byte by byte, and takes of the stack what callers have left.
#[inline(always)]
pub fn zero() -> u64 {
    let zero: u64;
    // SAFETY: sets a register.
    unsafe { asm!("{0} = 0", out(reg) zero, options(pure, nomem, nostack)) };
    zero
}

/// What a thread is in. There is no other memory that is a thread's own.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Thread {
    pub call: Call,
    pub tls: TlsCall,
}

const _: () = assert!(size_of::<Thread>() == THREAD_BYTES);
const _: () = assert!(offset_of!(Thread, call.stage) == THREAD_STAGE);
const _: () = assert!(offset_of!(Thread, tls.inside) == THREAD_INSIDE);

/// A call in flight, and while its bytes are copied the cursor over them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    pub sk: u64,
    pub inode: u64,
    pub entry: u64,
    pub exit: u64,
    /// Buffer, array of iovecs, message or array of messages, as the call has it.
    pub argument: u64,
    /// Address of the next iovec.
    pub iov: u64,
    /// Rest of the stretch of memory that is being copied.
    pub segment: u64,
    pub segment_left: u64,
    /// Bytes left of the call.
    pub left: u64,
    /// Bytes left of the current message, which is the whole call except for vectors of messages.
    pub message_left: u64,
    /// Bytes whose record was lost.
    pub lost: u64,
    /// Position of the next byte.
    pub position: u64,
    /// Nothing below is wanted.
    pub skip_until: u64,
    /// TLS object, for plaintext.
    pub tls: u64,
    /// Address of the next message of a vector of messages; of a call that was seen at a function of the
    /// kernel, the `struct socket` that this was given.
    pub message: u64,
    pub messages_left: u32,
    pub iov_left: u32,
    /// Bytes that may still be copied.
    pub budget: u32,
    /// At entry: of TCP `write_seq` or `copied_seq`, of a Unix socket how many calls have moved this
    /// direction before.
    pub sequence: u32,
    pub tgid: u32,
    pub tid: u32,
    pub data_flags: u32,
    pub length: u32,
    pub call: u8,
    pub direction: u8,
    pub layer: u8,
    /// See [`shape`].
    pub shape: u8,
    /// Cause for what is not copied after the budget is used up.
    pub cause: u8,
    /// See [`stage`](crate::thread::stage).
    pub stage: u8,
    pub reserved: [u8; 2],
}

/// How a call describes its memory.
pub mod shape {
    pub const BUFFER: u8 = 0;
    pub const IOVECS: u8 = 1;
    pub const MESSAGE: u8 = 2;
    pub const MESSAGES: u8 = 3;
    /// It has none, or what is there must not be copied.
    pub const NONE: u8 = 4;
    /// Nothing that passes counts (peeking, out of band).
    pub const PEEK: u8 = 5;
    /// The first piece; the kernel lists the others.
    pub const PIECES: u8 = 6;
}

/// Who lists the pieces of a call's memory. Programs are made for one of these each: what they can do is
/// what the verifier has to follow. The first two are also the places in [`MORE`] of the programs that go
/// on.
pub mod pieces {
    /// The caller, if there is more than one.
    pub const USER: u8 = 0;
    /// The caller, as a vector of messages.
    pub const MESSAGES: u8 = 1;
    /// The kernel: `struct iov_iter`.
    pub const KERNEL: u8 = 2;
    /// Nobody: there is nothing to copy.
    pub const NOWHERE: u8 = 3;
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Socket {
    pub inode: u64,
    /// Last known position of each direction, extended to 64 bits.
    pub position: [u64; 2],
    /// Bytes whose record was lost.
    pub lost: [u64; 2],
    /// Positions of the plaintext.
    pub plaintext: [u64; 2],
    /// What was passed over because nobody wants it and the host has not been told of: where it
    /// begins and how long it is.
    pub unwanted_at: [u64; 2],
    pub unwanted: [u64; 2],
    /// Calls that were entered, and that were left, in each direction: when they agree none is in
    /// flight. Of the one width that there is an atomic addition for.
    pub entered: [u64; 2],
    pub left: [u64; 2],
    /// When it was first seen.
    pub born: u64,
    /// Sequence number of position 0, modulo 2³². Of Go, the first one is when the socket ended, once it
    /// has: see [`go::ends`](crate::go::ends).
    pub origin: [u32; 2],
    /// Bytes of each direction that may still be copied while undecided.
    pub budget: [u32; 2],
    /// Times the direction has turned while undecided.
    pub turns: u32,
    pub flags: u32,
    pub last_direction: u8,
    pub role: u8,
    /// Times that a direction was found to have moved without any call.
    pub unprobed: [u8; 2],
    /// Of Go: position of what was received, modulo 2³², when a call last returned that may read.
    pub returned: u32,
    /// Of Go: in the lower half the writes that have sent and not returned; above that what they
    /// leave to be told: see [`go::owed`](crate::go::owed).
    pub writing: u64,
    /// Bytes that may be copied beyond the budgets while undecided, where the ring has room.
    pub more: u32,
    /// The process that has moved its bytes last, as far as the host was told.
    pub holder: u32,
}

const _: () = assert!(size_of::<Socket>() == SOCKET_BYTES);

/// Bits of [`Socket::flags`].
pub mod socket_flag {
    /// The open record is with the host.
    pub const ANNOUNCED: u32 = 1;
    /// One of the agent's, or its other end; or outside of the filter.
    pub const HIDDEN: u32 = 2;
    /// Its plaintext is observed, its ciphertext no longer is.
    pub const SECURED: u32 = 4;
    /// `position` and `origin` are set.
    pub const POSITIONS: u32 = 8;
    /// A Unix socket, whose positions are counted.
    pub const UNIX: u32 = 16;
    /// A FIN is being sent: `write_seq` counts it from here on.
    pub const END_SENT: u32 = 32;
    pub const RESET: u32 = 64;
    pub const MID_STREAM: u32 = 128;
    /// The end of what the peer sends has been reported.
    pub const END_TOLD: u32 = 1024;
    /// No socket, but what stands for a TLS object whose socket is not known.
    pub const STAND_IN: u32 = 512;
    /// Hidden or not has been decided.
    pub const DECIDED: u32 = 256;
    /// TCP has left the connection: its sequence numbers are none of this connection's any more.
    pub const LEFT: u32 = 2048;
    /// What is received has no origin yet: bytes were sent with the SYN.
    pub const UNANSWERED: u32 = 4096;
    /// A call has moved this direction: sent, and received.
    pub const MOVED: [u32; 2] = [8192, 16384];
    /// Its plaintext is that of Go's crypto/tls.
    pub const GO: u32 = 1 << 16;
    /// Of a socket: rustls opens what is received on it. Of a stand-in: rustls has sealed it.
    pub const RECORDS: u32 = 1 << 17;
    /// What rustls sends on it was not seen from its beginning on, what it receives was.
    pub const LACKS: u32 = 1 << 18;
}

/// Bits of the values of [`TLS_PROCESSES`].
pub mod process_flag {
    /// Its sends are compared with what its TLS objects have put out.
    pub const EXPECTED: u8 = 1;
    /// A record of rustls was proven to be where it was looked for.
    pub const PROVEN: u8 = 2;
    /// One was not.
    pub const UNPROVEN: u8 = 4;
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Flow {
    pub local: [u64; 2],
    pub remote: [u64; 2],
    pub local_port: u32,
    pub remote_port: u32,
}

/// A call of a TLS function.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsCall {
    pub tls: u64,
    pub buffer: u64,
    pub length: u64,
    /// Where the `_ex` functions put the length; 0 for the others.
    pub out: u64,
    pub entry: u64,
    /// Socket that carried TLS records during this call; 0: none so far.
    pub sk: u64,
    pub inode: u64,
    /// Socket that the object had when the call began, and that may have ended; 0: none.
    pub known_sk: u64,
    pub known_inode: u64,
    /// Ciphertext that has passed that socket since the call began and is not in its positions yet: sent, and
    /// received.
    pub passed: [u64; 2],
    /// Records that it has put out without a system call.
    pub outputs: u32,
    /// `SENT`, `RECEIVED`, or neither for a handshake.
    pub direction: u8,
    /// 0: the thread is in no such call.
    pub inside: u8,
    /// Not 0: the filter by process has let this thread's process through.
    pub admitted: u8,
    pub reserved: u8,
}

/// Identity of a TLS object while it lives: processes that were forked have theirs at one address.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsKey {
    pub tls: u64,
    pub tgid: u64,
}

/// What a TLS object's plaintext belongs to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsObject {
    /// Its socket, or a stand-in where none is known, or 0 where there is neither so far.
    pub sk: u64,
    /// That socket's inode; of a stand-in what `born` is.
    pub inode: u64,
    /// When it was first seen: another object at this address has another time.
    pub born: u64,
    /// 1: it was first seen while it shook hands, before there was any plaintext;
    /// [`records::SEALS`](crate::records::SEALS): a key of rustls, which has one direction only.
    pub whole: u64,
}

/// A record that rustls seals or opens.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RecordCall {
    /// Where the result goes.
    pub result: u64,
    /// The key.
    pub object: u64,
    /// Number of the record, of those of its key.
    pub sequence: u64,
    pub entry: u64,
    /// The argument, as it was at the entry.
    pub message: [u64; 5],
    /// Length of the plaintext; while one is being opened, of the record without its header.
    pub bytes: u64,
    /// Address of the record, without its header.
    pub sealed: u64,
    pub kind: u64,
}

/// A key of rustls.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RecordObject {
    /// Number of its next record.
    pub next: u64,
    /// Of one that opens: its socket; 0 while it is not known.
    pub sk: u64,
    pub inode: u64,
    pub flags: u64,
}

/// What a thread has received in one call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Received {
    pub sk: u64,
    pub inode: u64,
    pub address: u64,
    pub bytes: u64,
    /// Its end, to know it again.
    pub last: [u64; 2],
}

/// The part of a TLS record that no other record has.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsOutput {
    pub tgid: u64,
    pub bytes: [u64; 4],
}

/// The TLS object that put out a record.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TlsOrigin {
    pub tls: u64,
    /// When the object was first seen; 0 when two objects have put out the same bytes.
    pub born: u64,
}

/// A goroutine, or a connection, by its address in a process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoKey {
    pub goroutine: u64,
    pub process: u64,
}

/// A call of a function of crypto/tls.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoCall {
    /// The `*tls.Conn`.
    pub conn: u64,
    /// What that one stands on.
    pub beneath: u64,
    pub buffer: u64,
    pub length: u64,
    /// Bytes of the goroutine's stack in use at the entry.
    pub height: u64,
    pub entry: u64,
    /// Height of a handshake inside of it; 0: there is none.
    pub inner: u64,
    /// Socket on which a write has sent, and the position of its plaintext there.
    pub sk: u64,
    /// [`Socket::born`] of that.
    pub born: u64,
    pub position: u64,
    pub kind: u32,
    pub flags: u32,
}

/// What a `*tls.Conn` belongs to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoConnection {
    /// 0 while it is not known.
    pub sk: u64,
    pub inode: u64,
    pub beneath: u64,
    pub flags: u64,
}

#[inline(always)]
pub fn count(counter: Counter, by: u64) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // Atomic, for another program may preempt this one: the books of the bytes are to balance. The
        // compiler knows no atomic operation for this target; this one does not ask for the former value,
        // which kernels before 5.12 cannot tell.
        // SAFETY: the pointer is to this CPU's slot, which is aligned.
        unsafe {
            asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) slot, in(reg) by, options(nostack));
        }
    }
}
