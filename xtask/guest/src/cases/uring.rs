//! HTTP over io_uring: no system call of the program has the bytes.

use std::net::TcpStream;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
use io_uring::squeue::Entry;
use io_uring::types::Fixed;
use io_uring::{IoUring, opcode};

use super::http::{BODY, HEAD, between, request};

/// The one socket of a ring.
const SOCKET: Fixed = Fixed(0);

/// After so many milliseconds without work the kernel's thread goes to sleep.
const IDLE_MILLISECONDS: u32 = 1000;

/// Who takes what is submitted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    /// The thread that submits it, in its system call.
    Submitter,
    /// A thread of the kernel's.
    Kernel,
}

struct Ring(IoUring);

impl Ring {
    fn new(stream: &TcpStream, taker: Taker) -> Result<Self> {
        let mut builder = IoUring::builder();
        if taker == Taker::Kernel {
            builder.setup_sqpoll(IDLE_MILLISECONDS);
        }
        let ring = builder.build(4).context("no io_uring")?;
        ring.submitter().register_files(&[stream.as_raw_fd()])?;
        Ok(Self(ring))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            let len = u32::try_from(rest.len())?;
            sent += self.complete(&opcode::Send::new(SOCKET, rest.as_ptr(), len).build())?;
        }
        Ok(())
    }

    /// Receives up to the last byte of a message, which ends so.
    fn receive(&mut self, end: &str) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            let mut room = [0; 300];
            let len = u32::try_from(room.len())?;
            let len = self.complete(&opcode::Recv::new(SOCKET, room.as_mut_ptr(), len).build())?;
            ensure!(len != 0, "the connection ended early");
            all.extend(room.iter().take(len));
        }
        Ok(all)
    }

    /// Submits one operation and waits for it.
    fn complete(&mut self, entry: &Entry) -> Result<usize> {
        let mut queue = self.0.submission();
        #[expect(unsafe_code, reason = "the kernel uses memory by its address")]
        // SAFETY: the memory that it refers to is its caller's, who waits here until it is over.
        let pushed = unsafe { queue.push(entry) };
        drop(queue);
        if pushed.is_err() {
            bail!("the queue has no room for one");
        }
        self.0.submit_and_wait(1)?;
        let done = self.0.completion().next().context("it was waited for")?;
        usize::try_from(done.result())
            .with_context(|| format!("the operation failed with {}", done.result()))
    }
}

/// One exchange, both ends of it.
pub(super) fn exchange(address: &str, path: &'static str, taker: Taker) -> Result<()> {
    between(
        address,
        move |stream| {
            let mut ring = Ring::new(&stream, taker)?;
            ring.receive("\r\n\r\n")?;
            ring.send(format!("{HEAD}{BODY}").as_bytes())
        },
        move |stream| {
            let mut ring = Ring::new(&stream, taker)?;
            ring.send(request(path).as_bytes())?;
            let answer = ring.receive(BODY)?;
            ensure!(
                answer.starts_with(b"HTTP/1.1 200"),
                "the server answered {}",
                String::from_utf8_lossy(&answer)
            );
            Ok(())
        },
    )
}
