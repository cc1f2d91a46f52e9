//! From packet captures to streams. The captures are built here.

mod builder;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use builder::{
    ACK, Blocks, FIN, Packet, RST, SYN, Talk, classic, ethernet, ip, pcap, tcp, tcp_segment, udp,
};
use wirespan_capture::{CaptureError, Direction, Perspective, Progress, Role, open_any};
use wirespan_stream::{ConnectionInfo, Connections, Counters, Limits, StreamClose, StreamEvent};

/// What came out of a capture.
struct Outcome {
    connections: Vec<Connection>,
    warnings: Vec<String>,
    counters: Counters,
    /// Directions of data and gaps, in order: `>` to the server, `<` to the client.
    order: String,
    capture_id: u128,
}

struct Connection {
    info: ConnectionInfo,
    mid_stream: bool,
    request: String,
    response: String,
    close: Option<StreamClose>,
    first_time: u64,
}

impl Outcome {
    /// Both directions of the only connection.
    fn streams(&self) -> (&str, &str) {
        assert_eq!(self.connections.len(), 1, "one connection");
        (&self.connections[0].request, &self.connections[0].response)
    }
}

fn read(file: &[u8]) -> Outcome {
    read_from(file, Perspective::Server)
}

fn read_from(file: &[u8], perspective: Perspective) -> Outcome {
    let mut path = tempfile::NamedTempFile::new().unwrap();
    path.write_all(file).unwrap();
    let mut source = open_any(path.path(), perspective).unwrap();
    let mut table = Connections::new(Limits::default());
    let (mut events, mut out) = (Vec::new(), Vec::new());
    while source.poll(Duration::ZERO, &mut events).unwrap() != Progress::End {
        for event in events.drain(..) {
            table.push(event, &mut out);
        }
        table.tick(source.watermark(), &mut out);
    }
    table.finish(source.watermark(), &mut out);
    assert!(table.counters().is_balanced());
    let mut connections: Vec<Connection> = Vec::new();
    let mut order = String::new();
    let to_server = if perspective == Perspective::Server {
        Direction::Received
    } else {
        Direction::Sent
    };
    for event in out {
        if let StreamEvent::Open {
            info, mid_stream, ..
        } = &event
        {
            assert_eq!(info.id, connections.len() as u64);
            connections.push(Connection {
                info: (**info).clone(),
                mid_stream: *mid_stream,
                request: String::new(),
                response: String::new(),
                close: None,
                first_time: 0,
            });
        }
        let connection = &mut connections[event.id() as usize];
        let mut add = |direction: Direction, text: String| {
            let stream = if direction == to_server {
                &mut connection.request
            } else {
                &mut connection.response
            };
            stream.push_str(&text);
            order.push(if direction == to_server { '>' } else { '<' });
        };
        match event {
            StreamEvent::Data {
                direction,
                bytes,
                time,
                ..
            } => {
                add(direction, String::from_utf8_lossy(&bytes).into_owned());
                connection.first_time = connection.first_time.max(time);
            }
            StreamEvent::Gap {
                direction,
                len,
                cause,
                ..
            } => {
                add(
                    direction,
                    format!(
                        "[{} {cause:?}]",
                        len.map_or("?".to_owned(), |len| len.to_string())
                    ),
                );
            }
            StreamEvent::End { direction, .. } => {
                let stream = if direction == to_server {
                    &mut connection.request
                } else {
                    &mut connection.response
                };
                stream.push('$');
            }
            StreamEvent::Close { reason, .. } => connection.close = Some(reason),
            _ => {}
        }
    }
    Outcome {
        connections,
        warnings: source.warnings(),
        counters: *table.counters(),
        order,
        capture_id: source.clock().capture_id,
    }
}

/// As a raw IP capture.
fn raw(talk: &Talk) -> Outcome {
    read(&pcap(101, &talk.packets))
}

fn exchange() -> Talk {
    let mut talk = Talk::new(1_000, 9_000);
    talk.handshake()
        .request(b"GET /")
        .response(b"200 ")
        .response(b"OK")
        .close();
    talk
}

