//! What programs do to sockets beside sending and receiving.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::half::Tools;
use super::pair::{End, Kind, Maker};
use super::streams::{self, Plan};
use super::{send, turns};
use crate::calls;
use crate::random::Random;

/// One after the other, and at random.
pub type Episode = fn(&mut Maker, &mut [Tools], &mut Random);

pub const ALL: &[Episode] = &[
    half_close,
    reset,
    duplicates,
    fork,
    pass,
    reuse,
    close_under_read,
    sent_before_accept,
    fast_open,
    writers,
    readers,
    urgent,
    refused,
    killed,
    silent,
    two_processes,
    rings,
    others,
];

pub fn any_kind(random: &mut Random) -> Kind {
    [
        Kind::Ipv4,
        Kind::Ipv6,
        Kind::Mapped,
        Kind::UnixPath,
        Kind::UnixAbstract,
        Kind::UnixPair,
    ][random.below(6)]
}

fn tcp_kind(random: &mut Random) -> Kind {
    [Kind::Ipv4, Kind::Ipv6, Kind::Mapped][random.below(3)]
}

fn finish(pair: [End; 2], maker: &Maker, how: &str) {
    for end in pair {
        end.close(&maker.journal, how);
    }
}

/// One end has said all; the other answers.
fn half_close(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(any_kind(random), "half-close", random);
    turns::talk(&mut pair, 2, &mut tools[0], random);
    let _ = calls::shutdown(pair[0].socket(), libc::SHUT_WR);
    let [first, second] = &mut pair;
    calls::set_blocking(second.socket(), true);
    assert_eq!(calls::recvfrom(second.socket(), &mut [0; 9], 0), Ok(0));
    calls::set_blocking(second.socket(), false);
    second.sent.whole = false;
    calls::set_blocking(first.socket(), false);
    let total = random.size(30_000);
    turns::carry(
        &mut second.sent,
        &mut first.received,
        total,
        &mut tools[0],
        random,
    );
    finish(pair, maker, "finished");
}

/// One end is gone with a reset; the other finds out.
fn reset(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(tcp_kind(random), "reset", random);
    turns::talk(&mut pair, 2, &mut tools[0], random);
    if random.once_in(2) {
        // With bytes on their way that nobody will read.
        let bytes = pair[0].sent.next(100);
        let sent = calls::sendto(pair[0].socket(), &bytes, 0).unwrap_or_default();
        pair[0].sent.pass(sent);
    }
    let [first, second] = pair;
    first.tell(&maker.journal, "reset");
    calls::close_with_reset(first.socket());
    calls::set_blocking(second.socket(), true);
    let _ = calls::recvfrom(second.socket(), &mut [0; 1], libc::MSG_PEEK);
    second.close(&maker.journal, "reset");
}

/// Several descriptors are one connection.
fn duplicates(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(any_kind(random), "duplicates", random);
    for way in 0..4 {
        turns::talk(&mut pair, 1, &mut tools[0], random);
        let end = &mut pair[random.below(2)];
        let old = end.socket();
        let new = calls::descriptor(match way {
            0 => calls::dup(old),
            1 => calls::fcntl(old, libc::F_DUPFD, 100),
            2 => calls::fcntl(old, libc::F_DUPFD_CLOEXEC, 0),
            _ => {
                let spare = calls::descriptor(calls::dup(0));
                calls::dup2(old, spare)
            }
        });
        end.use_descriptor(new);
        if random.once_in(2) {
            turns::talk(&mut pair, 1, &mut tools[0], random);
        }
        let _ = calls::close(old);
    }
    turns::talk(&mut pair, 1, &mut tools[0], random);
    finish(pair, maker, "finished");
}

/// The child goes on with its parent's sockets.
fn fork(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(any_kind(random), "fork", random);
    turns::talk(&mut pair, 2, &mut tools[0], random);
    let child = calls::fork();
    if child == 0 {
        turns::talk(&mut pair, 2, &mut tools[0], random);
        finish(pair, maker, "finished");
        calls::leave(0);
    }
    for end in &pair {
        let _ = calls::close(end.socket());
    }
    assert_eq!(calls::reap(child), 0, "the child is done");
}

