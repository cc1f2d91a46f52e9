//! Connections within tunnels.

use super::*;

#[test]
fn networks_in_tunnels_with_different_keys_are_apart() {
    let vxlan = |vni: u8, packet: &[u8]| {
        let header = [8, 0, 0, 0, 0, 0, vni, 0];
        let payload = udp(4789, &[&header[..], &ethernet(packet)].concat());
        outer(17, &payload)
    };
    let geneve = |vni: u8, packet: &[u8]| {
        let header = [0, 0, 0x65, 0x58, 0, 0, vni, 0];
        let payload = udp(6081, &[&header[..], &ethernet(packet)].concat());
        outer(17, &payload)
    };
    let gre = |key: u8, packet: &[u8]| {
        let header = [0x20, 0, 8, 0, 0, 0, 0, key];
        outer(47, &[&header[..], packet].concat())
    };
    type Wrap<'a> = &'a dyn Fn(u8, &[u8]) -> Vec<u8>;
    let wraps: [(&str, Wrap<'_>); 3] = [("vxlan", &vxlan), ("geneve", &geneve), ("gre", &gre)];
    // The same addresses, ports and numbers in two networks, packet by packet.
    let talk = |request: &[u8], response: &[u8]| {
        let mut talk = Talk::new(1_000, 9_000);
        talk.handshake().request(request).response(response).close();
        talk
    };
    let talks = [talk(b"GET /red", b"200"), talk(b"GET /blue", b"404")];
    type Place<'a> = &'a dyn Fn(usize, &[u8]) -> Vec<u8>;
    let read_all = |wrap: Place<'_>| {
        let mut packets = Vec::new();
        for index in 0..talks[0].packets.len() {
            for (network, talk) in talks.iter().enumerate() {
                let packet = &talk.packets[index];
                let bytes = wrap(network, &packet.bytes);
                packets.push(Packet {
                    len: bytes.len(),
                    bytes,
                    ..packet.clone()
                });
            }
        }
        let outcome = read(&pcap(1, &packets));
        let streams = outcome
            .connections
            .iter()
            .map(|connection| (connection.request.clone(), connection.response.clone()));
        streams.collect::<Vec<_>>()
    };
    let apart = [
        ("GET /red$".to_owned(), "200$".to_owned()),
        ("GET /blue$".to_owned(), "404$".to_owned()),
    ];
    for (name, wrap) in wraps {
        let found = read_all(&|network, packet| wrap(network as u8 + 1, packet));
        assert_eq!(found, apart, "{name}");
    }
    // Tunnels in a tunnel.
    let found = read_all(&|network, packet| {
        let inner = gre(network as u8 + 1, packet);
        vxlan(7, &inner[14..])
    });
    assert_eq!(found, apart, "nested");
}

#[test]
fn one_connection_that_is_seen_in_several_tunnels_is_one() {
    let gre = |key: u8, packet: &[u8]| {
        let header = [0x20, 0, 8, 0, 0, 0, 0, key];
        outer(47, &[&header[..], packet].concat())
    };
    // A key for each direction.
    let mut talk = exchange();
    for packet in &mut talk.packets {
        let key = if packet.bytes[12..16] == [10, 0, 0, 1] {
            1
        } else {
            2
        };
        packet.bytes = gre(key, &packet.bytes);
        packet.len = packet.bytes.len();
    }
    assert_eq!(
        read(&pcap(1, &talk.packets)).streams(),
        ("GET /$", "200 OK$")
    );
    // Captured on all interfaces of a node: plain, and in the tunnel.
    for skipped in [0, 3] {
        let plain = exchange();
        let mut twice = Vec::new();
        for packet in plain.packets.iter().skip(skipped) {
            for bytes in [ethernet(&packet.bytes), gre(9, &packet.bytes)] {
                twice.push(Packet {
                    len: bytes.len(),
                    bytes,
                    ..packet.clone()
                });
            }
        }
        let outcome = read(&pcap(1, &twice));
        assert_eq!(
            outcome.streams(),
            ("GET /$", "200 OK$"),
            "without {skipped}"
        );
    }
}

#[test]
fn tunnels_of_providers_and_access_points_are_opened() {
    type Wrap = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    let over_udp = |port: u16, header: &[u8], framed: bool| -> Wrap {
        let header = header.to_vec();
        Box::new(move |packet| {
            let inner = if framed {
                ethernet(packet)
            } else {
                packet.to_vec()
            };
            outer(17, &udp(port, &[header.as_slice(), &inner].concat()))
        })
    };
    let tagged = |tag: &[u8], framed: bool| -> Wrap {
        let head = [&[2; 12][..], tag].concat();
        Box::new(move |packet| {
            let inner = if framed {
                ethernet(packet)
            } else {
                packet.to_vec()
            };
            [head.as_slice(), &inner].concat()
        })
    };
    let station = [[0; 22].as_slice(), &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat();
    let data = [&[0x08, 1], station.as_slice()].concat();
    let swapped = [&[1, 0x08], station.as_slice()].concat();
    let quality = [
        &[0x88, 0x81, 0, 0][..],
        &[0; 26],
        &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
    ]
    .concat();
    let with = |header: &[u8], frame: &[u8]| [header, frame].concat();
    let cases: Vec<(&str, u32, Wrap)> = vec![
        (
            "l2tp",
            1,
            over_udp(1701, &[0, 2, 0, 1, 0, 2, 0, 0x21], false),
        ),
        (
            "l2tp with all there can be",
            1,
            over_udp(
                1701,
                &[
                    0x4a, 2, 0, 99, 0, 1, 0, 2, 0, 3, 0, 4, 0, 2, 0, 0, 0xff, 3, 0, 0x21,
                ],
                false,
            ),
        ),
        (
            "ayiya",
            1,
            over_udp(
                5072,
                &with(&[0x41, 0x51, 0x11, 4, 0, 0, 0, 0], &[7; 36]),
                false,
            ),
        ),
        (
            "capwap",
            1,
            over_udp(5247, &[0, 0x10, 0, 0, 0, 0, 0, 0], true),
        ),
        (
            "capwap of 802.11",
            1,
            over_udp(5247, &with(&[0, 0x10, 0x03, 0, 0, 0, 0, 0], &data), false),
        ),
        (
            "capwap of 802.11, swapped",
            1,
            over_udp(
                5247,
                &with(&[0, 0x10, 0x03, 0, 0, 0, 0, 0], &swapped),
                false,
            ),
        ),
        (
            "tzsp",
            1,
            over_udp(37_008, &[1, 0, 0, 1, 0, 10, 1, 0x99, 1], true),
        ),
        (
            "tzsp of 802.11",
            1,
            over_udp(37_008, &with(&[1, 0, 0, 0x12, 1], &data), false),
        ),
        (
            "ethernet within ip",
            1,
            Box::new(|packet| outer(97, &[&[0x30, 0][..], &ethernet(packet)].concat())),
        ),
        (
            "authenticated",
            1,
            Box::new(|packet| {
                let head = [6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
                // The same addresses: what is guarded is no packet of its own.
                let mut guarded = packet[..20].to_vec();
                let len = (packet.len() + head.len()) as u16;
                guarded[2..4].copy_from_slice(&len.to_be_bytes());
                guarded[9] = 51;
                guarded.extend(head);
                guarded.extend(&packet[20..]);
                ethernet(&guarded)
            }),
        ),
        (
            "e-tag",
            1,
            tagged(&[0x89, 0x3f, 0, 0, 0, 1, 0, 0, 8, 0], false),
        ),
        (
            "provider backbone",
            1,
            tagged(&[0x88, 0xe7, 0, 0, 0, 1], true),
        ),
        (
            "service header",
            1,
            tagged(&[0x89, 0x4f, 0x0f, 0xc2, 2, 1, 0, 0, 0, 255], false),
        ),
        (
            "prism",
            119,
            Box::new({
                let head = with(&[0x44, 0, 0, 0, 16, 0, 0, 0], &[0; 8]);
                let head = with(&head, &data);
                move |packet| with(&head, packet)
            }),
        ),
        (
            "802.11 with high-throughput control",
            105,
            Box::new(move |packet| with(&quality, packet)),
        ),
    ];
    for (name, link_type, wrap) in cases {
        let mut talk = exchange();
        for packet in &mut talk.packets {
            packet.bytes = wrap(&packet.bytes);
            packet.len = packet.bytes.len();
        }
        let outcome = read(&pcap(link_type, &talk.packets));
        assert_eq!(outcome.streams(), ("GET /$", "200 OK$"), "{name}");
    }
}
