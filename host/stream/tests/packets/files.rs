//! File formats, their times, and files that are damaged or none.

use super::*;

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
