//! Processes that whoever listens has been told of.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::Process;

/// Processes of one generation; there are two. Not more together than half of what streams remember
/// (`wirespan_stream::limits::PROCESSES`), whether they are used or not: a process that is taken for told
/// of here must be known there.
const GENERATION: usize = 1024;

/// As they were told last. Whoever was told of before some thousand others is told of anew.
#[derive(Debug, Default)]
pub(super) struct Told {
    newer: HashMap<u32, Arc<Process>>,
    older: HashMap<u32, Arc<Process>>,
}

impl Told {
    /// Remembers `process`; whether there was anything to tell.
    pub(super) fn is_news(&mut self, process: &Arc<Process>) -> bool {
        if self.of(process.pid).is_some_and(|known| known == process) {
            return false;
        }
        if self.newer.len() >= GENERATION {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(process.pid, Arc::clone(process));
        true
    }

    /// What was told of the process that has this id.
    pub(super) fn of(&self, pid: u32) -> Option<&Arc<Process>> {
        self.newer.get(&pid).or_else(|| self.older.get(&pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, command: &str) -> Arc<Process> {
        Arc::new(Process {
            pid,
            command: command.to_owned(),
            ..Process::default()
        })
    }

    #[test]
    fn it_is_told_when_it_is_news_and_now_and_then() {
        let mut told = Told::default();
        assert!(told.is_news(&process(1, "sh")));
        assert!(!told.is_news(&process(1, "sh")));
        assert!(told.is_news(&process(1, "cat")));
        assert_eq!(told.of(1), Some(&process(1, "cat")));
        let mut again = 0;
        for pid in 2..=8 * GENERATION as u32 {
            assert!(told.is_news(&process(pid, "sh")));
            again += u32::from(told.is_news(&process(1, "cat")));
            assert!(told.newer.len() + told.older.len() <= 2 * GENERATION);
        }
        assert!((4..=8).contains(&again), "{again} times");
    }
}
