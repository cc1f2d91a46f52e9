//! A packet capture as a source of socket events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{Format, PacketFile, Stop};
use super::fragments::Fragments;
use super::input::{Input, Opened};
use super::link::{Carried, carried};
use super::network;
use super::roles::Perspective;
use super::segment::Piece;
use super::tracker::Tracker;
use crate::error::CaptureError;
use crate::event::{Nanos, SocketEvent};
use crate::recording::describe;
use crate::source::{Clock, Progress, Source};

/// Packets read at a call of [`Source::poll`].
const BATCH: usize = 256;

/// Link types that are named in a warning.
const UNKNOWN_LIMIT: usize = 16;

/// Reads a pcap or pcapng file, gzipped or not, and puts its TCP connections together.
///
/// Times are Unix nanoseconds as in the file. The capture's identity is a hash of its content.
pub struct PcapSource {
    path: PathBuf,
    file: PacketFile,
    tracker: Tracker,
    fragments: Fragments,
    clock: Clock,
    watermark: Nanos,
    packets: u64,
    unknown_links: BTreeMap<u16, u64>,
    stop: Option<Stop>,
}

impl PcapSource {
    /// `-` is standard input.
    ///
    /// # Errors
    /// [`CaptureError::Io`] when the file cannot be read, [`CaptureError::Foreign`] when it is
    /// something else.
    pub fn open(path: &Path, perspective: Perspective) -> Result<Self, CaptureError> {
        Self::from_opened(Opened::open(path)?, perspective)
    }

    pub(crate) fn from_opened(
        mut opened: Opened,
        perspective: Perspective,
    ) -> Result<Self, CaptureError> {
        let start = opened.peek()?;
        if Format::detect(&start).is_none() {
            return Err(CaptureError::Foreign {
                path: opened.path().to_owned(),
                found: describe(&start),
            });
        }
        let capture_id = opened.hash()?;
        let path = opened.path().to_owned();
        Ok(Self {
            path,
            file: PacketFile::new(Input::new(opened.into_reader()?)),
            tracker: Tracker::new(perspective),
            fragments: Fragments::default(),
            clock: Clock {
                capture_id,
                unix_offset: 0,
            },
            watermark: 0,
            packets: 0,
            unknown_links: BTreeMap::new(),
            stop: None,
        })
    }
}

impl Source for PcapSource {
    fn poll(
        &mut self,
        _: Duration,
        events: &mut Vec<SocketEvent>,
    ) -> Result<Progress, CaptureError> {
        if self.stop.is_some() {
            return Ok(Progress::End);
        }
        for _ in 0..BATCH {
            let packet = match self.file.next() {
                Ok(Some(packet)) => packet,
                Ok(None) => continue,
                Err(stop) => {
                    self.stop = Some(stop);
                    self.tracker.finish(events);
                    break;
                }
            };
            self.packets = self.packets.saturating_add(1);
            self.watermark = self.watermark.max(packet.time);
            let frame = Piece {
                bytes: packet.bytes,
                len: packet.len,
            };
            match carried(packet.link_type, frame) {
                Carried::Ip(ip) => {
                    let (tracker, time) = (&mut self.tracker, packet.time);
                    let made = packet.made;
                    network::segment(ip, time, &mut self.fragments, &mut |mut segment| {
                        if let Some(made) = made {
                            segment.made_by_us(made);
                        }
                        tracker.segment(&segment, time, events);
                    });
                }
                Carried::Other => {}
                Carried::Unknown => {
                    if self.unknown_links.len() < UNKNOWN_LIMIT
                        || self.unknown_links.contains_key(&packet.link_type)
                    {
                        let count = self.unknown_links.entry(packet.link_type).or_default();
                        *count = count.saturating_add(1);
                    }
                }
            }
        }
        Ok(Progress::More)
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn warnings(&self) -> Vec<String> {
        let path = self.path.display();
        let mut warnings = Vec::new();
        let packets = self.packets;
        let offset = self.file.offset();
        match (&self.stop, self.file.failure()) {
            (_, Some(error)) => {
                warnings.push(format!("{path} cannot be read to its end: {error}; the {packets} packets before were read"));
            }
            (Some(Stop::CutOff), _) => {
                warnings.push(format!("{path} was cut off within the packet after {packets}; what came before was read"));
            }
            (Some(Stop::Damaged(reason)), _) => warnings.push(format!(
                "{path} is damaged at byte {offset}: {reason}; the {packets} packets before were read"
            )),
            (Some(Stop::End) | None, _) => {}
        }
        for (link_type, count) in &self.unknown_links {
            warnings.push(format!(
                "{path}: {count} packets of link type {link_type} were left out, it is not known"
            ));
        }
        let incomplete = self.fragments.incomplete();
        if incomplete > 0 {
            warnings.push(format!(
                "{path}: {incomplete} fragmented packets are incomplete and were left out"
            ));
        }
        if self.tracker.forgotten > 0 {
            warnings.push(format!(
                "{path}: {} connections were forgotten because too many were open at a time",
                self.tracker.forgotten
            ));
        }
        warnings
    }

    fn watermark(&self) -> Nanos {
        self.watermark
    }
}
