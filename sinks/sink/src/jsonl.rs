//! Spans as JSON lines on a stream.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use wirespan_span::{Span, json};

use crate::{Sink, SinkCounts, SinkError};

/// Written at once: large enough to cost few system calls, small beside everything else.
const CHUNK_BYTES: usize = 64 * 1024;

/// The flat form, one span a line. A batch is written and flushed before `publish` returns.
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: W,
    /// `standard output`, or the path.
    target: String,
    buffer: Vec<u8>,
    counts: SinkCounts,
    failure: Option<SinkError>,
}

impl<W: Write + Send> JsonLines<W> {
    /// `target` names the stream in messages.
    pub fn new(writer: W, target: impl Into<String>) -> Self {
        Self {
            writer,
            target: target.into(),
            buffer: Vec::new(),
            counts: SinkCounts::default(),
            failure: None,
        }
    }

    /// Writes the lines in the buffer; they are delivered or dropped afterwards.
    fn write_out(&mut self) -> Result<(), SinkError> {
        let mut written = 0;
        let outcome = loop {
            match self.buffer.get(written..) {
                None | Some([]) => break self.writer.flush(),
                Some(rest) => match self.writer.write(rest) {
                    Ok(0) => break Err(ErrorKind::WriteZero.into()),
                    Ok(count) => written += count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                },
            }
        };
        let (sent, kept) = self
            .buffer
            .split_at_checked(written)
            .unwrap_or((&self.buffer, &[]));
        self.counts.delivered += lines(sent);
        self.counts.dropped += lines(kept);
        self.buffer.clear();
        outcome.map_err(|error| {
            let what = format!("cannot write spans to {}", self.target);
            let failure = if error.kind() == ErrorKind::BrokenPipe {
                SinkError::closed(what)
            } else {
                SinkError::new(what, error, "free space there, or write somewhere else")
            };
            self.failure = Some(failure.clone());
            failure
        })
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn name(&self) -> &'static str {
        "jsonl"
    }

    fn publish(&mut self, spans: &[Arc<Span>]) -> Result<(), SinkError> {
        for (index, span) in spans.iter().enumerate() {
            if let Some(failure) = &self.failure {
                self.counts.dropped += (spans.len() - index) as u64;
                return Err(failure.clone());
            }
            json::write_line(span, &mut self.buffer);
            if self.buffer.len() >= CHUNK_BYTES {
                // An error is kept in `failure`, so that what is left of the batch is counted.
                let _ = self.write_out();
            }
        }
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => self.write_out(),
        }
    }

    fn drain(&mut self, _limit: Duration) -> Result<(), SinkError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn counts(&self) -> SinkCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::spans;
    use std::io;
    use wirespan_span::FlatSpan;

    /// Takes `room` bytes, at most seven at a time, then fails.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
        error: ErrorKind,
    }

    impl Write for &mut Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(7).min(self.room - self.taken.len());
            if count == 0 {
                return Err(self.error.into());
            }
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_span_is_a_line() {
        let mut narrow = Narrow {
            taken: Vec::new(),
            room: usize::MAX,
            error: ErrorKind::Other,
        };
        let mut sink = JsonLines::new(&mut narrow, "test");
        sink.publish(&spans(0..300)).unwrap();
        sink.publish(&spans(300..301)).unwrap();
        assert_eq!(
            sink.counts(),
            SinkCounts {
                delivered: 301,
                dropped: 0
            }
        );
        let read = FlatSpan::from_lines(&narrow.taken).unwrap();
        assert_eq!(read.len(), 301);
        assert!(
            read.iter()
                .enumerate()
                .all(|(at, span)| span.start_unix_nano == at as u64)
        );
    }

    #[test]
    fn a_closed_pipe_is_an_end_and_a_full_disk_a_failure() {
        for (error, closed) in [
            (ErrorKind::BrokenPipe, true),
            (ErrorKind::StorageFull, false),
        ] {
            let mut narrow = Narrow {
                taken: Vec::new(),
                room: 1000,
                error,
            };
            let mut sink = JsonLines::new(&mut narrow, "standard output");
            let failure = sink.publish(&spans(0..1000)).unwrap_err();
            assert_eq!(failure.closed, closed, "{failure}");
            assert!(failure.to_string().contains("standard output"), "{failure}");
            assert_eq!(sink.publish(&spans(0..5)).unwrap_err(), failure);
            assert_eq!(sink.drain(Duration::ZERO).unwrap_err(), failure);
            let counts = sink.counts();
            assert_eq!(counts.delivered + counts.dropped, 1005);
            assert_eq!(counts.delivered, lines(&narrow.taken));
            assert!(counts.delivered > 0);
        }
    }
}
