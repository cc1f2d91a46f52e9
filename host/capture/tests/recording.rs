//! A recording gives back what was written, and of a damaged one everything that is whole.

use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wirespan_capture::recording::{RecordingSource, RecordingWriter};
use wirespan_capture::{
    CaptureError, Clock, Close, CloseReason, ConnectionKey, Data, Direction, Layer, Missing, Open,
    Process, ProcessKey, Progress, Role, SocketEvent, Source, Transport,
};

const CLOCK: Clock = Clock {
    capture_id: 77,
    unix_offset: -5,
};

fn events(count: u64) -> Vec<SocketEvent> {
    let key = ConnectionKey {
        socket: u64::MAX - 9,
        generation: 3,
    };
    let mut events = vec![
        SocketEvent::Process(Arc::new(Process {
            pid: 1,
            started: 2,
            command: "nginx".into(),
            ..Process::default()
        })),
        SocketEvent::Open(Box::new(Open {
            key,
            time: 1,
            transport: Transport::Tcp,
            local: Some("[::1]:80".parse().unwrap()),
            remote: Some("10.0.0.1:40000".parse().unwrap()),
            role: Some(Role::Server),
            positions: [Some(0), None],
            mid_stream: true,
            process: Some(ProcessKey { pid: 1, started: 2 }),
            cgroup_id: 9,
            network_namespace: 8,
        })),
    ];
    for n in 0..count {
        events.push(SocketEvent::Data(Data {
            key,
            direction: Direction::Received,
            layer: Layer::Plaintext,
            position: n * 100,
            len: 120,
            bytes: Bytes::from(format!("{n:0100}")),
            entry: n,
            exit: n + 1,
            missing: Missing::Limit,
        }));
    }
    let close = Close {
        key,
        time: count,
        reason: CloseReason::Reset,
        positions: [None, Some(9)],
    };
    events.push(SocketEvent::Close(close));
    events
}

/// A file of several frames.
fn recorded(batches: &[Vec<SocketEvent>]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r");
    let mut writer = RecordingWriter::create(&path, CLOCK).unwrap();
    for (n, batch) in batches.iter().enumerate() {
        writer.write(batch).unwrap();
        writer.set_watermark(n as u64 * 10 + 5);
        writer.flush().unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(&path).unwrap()
}

fn open(bytes: &[u8]) -> Result<RecordingSource, CaptureError> {
    RecordingSource::from_reader(
        Path::new("test.wsrec"),
        Box::new(Cursor::new(bytes.to_vec())),
    )
}

fn read(bytes: &[u8]) -> (Vec<SocketEvent>, Vec<String>) {
    let mut source = open(bytes).unwrap();
    let mut events = Vec::new();
    while source.poll(Duration::ZERO, &mut events).unwrap() != Progress::End {}
    (events, source.warnings())
}

#[test]
fn what_was_written_is_read_with_its_clock_and_watermarks() {
    let batches = [events(3), events(500), events(1)];
    let bytes = recorded(&batches);
    let mut source = open(&bytes).unwrap();
    assert_eq!(source.clock(), CLOCK);
    let mut watermarks = Vec::new();
    let mut all = Vec::new();
    loop {
        let mut part = Vec::new();
        let progress = source.poll(Duration::ZERO, &mut part).unwrap();
        if progress == Progress::End {
            break;
        }
        watermarks.push((part.len(), source.watermark()));
        all.append(&mut part);
    }
    assert_eq!(all, batches.concat());
    assert_eq!(watermarks, [(6, 5), (503, 15), (4, 25)]);
    assert!(source.warnings().is_empty(), "{:?}", source.warnings());
}

#[test]
fn only_the_owner_can_read_it_and_links_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r");
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    RecordingWriter::create(&path, CLOCK)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    for refused in [link.as_path(), directory.path(), Path::new("/dev/null")] {
        assert!(matches!(
            RecordingWriter::create(refused, CLOCK),
            Err(CaptureError::Write { .. })
        ));
    }
    let nowhere = directory.path().join("missing/r");
    assert!(matches!(
        RecordingWriter::create(&nowhere, CLOCK),
        Err(CaptureError::Write { .. })
    ));
}