/// Another process gets the sockets in a message.
fn pass(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(any_kind(random), "pass", random);
    turns::talk(&mut pair, 1, &mut tools[0], random);
    let mut road = maker.pair(Kind::UnixPair, "road", random);
    let child = calls::fork();
    if child == 0 {
        let _ = calls::close(road[0].socket());
        for end in &mut pair {
            let _ = calls::close(end.socket());
        }
        for end in &mut pair {
            let byte = [0];
            let mut pieces = [calls::piece(&byte)];
            let mut message = calls::message(&mut pieces);
            let mut passed = calls::Passed::new(-1);
            passed.attach(&mut message);
            let got = calls::recvmsg(road[1].socket(), &mut message, 0);
            assert_eq!(got, Ok(1), "a message comes");
            road[1].received.pass(1);
            end.use_descriptor(passed.descriptor());
        }
        turns::talk(&mut pair, 2, &mut tools[0], random);
        finish(pair, maker, "finished");
        let [_, child_end] = road;
        child_end.close(&maker.journal, "finished");
        calls::leave(0);
    }
    let _ = calls::close(road[1].socket());
    for end in &pair {
        let byte = road[0].sent.next(1);
        let mut pieces = [calls::piece(&byte)];
        let mut message = calls::message(&mut pieces);
        let mut passed = calls::Passed::new(end.socket());
        passed.attach(&mut message);
        assert_eq!(calls::sendmsg(road[0].socket(), &message, 0), Ok(1));
        road[0].sent.pass(1);
        let _ = calls::close(end.socket());
    }
    assert_eq!(calls::reap(child), 0, "the child is done");
    let [parent_end, _] = road;
    parent_end.close(&maker.journal, "finished");
}

/// The same descriptors, again and again, at once.
fn reuse(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let kind = any_kind(random);
    for _ in 0..5 {
        let mut pair = maker.pair(kind, "reuse", random);
        turns::talk(&mut pair, 1, &mut tools[0], random);
        finish(pair, maker, "finished");
    }
}

/// A descriptor is closed while another thread waits for bytes on it, which then come.
fn close_under_read(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(any_kind(random), "close-under-read", random);
    turns::talk(&mut pair, 1, &mut tools[0], random);
    let [mut first, mut second] = pair;
    calls::set_blocking(second.socket(), true);
    let socket = second.socket();
    let len = random.size(3_000);
    let bytes = first.sent.next(len);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut buffer = vec![0; len];
            let got = calls::recvfrom(socket, &mut buffer, libc::MSG_WAITALL);
            (got, buffer)
        });
        // Usually it waits by now; nothing depends on it.
        thread::sleep(Duration::from_micros(300));
        second.tell(&maker.journal, "-");
        let _ = calls::close(socket);
        let sent = calls::sendto(first.socket(), &bytes, libc::MSG_NOSIGNAL);
        first.sent.pass(sent.unwrap_or_default());
        turns::push(&first.sent);
        let (got, buffer) = reader.join().expect("a thread that reads");
        if let Ok(got) = got {
            second.received.check(&buffer[..got], 0);
            second.received.pass(got);
            second.tell(&maker.journal, "-");
        }
    });
    first.close(&maker.journal, "-");
}

/// All has been sent, the end too, before anyone accepts.
fn sent_before_accept(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let kind = [
        Kind::Ipv4,
        Kind::Ipv6,
        Kind::Mapped,
        Kind::UnixPath,
        Kind::UnixAbstract,
    ][random.below(5)];
    let (mut client, keys) = maker.client(kind, "before-accept", random);
    let address = maker.listeners.of(kind).1.to_vec();
    calls::connect(client.socket(), &address).expect("somebody listens");
    let bytes = client.sent.next(random.size(2_000));
    let sent = calls::sendto(client.socket(), &bytes, 0).expect("there is room");
    client.sent.pass(sent);
    client.close(&maker.journal, "finished");
    let mut server = maker.server(kind, keys, "before-accept");
    let plan = Plan {
        total: sent as u64,
        most: 3_000,
        blocking: true,
        shut_down: true,
    };
    streams::receive_all(&mut server.received, plan, &mut tools[0], random);
    server.close(&maker.journal, "-");
}

