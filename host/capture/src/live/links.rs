//! What keeps programs at their places in the kernel, and letting go of it.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Threads that let go at the same time. The kernel waits for a grace period of a twentieth to a tenth of
/// a second whenever a probe is taken away; those who wait at the same time wait for the same one. With
/// perf events, which have a lock around it, two waits overlap at best.
const CLOSERS: usize = 32;
/// They close one descriptor after the other.
const STACK_BYTES: usize = 64 << 10;

/// Links of programs; each is undone when it is dropped.
#[derive(Default)]
pub(super) struct Links(Vec<Box<dyn Send>>);

impl std::fmt::Debug for Links {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Links").field(&self.0.len()).finish()
    }
}

impl Links {
    pub(super) fn push(&mut self, link: impl Send + 'static) {
        self.0.push(Box::new(link));
    }

    /// Takes over what others hold: what is undone together is undone sooner.
    pub(super) fn take_over(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let helpers = self.0.len().min(CLOSERS).saturating_sub(1);
        let left = Mutex::new(std::mem::take(&mut self.0));
        let close = || {
            while let Some(link) = next(&left) {
                drop(link);
            }
        };
        thread::scope(|scope| {
            for _ in 0..helpers {
                let builder = thread::Builder::new().stack_size(STACK_BYTES);
                // Where there can be no more threads it takes longer.
                if builder.spawn_scoped(scope, close).is_err() {
                    break;
                }
            }
            close();
        });
    }
}

fn next(left: &Mutex<Vec<Box<dyn Send>>>) -> Option<Box<dyn Send>> {
    left.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_link_is_undone_once() {
        for count in [0, 1, 2, 31, 32, 33, 200] {
            let undone = Arc::<AtomicUsize>::default();
            let (mut links, mut others) = (Links::default(), Links::default());
            for number in 0..count {
                let some = if number % 3 == 0 {
                    &mut others
                } else {
                    &mut links
                };
                some.push(Counted(Arc::clone(&undone)));
            }
            links.take_over(others);
            assert_eq!(undone.load(Ordering::Relaxed), 0);
            drop(links);
            assert_eq!(undone.load(Ordering::Relaxed), count);
        }
    }
}