#[test]
fn a_file_cut_anywhere_gives_every_whole_frame_and_a_warning() {
    let batches = [events(3), events(4), events(5)];
    let bytes = recorded(&batches);
    let whole: Vec<Vec<SocketEvent>> = (0..=3).map(|n| batches[..n].concat()).collect();
    let mut seen = [false; 4];
    for len in 0..bytes.len() {
        match open(&bytes[..len]) {
            Ok(_) => {
                let (found, warnings) = read(&bytes[..len]);
                let frames = whole.iter().position(|part| *part == found);
                seen[frames.expect("only whole frames")] = true;
                assert!(
                    warnings.iter().any(|text| text.contains("cut off")),
                    "{len}: {warnings:?}"
                );
            }
            Err(CaptureError::Foreign { .. }) => assert!(len < 8),
            Err(CaptureError::Damaged { .. }) => assert!(found_in_header(&bytes, len), "{len}"),
            Err(error) => panic!("{len}: {error}"),
        }
    }
    assert_eq!(seen, [true; 4]);
}

/// Whether a file of `len` bytes ends within the header.
fn found_in_header(bytes: &[u8], len: usize) -> bool {
    let header = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    len < 24 + header
}

#[test]
fn a_damaged_frame_costs_only_itself() {
    let batches = [events(3), events(4), events(5)];
    let bytes = recorded(&batches);
    let header = 24 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let mut lost = 0;
    for at in header..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        let (found, warnings) = read(&damaged);
        assert!(!warnings.is_empty(), "byte {at}");
        let missing: Vec<usize> = (0..3)
            .filter(|left_out| {
                let rest: Vec<SocketEvent> = batches
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| n != left_out)
                    .flat_map(|(_, b)| b.clone())
                    .collect();
                rest == found
            })
            .collect();
        assert!(
            missing.len() == 1 || found == batches.concat(),
            "byte {at}: {} events",
            found.len()
        );
        lost += missing.len();
    }
    assert!(lost > 0);
}

#[test]
fn another_file_a_newer_version_and_a_damaged_header_are_told_apart() {
    let bytes = recorded(&[events(1)]);
    for foreign in [
        b"".as_slice(),
        b"\x7fELF",
        b"GET / HTTP/1.1\r\nHost: a long enough line\r\n\r\n",
    ] {
        let Err(error) = open(foreign) else {
            panic!("{foreign:?} was read")
        };
        assert!(matches!(error, CaptureError::Foreign { .. }), "{error}");
    }
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert!(matches!(
        open(&newer),
        Err(CaptureError::Version { found: 9, .. })
    ));
    let mut damaged = bytes.clone();
    damaged[30] ^= 1;
    assert!(matches!(open(&damaged), Err(CaptureError::Damaged { .. })));
    let mut endless = bytes;
    endless[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(open(&endless), Err(CaptureError::Damaged { .. })));
}

#[test]
fn a_long_event_is_read_as_several_that_say_the_same() {
    let SocketEvent::Data(mut data) = events(1).swap_remove(2) else {
        unreachable!()
    };
    data.bytes = Bytes::from(vec![7; 3_500_000]);
    data.len = 4_000_000;
    let bytes = recorded(&[vec![SocketEvent::Data(data.clone())]]);
    let (found, warnings) = read(&bytes);
    assert!(warnings.is_empty(), "{warnings:?}");
    let (mut next, mut copied) = (data.position, 0);
    for event in &found {
        let SocketEvent::Data(part) = event else {
            panic!()
        };
        assert_eq!(part.position, next);
        next += part.len;
        copied += part.bytes.len();
    }
    assert_eq!((next, copied), (4_000_000, 3_500_000));
    assert_eq!(found.len(), 4);
}

#[test]
fn random_bytes_behind_a_header_do_no_harm() {
    let bytes = recorded(&[events(2)]);
    let header = 24 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let mut state = 1_u64;
    for _ in 0..200 {
        let mut hostile = bytes[..header].to_vec();
        for _ in 0..2_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state.is_multiple_of(37) {
                hostile.extend_from_slice(b"\x89WSF\x01\0\0\0");
            }
            hostile.push(state as u8);
        }
        let (found, warnings) = read(&hostile);
        assert!(found.is_empty() && !warnings.is_empty());
    }
}