/// Bytes with the first segment.
fn fast_open(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    /// Option that makes the first call that sends the one that connects.
    const FASTOPEN_CONNECT: i32 = 30;
    let kind = tcp_kind(random);
    let (mut client, keys) = maker.client(kind, "fast-open", random);
    let address = maker.listeners.of(kind).1.to_vec();
    let bytes = client.sent.next(random.size(1_000));
    let blocking = random.once_in(2);
    calls::set_blocking(client.socket(), blocking);
    let at_once = random.once_in(2);
    let socket = client.socket();
    let connect = || {
        if at_once {
            let flags = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
            return calls::sendto_address(socket, &bytes, flags, &address);
        }
        let on = [1];
        let _ = calls::set_option(socket, libc::IPPROTO_TCP, FASTOPEN_CONNECT, on);
        match calls::connect(socket, &address) {
            Ok(_) | Err(libc::EINPROGRESS) => {}
            Err(error) => panic!("connecting failed with error {error}"),
        }
        calls::write(socket, &bytes)
    };
    // In a thread that has never asked io_uring for anything: where what it asked for is done meanwhile,
    // the kernel interrupts the wait for the handshake, begins the call again, and sends the bytes twice.
    let sent = thread::scope(|scope| scope.spawn(connect).join()).expect("a thread that connects");
    match sent {
        Ok(sent) => client.sent.pass(sent),
        Err(libc::EINPROGRESS | libc::EAGAIN) => {}
        Err(error) => panic!("fast open failed with error {error}"),
    }
    calls::wait(maker.listeners.of(kind).0, libc::POLLIN);
    let mut server = maker.server(kind, keys, "fast-open");
    calls::wait(client.socket(), libc::POLLOUT);
    calls::set_blocking(server.socket(), false);
    calls::set_blocking(client.socket(), false);
    turns::carry(
        &mut client.sent,
        &mut server.received,
        50,
        &mut tools[0],
        random,
    );
    let mut pair = [client, server];
    turns::talk(&mut pair, 2, &mut tools[0], random);
    finish(pair, maker, "finished");
}