#[test]
fn an_exchange_is_two_streams_seen_from_the_servers_end() {
    let outcome = raw(&exchange());
    assert_eq!(outcome.streams(), ("GET /$", "200 OK$"));
    let connection = &outcome.connections[0];
    assert_eq!(connection.info.role, Some(Role::Server));
    assert_eq!(connection.info.local, Some("10.0.0.2:80".parse().unwrap()));
    assert_eq!(connection.info.opened, 1_700_000_000_001_000_000);
    assert_eq!(connection.close, Some(StreamClose::Finished));
    assert!(!connection.mid_stream);
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    let client = read_from(&pcap(101, &exchange().packets), Perspective::Client);
    assert_eq!(client.streams(), ("GET /$", "200 OK$"));
    assert_eq!(client.connections[0].info.role, Some(Role::Client));
    assert_eq!(
        client.connections[0].info.local,
        Some("10.0.0.1:40000".parse().unwrap())
    );
    assert_eq!(
        client.capture_id, outcome.capture_id,
        "the identity is that of the content"
    );
}

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
fn every_file_format_gives_the_same_streams_and_times() {
    let talk = exchange();
    let packets = &talk.packets;
    let mut files = vec![
        ("little", classic(0xa1b2_c3d4, false, false, 101, packets)),
        ("big", classic(0xa1b2_c3d4, true, false, 101, packets)),
        (
            "little, nanoseconds",
            classic(0xa1b2_3c4d, false, true, 101, packets),
        ),
        (
            "big, nanoseconds",
            classic(0xa1b2_3c4d, true, true, 101, packets),
        ),
        ("modified", classic(0xa1b2_cd34, false, false, 101, packets)),
        (
            "frame check sequence",
            classic(0xa1b2_c3d4, false, false, 0x2400_0065, packets),
        ),
    ];
    for big in [false, true] {
        let mut blocks = Blocks::new(big);
        blocks
            .section()
            .interface(101, &[])
            .interface(1, &[(2, b"eth0"), (9, &[9])]);
        for (n, packet) in packets.iter().enumerate() {
            // Both interfaces, a statistics block in between, and a second section.
            if n == 4 {
                let offset = 1_700_000_000_i64;
                let offset = if big {
                    offset.to_be_bytes()
                } else {
                    offset.to_le_bytes()
                };
                blocks
                    .block(5, &[0; 12])
                    .section()
                    .interface(101, &[(9, &[0x80 | 20]), (14, &offset)]);
            }
            let framed = Packet {
                bytes: ethernet(&packet.bytes),
                ..packet.clone()
            };
            let framed = Packet {
                len: framed.bytes.len(),
                ..framed
            };
            if n >= 4 {
                let nanos = packet.nanos - 1_700_000_000_000_000_000;
                blocks.enhanced(
                    0,
                    ((u128::from(nanos) << 20) / 1_000_000_000) as u64 + 1,
                    packet,
                );
            } else if n % 2 == 0 {
                blocks.enhanced(0, packet.nanos / 1_000, packet);
            } else {
                blocks.enhanced(1, packet.nanos, &framed);
            }
        }
        files.push(("pcapng", blocks.file));
        let mut blocks = Blocks::new(big);
        blocks.section().interface(101, &[]);
        for packet in packets {
            let time = packet.nanos / 1_000;
            let mut body = [blocks.u16(0), blocks.u16(0)].concat();
            for field in [
                (time >> 32) as u32,
                time as u32,
                packet.len as u32,
                packet.len as u32,
            ] {
                body.extend(blocks.u32(field));
            }
            body.extend(&packet.bytes);
            blocks.block(2, &body);
        }
        files.push(("obsolete packet blocks", blocks.file));
    }
    for (name, file) in files {
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zipped.write_all(&file).unwrap();
        for content in [file, zipped.finish().unwrap()] {
            let outcome = read(&content);
            assert_eq!(outcome.streams(), ("GET /$", "200 OK$"), "{name}");
            assert!(
                outcome.connections[0]
                    .first_time
                    .abs_diff(1_700_000_000_006_000_000)
                    < 1_000,
                "{name}"
            );
        }
    }
    // Simple packet blocks have no time.
    let mut blocks = Blocks::new(false);
    blocks.section().interface(101, &[]);
    for packet in packets {
        let body = [&blocks.u32(packet.len as u32)[..], &packet.bytes].concat();
        blocks.block(3, &body);
    }
    assert_eq!(read(&blocks.file).streams(), ("GET /$", "200 OK$"));
}

#[test]
fn sequence_numbers_wrap() {
    let mut talk = Talk::new(u32::MAX - 3, u32::MAX - 5);
    talk.handshake()
        .request(b"GET /")
        .request(b"index")
        .response(b"200 OK more")
        .close();
    assert_eq!(raw(&talk).streams(), ("GET /index$", "200 OK more$"));
}

