//! Every way to send.

use libc::{MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, MSG_OOB, MSG_ZEROCOPY};

use super::half::{Half, Tools, pieces};
use crate::calls::{self, Outcome};
use crate::random::Random;

/// A pipe holds so much.
const PIPE_BYTES: usize = 16 * 4096;

/// Sends at most `len` bytes with one of the ways; how many were sent. An empty socket buffer is an
/// error, and so is memory that is not there.
pub fn once(half: &mut Half, len: usize, tools: &mut Tools, random: &mut Random) -> Outcome {
    tools.operations += 1;
    let bytes = half.next(len);
    let socket = half.socket;
    let flags = MSG_NOSIGNAL
        | if random.once_in(8) { MSG_MORE } else { 0 }
        | if random.once_in(4) { MSG_DONTWAIT } else { 0 };
    let sent = match random.below(19) {
        0..=2 => calls::write(socket, &bytes),
        3 | 4 => calls::vector(libc::SYS_writev, socket, &pieces(&bytes, random)),
        5 => calls::vector(libc::SYS_pwritev2, socket, &pieces(&bytes, random)),
        6 | 7 => calls::sendto(socket, &bytes, flags),
        8 | 9 => {
            let mut pieces = pieces(&bytes, random);
            calls::sendmsg(socket, &calls::message(&mut pieces), flags)
        }
        10 | 11 => several(half, &bytes, flags, random),
        12 => return from_file(half, &bytes),
        13 => return through_pipe(half, bytes, tools, random),
        14 if half.zero_copy => {
            let sent = calls::sendto(socket, &bytes, MSG_NOSIGNAL | MSG_ZEROCOPY);
            half.kept.push(bytes);
            return sent.inspect(|sent| half.pass(*sent));
        }
        15 => {
            // Part of it is not there.
            let mut pieces = pieces(&bytes, random);
            let broken = random.below(pieces.len());
            pieces[broken].iov_base = calls::NOWHERE as *mut libc::c_void;
            calls::vector(libc::SYS_writev, socket, &pieces)
        }
        16 => calls::faulty(libc::SYS_write, socket, len),
        17 => {
            // Nothing at all.
            let _ = calls::write(socket, &[]);
            let _ = calls::vector(libc::SYS_writev, socket, &[]);
            calls::sendto(socket, &bytes, flags)
        }
        _ => calls::sendto(socket, &bytes, flags),
    };
    sent.inspect(|sent| half.pass(*sent))
}

/// One byte that is read apart from the stream.
pub fn urgent(half: &mut Half, tools: &mut Tools) -> Outcome {
    tools.operations += 1;
    let byte = half.next(1);
    let sent = calls::sendto(half.socket, &byte, MSG_OOB | MSG_NOSIGNAL);
    sent.inspect(|sent| half.pass(*sent))
}

fn several(half: &Half, bytes: &[u8], flags: i32, random: &mut Random) -> Outcome {
    let most = match random.below(8) {
        _ if !half.whole => 1,
        0 => 150,
        1 => 40,
        _ => 5,
    };
    let flags = flags & !MSG_DONTWAIT;
    let mut parts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() && parts.len() + 1 < most {
        let len = if random.once_in(10) {
            0
        } else {
            random.between(1, rest.len().min(1 + 2 * bytes.len() / most))
        };
        let (part, behind) = rest.split_at(len);
        parts.push(part);
        rest = behind;
    }
    parts.push(rest);
    let mut vectors: Vec<Vec<libc::iovec>> = parts
        .iter()
        .map(|part| {
            // So that all pieces together stay below what is copied of one call.
            if most > 40 {
                vec![calls::piece(part)]
            } else {
                let mut pieces = pieces(part, random);
                if pieces.len() > 40 {
                    pieces = vec![calls::piece(part)];
                }
                pieces
            }
        })
        .collect();
    let mut all: Vec<libc::mmsghdr> = vectors
        .iter_mut()
        .map(|pieces| libc::mmsghdr {
            msg_hdr: calls::message(pieces),
            msg_len: 0,
        })
        .collect();
    let done = calls::messages(libc::SYS_sendmmsg, half.socket, &mut all, flags)?;
    Ok(all[..done]
        .iter()
        .map(|message| message.msg_len as usize)
        .sum())
}

fn from_file(half: &mut Half, bytes: &[u8]) -> Outcome {
    let file = calls::file_of(bytes);
    let sent = calls::sendfile(half.socket, file, bytes.len());
    let _ = calls::close(file);
    sent.inspect(|sent| half.pass_unseen(*sent))
}

fn through_pipe(
    half: &mut Half,
    mut bytes: Vec<u8>,
    tools: &Tools,
    random: &mut Random,
) -> Outcome {
    bytes.truncate(PIPE_BYTES / 2);
    let [[out, into], [copy_out, copy_into]] = tools.pipes;
    let way = random.below(3);
    let filled = if way == 0 {
        calls::write(into, &bytes)
    } else {
        calls::vmsplice(into, &bytes)
    }?;
    let mut from = out;
    if way == 2 {
        // What is teed stays in the first pipe too.
        let teed = calls::tee(out, copy_into, filled)?;
        assert_eq!(teed, filled, "an empty pipe has room");
        from = copy_out;
    }
    let mut sent = 0;
    let mut error = None;
    while sent < filled {
        match calls::splice(from, half.socket, filled - sent, 0) {
            Ok(0) => break,
            Ok(more) => sent += more,
            Err(why) => {
                error = Some(why);
                break;
            }
        }
    }
    let mut rest = vec![0; PIPE_BYTES];
    for (pipe, left) in [
        (from, filled - sent),
        (out, if way == 2 { filled } else { 0 }),
    ] {
        let mut left = left;
        while left > 0 {
            left -= calls::read(pipe, &mut rest).expect("what is in a pipe can be read");
        }
    }
    half.kept.push(bytes);
    half.pass_unseen(sent);
    match error {
        Some(why) if sent == 0 => Err(why),
        _ => Ok(sent),
    }
}
