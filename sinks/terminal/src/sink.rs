//! The live table: redrawn in place, and printed plainly at the end.

use std::io::{self, ErrorKind, IsTerminal as _, Stdout, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wirespan_sink::{Sink, SinkCounts, SinkError};
use wirespan_span::{Span, Summary};

use crate::table::{Layout, render};

/// Twice a second: soon enough to be live, slow enough to be read.
const REDRAW: Duration = Duration::from_millis(500);
/// Where the terminal does not say how large it is.
const DEFAULT_SIZE: (u16, u16) = (80, 24);
/// Lines of a frame besides the rows: status, blank, header, the row of what is not shown, and the
/// one the cursor stands on.
const FRAME_LINES: usize = 5;

const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const CLEAR_BELOW: &str = "\x1b[J";

/// A table of the spans so far, on a terminal. It keeps the terminal in its normal mode: whatever
/// ends the program leaves nothing to be repaired.
pub struct TerminalSink<W> {
    writer: W,
    size: fn() -> Option<(u16, u16)>,
    color: bool,
    summary: Summary,
    started: Instant,
    drawn: Option<Instant>,
    /// Lines of the frame that stands on the terminal.
    lines: usize,
    counts: SinkCounts,
    failure: Option<SinkError>,
}

impl<W> std::fmt::Debug for TerminalSink<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TerminalSink")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Columns and rows of the terminal on standard output.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// <https://no-color.org>: any value that is not empty.
pub(crate) fn wants_color(terminal: bool) -> bool {
    let is = |name, test: fn(&str) -> bool| {
        std::env::var_os(name).is_some_and(|value| test(&value.to_string_lossy()))
    };
    terminal && !is("NO_COLOR", |value| !value.is_empty()) && !is("TERM", |value| value == "dumb")
}

impl TerminalSink<Stdout> {
    /// Draws on standard output, which is to be a terminal.
    #[must_use]
    pub fn new() -> Self {
        let stdout = io::stdout();
        let color = wants_color(stdout.is_terminal());
        Self::on(stdout, size, color)
    }
}

impl Default for TerminalSink<Stdout> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Write + Send> TerminalSink<W> {
    /// `size` is asked before each frame.
    pub fn on(writer: W, size: fn() -> Option<(u16, u16)>, color: bool) -> Self {
        Self {
            writer,
            size,
            color,
            summary: Summary::default(),
            started: Instant::now(),
            drawn: None,
            lines: 0,
            counts: SinkCounts::default(),
            failure: None,
        }
    }

    fn draw(&mut self) -> Result<(), SinkError> {
        let (columns, rows) = (self.size)().unwrap_or(DEFAULT_SIZE);
        let layout = Layout {
            width: Some(columns),
            rows: Some(usize::from(rows).saturating_sub(FRAME_LINES).max(1)),
            color: self.color,
            now_unix_nano: now_unix_nano(),
        };
        let mut frame = self.status();
        if self.summary.spans() > 0 {
            frame.push_str("\n\n");
            frame.push_str(&render(&self.summary, &layout));
        }
        let lines = frame.lines().count();
        self.erase()
            .and_then(|()| writeln!(self.writer, "{NO_WRAP}{frame}{WRAP}"))
            .and_then(|()| self.writer.flush())
            .map_err(|error| self.failed(&error))?;
        self.lines = lines;
        self.drawn = Some(Instant::now());
        Ok(())
    }

    /// Moves to the first line of the frame and clears all of it.
    fn erase(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.lines) {
            0 => Ok(()),
            lines => write!(self.writer, "\x1b[{lines}A\r{CLEAR_BELOW}"),
        }
    }

    fn status(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        let (spans, errors) = (self.summary.spans(), self.summary.errors());
        if spans == 0 {
            format!(" watching for {seconds} s, no request seen yet")
        } else {
            format!(" watching for {seconds} s: {spans} spans, {errors} errors")
        }
    }

    fn failed(&mut self, error: &io::Error) -> SinkError {
        let what = "cannot draw on the terminal";
        let failure = if error.kind() == ErrorKind::BrokenPipe {
            SinkError::closed(what)
        } else {
            SinkError::new(what, error, "choose another output")
        };
        self.failure = Some(failure.clone());
        failure
    }
}

