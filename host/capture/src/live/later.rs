//! Programs that wait for the first Unix socket that is to be reported.
//!
//! How a connection of TCP ends the kernel tells; of a Unix socket only the system calls do, which every
//! program makes for every file. Where a filter names processes, ports or containers there may never be such a
//! socket among theirs. Of the first one an end may be missed until the programs are at their places; it is
//! found out within seconds.

use std::os::fd::{AsFd, OwnedFd};

use super::bpf;
use super::config::LiveConfig;
use super::links::Links;

/// Programs, and the numbers of their trace points.
#[derive(Debug, Default)]
pub(super) struct Later {
    programs: Vec<(OwnedFd, u64)>,
}

impl Later {
    /// Whether it is worth while to wait.
    pub(super) fn is_for(config: &LiveConfig) -> bool {
        !(config.pids.is_empty() && config.ports.is_empty() && config.containers.is_empty())
    }

    pub(super) fn push(&mut self, program: OwnedFd, event: u64) {
        self.programs.push((program, event));
    }

    /// Puts them on their places, if that has not been done.
    pub(super) fn attach(&mut self, links: &mut Links) {
        for (program, event) in self.programs.drain(..) {
            match bpf::attach_tracepoint(program.as_fd(), event) {
                // The program stays for as long as the link.
                Ok(link) => links.push(link),
                Err(error) => tracing::warn!(
                    %error,
                    "the end of a Unix socket is noticed seconds late: a program cannot be attached"
                ),
            }
        }
    }
}
