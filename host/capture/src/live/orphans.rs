//! TLS objects that talk and whose sockets do not show: their process uses memory BIOs, whatever is known of
//! its files.

use std::collections::VecDeque;

use super::notices::{Notice, Notices};
use crate::event::{ConnectionKey, Nanos};

/// So long a TLS object may be without its socket. One that is older than its library's probes can have read
/// what it gives out before they were there; its socket shows with the next record.
const PATIENCE: Nanos = 200_000_000;
/// At one time. One of a process is enough.
const MAX_WAITING: usize = 256;

#[derive(Debug)]
struct Orphan {
    since: Nanos,
    key: ConnectionKey,
    pid: u32,
}

/// Tells of them.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    notices: Option<Notices>,
    waiting: VecDeque<Orphan>,
}

impl Orphans {
    pub(super) fn telling(notices: Notices) -> Self {
        Self {
            notices: Some(notices),
            waiting: VecDeque::new(),
        }
    }

    /// A process has become another program.
    pub(super) fn executed(&self, pid: u32) {
        self.tell(Notice::Executed(pid));
    }

    /// A TLS object talks.
    pub(super) fn appeared(&mut self, key: ConnectionKey, pid: u32, now: Nanos) {
        let wanted = self.notices.as_ref().is_some_and(Notices::is_wanted);
        if wanted && self.waiting.len() < MAX_WAITING {
            let orphan = Orphan {
                since: now,
                key,
                pid,
            };
            self.waiting.push_back(orphan);
        }
    }

    /// It has ended without a socket.
    pub(super) fn ended(&mut self, key: &ConnectionKey) {
        if let Some(at) = self.waiting.iter().position(|orphan| orphan.key == *key)
            && let Some(orphan) = self.waiting.remove(at)
        {
            self.tell(Notice::Unbound(orphan.pid));
        }
    }

    /// All up to `now` has been heard. `waits`: whether it still has no socket.
    pub(super) fn look(&mut self, now: Nanos, waits: impl Fn(&ConnectionKey) -> bool) {
        while let Some(orphan) = self.waiting.front()
            && orphan.since.saturating_add(PATIENCE) <= now
        {
            if waits(&orphan.key) {
                self.tell(Notice::Unbound(orphan.pid));
            }
            self.waiting.pop_front();
        }
    }

    fn tell(&self, notice: Notice) {
        if let Some(notices) = &self.notices {
            notices.tell(notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(socket: u64) -> ConnectionKey {
        ConnectionKey {
            socket,
            generation: 1,
        }
    }

    #[test]
    fn only_those_without_a_socket_are_told_of() {
        let (notices, heard) = Notices::new();
        let mut orphans = Orphans::telling(notices.clone());
        orphans.appeared(key(1), 1, 100);
        notices.want(true);
        for pid in 2..=4 {
            orphans.appeared(key(pid), pid as u32, 100 + pid);
        }
        orphans.ended(&key(1));
        orphans.ended(&key(3));
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [Notice::Unbound(3)]);
        orphans.look(PATIENCE + 101, |_| true);
        assert_eq!(heard.try_iter().count(), 0, "too early");
        orphans.look(PATIENCE + 200, |waiting| *waiting == key(4));
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [Notice::Unbound(4)]);
        assert!(orphans.waiting.is_empty());
        for number in 0..2 * MAX_WAITING as u64 {
            orphans.appeared(key(number), 1, 300);
        }
        assert_eq!(orphans.waiting.len(), MAX_WAITING);
    }
}
