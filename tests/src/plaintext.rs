//! What TLS connections carried, byte by byte, out of a recording.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wirespan_capture::recording::RecordingSource;
use wirespan_capture::{Data, Direction, Layer, Open, Progress, SocketEvent, Source};

/// One end of a connection over TLS.
#[derive(Debug)]
pub struct Carried {
    pub open: Box<Open>,
    pub sent: Vec<u8>,
    pub received: Vec<u8>,
}

/// Every end that has plaintext.
///
/// # Errors
/// When the recording cannot be read, or a byte of an end's plaintext is not in it, or is twice.
pub fn of_recording(file: &Path) -> Result<Vec<Carried>> {
    let mut source = RecordingSource::open(file)?;
    let (mut opens, mut data) = (HashMap::new(), HashMap::<_, Vec<Data>>::new());
    loop {
        let mut events = Vec::new();
        let progress = source.poll(Duration::ZERO, &mut events)?;
        for event in events {
            match event {
                SocketEvent::Open(open) => drop(opens.insert(open.key, open)),
                SocketEvent::Data(part) if part.layer == Layer::Plaintext => {
                    data.entry(part.key).or_default().push(part);
                }
                _ => {}
            }
        }
        if progress == Progress::End {
            break;
        }
    }
    data.into_iter()
        .map(|(key, mut parts)| {
            parts.sort_by_key(|part| part.position);
            let open = opens.remove(&key).context("data before its opening")?;
            Ok(Carried {
                sent: joined(&parts, Direction::Sent)?,
                received: joined(&parts, Direction::Received)?,
                open,
            })
        })
        .collect()
}

/// The bytes of a direction, which must lie side by side from 0 on.
fn joined(parts: &[Data], direction: Direction) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in parts.iter().filter(|part| part.direction == direction) {
        ensure!(
            part.position == bytes.len() as u64 && part.len == part.bytes.len() as u64,
            "{} bytes of {} at {} behind {} of {direction:?}",
            part.bytes.len(),
            part.len,
            part.position,
            bytes.len()
        );
        bytes.extend_from_slice(&part.bytes);
    }
    Ok(bytes)
}
