//! Programs for functions of user space: how they come into the kernel, and how they are put on places
//! of a file.
//!
//! A `uprobe_multi` link (Linux 6.6) puts one program on many places at once and lets go of all of them
//! in one grace period of the kernel, where each perf event waits for one of its own: a tenth of a second,
//! under a lock. aya knows only perf events, and programs have to be loaded for the one or the other; so
//! those for links are loaded by [`Code`].

use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use aya::Ebpf;
use aya::maps::{Map, MapData};
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};

use super::bpf::{self, Moment, ProgramKind};
use super::code::Code;
use super::deny;
use super::library::{TlsFunction, TlsLibrary};
use super::links::Links;
use super::load::reason;
use super::probes::GoesOn;
use super::trials;

/// By what programs are kept at their places in user space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UprobeMeans {
    /// No program is.
    #[default]
    None,
    /// One link for all places of a program in a file.
    Links,
    /// One perf event for each place, of some programs at least.
    PerfEvents,
}

/// The programs, and the kernel side that they are part of.
pub(super) struct Uprobes {
    ebpf: Ebpf,
    /// Those for links; the others are attached by perf events.
    linked: HashMap<&'static str, OwnedFd>,
    /// Arrays of programs that those go on with: the kernel empties one that nobody holds.
    arrays: Vec<OwnedFd>,
    means: UprobeMeans,
    /// The only process that links are for.
    only: Option<u32>,
}

/// A kernel before this one may take the number of a process for that of a thread.
const KNOWS_PROCESSES: (u32, u32) = (6, 12);

/// The only process that may be observed, where there is one and links can be for it alone: then no other
/// one that has mapped the same library runs into a probe only to be let through.
pub(super) fn only_process(pids: &[u32]) -> Option<u32> {
    match pids {
        [pid]
            if version(&deny::release()) >= Some(KNOWS_PROCESSES)
                && trials::has_process_ids_of_the_node() =>
        {
            Some(*pid)
        }
        _ => None,
    }
}

/// The first two numbers of a release of the kernel.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl std::fmt::Debug for Uprobes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Uprobes")
            .field("means", &self.means)
            .finish_non_exhaustive()
    }
}

/// One program, and where in a file it goes.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    program: &'static str,
    moment: Moment,
    offsets: Vec<u64>,
}

impl Uprobes {
    /// Takes over the kernel side, whose other programs are attached already.
    /// `only`: see [`only_process`].
    pub(super) fn new(ebpf: Ebpf, only: Option<u32>) -> Self {
        Self {
            ebpf,
            only,
            linked: HashMap::new(),
            arrays: Vec::new(),
            means: UprobeMeans::None,
        }
    }

    /// How those that are loaded are attached.
    pub(super) fn means(&self) -> UprobeMeans {
        self.means
    }

