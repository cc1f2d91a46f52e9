//! A source that is written down as packets while it is read.

use std::sync::Arc;
use std::time::Duration;

use super::PcapngWriter;
use crate::error::CaptureError;
use crate::event::{Nanos, SocketEvent};
use crate::recording::Totals;
use crate::source::{Clock, Progress, Source, Verdicts};

/// Yields what its source yields, after it was written.
#[derive(Debug)]
pub struct Tee<S> {
    source: S,
    writer: PcapngWriter,
}

impl<S: Source> Tee<S> {
    pub fn new(source: S, writer: PcapngWriter) -> Self {
        Self { source, writer }
    }

    /// Writes the rest.
    ///
    /// # Errors
    /// [`CaptureError::Write`] when the file cannot be written.
    pub fn finish(self) -> Result<Totals, CaptureError> {
        self.writer.finish()
    }
}

impl<S: Source> Source for Tee<S> {
    fn poll(
        &mut self,
        wait: Duration,
        events: &mut Vec<SocketEvent>,
    ) -> Result<Progress, CaptureError> {
        let before = events.len();
        let progress = self.source.poll(wait, events)?;
        self.writer
            .write(events.get(before..).unwrap_or_default())?;
        Ok(progress)
    }

    fn clock(&self) -> Clock {
        self.source.clock()
    }

    fn verdicts(&self) -> Arc<dyn Verdicts> {
        self.source.verdicts()
    }

    fn warnings(&self) -> Vec<String> {
        self.source.warnings()
    }

    fn watermark(&self) -> Nanos {
        self.source.watermark()
    }
}