#[test]
fn any_packet_of_the_handshake_may_be_missing() {
    for missing in 0..3 {
        let outcome = raw(&exchange().without(missing));
        assert_eq!(
            outcome.streams(),
            ("GET /$", "200 OK$"),
            "without {missing}"
        );
        assert!(!outcome.connections[0].mid_stream);
        assert_eq!(outcome.connections[0].info.role, Some(Role::Server));
    }
    let outcome = raw(&exchange().without(0).without(0).without(0));
    assert_eq!(outcome.streams(), ("GET /$", "200 OK$"));
    assert!(outcome.connections[0].mid_stream);
    assert_eq!(
        outcome.connections[0].info.role, None,
        "the sides were guessed"
    );
    assert_eq!(
        outcome.connections[0].info.local,
        Some("10.0.0.2:80".parse().unwrap())
    );
}

#[test]
fn reordering_and_retransmission_change_nothing() {
    let mut talk = Talk::new(1, 2);
    talk.handshake();
    for part in [&b"GET /"[..], b"index.html ", b"HTTP/1.1\r\n", b"\r\n"] {
        talk.request(part);
    }
    talk.response(b"200 ").response(b"OK").close();
    let expected = ("GET /index.html HTTP/1.1\r\n\r\n$", "200 OK$");
    assert_eq!(raw(&talk).streams(), expected);
    let data = 3..9;
    for first in data.clone() {
        for second in data.clone() {
            let mut shuffled = talk.clone();
            shuffled.packets.swap(first, second);
            shuffled.packets.insert(second, talk.packets[first].clone());
            assert_eq!(raw(&shuffled).streams(), expected, "{first} {second}");
        }
    }
}

#[test]
fn a_lost_packet_is_a_gap_of_exactly_its_length() {
    let mut talk = Talk::new(1, 2);
    talk.handshake()
        .request(b"GET /")
        .request(b"index")
        .request(b" 1.1")
        .response(b"200 ")
        .response(b"OK")
        .close();
    let whole = ("GET /index 1.1$", "200 OK$");
    assert_eq!(raw(&talk).streams(), whole);
    let cases = [
        (3, ("[5 Packet]index 1.1$", "200 OK$")),
        (4, ("GET /[5 Packet] 1.1$", "200 OK$")),
        (5, ("GET /index[4 Packet]$", "200 OK$")),
        (6, ("GET /index 1.1$", "[4 Packet]OK$")),
        (7, ("GET /index 1.1$", "200 [2 Packet]$")),
    ];
    for (lost, expected) in cases {
        assert_eq!(
            raw(&talk.without(lost)).streams(),
            expected,
            "without {lost}"
        );
    }
    // What was lost of the request is known before its answer comes.
    assert_eq!(raw(&talk.without(4)).order, ">>><<");
}

#[test]
fn a_retransmission_minutes_later_still_fills_what_nobody_acknowledged() {
    let mut talk = Talk::new(1, 2);
    talk.handshake()
        .request(b"GET /")
        .request(b"index")
        .wait(120_000)
        .request(b" 1.1")
        .response(b"200")
        .close();
    // The first piece comes again after the others, and only then is acknowledged.
    let first = talk.packets.remove(3);
    talk.packets.insert(
        5,
        Packet {
            nanos: talk.packets[4].nanos + 1,
            ..first
        },
    );
    assert_eq!(raw(&talk).streams(), ("GET /index 1.1$", "200$"));
}

#[test]
fn keep_alive_and_window_probes_are_no_data() {
    let mut talk = Talk::new(1, 2);
    talk.handshake().request(b"GET /").response(b"200");
    for payload in [&b""[..], b"\0"] {
        let probe = tcp(
            talk.client,
            talk.server,
            talk.client_next - 1,
            talk.server_next,
            ACK,
            payload,
        );
        talk.wait(60_000).push(probe);
    }
    // One byte into a closed window, sent again as part of what follows.
    let probe = tcp(
        talk.client,
        talk.server,
        talk.client_next,
        talk.server_next,
        ACK,
        b"P",
    );
    talk.push(probe);
    talk.request(b"POST /").response(b"201").close();
    assert_eq!(raw(&talk).streams(), ("GET /POST /$", "200201$"));
}

