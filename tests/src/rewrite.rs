//! Recordings made into others: cut at other places, or without what names the machine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use wirespan_capture::recording::{RecordingSource, RecordingWriter};
use wirespan_capture::{Data, Missing, Progress, SocketEvent, Source};

/// Writes `target` with what `change` makes of each event of `source`.
///
/// # Errors
/// When one cannot be read or the other not be written.
pub fn rewrite(
    source: &Path,
    target: &Path,
    mut change: impl FnMut(SocketEvent, &mut Vec<SocketEvent>),
) -> Result<()> {
    let mut recording = RecordingSource::open(source)?;
    let mut writer = RecordingWriter::create(target, recording.clock())?;
    let mut events = Vec::new();
    loop {
        let progress = recording.poll(Duration::from_secs(1), &mut events)?;
        let mut changed = Vec::new();
        for event in events.drain(..) {
            change(event, &mut changed);
        }
        writer.write(&changed)?;
        writer.set_watermark(recording.watermark());
        if progress == Progress::End {
            break;
        }
    }
    writer.finish().context("finishing a rewritten recording")?;
    Ok(())
}

/// The same bytes at the same times, with each data event cut into pieces of at most `longest`
/// bytes at places that follow from `seed`.
///
/// # Errors
/// As [`rewrite`].
pub fn recut(source: &Path, target: &Path, seed: u64, longest: usize) -> Result<()> {
    let mut random = Random(seed);
    rewrite(source, target, |event, pieces| match event {
        SocketEvent::Data(data) => cut(data, &mut random, longest, pieces),
        other => pieces.push(other),
    })
}

/// Heads of messages are within; the rest of a long body in single bytes would only take long.
const PIECES_AN_EVENT: usize = 2_000;

fn cut(mut rest: Data, random: &mut Random, longest: usize, pieces: &mut Vec<SocketEvent>) {
    for piece in 1.. {
        let size = random.from_one_to(longest);
        if size >= rest.bytes.len() || piece == PIECES_AN_EVENT {
            // The last piece keeps what was not copied.
            pieces.push(SocketEvent::Data(rest));
            return;
        }
        let bytes = rest.bytes.split_to(size);
        let len = bytes.len() as u64;
        pieces.push(SocketEvent::Data(Data {
            bytes,
            len,
            missing: Missing::default(),
            ..rest.clone()
        }));
        rest.position += len;
        rest.len = rest.len.saturating_sub(len);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every machine.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn from_one_to(&mut self, longest: usize) -> usize {
        let longest = u64::try_from(longest.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.number() % longest).unwrap_or(0) + 1
    }
}
