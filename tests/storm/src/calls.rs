//! The system calls themselves, as thin as can be: no crate offers all of their odd forms, and some
//! are to fail.

#![expect(
    unsafe_code,
    reason = "raw system calls, with arguments that are wrong on purpose"
)]

use std::os::fd::RawFd;
use std::ptr;

/// What a call returned, or its error number.
pub type Outcome = Result<usize, i32>;

/// An address that no process has memory at.
pub const NOWHERE: usize = 0x10;

fn outcome(result: i64) -> Outcome {
    usize::try_from(result).map_err(|_| {
        std::io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or_default()
    })
}

/// Any system call.
fn call(number: i64, arguments: [usize; 6]) -> Outcome {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the callers below pass memory that lives for the call, or an address that the kernel
    // refuses.
    outcome(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

fn fd(fd: RawFd) -> usize {
    fd as isize as usize
}

pub fn read(from: RawFd, buffer: &mut [u8]) -> Outcome {
    let memory = [
        fd(from),
        buffer.as_mut_ptr() as usize,
        buffer.len(),
        0,
        0,
        0,
    ];
    call(libc::SYS_read, memory)
}

pub fn write(to: RawFd, bytes: &[u8]) -> Outcome {
    let memory = [fd(to), bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
    call(libc::SYS_write, memory)
}

/// `read` or `write` of memory that is not there.
pub fn faulty(number: i64, with: RawFd, len: usize) -> Outcome {
    call(number, [fd(with), NOWHERE, len, 0, 0, 0])
}

/// One of `readv`, `writev`; or with an offset of -1 `preadv2`, `pwritev2`, which then do the same.
pub fn vector(number: i64, with: RawFd, pieces: &[libc::iovec]) -> Outcome {
    let offset = usize::MAX;
    let memory = [
        fd(with),
        pieces.as_ptr() as usize,
        pieces.len(),
        offset,
        offset,
        0,
    ];
    let memory = if number == libc::SYS_readv || number == libc::SYS_writev {
        [memory[0], memory[1], memory[2], 0, 0, 0]
    } else {
        memory
    };
    call(number, memory)
}

pub fn sendto(to: RawFd, bytes: &[u8], flags: i32) -> Outcome {
    let memory = [
        fd(to),
        bytes.as_ptr() as usize,
        bytes.len(),
        flags as usize,
        0,
        0,
    ];
    call(libc::SYS_sendto, memory)
}

/// With an address: connects, and sends what it can with the first segment.
pub fn sendto_address(to: RawFd, bytes: &[u8], flags: i32, address: &[u8]) -> Outcome {
    let memory = [
        fd(to),
        bytes.as_ptr() as usize,
        bytes.len(),
        flags as usize,
        address.as_ptr() as usize,
        address.len(),
    ];
    call(libc::SYS_sendto, memory)
}

pub fn recvfrom(from: RawFd, buffer: &mut [u8], flags: i32) -> Outcome {
    let memory = [
        fd(from),
        buffer.as_mut_ptr() as usize,
        buffer.len(),
        flags as usize,
        0,
        0,
    ];
    call(libc::SYS_recvfrom, memory)
}

/// A message of these pieces.
#[must_use]
pub fn message(pieces: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: a plain structure, for which zeros mean nothing is there.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len();
    message
}

pub fn sendmsg(to: RawFd, message: &libc::msghdr, flags: i32) -> Outcome {
    let memory = [
        fd(to),
        ptr::from_ref(message) as usize,
        flags as usize,
        0,
        0,
        0,
    ];
    call(libc::SYS_sendmsg, memory)
}

pub fn recvmsg(from: RawFd, message: &mut libc::msghdr, flags: i32) -> Outcome {
    let memory = [
        fd(from),
        ptr::from_mut(message) as usize,
        flags as usize,
        0,
        0,
        0,
    ];
    call(libc::SYS_recvmsg, memory)
}

/// `sendmmsg` or `recvmmsg`.
pub fn messages(number: i64, with: RawFd, all: &mut [libc::mmsghdr], flags: i32) -> Outcome {
    let memory = [
        fd(with),
        all.as_mut_ptr() as usize,
        all.len(),
        flags as usize,
        0,
        0,
    ];
    call(number, memory)
}

pub fn sendfile(to: RawFd, from: RawFd, len: usize) -> Outcome {
    let mut offset = 0i64;
    let memory = [
        fd(to),
        fd(from),
        ptr::from_mut(&mut offset) as usize,
        len,
        0,
        0,
    ];
    call(libc::SYS_sendfile, memory)
}

pub fn splice(from: RawFd, to: RawFd, len: usize, flags: u32) -> Outcome {
    call(
        libc::SYS_splice,
        [fd(from), 0, fd(to), 0, len, flags as usize],
    )
}

pub fn tee(from: RawFd, to: RawFd, len: usize) -> Outcome {
    call(libc::SYS_tee, [fd(from), fd(to), len, 0, 0, 0])
}

/// Puts pages of memory into a pipe: `bytes` must stay as they are until they have been read.
pub fn vmsplice(to: RawFd, bytes: &[u8]) -> Outcome {
    let piece = piece(bytes);
    call(
        libc::SYS_vmsplice,
        [fd(to), ptr::from_ref(&piece) as usize, 1, 0, 0, 0],
    )
}

#[must_use]
pub fn piece(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

pub fn shutdown(socket: RawFd, how: i32) -> Outcome {
    call(libc::SYS_shutdown, [fd(socket), how as usize, 0, 0, 0, 0])
}

pub fn close(socket: RawFd) -> Outcome {
    call(libc::SYS_close, [fd(socket), 0, 0, 0, 0, 0])
}

pub fn dup(socket: RawFd) -> Outcome {
    call(libc::SYS_dup, [fd(socket), 0, 0, 0, 0, 0])
}

pub fn dup2(socket: RawFd, to: RawFd) -> Outcome {
    call(libc::SYS_dup2, [fd(socket), fd(to), 0, 0, 0, 0])
}

/// What a call that gives a small number has given.
#[must_use]
pub fn descriptor(given: Outcome) -> RawFd {
    let given = given.expect("descriptors are left");
    RawFd::try_from(given).expect("descriptors are small")
}

pub fn fcntl(socket: RawFd, command: i32, argument: i32) -> Outcome {
    call(
        libc::SYS_fcntl,
        [fd(socket), command as usize, argument as usize, 0, 0, 0],
    )
}

pub fn set_blocking(socket: RawFd, blocking: bool) {
    let flags = descriptor(fcntl(socket, libc::F_GETFL, 0));
    let flags = if blocking {
        flags & !libc::O_NONBLOCK
    } else {
        flags | libc::O_NONBLOCK
    };
    let _ = fcntl(socket, libc::F_SETFL, flags);
}

/// Waits until it can be read from, or written to.
pub fn wait(socket: RawFd, events: i16) {
    /// Whoever waits for longer waits in vain.
    const LIMIT_MILLIS: i32 = 60_000;
    let mut polled = libc::pollfd {
        fd: socket,
        events,
        revents: 0,
    };
    // SAFETY: one structure, which lives for the call.
    let ready = unsafe { libc::poll(&raw mut polled, 1, LIMIT_MILLIS) };
    assert!(ready != 0, "a socket was not ready within a minute");
}

/// Sets an option that is a number, or several.
pub fn set_option<const N: usize>(
    socket: RawFd,
    level: i32,
    name: i32,
    value: [i32; N],
) -> Outcome {
    let memory = [
        fd(socket),
        level as usize,
        name as usize,
        value.as_ptr() as usize,
        size_of_val(&value),
        0,
    ];
    call(libc::SYS_setsockopt, memory)
}

/// Inode of what is open here.
#[must_use]
pub fn inode(of: RawFd) -> u64 {
    // SAFETY: a plain structure that the call fills.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: it lives for the call.
    let done = unsafe { libc::fstat(of, &raw mut status) };
    assert_eq!(done, 0, "an open file has an inode");
    status.st_ino
}

pub fn pipe() -> [RawFd; 2] {
    let mut ends = [0; 2];
    // SAFETY: room for both ends.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(made, 0, "a pipe can be made");
    ends
}

pub fn socket(family: i32, flags: i32) -> RawFd {
    // SAFETY: no memory is passed.
    let made = unsafe { libc::socket(family, libc::SOCK_STREAM | flags, 0) };
    assert!(made >= 0, "a socket can be made");
    made
}

pub fn socketpair() -> [RawFd; 2] {
    pair_of(libc::SOCK_STREAM)
}

/// Two Unix sockets of any type.
pub fn pair_of(kind: i32) -> [RawFd; 2] {
    let mut ends = [0; 2];
    // SAFETY: room for both ends.
    let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
    assert_eq!(made, 0, "a pair of sockets can be made");
    ends
}

pub fn bind(socket: RawFd, address: &[u8]) -> Outcome {
    let memory = [
        fd(socket),
        address.as_ptr() as usize,
        address.len(),
        0,
        0,
        0,
    ];
    call(libc::SYS_bind, memory)
}

pub fn listen(socket: RawFd) -> Outcome {
    call(libc::SYS_listen, [fd(socket), 4096, 0, 0, 0, 0])
}

pub fn connect(socket: RawFd, address: &[u8]) -> Outcome {
    let memory = [
        fd(socket),
        address.as_ptr() as usize,
        address.len(),
        0,
        0,
        0,
    ];
    call(libc::SYS_connect, memory)
}

/// `accept`, or with flags `accept4`.
pub fn accept(socket: RawFd, flags: Option<i32>) -> RawFd {
    let accepted = match flags {
        None => call(libc::SYS_accept, [fd(socket), 0, 0, 0, 0, 0]),
        Some(flags) => call(libc::SYS_accept4, [fd(socket), 0, 0, flags as usize, 0, 0]),
    };
    descriptor(accepted)
}

/// `getsockname` or `getpeername`.
#[must_use]
pub fn address(number: i64, socket: RawFd) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    let mut len = bytes.len() as u32;
    let memory = [
        fd(socket),
        bytes.as_mut_ptr() as usize,
        ptr::from_mut(&mut len) as usize,
        0,
        0,
        0,
    ];
    call(number, memory).expect("a connected socket has addresses");
    bytes.truncate(len as usize);
    bytes
}

/// A file in memory with these bytes.
pub fn file_of(bytes: &[u8]) -> RawFd {
    // SAFETY: a constant string.
    let made = unsafe { libc::memfd_create(c"storm".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(made >= 0, "a file in memory can be made");
    let mut written = 0;
    while written < bytes.len() {
        written += write(made, &bytes[written..]).expect("a file in memory can be written");
    }
    made
}

/// The process id of the child, or 0 in it. Only for programs with one thread.
pub fn fork() -> libc::pid_t {
    // SAFETY: with one thread, no lock of the standard library is held.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a process can be made");
    child
}

pub fn kill(child: libc::pid_t) {
    let _ = call(
        libc::SYS_kill,
        [child as usize, libc::SIGKILL as usize, 0, 0, 0, 0],
    );
}

/// Waits for the end of a child; its exit status.
pub fn reap(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: room for a status.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child, "a child can be waited for");
    status
}

/// Ends this process without running anything else.
pub fn leave(status: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(status) }
}

/// Sends a signal to a thread of this process.
pub fn signal_thread(thread: libc::pid_t, signal: i32) {
    let process = std::process::id() as usize;
    let _ = call(
        libc::SYS_tgkill,
        [process, thread as usize, signal as usize, 0, 0, 0],
    );
}

#[must_use]
pub fn thread() -> libc::pid_t {
    descriptor(call(libc::SYS_gettid, [0; 6]))
}

extern "C" fn nothing(_: i32) {}

/// Lets a signal interrupt what a thread waits for, and do nothing else.
pub fn interrupt_on(signal: i32, restart: bool) {
    // SAFETY: a plain structure, for which zeros mean nothing special.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
    // SAFETY: the handler does nothing, which any handler may.
    let set = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    assert_eq!(set, 0, "a signal can be handled");
}

/// A network namespace of its own, with its loopback up; its inode.
pub fn own_network() -> u64 {
    // SAFETY: no memory is passed.
    let done = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(done, 0, "a network namespace can be made: run as root");
    // SAFETY: a plain structure; its name and flags are set below.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    let any = socket(libc::AF_INET, 0);
    let memory = [
        fd(any),
        libc::SIOCSIFFLAGS as usize,
        ptr::from_mut(&mut request) as usize,
        0,
        0,
        0,
    ];
    call(libc::SYS_ioctl, memory).expect("the loopback can be switched on");
    let _ = close(any);
    let namespace = std::fs::metadata("/proc/self/ns/net").expect("/proc is mounted");
    std::os::unix::fs::MetadataExt::ino(&namespace)
}

/// Room for one descriptor as a control message.
#[repr(C, align(8))]
pub struct Passed {
    len: usize,
    level: i32,
    kind: i32,
    descriptor: i32,
    padding: i32,
}

impl Passed {
    #[must_use]
    pub fn new(descriptor: RawFd) -> Self {
        Self {
            len: size_of::<Self>() - 4,
            level: libc::SOL_SOCKET,
            kind: libc::SCM_RIGHTS,
            descriptor,
            padding: 0,
        }
    }

    /// Hangs it on a message.
    pub fn attach(&mut self, message: &mut libc::msghdr) {
        message.msg_control = ptr::from_mut(self).cast();
        message.msg_controllen = size_of::<Self>();
    }

    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        assert_eq!(self.kind, libc::SCM_RIGHTS, "a descriptor came along");
        self.descriptor
    }
}

/// Closes a connection with a reset instead of a FIN.
pub fn close_with_reset(socket: RawFd) {
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_LINGER, [1, 0]);
    let _ = close(socket);
}

/// Dissolves the connection of a socket, which can then be used for another.
pub fn disconnect(socket: RawFd) -> Outcome {
    let mut address = [0u8; 16];
    address[..2].copy_from_slice(&(libc::AF_UNSPEC as u16).to_ne_bytes());
    connect(socket, &address)
}

/// A queue of operations for the kernel, used for one at a time.
pub struct Uring(io_uring::IoUring);

impl Uring {
    /// `None` where the machine does not allow it.
    #[must_use]
    pub fn new() -> Option<Self> {
        io_uring::IoUring::new(2).ok().map(Self)
    }

    pub fn receive(&mut self, from: RawFd, buffer: &mut [u8]) -> Outcome {
        let len = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let from = io_uring::types::Fd(from);
        let entry = io_uring::opcode::Recv::new(from, buffer.as_mut_ptr(), len).build();
        // SAFETY: the buffer lives until the operation is over, which is waited for.
        let pushed = unsafe { self.0.submission().push(&entry) };
        assert!(pushed.is_ok(), "the queue has room for one");
        self.0
            .submit_and_wait(1)
            .map_err(|error| error.raw_os_error().unwrap_or_default())?;
        let done = self.0.completion().next().expect("it was waited for");
        usize::try_from(done.result()).map_err(|_| -done.result())
    }
}

/// Nanoseconds of the clock that the kernel side uses.
#[must_use]
pub fn monotonic() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: room for a time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let [seconds, rest] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1_000_000_000 + rest
}