    /// Loads programs: for links, where there is code for them. `goes_on`: the one among them that another
    /// goes on with.
    pub(super) fn load(
        &mut self,
        code: Option<&Code>,
        names: &[&'static str],
        goes_on: Option<GoesOn>,
    ) -> Result<(), String> {
        if let Some(code) = code {
            match self.load_linked(code, names, goes_on) {
                Ok(()) => {
                    if self.means == UprobeMeans::None {
                        self.means = UprobeMeans::Links;
                    }
                    return Ok(());
                }
                Err(why) => tracing::warn!(why, "attached by perf events, not by links"),
            }
        }
        for name in names {
            program(&mut self.ebpf, name)?
                .load()
                .map_err(|error| reason(&error))?;
        }
        if let Some(goes_on) = goes_on {
            let program = program(&mut self.ebpf, goes_on.program)?.fd();
            let program = program.and_then(|program| Ok(program.try_clone()?));
            let program = program.map_err(|error| reason(&error))?;
            let array = array(&self.ebpf, goes_on.array)?.fd().as_fd();
            bpf::set_program(array, 0, program.as_fd()).map_err(|error| reason(&error))?;
        }
        self.means = UprobeMeans::PerfEvents;
        Ok(())
    }

    /// Loads programs for links. Those that go on with one another have an array of their own: the kernel
    /// lets no other programs share one, such as the same for perf events.
    fn load_linked(
        &mut self,
        code: &Code,
        names: &[&'static str],
        goes_on: Option<GoesOn>,
    ) -> Result<(), String> {
        let mut own = None;
        let mut swap = None;
        if let Some(goes_on) = goes_on {
            let made =
                bpf::create_table(bpf::MAP_PROGRAMS, 4, 4, 1).map_err(|error| reason(&error))?;
            let named = array(&self.ebpf, goes_on.array)?.fd().as_fd();
            swap = Some((named.as_raw_fd(), made.as_raw_fd()));
            own = Some((goes_on.program, made));
        }
        let mut programs = HashMap::new();
        for &name in names {
            programs.insert(name, code.load(name, ProgramKind::LinkedProbe, swap)?);
        }
        if let Some((name, array)) = own {
            let program = programs
                .get(name)
                .ok_or_else(|| format!("{name} is not among the programs"))?;
            bpf::set_program(array.as_fd(), 0, program.as_fd()).map_err(|error| reason(&error))?;
            self.arrays.push(array);
        }
        self.linked.extend(programs);
        Ok(())
    }

    /// Puts the programs for all functions of a library on their places. All or nothing: half of a
    /// library would show half of a conversation.
    pub(super) fn attach(&mut self, library: &TlsLibrary) -> Result<Links, String> {
        let mut links = Links::default();
        for places in places(&library.functions) {
            match self.linked.get(places.program) {
                Some(program) => {
                    let path = CString::new(OsString::from(&library.path).into_vec())
                        .map_err(|error| reason(&error))?;
                    let link = |process| {
                        let program = program.as_fd();
                        bpf::link_uprobes(program, &path, &places.offsets, places.moment, process)
                    };
                    // One that has ended, or that is still to come.
                    let link = match link(self.only) {
                        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => link(None),
                        made => made,
                    };
                    links.push(link.map_err(|error| format!("{}: {error}", places.program))?);
                }
                None => self.attach_events(library, &places, &mut links)?,
            }
        }
        Ok(links)
    }

    fn attach_events(
        &mut self,
        library: &TlsLibrary,
        places: &Places,
        links: &mut Links,
    ) -> Result<(), String> {
        let program = program(&mut self.ebpf, places.program)?;
        for &offset in &places.offsets {
            let id = program
                .attach(
                    UProbeAttachLocation::AbsoluteOffset(offset),
                    &library.path,
                    UProbeScope::AllProcesses,
                )
                .map_err(|error| reason(&error))?;
            links.push(program.take_link(id).map_err(|error| reason(&error))?);
        }
        Ok(())
    }
}

/// A program for functions of user space, as aya has it.
fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe, String> {
    ebpf.program_mut(name)
        .ok_or_else(|| format!("the kernel side has no program {name}"))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| reason(&error))
}

/// An array of programs that others go on with.
fn array<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a MapData, String> {
    match ebpf.map(name) {
        Some(Map::ProgramArray(array)) => Ok(array),
        _ => Err(format!("the kernel side has no array of programs {name}")),
    }
}

/// The programs for a function: at its entry, and at its return.
fn programs(function: TlsFunction) -> (&'static str, Option<&'static str>) {
    match function {
        TlsFunction::Read => ("tls_read", Some("tls_return")),
        TlsFunction::ReadEx | TlsFunction::ReadInner => ("tls_read_ex", Some("tls_return")),
        TlsFunction::Write => ("tls_write", Some("tls_return")),
        TlsFunction::WriteEx | TlsFunction::WriteInner => ("tls_write_ex", Some("tls_return")),
        TlsFunction::WriteInnerFlags => ("tls_write_flags", Some("tls_return")),
        TlsFunction::ReadPacket => ("tls_read_packet", Some("tls_return")),
        TlsFunction::SendFile => ("tls_send_file", Some("tls_return")),
        TlsFunction::Handshake => ("tls_handshake", Some("tls_handshake_return")),
        TlsFunction::Output => ("tls_output", None),
        TlsFunction::Free => ("tls_free", None),
        // Never a return probe on Go: its stacks move.
        TlsFunction::GoRead => ("go_read", None),
        TlsFunction::GoWrite => ("go_write", None),
        TlsFunction::GoHandshake => ("go_handshake", None),
        TlsFunction::GoReturn => ("go_return", None),
        // Nor on Rust: a panic could not be unwound through one.
        TlsFunction::RecordSeal => ("rustls_seal", None),
        TlsFunction::RecordSealed => ("rustls_sealed", None),
        TlsFunction::RecordOpen => ("rustls_open", None),
        TlsFunction::RecordOpened => ("rustls_opened", None),
    }
}

/// What goes where, each program once. Returns come first: they do nothing without the entries, but an
/// entry without its return would leave calls behind. Entries are in the order of the functions.
fn places(functions: &[(TlsFunction, u64)]) -> Vec<Places> {
    let mut all: Vec<Places> = Vec::new();
    let mut add = |program, moment, offset| {
        let known = all
            .iter_mut()
            .find(|places| places.program == program && places.moment == moment);
        match known {
            // One function can have two names.
            Some(places) if places.offsets.contains(&offset) => {}
            Some(places) => places.offsets.push(offset),
            None => all.push(Places {
                program,
                moment,
                offsets: vec![offset],
            }),
        }
    };
    for &(function, offset) in functions {
        if let (_, Some(exit)) = programs(function) {
            add(exit, Moment::Return, offset);
        }
    }
    for &(function, offset) in functions {
        add(programs(function).0, Moment::Entry, offset);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_two_numbers_that_count() {
        for (release, numbers) in [
            ("6.18.44", Some((6, 18))),
            ("5.10.0-32-cloud-amd64", Some((5, 10))),
            ("7.3+x", Some((7, 3))),
            ("6", None),
            ("", None),
            ("next-6.1", None),
        ] {
            assert_eq!(version(release), numbers, "{release}");
        }
        assert_eq!(only_process(&[]), None);
        assert_eq!(only_process(&[1, 2]), None);
    }

    #[test]
    fn each_program_has_all_of_its_places_and_returns_come_first() {
        let functions = [
            (TlsFunction::Free, 1),
            (TlsFunction::Handshake, 2),
            (TlsFunction::Read, 3),
            (TlsFunction::ReadEx, 4),
            (TlsFunction::Write, 5),
            (TlsFunction::Read, 6),
            (TlsFunction::Read, 3),
        ];
        let all = places(&functions);
        let told: Vec<_> = all
            .iter()
            .map(|places| (places.program, places.moment, places.offsets.as_slice()))
            .collect();
        assert_eq!(
            told,
            [
                ("tls_handshake_return", Moment::Return, &[2][..]),
                ("tls_return", Moment::Return, &[3, 4, 5, 6]),
                ("tls_free", Moment::Entry, &[1]),
                ("tls_handshake", Moment::Entry, &[2]),
                ("tls_read", Moment::Entry, &[3, 6]),
                ("tls_read_ex", Moment::Entry, &[4]),
                ("tls_write", Moment::Entry, &[5]),
            ]
        );
    }

    #[test]
    fn programs_made_by_go_get_no_return_probe() {
        let functions = [
            (TlsFunction::GoReturn, 1),
            (TlsFunction::GoReturn, 2),
            (TlsFunction::GoRead, 3),
            (TlsFunction::GoWrite, 4),
            (TlsFunction::GoHandshake, 5),
            (TlsFunction::GoHandshake, 6),
        ];
        let all = places(&functions);
        assert!(all.iter().all(|places| places.moment == Moment::Entry));
        assert_eq!(all.first().map(|places| places.program), Some("go_return"));
        assert_eq!(all.len(), 4);
    }
}
