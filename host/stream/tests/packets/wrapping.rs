//! Link layers, IP and its headers: what is around segments.

use super::*;

#[test]
fn every_link_layer_and_tunnel_gives_the_same_streams() {
    type Wrap = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    let prefix = |bytes: &[u8]| -> Wrap {
        let bytes = bytes.to_vec();
        Box::new(move |packet| [&bytes, packet].concat())
    };
    let outer = |protocol: u8, header: Vec<u8>, framed: bool| -> Wrap {
        Box::new(move |packet| {
            let inner = if framed {
                ethernet(packet)
            } else {
                packet.to_vec()
            };
            let payload = [header.as_slice(), &inner].concat();
            ethernet(&ip(
                "192.0.2.1".parse().unwrap(),
                "192.0.2.2".parse().unwrap(),
                protocol,
                &payload,
            ))
        })
    };
    let over_udp = |port: u16, header: Vec<u8>, framed: bool| -> Wrap {
        Box::new(move |packet| {
            let inner = if framed {
                ethernet(packet)
            } else {
                packet.to_vec()
            };
            let payload = udp(port, &[header.as_slice(), &inner].concat());
            ethernet(&ip(
                "2001:db8::1".parse().unwrap(),
                "2001:db8::2".parse().unwrap(),
                17,
                &payload,
            ))
        })
    };
    let mac = [2; 12];
    let cases: Vec<(&str, u32, Wrap)> = vec![
        ("ethernet", 1, Box::new(ethernet)),
        (
            "vlan",
            1,
            prefix(&[&mac[..], &[0x81, 0, 0, 5, 8, 0]].concat()),
        ),
        (
            "qinq",
            1,
            prefix(&[&mac[..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]].concat()),
        ),
        (
            "mpls",
            1,
            prefix(&[&mac[..], &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64]].concat()),
        ),
        (
            "pppoe",
            1,
            prefix(&[&mac[..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 99, 0, 0x21]].concat()),
        ),
        (
            "snap",
            1,
            prefix(&[&mac[..], &[0, 99, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat()),
        ),
        ("null", 0, prefix(&[2, 0, 0, 0])),
        ("loop", 108, prefix(&[0, 0, 0, 2])),
        ("raw", 101, prefix(&[])),
        ("raw of BSD", 12, prefix(&[])),
        ("ipv4 only", 228, prefix(&[])),
        (
            "cooked",
            113,
            prefix(&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0]),
        ),
        (
            "cooked 2",
            276,
            prefix(&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0]),
        ),
        ("ppp", 9, prefix(&[0xff, 3, 0, 0x21])),
        ("ppp compressed", 9, prefix(&[0x21])),
        ("cisco hdlc", 104, prefix(&[0x0f, 0, 8, 0])),
        ("pflog", 117, prefix(&[61; 64])),
        (
            "nflog",
            239,
            Box::new(|packet| {
                let len = (packet.len() as u16 + 4).to_le_bytes();
                [
                    &[2, 0, 0, 0, 8, 0, 1, 0, 8, 0, 1, 2, len[0], len[1], 9, 0],
                    packet,
                ]
                .concat()
            }),
        ),
        (
            "802.11",
            105,
            prefix(
                &[
                    &[8; 2][..1],
                    &[1],
                    &[0; 22],
                    &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
                ]
                .concat(),
            ),
        ),
        (
            "radiotap",
            127,
            prefix(
                &[
                    &[0, 0, 8, 0, 0, 0, 0, 0, 0x88, 2][..],
                    &[0; 24],
                    &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
                ]
                .concat(),
            ),
        ),
        ("ppi", 192, prefix(&[0, 0, 8, 0, 101, 0, 0, 0])),
        ("ip in ip", 1, outer(4, vec![], false)),
        (
            "gre with key",
            1,
            outer(47, vec![0x20, 0, 8, 0, 0, 0, 0, 7], false),
        ),
        (
            "gre with ethernet",
            1,
            outer(47, vec![0, 0, 0x65, 0x58], true),
        ),
        (
            "erspan",
            1,
            outer(
                47,
                vec![0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
                true,
            ),
        ),
        (
            "vxlan",
            1,
            over_udp(4789, vec![8, 0, 0, 0, 0, 0, 1, 0], true),
        ),
        (
            "geneve",
            1,
            over_udp(6081, vec![1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0], true),
        ),
        (
            "vxlan of the generic form",
            1,
            over_udp(4790, vec![0x0c, 0, 0, 1, 0, 0, 1, 0], false),
        ),
        (
            "erspan of type III",
            1,
            outer(
                47,
                vec![
                    0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
                true,
            ),
        ),
        (
            "pptp",
            1,
            outer(
                47,
                vec![
                    0x30, 0x81, 0x88, 0x0b, 0, 99, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21,
                ],
                false,
            ),
        ),
        (
            "gtp",
            1,
            over_udp(2152, vec![0x30, 0xff, 0, 99, 0, 0, 0, 1], false),
        ),
        (
            "gtp with an extension",
            1,
            over_udp(
                2152,
                vec![0x34, 0xff, 0, 99, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0],
                false,
            ),
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

#[test]
fn ipv6_is_read_with_its_extension_headers() {
    let header = |next: u8| -> Vec<Vec<u8>> {
        vec![
            vec![],
            vec![next, 0, 1, 4, 0, 0, 0, 0],
            vec![next, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ]
    };
    for (kind, header) in [0, 43, 60]
        .into_iter()
        .flat_map(|kind| header(6).into_iter().map(move |h| (kind, h)))
    {
        let mut talk = exchange();
        let (client, server): (SocketAddr, SocketAddr) = (
            "[2001:db8::1]:40000".parse().unwrap(),
            "[2001:db8::2]:80".parse().unwrap(),
        );
        for packet in &mut talk.packets {
            let from_client = packet.bytes[12..16] == [10, 0, 0, 1];
            let (source, destination) = if from_client {
                (client, server)
            } else {
                (server, client)
            };
            let first = if header.is_empty() { 6 } else { kind };
            let payload = [header.as_slice(), &packet.bytes[20..]].concat();
            packet.bytes = ethernet(&ip(source.ip(), destination.ip(), first, &payload));
            packet.len = packet.bytes.len();
        }
        assert_eq!(
            read(&pcap(1, &talk.packets)).streams(),
            ("GET /$", "200 OK$"),
            "{kind} {header:?}"
        );
    }
}

#[test]
fn what_the_snap_length_cut_off_is_a_gap_of_that_length() {
    let mut talk = Talk::new(1, 2);
    talk.handshake()
        .request(b"GET /index")
        .response(b"200 OK")
        .close();
    for packet in &mut talk.packets {
        packet.bytes = ethernet(&packet.bytes);
        packet.len = packet.bytes.len();
        // 14 Ethernet, 20 IP, 28 TCP.
        packet.bytes.truncate(14 + 20 + 28 + 3);
    }
    let outcome = read(&pcap(1, &talk.packets));
    assert_eq!(outcome.streams(), ("GET[7 Limit]$", "200[3 Limit]$"));
    // Within the TCP options the length is known all the same.
    for packet in &mut talk.packets {
        packet.bytes.truncate(14 + 20 + 22);
    }
    assert_eq!(
        read(&pcap(1, &talk.packets)).streams(),
        ("[10 Limit]$", "[6 Limit]$")
    );
}

#[test]
fn a_packet_that_offload_made_longer_than_ip_can_say_is_read() {
    let mut talk = Talk::new(1, 2);
    let large = vec![b'x'; 100_000];
    talk.handshake().request(b"GET /");
    let segment = tcp_segment(80, 40_000, talk.server_next, talk.client_next, ACK, &large);
    let mut packet = ip(talk.server.ip(), talk.client.ip(), 6, &segment[..100]);
    packet[2..4].fill(0);
    packet.extend(&segment[100..]);
    talk.server_next += 100_000;
    talk.push(packet).response(b"end").close();
    let outcome = raw(&talk);
    assert_eq!(outcome.streams().1.len(), 100_000 + "end$".len());
}

#[test]
fn an_unknown_link_type_is_told() {
    let outcome = read(&pcap(147, &exchange().packets));
    assert!(outcome.connections.is_empty());
    assert!(
        outcome.warnings[0].contains("link type 147"),
        "{:?}",
        outcome.warnings
    );
}
