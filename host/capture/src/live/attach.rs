//! Programs onto their places, each set on its own: one that cannot be attached is told and left out.

use std::os::fd::AsFd;
use std::time::Instant;

use aya::Ebpf;
use aya::maps::{MapData, ProgramArray};
use aya::programs::TracePoint;
use wirespan_events::config::more;

use super::bpf;
use super::btf::Btf;
use super::code::Code;
use super::config::{CallPlaces, LiveConfig, LiveReport, ProbeSet};
use super::functions::{self, Attached, Functions};
use super::later::Later;
use super::links::Links;
use super::load::{borrow, reason};
use super::offsets::Offsets;
use super::probes::{
    Attachment, FUNCTION_SET, GO_GOES_ON, GO_PROGRAMS, GO_SET, MORE_SET, QUESTION_SET,
    RUSTLS_PROGRAMS, RUSTLS_SET, SETS, Set, TLS_PROGRAMS, TLS_SET,
};
use super::question::Question;
use super::tracefs::Tracefs;
use super::uprobes::Uprobes;
use crate::error::CaptureError;

/// Attaches each set on its own; one that cannot be attached is reported and left out.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    tracefs: &Tracefs,
    report: &mut LiveReport,
    mut later: Option<&mut Later>,
) -> Result<Links, CaptureError> {
    let mut links = Links::default();
    let at_functions = report.calls == CallPlaces::Functions;
    if at_functions {
        report.sets.push(ProbeSet {
            name: FUNCTION_SET,
            left_out: None,
            without: "calls",
        });
    }
    for set in SETS
        .iter()
        .filter(|set| !(at_functions && set.is_of_system_calls()))
    {
        let started = Instant::now();
        let later = later.as_deref_mut().filter(|_| set.is_of_unix_sockets());
        let left_out = match attach_set(ebpf, tracefs, set, later) {
            Ok(attached) => {
                tracing::debug!(set = set.name, took = ?started.elapsed(), "probe set attached");
                links.take_over(attached);
                None
            }
            Err(why) => Some(why),
        };
        if let Some(why) = &left_out {
            tracing::warn!(set = set.name, why, "probe set left out");
        }
        report.sets.push(ProbeSet {
            name: set.name,
            left_out,
            without: set.without,
        });
    }
    let carrying = |report: &&ProbeSet| {
        SETS.iter()
            .any(|set| set.name == report.name && set.carries_bytes)
    };
    if at_functions {
        return Ok(links);
    }
    if report
        .sets
        .iter()
        .filter(carrying)
        .all(|set| set.left_out.is_some())
    {
        let why = report
            .sets
            .iter()
            .rev()
            .find_map(|set| set.left_out.clone());
        return Err(CaptureError::Kernel {
            what: "no probe on a system call could be attached".to_owned(),
            reason: why.unwrap_or_default(),
            remedy: "run as root, or with the capabilities BPF and PERFMON; `wirespan doctor` shows what this kernel allows".to_owned(),
        });
    }
    Ok(links)
}

/// Puts programs on the functions of sockets, if they are to be there and can be; else why not.
pub(super) fn at_functions(
    config: &LiveConfig,
    object: &[u8],
    btf: &Btf,
    offsets: &Offsets,
    ebpf: &Ebpf,
) -> Result<Result<Attached, String>, CaptureError> {
    if config.calls == CallPlaces::SystemCalls {
        return Ok(Err("turned off (capture.calls)".to_owned()));
    }
    let attached = functions::allowed(btf, offsets, config.calls).and_then(|()| {
        Functions::read(object, ebpf)
            .and_then(|functions| functions.attach(btf))
            .inspect_err(|why| {
                // `wirespan doctor` tries a small program only, and says that this kernel can do it.
                tracing::warn!(
                    why,
                    "this kernel allows programs at functions of sockets, but not ours"
                );
            })
    });
    match attached {
        Err(why) if config.calls == CallPlaces::Functions => Err(CaptureError::Kernel {
            what: "calls cannot be looked at where the functions of sockets are".to_owned(),
            reason: why,
            remedy: "set capture.calls to `auto` or `tracepoints`".to_owned(),
        }),
        attached => Ok(attached),
    }
}

/// Loads the program that is asked about sockets.
pub(super) fn load_question(ebpf: &mut Ebpf, report: &mut LiveReport) -> Option<Question> {
    let loaded = Question::load(ebpf);
    if let Err(why) = &loaded {
        tracing::warn!(set = QUESTION_SET, why, "probe set left out");
        report.sets.push(ProbeSet {
            name: QUESTION_SET,
            left_out: Some(why.clone()),
            without: "the end of connections where the kernel has skipped a program",
        });
    }
    loaded.ok()
}

