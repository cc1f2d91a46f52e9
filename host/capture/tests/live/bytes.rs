//! Every road that bytes take, with their positions.
#![expect(unsafe_code, reason = "system calls that std does not offer")]

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;

use wirespan_capture::{Direction, Layer, Missing, Role, Transport};

use crate::support::{Bench, config, pattern};

/// Sends with flags, by `sendto` without an address.
fn send(socket: &impl AsRawFd, bytes: &[u8]) -> usize {
    // SAFETY: pointer and length are of one slice.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
    sent.try_into().unwrap()
}

fn receive(socket: &impl AsRawFd, len: usize, flags: i32) -> Vec<u8> {
    let mut bytes = vec![0; len];
    // SAFETY: pointer and length are of one vector.
    let got = unsafe { libc::recv(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), len, flags) };
    bytes.truncate(got.try_into().unwrap());
    bytes
}

fn message(parts: &mut [&mut [u8]]) -> (Vec<libc::iovec>, libc::msghdr) {
    let mut vectors: Vec<libc::iovec> = parts
        .iter_mut()
        .map(|part| libc::iovec {
            iov_base: part.as_mut_ptr().cast(),
            iov_len: part.len(),
        })
        .collect();
    // SAFETY: all zero is a valid message header.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vectors.as_mut_ptr();
    header.msg_iovlen = vectors.len();
    (vectors, header)
}

#[test]
fn bytes_of_every_call_are_seen_once_and_in_place() {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server) = bench.connect();
    let (client_at, server_at) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    let all = pattern(70_000);
    let mut rest = &all[..];
    let mut take = |len: usize| {
        let (front, back) = rest.split_at(len);
        rest = back;
        front
    };

    client.write_all(take(10)).unwrap();
    let (a, b, c) = (take(1), take(300), take(5000));
    let vectors = [
        IoSlice::new(&[]),
        IoSlice::new(a),
        IoSlice::new(b),
        IoSlice::new(c),
    ];
    assert_eq!(client.write_vectored(&vectors).unwrap(), 5301);
    assert_eq!(send(&client, take(1000)), 1000);
    let (mut d, mut e) = (take(20).to_vec(), take(2000).to_vec());
    let mut parts = [&mut d[..], &mut e[..]];
    let (_vectors, header) = message(&mut parts);
    // SAFETY: the header and what it points to live until the call returns.
    let sent = unsafe { libc::sendmsg(client.as_raw_fd(), &raw const header, 0) };
    assert_eq!(sent, 2020);
    let (mut f, mut g) = (take(30).to_vec(), take(40).to_vec());
    let (mut f_parts, mut g_parts) = ([&mut f[..]], [&mut g[..]]);
    let ((_f, f_header), (_g, g_header)) = (message(&mut f_parts), message(&mut g_parts));
    let mut messages = [f_header, g_header].map(|header| libc::mmsghdr {
        msg_hdr: header,
        msg_len: 0,
    });
    // SAFETY: as above.
    let sent = unsafe { libc::sendmmsg(client.as_raw_fd(), messages.as_mut_ptr(), 2, 0) };
    assert_eq!(sent, 2);
    let large = take(70_000 - 10 - 5301 - 1000 - 2020 - 70);
    client.write_all(large).unwrap();

    let mut got = Vec::new();
    while receive(&server, 8000, libc::MSG_PEEK).len() < 8000 {}
    got.extend(receive(&server, 1, 0));
    let (mut h, mut i) = ([0; 3], [0; 4]);
    assert_eq!(
        server
            .read_vectored(&mut [IoSliceMut::new(&mut h), IoSliceMut::new(&mut i)])
            .unwrap(),
        7
    );
    got.extend(h.iter().chain(&i));
    let (mut j, mut k) = ([0; 5], [0; 6]);
    let mut parts = [&mut j[..], &mut k[..]];
    let (_vectors, mut header) = message(&mut parts);
    // SAFETY: as above.
    let received = unsafe { libc::recvmsg(server.as_raw_fd(), &raw mut header, 0) };
    assert_eq!(received, 11);
    got.extend(j.iter().chain(&k));
    let mut buffer = vec![0; 3000];
    while got.len() < all.len() {
        let len = server.read(&mut buffer).unwrap();
        got.extend_from_slice(&buffer[..len]);
    }
    assert!(got == all);
    server.write_all(b"answer").unwrap();
    assert_eq!(receive(&client, 100, 0), b"answer");
    drop(client);
    assert_eq!(receive(&server, 100, 0), b"");
    drop(server);

    bench.until_closed();
    let (client, server) = (bench.end_at(client_at), bench.end_at(server_at));
    assert_eq!(client.open.role, Some(Role::Client));
    assert_eq!(server.open.role, Some(Role::Server));
    for (end, outward, inward) in [
        (client, Direction::Sent, Direction::Received),
        (server, Direction::Received, Direction::Sent),
    ] {
        assert_eq!(end.open.transport, Transport::Tcp);
        assert_eq!(end.open.positions, [Some(0), Some(0)]);
        assert!(!end.open.mid_stream);
        assert_eq!(end.open.process.unwrap().pid, std::process::id());
        assert!(end.bytes(outward, Layer::Socket, 0) == all);
        assert_eq!(end.bytes(inward, Layer::Socket, 0), b"answer");
        let mut last = [0, 0];
        last[outward.index()] = 70_000;
        last[inward.index()] = 6;
        assert_eq!(end.close.unwrap().positions, last.map(Some));
        assert!(end.data.iter().all(|data| data.entry <= data.exit));
    }
    assert_eq!(client.open.remote, Some(server_at));
    assert_eq!(client.end(Direction::Sent), Some(70_000));
    assert_eq!(server.end(Direction::Received), Some(70_000));
}

