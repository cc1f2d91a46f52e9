//! Programs that the kernel did not run.
//!
//! A CPU runs one program of a trace point at a time, and skips any other that comes meanwhile: one
//! that interrupts it or, on kernels that preempt programs (from 7.x on), one of another task. Raw trace
//! points are no way around it: there a program is only skipped where it would preempt itself, but one
//! program would have to serve the calls of all tasks. At a function of the kernel a program is skipped
//! only where it is under way itself, and on kernels that preempt there are two of each
//! (`functions.rs`). The kernel counts what it skips.

use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya::programs::Program;

use super::bpf;
use super::functions::Attached;

/// Programs at calls that move bytes begin so.
const CALLS: [&str; 2] = ["enter_", "exit_"];

/// Times that programs were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// At the entry or the exit of a call.
    pub(super) calls: u64,
    /// Elsewhere: where connections change their state, or threads end.
    pub(super) others: u64,
}

/// The programs, those together that stand in for one another.
#[derive(Debug)]
pub(super) struct Skipped {
    calls: Vec<Vec<OwnedFd>>,
    others: Vec<Vec<OwnedFd>>,
}

impl Skipped {
    /// Those that are loaded now; `functions` are those at functions of the kernel.
    pub(super) fn of(ebpf: &Ebpf, functions: Attached) -> Self {
        let trace_points = ebpf
            .programs()
            .filter(|(_, program)| matches!(program, Program::TracePoint(_)));
        let descriptors = trace_points.filter_map(|(name, program)| {
            let descriptor = program.fd().ok()?.as_fd().try_clone_to_owned().ok()?;
            Some((name, descriptor))
        });
        let (calls, others): (Vec<_>, Vec<_>) =
            descriptors.partition(|(name, _)| CALLS.iter().any(|call| name.starts_with(call)));
        let only = |named: Vec<(&str, OwnedFd)>| -> Vec<Vec<OwnedFd>> {
            named.into_iter().map(|(_, fd)| vec![fd]).collect()
        };
        let with = |mut some: Vec<Vec<OwnedFd>>, more| {
            some.extend(more);
            some
        };
        Self {
            calls: with(only(calls), functions.carrying),
            others: with(only(others), functions.others),
        }
    }

    /// As the kernel has counted; 0 where it does not (before 5.12). Of programs that stand in for one
    /// another, as often at most as the one that was skipped least.
    pub(super) fn times(&self) -> Times {
        let sum = |programs: &[Vec<OwnedFd>]| {
            programs
                .iter()
                .filter_map(|copies| copies.iter().map(|copy| bpf::skipped(copy.as_fd())).min())
                .fold(0, u64::saturating_add)
        };
        Times {
            calls: sum(&self.calls),
            others: sum(&self.others),
        }
    }
}