/// `later`: takes the programs instead.
fn attach_set(
    ebpf: &mut Ebpf,
    tracefs: &Tracefs,
    set: &Set,
    mut later: Option<&mut Later>,
) -> Result<Links, String> {
    let mut links = Links::default();
    for Attachment {
        category, event, ..
    } in set.attachments
    {
        if !tracefs.has_event(category, event) {
            return Err(format!("this kernel has no trace point {category}:{event}"));
        }
    }
    for Attachment {
        program,
        category,
        event,
    } in set.attachments
    {
        let program: &mut TracePoint = ebpf
            .program_mut(program)
            .ok_or_else(|| format!("the kernel side has no program {program}"))?
            .try_into()
            .map_err(|error: aya::programs::ProgramError| reason(&error))?;
        if program.fd().is_err() {
            program.load().map_err(|error| reason(&error))?;
        }
        if let Some(later) = later.as_deref_mut() {
            let found = tracefs.event(category, event);
            let found = found.ok_or_else(|| format!("{category}:{event} has no number"))?;
            let fd = program.fd().map_err(|error| reason(&error))?.as_fd();
            let fd = fd.try_clone_to_owned().map_err(|error| reason(&error))?;
            later.push(fd, found.id);
            continue;
        }
        let id = program
            .attach(category, event)
            .map_err(|error| reason(&error))?;
        links.push(program.take_link(id).map_err(|error| reason(&error))?);
    }
    Ok(links)
}

/// Loads the programs that go on with calls of many pieces. Without them what one program cannot
/// copy is a gap.
pub(super) fn load_more(ebpf: &mut Ebpf, report: &mut LiveReport) {
    let left_out = try_load_more(ebpf).err();
    if let Some(why) = &left_out {
        tracing::warn!(set = MORE_SET, why, "probe set left out");
    }
    report.sets.push(ProbeSet {
        name: MORE_SET,
        left_out,
        without: "what a call moves beyond its first 96 pieces",
    });
}

fn try_load_more(ebpf: &mut Ebpf) -> Result<(), String> {
    for (index, name) in (0..).zip(more::NAMES) {
        let program: &mut TracePoint = ebpf
            .program_mut(name)
            .ok_or_else(|| format!("the kernel side has no program {name}"))?
            .try_into()
            .map_err(|error: aya::programs::ProgramError| reason(&error))?;
        program.load().map_err(|error| reason(&error))?;
        let fd = program.fd().map_err(|error| reason(&error))?;
        let fd = fd.try_clone().map_err(|error| reason(&error))?;
        let mut slots: ProgramArray<&mut MapData> =
            borrow(ebpf, "MORE").map_err(|error| reason(&error))?;
        slots.set(index, &fd, 0).map_err(|error| reason(&error))?;
    }
    Ok(())
}

/// The programs for TLS libraries as links need them, where the kernel has links.
pub(super) fn uprobe_code(object: &[u8], ebpf: &Ebpf) -> Option<Code> {
    if !bpf::has_uprobe_links() {
        return None;
    }
    let code = Code::read(object, ebpf, &[TLS_PROGRAMS, GO_PROGRAMS, RUSTLS_PROGRAMS]);
    code.inspect_err(|why| tracing::warn!(why, "uprobes are attached by perf events, not by links"))
        .ok()
}

/// Loads the programs for TLS libraries, which are attached where such libraries are found. Whether
/// there are any.
pub(super) fn load_tls(
    uprobes: &mut Uprobes,
    code: Option<&Code>,
    report: &mut LiveReport,
) -> bool {
    let mut any = false;
    for (set, programs, goes_on, without) in [
        (
            TLS_SET,
            TLS_PROGRAMS,
            None,
            "the plaintext of TLS libraries",
        ),
        (
            GO_SET,
            GO_PROGRAMS,
            Some(GO_GOES_ON),
            "the plaintext of programs made by Go",
        ),
        (
            RUSTLS_SET,
            RUSTLS_PROGRAMS,
            None,
            "the plaintext of programs with rustls",
        ),
    ] {
        let left_out = uprobes.load(code, programs, goes_on).err();
        if let Some(why) = &left_out {
            tracing::warn!(set, why, "probe set left out");
        }
        any |= left_out.is_none();
        report.sets.push(ProbeSet {
            name: set,
            left_out,
            without,
        });
    }
    any
}