#[test]
fn a_reset_closes_if_it_is_of_this_connection() {
    let mut talk = Talk::new(1, 2);
    talk.handshake().request(b"GET /");
    let forged = tcp(
        talk.server,
        talk.client,
        talk.server_next.wrapping_add(1 << 28),
        0,
        RST,
        b"",
    );
    talk.push(forged).response(b"200");
    assert_eq!(raw(&talk).connections[0].close, Some(StreamClose::CutOff));
    talk.server_sends(RST | ACK, b"");
    let outcome = raw(&talk);
    assert_eq!(outcome.streams(), ("GET /", "200"));
    assert_eq!(outcome.connections[0].close, Some(StreamClose::Reset));
}

#[test]
fn a_port_that_is_used_again_is_another_connection() {
    let mut talk = exchange();
    (talk.client_next, talk.server_next) = (5_000_000, 7_000_000);
    talk.handshake().request(b"PUT /").response(b"204").close();
    let outcome = raw(&talk);
    let streams: Vec<_> = outcome
        .connections
        .iter()
        .map(|c| (c.request.as_str(), c.response.as_str()))
        .collect();
    assert_eq!(streams, [("GET /$", "200 OK$"), ("PUT /$", "204$")]);
    assert_ne!(
        outcome.connections[0].info.key,
        outcome.connections[1].info.key
    );
    // Also when the first one never ended, with or without the answer to the second SYN.
    for left_out in [None, Some(1)] {
        let mut talk = Talk::new(1_000, 9_000);
        talk.handshake().request(b"GET /").response(b"200 OK");
        let before = talk.packets.len();
        (talk.client_next, talk.server_next) = (3_000_000_000, 1_500_000_000);
        talk.handshake().request(b"PUT /").response(b"204").close();
        let talk = left_out.map_or(talk.clone(), |n| talk.without(before + n));
        let outcome = raw(&talk);
        let streams: Vec<_> = outcome
            .connections
            .iter()
            .map(|c| (c.request.as_str(), c.response.as_str()))
            .collect();
        assert_eq!(
            streams,
            [("GET /", "200 OK"), ("PUT /$", "204$")],
            "{left_out:?}"
        );
    }
}

#[test]
fn a_stray_syn_does_not_end_a_living_connection() {
    let mut talk = Talk::new(1_000, 9_000);
    talk.handshake().request(b"GET /");
    let syn = tcp(talk.client, talk.server, 77_000_000, 0, SYN, b"");
    talk.push(syn).response(b"200").close();
    assert_eq!(raw(&talk).streams(), ("GET /$", "200$"));
}

#[test]
fn packets_that_a_capture_repeats_after_the_end_are_known() {
    let mut talk = exchange();
    talk.wait(60_000);
    let old: Vec<Packet> = talk.packets.clone();
    for packet in old {
        talk.push(packet.bytes);
    }
    assert_eq!(raw(&talk).streams(), ("GET /$", "200 OK$"));
}

#[test]
fn a_capture_of_one_side_only_is_read() {
    let mut talk = Talk::new(1, 2);
    talk.handshake()
        .request(b"GET /")
        .request(b"lost")
        .request(b"a")
        .wait(3_000)
        .request(b"b")
        .response(b"200")
        .close();
    let mut one_sided = talk.clone();
    one_sided
        .packets
        .retain(|packet| packet.bytes[12..16] == [10, 0, 0, 1]);
    // That there was an answer is known from its acknowledgement.
    assert_eq!(raw(&one_sided).streams(), ("GET /lostab$", "[3 Packet]"));
    // SYN, ACK, request, then the lost one.
    let outcome = raw(&one_sided.without(3));
    assert_eq!(outcome.streams(), ("GET /[4 Packet]ab$", "[3 Packet]"));
}

#[test]
fn acknowledgements_tell_of_a_side_that_was_never_captured() {
    let mut talk = Talk::new(1, 2);
    talk.handshake();
    for _ in 0..3 {
        talk.request(b"GET /")
            .wait(60)
            .response(b"200 OK")
            .client_sends(ACK, b"");
    }
    talk.close();
    // Joined in the middle, the client's packets only.
    let mut one_sided = talk.clone();
    one_sided.packets.drain(..3);
    let both = one_sided.packets.clone();
    one_sided
        .packets
        .retain(|packet| packet.bytes[12..16] == [10, 0, 0, 1]);
    let outcome = raw(&one_sided);
    let gap = "[6 Packet]";
    assert_eq!(
        outcome.streams(),
        ("GET /GET /GET /$", gap.repeat(3).as_str())
    );
    assert_eq!(outcome.order, "><><><");
    // Its packets come after all, with the second response.
    let mut late = one_sided.clone();
    late.packets = both;
    late.packets.remove(1);
    let first = late.packets[2].nanos;
    late.packets
        .retain(|packet| packet.bytes[12..16] == [10, 0, 0, 1] || packet.nanos > first);
    assert_eq!(
        raw(&late).streams(),
        ("GET /GET /GET /$", "[6 Packet]200 OK200 OK$")
    );
}

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

