//! Packets in fragments.

use super::*;

/// The IPv4 packet in fragments of `size` bytes.
fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let pieces: Vec<&[u8]> = packet[20..].chunks(size).collect();
    let count = pieces.len();
    pieces
        .iter()
        .enumerate()
        .map(|(n, piece)| {
            let mut bytes = packet[..20].to_vec();
            let total = (piece.len() as u16 + 20).to_be_bytes();
            bytes[2..4].copy_from_slice(&total);
            let offset = (n * size / 8) as u16 | if n + 1 < count { 0x2000 } else { 0 };
            bytes[6..8].copy_from_slice(&offset.to_be_bytes());
            bytes.extend(*piece);
            bytes
        })
        .collect()
}

#[test]
fn fragments_are_put_together_in_any_order_and_incomplete_ones_are_told() {
    let mut talk = Talk::new(1, 2);
    talk.handshake();
    let request = b"GET /a-path-that-is-long-enough-to-be-cut-in-pieces";
    let packet = tcp(
        talk.client,
        talk.server,
        talk.client_next,
        talk.server_next,
        ACK,
        request,
    );
    let pieces = fragments(&packet, 16);
    let last = pieces.len() - 1;
    for order in [
        (0..=last).collect::<Vec<_>>(),
        (0..=last).rev().collect(),
        [vec![2, 0, 2], vec![1], (3..=last).collect()].concat(),
    ] {
        let mut talk = talk.clone();
        for piece in &order {
            talk.push(pieces[*piece].clone());
        }
        talk.client_next += request.len() as u32;
        talk.response(b"200").close();
        let outcome = raw(&talk);
        assert_eq!(
            outcome.streams().0,
            format!("{}$", String::from_utf8_lossy(request)),
            "{order:?}"
        );
        assert!(outcome.warnings.is_empty());
    }
    talk.push(pieces[0].clone());
    talk.client_next += request.len() as u32;
    talk.response(b"200").close();
    let outcome = raw(&talk);
    assert_eq!(outcome.streams().0, format!("[{} Packet]$", request.len()));
    assert!(
        outcome.warnings[0].contains("1 fragmented packets"),
        "{:?}",
        outcome.warnings
    );
}

#[test]
fn fragments_that_overlap_count_if_they_agree() {
    let mut talk = Talk::new(1, 2);
    talk.handshake();
    let request = b"GET /a-path-that-is-long-enough-to-be-cut-in-pieces";
    let packet = tcp(
        talk.client,
        talk.server,
        talk.client_next,
        talk.server_next,
        ACK,
        request,
    );
    let (small, large) = (fragments(&packet, 16), fragments(&packet, 24));
    let piece = |pieces: &[Vec<u8>], index: usize| pieces[index].clone();
    let agreeing = [
        piece(&large, 1),
        piece(&small, 2),
        piece(&small, 0),
        piece(&large, 2),
        piece(&small, 1),
        piece(&large, 3),
    ];
    let mut contradicting = agreeing.to_vec();
    contradicting[1][20 + 9] ^= 1;
    for (pieces, expected) in [
        (
            agreeing.to_vec(),
            format!("{}$", String::from_utf8_lossy(request)),
        ),
        // Which of them was received nobody knows.
        (contradicting, format!("[{} Packet]$", request.len())),
    ] {
        let mut talk = talk.clone();
        for piece in pieces {
            talk.push(piece);
        }
        talk.client_next += request.len() as u32;
        talk.response(b"200").close();
        assert_eq!(raw(&talk).streams().0, expected);
    }
}

#[test]
fn fragments_of_ipv6_and_of_what_is_in_a_tunnel_are_put_together() {
    let (client, server): (SocketAddr, SocketAddr) = (
        "[2001:db8::1]:40000".parse().unwrap(),
        "[2001:db8::2]:80".parse().unwrap(),
    );
    let segment = tcp_segment(40_000, 80, 1, 1, ACK, b"GET /a-path-that-is-cut-in-pieces");
    let count = segment.chunks(16).count();
    let pieces = segment.chunks(16).enumerate().map(|(n, piece)| {
        let more = u16::from(n + 1 < count);
        let offset = ((n * 16) as u16 | more).to_be_bytes();
        // After the first one, what follows is named by it alone.
        let next = if n == 0 { 6 } else { 59 };
        let header = [next, 0, offset[0], offset[1], 0, 0, 0, 5];
        ip(client.ip(), server.ip(), 44, &[&header[..], piece].concat())
    });
    let mut pieces: Vec<Vec<u8>> = pieces.collect();
    pieces.reverse();
    for tunnel in [false, true] {
        let mut talk = Talk::new(1, 2);
        for piece in &pieces {
            let bytes = if tunnel {
                outer(41, piece)
            } else {
                ethernet(piece)
            };
            talk.push(bytes);
        }
        let outcome = read(&pcap(1, &talk.packets));
        assert_eq!(outcome.streams().0, "GET /a-path-that-is-cut-in-pieces");
    }
}
