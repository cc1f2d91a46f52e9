//! What passed on a connection, as a test writes it down.

use std::fmt;

use crate::{Cause, Side, fact};

/// One thing that happened, at a time in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Data {
        side: Side,
        time: u64,
        bytes: Vec<u8>,
    },
    Gap {
        side: Side,
        time: u64,
        len: u64,
        cause: Cause,
    },
    GapUnknown {
        side: Side,
        time: u64,
        cause: Cause,
    },
    End {
        side: Side,
        time: u64,
    },
    Close {
        time: u64,
        cause: Cause,
    },
    /// Nothing but time passes.
    Pause {
        time: u64,
    },
}

impl Step {
    /// When it happened.
    #[must_use]
    pub fn time(&self) -> u64 {
        match self {
            Self::Data { time, .. }
            | Self::Gap { time, .. }
            | Self::GapUnknown { time, .. }
            | Self::End { time, .. }
            | Self::Close { time, .. }
            | Self::Pause { time } => *time,
        }
    }
}

/// A connection from its opening on. Each step added comes one microsecond after the one before.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub observed: Side,
    /// Key, number, text.
    pub facts: Vec<(u16, u64, Vec<u8>)>,
    pub steps: Vec<Step>,
    /// Position of the first byte of either side.
    pub positions: [u64; 2],
    time: u64,
}

/// Time between two steps: one microsecond.
const TICK: u64 = 1000;

impl Default for Conversation {
    fn default() -> Self {
        Self {
            observed: Side::Server,
            facts: Vec::new(),
            steps: Vec::new(),
            positions: [0, 0],
            time: TICK,
        }
    }
}

impl Conversation {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Joined after its beginning.
    #[must_use]
    pub fn mid_stream() -> Self {
        Self {
            positions: [5000, 70_000],
            ..Self::default()
        }
        .fact(fact::MID_STREAM, 1, "")
    }

    /// Observed at this end; the server's where nothing is said.
    #[must_use]
    pub fn observed(mut self, side: Side) -> Self {
        self.observed = side;
        self
    }

    #[must_use]
    pub fn fact(mut self, key: u16, number: u64, text: &str) -> Self {
        self.facts.push((key, number, text.into()));
        self
    }

    #[must_use]
    pub fn client(self, bytes: impl AsRef<[u8]>) -> Self {
        self.data(Side::Client, bytes)
    }

    #[must_use]
    pub fn server(self, bytes: impl AsRef<[u8]>) -> Self {
        self.data(Side::Server, bytes)
    }

    #[must_use]
    pub fn data(mut self, side: Side, bytes: impl AsRef<[u8]>) -> Self {
        let time = self.tick();
        self.steps.push(Step::Data {
            side,
            time,
            bytes: bytes.as_ref().into(),
        });
        self
    }

    /// `len` bytes that were lost.
    #[must_use]
    pub fn gap(mut self, side: Side, len: u64) -> Self {
        let time = self.tick();
        self.steps.push(Step::Gap {
            side,
            time,
            len,
            cause: Cause::Lost,
        });
        self
    }

    #[must_use]
    pub fn gap_unknown(mut self, side: Side) -> Self {
        let time = self.tick();
        self.steps.push(Step::GapUnknown {
            side,
            time,
            cause: Cause::Lost,
        });
        self
    }

    #[must_use]
    pub fn end(mut self, side: Side) -> Self {
        let time = self.tick();
        self.steps.push(Step::End { side, time });
        self
    }

    #[must_use]
    pub fn close(mut self, cause: Cause) -> Self {
        let time = self.tick();
        self.steps.push(Step::Close { time, cause });
        self
    }

    /// Time passes.
    #[must_use]
    pub fn pause(mut self, nanos: u64) -> Self {
        self.time += nanos;
        let time = self.tick();
        self.steps.push(Step::Pause { time });
        self
    }

    fn tick(&mut self) -> u64 {
        let time = self.time;
        self.time += TICK;
        time
    }
}

/// Characters of a step's bytes that are shown.
const SHOWN: usize = 120;

/// A line for each step: what a failing test prints.
impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                Step::Data { side, time, bytes } => {
                    let text: String = bytes
                        .escape_ascii()
                        .to_string()
                        .chars()
                        .take(SHOWN)
                        .collect();
                    writeln!(
                        f,
                        "  {number} at {time}: {side:?} {} bytes {text}",
                        bytes.len()
                    )?;
                }
                other => writeln!(f, "  {number} {other:?}")?,
            }
        }
        Ok(())
    }
}