#[test]
fn a_connection_older_than_the_source_has_its_positions() {
    let Some(config) = config() else { return };
    let listener = Bench::listen();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let client_at = client.local_addr().unwrap();
    let server_at = server.local_addr().unwrap();
    client.write_all(&[b'x'; 1000]).unwrap();
    server.read_exact(&mut [0; 600]).unwrap();
    server.write_all(&[b'y'; 50]).unwrap();
    client.read_exact(&mut [0; 50]).unwrap();

    let mut bench = Bench::new(listener, config);
    client.write_all(b"new").unwrap();
    let mut old = [0; 403];
    server.read_exact(&mut old).unwrap();
    server.write_all(b"also new").unwrap();
    client.read_exact(&mut [0; 8]).unwrap();
    drop((client, server));

    bench.until_closed();
    let (client, server) = (bench.end_at(client_at), bench.end_at(server_at));
    assert!(client.open.mid_stream && server.open.mid_stream);
    assert_eq!(client.open.positions, [Some(1000), Some(50)]);
    assert_eq!(server.open.positions, [Some(50), Some(600)]);
    assert_eq!(client.bytes(Direction::Sent, Layer::Socket, 1000), b"new");
    assert_eq!(
        client.bytes(Direction::Received, Layer::Socket, 50),
        b"also new"
    );
    assert_eq!(server.bytes(Direction::Received, Layer::Socket, 600), old);
    assert_eq!(
        server.bytes(Direction::Sent, Layer::Socket, 50),
        b"also new"
    );
}

/// One program copies 96 pieces; the kernel takes 1024 at once.
#[test]
fn a_call_of_as_many_pieces_as_there_can_be_is_copied_whole() {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server) = bench.connect();
    let (client_at, server_at) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    let all = pattern(1024 * 40);
    // Pieces of 20 to 60 bytes, some of none.
    let mut pieces = Vec::new();
    let mut rest = &all[..];
    for index in 0..1024 {
        let len = if index % 100 == 0 { 0 } else { 20 + index % 20 };
        let (piece, behind) = rest.split_at(len);
        pieces.push(IoSlice::new(piece));
        rest = behind;
    }
    let sent = client.write_vectored(&pieces).unwrap();
    assert_eq!(sent, all.len() - rest.len());
    // All of it has arrived before it is read, in pieces again.
    while receive(&server, sent, libc::MSG_PEEK).len() < sent {}
    let mut room = vec![[0_u8; 37]; 1024];
    let mut slots: Vec<_> = room.iter_mut().map(|slot| IoSliceMut::new(slot)).collect();
    assert_eq!(server.read_vectored(&mut slots).unwrap(), sent);
    drop((client, server));
    bench.until_closed();
    for (at, direction) in [
        (client_at, Direction::Sent),
        (server_at, Direction::Received),
    ] {
        let end = bench.end_at(at);
        let data = end.of(direction, Layer::Socket);
        let bytes: Vec<u8> = data.iter().flat_map(|data| data.bytes.to_vec()).collect();
        assert_eq!(bytes.len(), sent, "{direction:?}");
        assert!(bytes == all[..sent], "{direction:?}");
        assert!(data.len() > 500, "in pieces: {}", data.len());
    }
}

#[test]
fn what_a_call_has_beyond_the_limit_is_counted_exactly() {
    let Some(mut config) = config() else { return };
    config.copy_all = true;
    config.call_bytes = 10_000;
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server) = bench.connect();
    let client_at = client.local_addr().unwrap();
    let all = pattern(50_000);
    assert_eq!(client.write(&all).unwrap(), 50_000);
    server.read_exact(&mut vec![0; 50_000]).unwrap();
    drop((client, server));
    bench.until_closed();
    let client = bench.end_at(client_at);
    let sent = client.of(Direction::Sent, Layer::Socket);
    assert_eq!(sent.iter().map(|data| data.len).sum::<u64>(), 50_000);
    let (last, copied) = sent.split_last().unwrap();
    assert_eq!(
        (last.position, last.len, last.missing),
        (10_000, 40_000, Missing::Limit)
    );
    assert!(last.bytes.is_empty());
    let copied: Vec<u8> = copied.iter().flat_map(|data| data.bytes.to_vec()).collect();
    assert!(copied == all[..10_000]);
}

#[test]
fn bytes_of_sendfile_have_their_place_without_being_copied() {
    let Some(config) = config() else { return };
    let mut bench = Bench::new(Bench::listen(), config);
    let (mut client, mut server) = bench.connect();
    let client_at = client.local_addr().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'f'; 5000]).unwrap();
    client.write_all(b"head").unwrap();
    let mut offset = 0;
    // SAFETY: the offset lives until the call returns.
    let sent =
        unsafe { libc::sendfile(client.as_raw_fd(), file.as_raw_fd(), &raw mut offset, 5000) };
    assert_eq!(sent, 5000);
    client.write_all(b"tail").unwrap();
    server.read_exact(&mut [0; 5008]).unwrap();
    drop((client, server));
    bench.until_closed();
    let sent = bench.end_at(client_at).of(Direction::Sent, Layer::Socket);
    let seen: Vec<_> = sent
        .iter()
        .map(|data| (data.position, data.len, data.missing, &data.bytes[..]))
        .collect();
    assert_eq!(
        seen,
        [
            (0, 4, Missing::Unwanted, &b"head"[..]),
            (4, 5000, Missing::Unobserved, &b""[..]),
            (5004, 4, Missing::Unwanted, &b"tail"[..]),
        ]
    );
}
