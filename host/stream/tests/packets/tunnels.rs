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