/// A packet between the ends of a tunnel.
fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(&ip(
        "192.0.2.1".parse().unwrap(),
        "192.0.2.2".parse().unwrap(),
        protocol,
        payload,
    ))
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

#[test]
fn time_that_goes_back_a_little_does_not_change_the_order() {
    let mut talk = exchange();
    talk.packets[4].nanos -= 3_500_000;
    let outcome = raw(&talk);
    assert_eq!(outcome.streams(), ("GET /$", "200 OK$"));
    assert_eq!(outcome.order, "><<");
}

#[test]
fn a_file_cut_anywhere_gives_what_came_before_and_a_warning() {
    let talk = exchange();
    let mut blocks = Blocks::new(false);
    blocks.section().interface(101, &[]);
    for packet in &talk.packets {
        blocks.enhanced(0, packet.nanos / 1_000, packet);
    }
    for file in [pcap(101, &talk.packets), blocks.file] {
        let mut warned = 0;
        for len in 4..file.len() {
            let mut path = tempfile::NamedTempFile::new().unwrap();
            path.write_all(&file[..len]).unwrap();
            if matches!(
                open_any(path.path(), Perspective::Server),
                Err(CaptureError::Foreign { .. })
            ) {
                assert!(len < 12, "{len}");
                continue;
            }
            let outcome = read(&file[..len]);
            warned += outcome.warnings.len();

            for connection in &outcome.connections {
                assert!(
                    "GET /$".starts_with(&connection.request)
                        && "200 OK$".starts_with(&connection.response)
                );
            }
        }
        // All but the cuts between two packets.
        assert!(
            warned + talk.packets.len() + 20 > file.len(),
            "{warned} of {}",
            file.len()
        );
    }
}

#[test]
fn a_foreign_file_is_refused_with_its_first_bytes() {
    for content in [
        &b""[..],
        b"GIF89a...........",
        &[0x1f, 0x8b, 8, 0, 0],
        b"\x0a\x0d\x0d\x0a123456781234",
    ] {
        let mut path = tempfile::NamedTempFile::new().unwrap();
        path.write_all(content).unwrap();
        let Err(error) = open_any(path.path(), Perspective::Server) else {
            panic!("{content:?} was read")
        };
        assert!(matches!(error, CaptureError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("begins with"), "{error}");
    }
    let missing = std::path::Path::new("/nonexistent/file.pcap");
    assert!(matches!(
        open_any(missing, Perspective::Server),
        Err(CaptureError::Io { .. })
    ));
    assert!(matches!(
        open_any(&std::env::temp_dir(), Perspective::Server),
        Err(CaptureError::Io { .. })
    ));
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

#[test]
fn captures_with_damaged_bytes_do_no_harm() {
    let mut talk = exchange();
    let framed: Vec<Packet> = talk
        .packets
        .iter_mut()
        .map(|packet| Packet {
            bytes: ethernet(&packet.bytes),
            nanos: packet.nanos,
            len: 60.max(packet.len + 14),
        })
        .collect();
    let mut blocks = Blocks::new(true);
    blocks.section().interface(1, &[(9, &[9])]);
    for packet in &framed {
        blocks.enhanced(0, packet.nanos, packet);
    }
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for file in [pcap(1, &framed), blocks.file] {
        for _ in 0..2_000 {
            let mut damaged = file.clone();
            for _ in 0..=random(8) {
                let at = 24 + random(damaged.len() - 24);
                damaged[at] = random(256) as u8;
            }
            let outcome = read(&damaged);
            assert!(outcome.counters.is_balanced());
        }
    }
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    let mut talk = Talk::new(1, 2);
    talk.handshake()
        .client_sends(FIN | ACK, b"GET /")
        .response(b"200")
        .server_sends(FIN | ACK, b"")
        .client_sends(ACK, b"");
    let outcome = raw(&talk);
    assert_eq!(outcome.streams(), ("GET /$", "200$"));
    assert_eq!(outcome.order, "><");
}
