//! What the records tell that probes in user space depend on: from the thread that reads the rings to the
//! one that attaches probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};

/// Notices that wait. What does not fit is left out: scans find it too, only later.
const MAX_WAITING: usize = 1024;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// A process has become another program.
    Executed(u32),
    /// A TLS object of this process has no socket that anything is known of.
    Unbound(u32),
    /// There is nothing more to wait for.
    Stop,
}

/// Where it is told.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    sender: SyncSender<Notice>,
    /// Whether anybody wants to know.
    wanted: Arc<AtomicBool>,
}

impl Notices {
    pub(super) fn new() -> (Self, Receiver<Notice>) {
        let (sender, receiver) = mpsc::sync_channel(MAX_WAITING);
        let wanted = Arc::default();
        (Self { sender, wanted }, receiver)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    pub(super) fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Never waits.
    pub(super) fn tell(&self, notice: Notice) {
        if self.is_wanted() {
            let _ = self.sender.try_send(notice);
        }
    }

    /// Waits until it has been taken note of, or there is nobody who could.
    pub(super) fn stop(&self) {
        let _ = self.sender.send(Notice::Stop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_told_and_nobody_waits() {
        let (notices, heard) = Notices::new();
        notices.tell(Notice::Executed(1));
        notices.want(true);
        for pid in 2..=3 * MAX_WAITING as u32 {
            notices.tell(Notice::Executed(pid));
        }
        assert_eq!(heard.recv(), Ok(Notice::Executed(2)));
        assert_eq!(heard.try_iter().count(), MAX_WAITING - 1);
        notices.stop();
        assert_eq!(heard.recv(), Ok(Notice::Stop));
        drop(heard);
        notices.stop();
        notices.tell(Notice::Unbound(1));
    }
}