fn now_unix_nano() -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(now.as_nanos()).ok()
}

impl<W: Write + Send> Sink for TerminalSink<W> {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn publish(&mut self, spans: &[Arc<Span>]) -> Result<(), SinkError> {
        if let Some(failure) = &self.failure {
            self.counts.dropped += spans.len() as u64;
            return Err(failure.clone());
        }
        for span in spans {
            self.summary.add(span);
        }
        self.counts.delivered += spans.len() as u64;
        Ok(())
    }

    fn tick(&mut self) -> Result<(), SinkError> {
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            self.draw()
        } else {
            Ok(())
        }
    }

    /// The live table gives way to the whole one.
    fn drain(&mut self, _limit: Duration) -> Result<(), SinkError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let width = Some((self.size)().unwrap_or(DEFAULT_SIZE).0);
        let layout = Layout {
            width,
            color: self.color,
            ..Layout::default()
        };
        let mut end = self.status();
        if self.summary.spans() > 0 {
            end.push_str("\n\n");
            end.push_str(&render(&self.summary, &layout));
        }
        self.erase()
            .and_then(|()| writeln!(self.writer, "{end}"))
            .and_then(|()| self.writer.flush())
            .map_err(|error| self.failed(&error))
    }

    fn counts(&self) -> SinkCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::span;

    fn spans(count: usize) -> Vec<Arc<Span>> {
        (0..count)
            .map(|n| Arc::new(span("nginx", "GET", &format!("/{n}"), 1)))
            .collect()
    }

    #[test]
    fn a_frame_replaces_the_one_before_and_fits_the_terminal() {
        let mut out = Vec::new();
        let mut sink = TerminalSink::on(&mut out, || Some((80, 10)), false);
        sink.tick().unwrap();
        assert_eq!(sink.lines, 1);
        sink.publish(&spans(100)).unwrap();
        // Just now, however long it took to come here.
        sink.drawn = Some(Instant::now() + REDRAW);
        sink.tick().unwrap();
        assert_eq!(sink.lines, 1, "not redrawn at once");
        sink.drawn = None;
        sink.tick().unwrap();
        assert_eq!(sink.lines, 9, "all but the line the cursor stands on");
        sink.drain(Duration::ZERO).unwrap();
        assert_eq!(
            sink.counts(),
            SinkCounts {
                delivered: 100,
                dropped: 0
            }
        );
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("no request seen yet"), "{text}");
        assert!(text.contains("\x1b[1A\r\x1b[J"), "{text}");
        assert!(text.contains("\x1b[9A\r\x1b[J"), "{text}");
        let end = text.rsplit(CLEAR_BELOW).next().unwrap();
        assert_eq!(
            end.lines().count(),
            103,
            "status, blank, header and all rows: {end}"
        );
        assert!(!end.contains('\x1b'), "{end}");
        assert!(end.contains("100 spans, 0 errors"), "{end}");
    }

    #[test]
    fn a_terminal_of_unknown_or_no_size_is_drawn_on() {
        for size in [|| None, || Some((1, 1)), || Some((u16::MAX, u16::MAX))] {
            let mut out = Vec::new();
            let mut sink = TerminalSink::on(&mut out, size, true);
            sink.publish(&spans(30)).unwrap();
            sink.tick().unwrap();
            sink.drain(Duration::ZERO).unwrap();
            assert!(!out.is_empty());
        }
    }

    #[test]
    fn a_terminal_that_is_gone_ends_the_sink() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut sink = TerminalSink::on(Gone, || None, false);
        assert!(sink.tick().unwrap_err().closed);
        assert!(sink.publish(&spans(2)).is_err());
        assert!(sink.drain(Duration::ZERO).is_err());
        assert_eq!(
            sink.counts(),
            SinkCounts {
                delivered: 0,
                dropped: 2
            }
        );
    }
}