/// Several threads send on one socket: which bytes lie where, only the receiver knows.
fn writers(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    const THREADS: usize = 3;
    let kind = any_kind(random);
    let mut pair = maker.pair_of_unknown(kind, "writers", random);
    let [first, second] = &mut pair;
    calls::set_blocking(first.socket(), true);
    calls::set_blocking(second.socket(), true);
    let barrier = Barrier::new(THREADS + 1);
    let socket = first.socket();
    let seeds: Vec<u64> = (0..THREADS).map(|_| random.number()).collect();
    let mut got = 0;
    let sent: usize = thread::scope(|scope| {
        let all: Vec<_> = seeds
            .iter()
            .map(|seed| {
                scope.spawn(|| {
                    let mut random = Random::new(*seed);
                    barrier.wait();
                    let mut sent = 0;
                    for _ in 0..20 {
                        let bytes: Vec<u8> = (0..random.size(3_000))
                            .map(|_| random.number() as u8)
                            .collect();
                        sent += calls::sendto(socket, &bytes, 0).expect("sending works");
                    }
                    sent
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut buffer = vec![0; 8_000];
            barrier.wait();
            let mut got = 0;
            while let Ok(more @ 1..) = calls::read(second.received.socket, &mut buffer) {
                got += more;
            }
            got
        });
        let sent = all
            .into_iter()
            .map(|thread| thread.join().expect("a thread that sends"))
            .sum();
        let _ = calls::shutdown(socket, libc::SHUT_WR);
        got = reader.join().expect("a thread that receives");
        sent
    });
    assert_eq!(sent, got, "what was sent was received");
    tools[0].operations += 60;
    first.sent.contested = true;
    first.sent.pass_unseen(sent);
    second.received.pass(got);
    finish(pair, maker, "finished");
}

/// Several threads receive on one socket.
fn readers(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    const THREADS: usize = 3;
    let mut pair = maker.pair(any_kind(random), "readers", random);
    let total = random.between(1_000, 60_000);
    let [first, second] = &mut pair;
    calls::set_blocking(second.socket(), true);
    calls::set_blocking(first.socket(), true);
    let socket = second.socket();
    let plan = Plan {
        total: total as u64,
        most: 2_000,
        blocking: true,
        shut_down: true,
    };
    let got: usize = thread::scope(|scope| {
        let all: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut buffer = [0; 700];
                    let mut got = 0;
                    while let Ok(more @ 1..) = calls::recvfrom(socket, &mut buffer, 0) {
                        got += more;
                    }
                    got
                })
            })
            .collect();
        streams::send_all(&mut first.sent, plan, &mut tools[0], random);
        all.into_iter()
            .map(|thread| thread.join().expect("a thread that receives"))
            .sum()
    });
    assert_eq!(got, total, "all was received");
    tools[0].operations += (got / 700) as u64;
    second.received.contested = true;
    second.received.pass_unseen(got);
    finish(pair, maker, "finished");
}

/// A byte out of band, in the middle.
fn urgent(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(tcp_kind(random), "urgent", random);
    turns::talk(&mut pair, 2, &mut tools[0], random);
    let [first, second] = &mut pair;
    calls::set_blocking(first.socket(), false);
    first.sent.whole = false;
    calls::set_blocking(second.socket(), false);
    assert_eq!(send::urgent(&mut first.sent, &mut tools[0]), Ok(1));
    let mut byte = [0];
    calls::wait(second.socket(), libc::POLLPRI);
    assert_eq!(
        calls::recvfrom(second.socket(), &mut byte, libc::MSG_OOB),
        Ok(1)
    );
    second.received.check(&byte, 0);
    second.received.skip_urgent();
    // TCP steps over it only when it goes on.
    turns::carry(
        &mut first.sent,
        &mut second.received,
        9,
        &mut tools[0],
        random,
    );
    turns::talk(&mut pair, 2, &mut tools[0], random);
    finish(pair, maker, "-");
}

/// Nobody listens: no connection.
fn refused(maker: &mut Maker, _: &mut [Tools], random: &mut Random) {
    let (client, _) = maker.client(Kind::Ipv4, "refused", random);
    let mut address = maker.listeners.of(Kind::Ipv4).1.to_vec();
    address[2..4].copy_from_slice(&1u16.to_be_bytes());
    assert_eq!(
        calls::connect(client.socket(), &address),
        Err(libc::ECONNREFUSED)
    );
    let _ = calls::faulty(libc::SYS_write, -1, 1);
    client.close(&maker.journal, "-");
}

/// The process that has one end is killed while it waits.
fn killed(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(any_kind(random), "killed", random);
    turns::talk(&mut pair, 1, &mut tools[0], random);
    let [first, second] = pair;
    second.tell(&maker.journal, "-");
    calls::set_blocking(second.socket(), true);
    let child = calls::fork();
    if child == 0 {
        let _ = calls::close(first.socket());
        let mut buffer = [0; 10];
        let _ = calls::read(second.socket(), &mut buffer);
        calls::leave(1);
    }
    let _ = calls::close(second.socket());
    thread::sleep(Duration::from_micros(200));
    calls::kill(child);
    calls::reap(child);
    calls::set_blocking(first.socket(), true);
    let _ = calls::read(first.socket(), &mut [0; 1]);
    first.close(&maker.journal, "-");
}

