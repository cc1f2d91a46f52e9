//! Programs that have just been started: looked at more often than the scan does, so that what they need is
//! there before their first TLS connection.

use std::path::Path;
use std::time::{Duration, Instant};

use super::watched::code_pages;

/// A program is looked at after this share of the time that it has run, within these bounds. One in C has
/// mapped its libraries after 2 ms; Python maps the `ssl` module some 40 ms after its start, and shakes hands
/// 20 ms later.
const SHARE: u32 = 16;
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// From then on the scan comes by.
const PERIOD: Duration = Duration::from_millis(400);
/// Programs at one time; the oldest ones are left to the scan.
const MAX_PROGRAMS: usize = 128;
/// Where programs are started all the time, no more than one part in this many of a CPU goes into this.
const COST_SHARE: u32 = 20;

#[derive(Debug)]
struct Program {
    pid: u32,
    started: Instant,
    next: Instant,
    /// As it was looked at last.
    code_pages: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Starting {
    programs: Vec<Program>,
    rests_until: Option<Instant>,
}

impl Starting {
    pub(super) fn add(&mut self, pid: u32, now: Instant) {
        self.programs.retain(|program| program.pid != pid);
        if self.programs.len() >= MAX_PROGRAMS {
            self.programs.remove(0);
        }
        self.programs.push(Program {
            pid,
            started: now,
            next: now + SHORTEST_PAUSE,
            code_pages: None,
        });
    }

    pub(super) fn clear(&mut self) {
        self.programs.clear();
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let next = self.programs.iter().map(|program| program.next).min()?;
        Some(self.rests_until.map_or(next, |until| next.max(until)))
    }

    /// Those that are to be looked at now: they are due, and have mapped something since they were last.
    pub(super) fn due(&mut self, root: &Path, now: Instant) -> Vec<u32> {
        if self.next().is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut due = Vec::new();
        self.programs.retain_mut(|program| {
            if program.next > now {
                return true;
            }
            let age = now.saturating_duration_since(program.started);
            program.next = now + (age / SHARE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            let Some(code_pages) = code_pages(root, program.pid) else {
                // It has ended.
                return false;
            };
            if program.code_pages.replace(code_pages) != Some(code_pages) {
                due.push(program.pid);
            }
            age < PERIOD
        });
        due
    }

    /// Looks have taken this much of a CPU.
    pub(super) fn has_cost(&mut self, cost: Duration, now: Instant) {
        self.rests_until = Some(now + cost.saturating_mul(COST_SHARE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` with one process, whose memory can be set.
    fn proc_of(pid: u32, pages: u64) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(pid.to_string())).unwrap();
        set(root.path(), pid, pages);
        root
    }

    fn set(root: &Path, pid: u32, pages: u64) {
        let text = format!("{pages} 0 0 0 0 0 0\n");
        std::fs::write(root.join(pid.to_string()).join("statm"), text).unwrap();
    }

    #[test]
    fn a_program_is_looked_at_when_it_has_mapped_something() {
        let root = proc_of(7, 100);
        let (mut starting, begun) = (Starting::default(), Instant::now());
        let none = [0_u32; 0];
        let ms = Duration::from_millis;
        starting.add(7, begun);
        assert_eq!(starting.due(root.path(), begun), none);
        assert_eq!(starting.next(), Some(begun + ms(2)));
        assert_eq!(starting.due(root.path(), begun + ms(2)), [7]);
        assert_eq!(starting.next(), Some(begun + ms(4)));
        assert_eq!(
            starting.due(root.path(), begun + ms(4)),
            none,
            "nothing new"
        );
        set(root.path(), 7, 200);
        assert_eq!(starting.due(root.path(), begun + ms(160)), [7], "late");
        assert_eq!(starting.next(), Some(begun + ms(170)));
        set(root.path(), 7, 300);
        assert_eq!(starting.due(root.path(), begun + PERIOD), [7]);
        assert_eq!(starting.next(), None, "the scan goes on");
        starting.add(8, begun);
        assert_eq!(
            starting.due(root.path(), begun + ms(2)),
            none,
            "it has ended"
        );
        assert_eq!(starting.next(), None);
    }

    #[test]
    fn many_programs_have_a_bounded_cost() {
        let root = proc_of(7, 100);
        let (mut starting, begun) = (Starting::default(), Instant::now());
        starting.add(7, begun);
        starting.has_cost(Duration::from_millis(1), begun);
        let rested = begun + Duration::from_millis(1) * COST_SHARE;
        assert_eq!(starting.next(), Some(rested));
        assert_eq!(
            starting.due(root.path(), begun + SHORTEST_PAUSE),
            [0_u32; 0]
        );
        assert_eq!(starting.due(root.path(), rested), [7]);
        for pid in 1..=1000 {
            starting.add(pid, begun);
        }
        assert_eq!(starting.programs.len(), MAX_PROGRAMS);
        starting.clear();
        assert_eq!(starting.next(), None);
    }
}
