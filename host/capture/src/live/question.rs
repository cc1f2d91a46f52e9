//! Asks the kernel side whether a socket still lives: memory of the kernel can only be read there. The
//! program is attached to nothing; it runs when it is told to, in the thread that asks.

use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya::programs::RawTracePoint;

use super::bpf;
use super::load::reason;

/// The program that knows the answer, and acts on it.
#[derive(Debug)]
pub(super) struct Question(OwnedFd);

impl Question {
    pub(super) fn load(ebpf: &mut Ebpf) -> Result<Self, String> {
        const NAME: &str = "verify_socket";
        let program: &mut RawTracePoint = ebpf
            .program_mut(NAME)
            .ok_or_else(|| format!("the kernel side has no program {NAME}"))?
            .try_into()
            .map_err(|error: aya::programs::ProgramError| reason(&error))?;
        program.load().map_err(|error| reason(&error))?;
        let fd = program.fd().map_err(|error| reason(&error))?;
        let question = Self(
            fd.as_fd()
                .try_clone_to_owned()
                .map_err(|error| reason(&error))?,
        );
        // No socket lies there: nothing comes of it, where the kernel can be asked.
        bpf::test_run(question.0.as_fd(), &[0, 0])
            .map_err(|error| format!("{NAME} cannot be run: {error}"))?;
        Ok(question)
    }

    /// `doubt`: calls may have been missed, so that positions which are only counted are not certain any
    /// more.
    pub(super) fn ask(&self, socket: u64, doubt: bool) {
        // The next round asks again.
        let _ = bpf::test_run(self.0.as_fd(), &[socket, doubt.into()]);
    }
}
