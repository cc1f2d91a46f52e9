//! What can go wrong in a parser's instance. Each costs the instance.

use wasmtime::Trap;

use crate::instance::Guest;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it used more CPU time than its budget")]
    Deadline,
    #[error("it used more memory than its limit")]
    Memory,
    #[error("its stack overflowed")]
    Stack,
    #[error("it trapped: {0}")]
    Trap(String),
    #[error("its answer makes no sense: {0}")]
    Nonsense(&'static str),
    /// No fault of the parser: the pool is exhausted, or memory.
    #[error("no instance of it could be made: {0}")]
    Unavailable(String),
}

/// Ends a call from the epoch callback.
#[derive(Debug, thiserror::Error)]
#[error("out of CPU time")]
pub(crate) struct OutOfTime;

impl Fault {
    pub(crate) fn from_call(error: &wasmtime::Error, guest: &Guest) -> Self {
        if error.downcast_ref::<OutOfTime>().is_some() {
            return Self::Deadline;
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Self::Stack,
            // An allocator that is refused memory ends in `unreachable`.
            Some(_) if guest.refused => Self::Memory,
            Some(trap) => Self::Trap(trap.to_string()),
            // What is not a trap is the host's refusal of what came back: lists out of bounds,
            // unknown enum values, more than the fuel allows.
            None => Self::Nonsense("it cannot be read as the contract has it"),
        }
    }

    /// Name of the counter.
    pub(crate) const fn cause(&self) -> usize {
        match self {
            Self::Deadline => 0,
            Self::Memory => 1,
            Self::Stack => 2,
            Self::Trap(_) => 3,
            Self::Nonsense(_) => 4,
            Self::Unavailable(_) => 5,
        }
    }

    pub(crate) const CAUSES: [&'static str; 6] = [
        "deadline",
        "memory",
        "stack",
        "trap",
        "nonsense",
        "unavailable",
    ];
}