/// Connected, and not a byte.
fn silent(maker: &mut Maker, _: &mut [Tools], random: &mut Random) {
    let pair = maker.pair(any_kind(random), "silent", random);
    for end in &pair {
        calls::set_blocking(end.socket(), false);
        let nothing = calls::recvfrom(end.socket(), &mut [0; 4], 0);
        assert_eq!(nothing, Err(libc::EAGAIN));
    }
    finish(pair, maker, "-");
}

/// Each end in a process of its own.
fn two_processes(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let pair = maker.pair(any_kind(random), "two-processes", random);
    let plan = |random: &mut Random| Plan {
        total: random.between(1, 200_000) as u64,
        most: 30_000,
        blocking: random.once_in(2),
        shut_down: random.once_in(2),
    };
    let (forth, back) = (plan(random), plan(random));
    let [mut first, mut second] = pair;
    let child = calls::fork();
    if child == 0 {
        let _ = calls::close(first.socket());
        // The pipes of the others are its parent's too.
        let mut tools = [Tools::new(), Tools::new()];
        streams::run_end(&mut second, [back, forth], &mut tools, random);
        // The other end has not read all of it, perhaps, and some of it still lies here.
        std::mem::forget(std::mem::take(&mut second.sent.kept));
        second.close(&maker.journal, "finished");
        calls::leave(0);
    }
    let _ = calls::close(second.socket());
    streams::run_end(&mut first, [forth, back], tools, random);
    // The other end must not find it gone before it has read all.
    assert_eq!(calls::reap(child), 0, "the child is done");
    first.close(&maker.journal, "finished");
}

/// One end receives through io_uring, where no probe sees it, and answers with `write`. Nothing but
/// the other end need be shown, and what is shown of this one ends as cut off.
fn rings(maker: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let mut pair = maker.pair(tcp_kind(random), "io-uring", random);
    let Some(mut ring) = calls::Uring::new() else {
        // Switched off on this machine: then nobody uses it either.
        finish(pair, maker, "finished");
        return;
    };
    for end in &pair {
        calls::set_blocking(end.socket(), true);
    }
    let [client, server] = &mut pair;
    server.unwatched = true;
    for _ in 0..6 {
        let question = client.sent.next(random.size(2_000));
        assert_eq!(calls::write(client.socket(), &question), Ok(question.len()));
        client.sent.pass(question.len());
        let mut got = 0;
        while got < question.len() {
            let mut room = vec![0; question.len() - got];
            let more = ring
                .receive(server.socket(), &mut room)
                .expect("bytes are there");
            server.received.check(&room[..more], got);
            got += more;
        }
        server.received.pass(got);
        let answer = server.sent.next(random.size(2_000));
        assert_eq!(calls::write(server.socket(), &answer), Ok(answer.len()));
        server.sent.pass(answer.len());
        let mut room = vec![0; answer.len()];
        let got = calls::recvfrom(client.socket(), &mut room, libc::MSG_WAITALL);
        assert_eq!(got, Ok(answer.len()));
        client.received.check(&room, 0);
        client.received.pass(room.len());
        tools[0].operations += 4;
    }
    finish(pair, maker, "finished");
}

/// What is no stream: the same calls on it are nobody's business.
fn others(_: &mut Maker, tools: &mut [Tools], random: &mut Random) {
    let len = random.size(1_000);
    for ends in [
        calls::pair_of(libc::SOCK_DGRAM),
        calls::pair_of(libc::SOCK_SEQPACKET),
        [tools[0].pipes[0][1], tools[0].pipes[0][0]],
    ] {
        let bytes = vec![7; len];
        let mut room = vec![0; len];
        assert_eq!(calls::write(ends[0], &bytes), Ok(len));
        assert_eq!(calls::read(ends[1], &mut room), Ok(len));
        tools[0].operations += 2;
        if ends[0] != tools[0].pipes[0][1] {
            let _ = calls::close(ends[0]);
            let _ = calls::close(ends[1]);
        }
    }
}
