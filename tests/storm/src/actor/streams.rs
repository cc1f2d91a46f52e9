//! Both directions at once, a thread for each half, and signals in between.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;

use libc::{EAGAIN, EFAULT, EINTR};

use super::half::{Half, Tools};
use super::pair::End;
use super::turns::push;
use super::{receive, send};
use crate::calls;
use crate::random::Random;

/// What each half of a connection is to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub total: u64,
    /// Largest call.
    pub most: usize,
    pub blocking: bool,
    /// Tell the other side that this was all.
    pub shut_down: bool,
}

/// Sends all of it.
pub fn send_all(half: &mut Half, plan: Plan, tools: &mut Tools, random: &mut Random) {
    while half.position < plan.total {
        let left = (plan.total - half.position).min(plan.most as u64) as usize;
        let len = if random.once_in(4) {
            left
        } else {
            random.size(left)
        };
        match send::once(half, len, tools, random) {
            Ok(_) | Err(EFAULT | EINTR) => {}
            Err(EAGAIN) => calls::wait(half.socket, libc::POLLOUT),
            Err(error) => panic!("sending failed with error {error}"),
        }
    }
    push(half);
    if plan.shut_down {
        let _ = calls::shutdown(half.socket, libc::SHUT_WR);
    }
}

/// Receives all of it, to the end if there is to be one.
pub fn receive_all(half: &mut Half, plan: Plan, tools: &mut Tools, random: &mut Random) {
    while half.position < plan.total || plan.shut_down {
        let mut len = random.size(plan.most);
        if random.once_in(4) {
            len = plan.most;
        }
        match receive::once(half, len, 0, tools, random) {
            Ok(0) => {
                assert_eq!(half.position, plan.total, "an end in the middle");
                return;
            }
            Ok(_) | Err(EFAULT | EINTR) => {}
            Err(EAGAIN) => calls::wait(half.socket, libc::POLLIN),
            Err(error) => panic!("receiving failed with error {error}"),
        }
    }
}

/// Runs both halves of an end in threads of their own.
pub fn run_end(end: &mut End, plans: [Plan; 2], tools: &mut [Tools], random: &mut Random) {
    let [sends, receives] = plans;
    calls::set_blocking(end.socket(), sends.blocking);
    let mut seeds = [Random::new(random.number()), Random::new(random.number())];
    let threads = [const { AtomicI32::new(0) }; 2];
    let running = AtomicBool::new(true);
    let interrupted = random.once_in(3);
    end.sent.whole = sends.blocking && !interrupted;
    calls::interrupt_on(libc::SIGUSR1, random.once_in(2));
    let [send_random, receive_random] = &mut seeds;
    let [send_tools, receive_tools, ..] = tools else {
        panic!("tools for each thread");
    };
    thread::scope(|scope| {
        let (sent, received) = (&mut end.sent, &mut end.received);
        let sender = scope.spawn(|| {
            threads[0].store(calls::thread(), Ordering::Relaxed);
            send_all(sent, sends, send_tools, send_random);
        });
        let receiver = scope.spawn(|| {
            threads[1].store(calls::thread(), Ordering::Relaxed);
            receive_all(received, receives, receive_tools, receive_random);
        });
        if interrupted {
            scope.spawn(|| {
                while running.load(Ordering::Relaxed) {
                    for thread in &threads {
                        let thread = thread.load(Ordering::Relaxed);
                        if thread != 0 {
                            calls::signal_thread(thread, libc::SIGUSR1);
                        }
                    }
                    thread::sleep(std::time::Duration::from_micros(200));
                }
            });
        }
        let ended = [sender.join(), receiver.join()];
        running.store(false, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a thread has failed");
    });
}

/// Both ends at once, in one process.
pub fn run_pair(
    pair: &mut [End; 2],
    forth: Plan,
    back: Plan,
    tools: &mut [Tools],
    random: &mut Random,
) {
    let [first, second] = pair;
    let mut other = Random::new(random.number());
    let (ours, theirs) = tools.split_at_mut(2);
    thread::scope(|scope| {
        scope.spawn(|| run_end(second, [back, forth], theirs, &mut other));
        run_end(first, [forth, back], ours, random);
    });
}
