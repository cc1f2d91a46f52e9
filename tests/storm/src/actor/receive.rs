//! Every way to receive.

use libc::{MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_WAITFORONE};

use super::half::{Half, Tools, pieces};
use crate::calls::{self, Outcome};
use crate::random::Random;

/// A pipe holds so much.
const PIPE_BYTES: usize = 16 * 4096;

/// Receives at most `len` bytes, of which `there` are known to be there already, with one of the
/// ways; how many were received, 0 at the end.
pub fn once(
    half: &mut Half,
    len: usize,
    there: usize,
    tools: &mut Tools,
    random: &mut Random,
) -> Outcome {
    tools.operations += 1;
    let socket = half.socket;
    let mut buffer = vec![0; len];
    let wait = if random.once_in(4) { MSG_DONTWAIT } else { 0 };
    let got = match random.below(18) {
        0..=2 => calls::read(socket, &mut buffer),
        3 | 4 => {
            let pieces = pieces(&buffer, random);
            calls::vector(libc::SYS_readv, socket, &pieces)
        }
        5 => {
            let pieces = pieces(&buffer, random);
            calls::vector(libc::SYS_preadv2, socket, &pieces)
        }
        6 | 7 => calls::recvfrom(socket, &mut buffer, wait),
        8 | 9 => {
            let mut pieces = pieces(&buffer, random);
            let mut message = calls::message(&mut pieces);
            calls::recvmsg(socket, &mut message, wait)
        }
        10 => {
            let mut parts: Vec<&mut [u8]> = buffer.chunks_mut((len / 4).max(1)).collect();
            let mut vectors: Vec<Vec<libc::iovec>> = parts
                .iter_mut()
                .map(|part| vec![calls::piece(part)])
                .collect();
            let mut all: Vec<libc::mmsghdr> = vectors
                .iter_mut()
                .map(|pieces| libc::mmsghdr {
                    msg_hdr: calls::message(pieces),
                    msg_len: 0,
                })
                .collect();
            let done = calls::messages(libc::SYS_recvmmsg, socket, &mut all, MSG_WAITFORONE)?;
            let mut got = 0;
            for (message, part) in all[..done].iter().zip(&parts) {
                let len = message.msg_len as usize;
                half.check(&part[..len], got);
                got += len;
            }
            half.pass(got);
            return Ok(got);
        }
        11 => {
            let [out, into] = tools.pipes[0];
            let got = calls::splice(socket, into, len.min(PIPE_BYTES / 2), 0)?;
            let mut left = got;
            while left > 0 {
                left -= calls::read(out, &mut buffer[..left]).expect("a pipe that has bytes");
            }
            half.pass_unseen(got);
            return Ok(got);
        }
        12 => {
            for _ in 0..random.between(1, 3) {
                let peeked = calls::recvfrom(socket, &mut buffer, MSG_PEEK | wait)?;
                half.check(&buffer[..peeked], 0);
            }
            calls::recvfrom(socket, &mut buffer, wait)
        }
        13 if there > 0 => {
            let whole = there.min(len);
            let peeked = calls::recvfrom(socket, &mut buffer[..whole], MSG_PEEK | MSG_WAITALL)?;
            half.check(&buffer[..peeked], 0);
            calls::recvfrom(socket, &mut buffer[..whole], MSG_WAITALL)
        }
        14 if !half.is_unix => {
            let got = calls::recvfrom(socket, &mut buffer, MSG_TRUNC | wait)?;
            half.pass_unseen(got);
            return Ok(got);
        }
        15 => {
            // Nothing can be put there, and nothing is consumed. An end is told all the same.
            let got = calls::faulty(libc::SYS_read, socket, len);
            assert!(matches!(got, Ok(0) | Err(_)), "bytes went nowhere");
            return got;
        }
        16 => {
            let nothing = calls::read(socket, &mut []);
            assert_eq!(nothing, Ok(0));
            calls::read(socket, &mut buffer)
        }
        _ => calls::recvfrom(socket, &mut buffer, wait),
    };
    let got = got?;
    half.check(&buffer[..got], 0);
    half.pass(got);
    Ok(got)
}
