//! Both ends in one thread, which takes turns.

use libc::{EAGAIN, EFAULT, EINTR};

use super::half::{Half, Tools};
use super::pair::End;
use super::{receive, send};
use crate::calls;
use crate::random::Random;

/// So much fits the buffers of a socket that blocks.
const SMALL: usize = 4_000;

/// Sends whatever a socket still waits with.
pub fn push(half: &Half) {
    if !half.is_unix {
        let _ = calls::set_option(half.socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, [1]);
    }
}

/// Moves `total` bytes from one end to the other.
pub fn carry(from: &mut Half, to: &mut Half, total: usize, tools: &mut Tools, random: &mut Random) {
    let target = from.position + total as u64;
    while to.position < target {
        let left = (target - from.position) as usize;
        if left > 0 {
            let len = if random.once_in(3) {
                random.between(1, left)
            } else {
                left
            };
            match send::once(from, len, tools, random) {
                Ok(_) | Err(EAGAIN | EFAULT | EINTR) => {}
                Err(error) => panic!("sending failed with error {error}"),
            }
        }
        let there = (from.position - to.position) as usize;
        if there == 0 || (left > 0 && there < SMALL && random.once_in(3)) {
            continue;
        }
        push(from);
        let len = match random.below(4) {
            0 => random.between(1, there),
            1 => there + random.size(5_000),
            _ => there,
        };
        match receive::once(to, len, there, tools, random) {
            Ok(0) => panic!("an end where there are bytes"),
            Ok(_) | Err(EFAULT | EINTR) => {}
            Err(EAGAIN) => calls::wait(to.socket, libc::POLLIN),
            Err(error) => panic!("receiving failed with error {error}"),
        }
    }
}

/// A conversation of so many turns.
pub fn talk(pair: &mut [End; 2], turns: usize, tools: &mut Tools, random: &mut Random) {
    let blocking = random.once_in(3);
    for end in pair.iter_mut() {
        calls::set_blocking(end.socket(), blocking);
        end.sent.whole = blocking;
        if !end.sent.is_unix && random.once_in(3) {
            let on = [1];
            let done = calls::set_option(end.socket(), libc::SOL_SOCKET, libc::SO_ZEROCOPY, on);
            end.sent.zero_copy = done.is_ok();
        }
    }
    let most = if blocking { SMALL } else { 70_000 };
    for _ in 0..turns {
        let [first, second] = pair;
        let total = random.size(most);
        if random.once_in(2) {
            carry(&mut first.sent, &mut second.received, total, tools, random);
        } else {
            carry(&mut second.sent, &mut first.received, total, tools, random);
        }
    }
}
