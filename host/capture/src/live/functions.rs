//! Programs at functions of the kernel that only sockets reach (fentry and fexit).
//!
//! They see what trace points of system calls do not: io_uring, programs of 32 bits, the pieces of
//! `sendfile`. And they are paid for by calls on sockets alone: where one system call has a trace point,
//! each call of each process takes the kernel's slow road. All or nothing: a call that is seen in two
//! places would be told twice.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use aya::Ebpf;
use aya::maps::Map;

use super::bpf::{self, ProgramKind};
use super::btf::Btf;
use super::code::Code;
use super::config::CallPlaces;
use super::links::Links;
use super::load::reason;
use super::offsets::Offsets;

/// A function, and what runs there.
#[derive(Clone, Copy, Debug)]
struct Place {
    function: &'static str,
    /// How many parameters it has: what it returns lies behind them. 0: what it returns is not looked at.
    parameters: usize,
    presence: Presence,
    entry: Option<&'static str>,
    exit: Option<&'static str>,
    /// Goes on where `exit` has to stop.
    more: Option<&'static str>,
    /// Stands in for `entry` where that was skipped; `exit` does so for itself.
    again: Option<&'static str>,
}

/// Whether a kernel has a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// Without it something would not be seen that the trace points show.
    Always,
    /// Where IPv6 is.
    WithIpv6,
    /// Only in some versions, which have no other road there.
    Sometimes,
}

const fn data(
    function: &'static str,
    parameters: usize,
    presence: Presence,
    [entry, exit, more, again]: [&'static str; 4],
) -> Place {
    Place {
        function,
        parameters,
        presence,
        entry: Some(entry),
        exit: Some(exit),
        more: Some(more),
        again: Some(again),
    }
}

const fn pages(function: &'static str, entry: &'static str) -> Place {
    Place {
        function,
        parameters: 5,
        presence: Presence::Sometimes,
        entry: Some(entry),
        exit: Some("socket_moved"),
        more: None,
        again: None,
    }
}

const fn entry(function: &'static str, program: &'static str) -> Place {
    Place {
        function,
        parameters: 0,
        presence: Presence::Always,
        entry: Some(program),
        exit: None,
        more: None,
        again: None,
    }
}

const fn exit(function: &'static str, program: &'static str) -> Place {
    Place {
        function,
        parameters: 0,
        presence: Presence::Always,
        entry: None,
        exit: Some(program),
        more: None,
        again: None,
    }
}

const SENDS: [&str; 4] = [
    "socket_sends",
    "socket_sent",
    "socket_sent_more",
    "socket_sends_again",
];
const RECEIVES: [&str; 4] = [
    "socket_receives",
    "socket_received",
    "socket_received_more",
    "socket_receives_again",
];

/// Those that say who connects before those that carry bytes.
const PLACES: &[Place] = &[
    exit("inet_accept", "socket_accepted"),
    exit("unix_accept", "socket_accepted"),
    entry("inet_stream_connect", "socket_connects"),
    entry("unix_stream_connect", "socket_connects"),
    entry("unix_socketpair", "sockets_pair"),
    entry("unix_release", "socket_ends"),
    entry("unix_shutdown", "socket_shuts_down"),
    // `sendfile` and `splice` before 6.5, later they send messages.
    pages("inet_sendpage", "socket_sends_page"),
    pages("unix_stream_sendpage", "socket_sends_page"),
    pages("tcp_splice_read", "socket_splices"),
    pages("unix_stream_splice_read", "socket_splices"),
    data("inet_sendmsg", 3, Presence::Always, SENDS),
    data("inet_recvmsg", 4, Presence::Always, RECEIVES),
    data("inet6_sendmsg", 3, Presence::WithIpv6, SENDS),
    data("inet6_recvmsg", 4, Presence::WithIpv6, RECEIVES),
    data("unix_stream_sendmsg", 3, Presence::Always, SENDS),
    data("unix_stream_recvmsg", 4, Presence::Always, RECEIVES),
];

/// All programs that are loaded for functions.
const PROGRAMS: &[&str] = &[
    "socket_sends",
    "socket_sent",
    "socket_sent_more",
    "socket_sends_again",
    "socket_receives",
    "socket_receives_again",
    "socket_received",
    "socket_received_more",
    "socket_sends_page",
    "socket_splices",
    "socket_moved",
    "socket_accepted",
    "socket_connects",
    "sockets_pair",
    "socket_ends",
    "socket_shuts_down",
];

/// What the programs must know beyond what all others do.
const OFFSETS: [&str; 5] = [
    "OFF_ITER_TYPE",
    "OFF_ITER_OFFSET",
    "OFF_ITER_PIECES",
    "OFF_ITER_COUNT",
    "ITER_IS_PIECES",
];

/// The programs, not in the kernel yet.
pub(super) struct Functions {
    code: Code,
    /// The map that stands for each function's own programs that go on.
    more: RawFd,
}

/// The programs at their places.
#[derive(Debug, Default)]
pub(super) struct Attached {
    pub(super) links: Links,
    /// Those that move bytes; together, those that stand in for one another.
    pub(super) carrying: Vec<Vec<OwnedFd>>,
    pub(super) others: Vec<Vec<OwnedFd>>,
}

/// Kernels before 6.5 have it: `sendfile` and `splice` come to a socket by a road of their own there.
const ROAD_OF_PAGES: &str = "inet_sendpage";

/// Whether this kernel has the functions, and lets programs be loaded for them. Nothing is attached.
///
/// # Errors
/// Why not.
pub(super) fn allowed(btf: &Btf, offsets: &Offsets, wanted: CallPlaces) -> Result<(), String> {
    // What is told of that road has been compared with what was sent by trace points only (docs/storm.md).
    if wanted == CallPlaces::Auto && btf.function(ROAD_OF_PAGES).is_some() {
        return Err(format!(
            "pages are sent by {ROAD_OF_PAGES} in this kernel (before 6.5), where programs at functions are not proven"
        ));
    }
    let id = |place: &Place| find(btf, place).map(|found| found.unwrap_or_default());
    let mut first = None;
    for place in PLACES {
        let id = id(place)?;
        if place.presence == Presence::Always {
            first = Some(id);
        }
    }
    for global in OFFSETS {
        if offsets.get(global).is_none() {
            let why = offsets
                .missing
                .iter()
                .find(|missing| missing.global == global)
                .map_or_else(|| global.to_owned(), |missing| missing.reason.clone());
            return Err(why);
        }
    }
    if !is_read_at_once(offsets) {
        return Err("`msg_iter` has another form in this kernel".to_owned());
    }
    let id = first.unwrap_or_default();
    let tried = bpf::load(ProgramKind::FunctionEntry(id))
        .and_then(|_| bpf::load(ProgramKind::FunctionReturn(id)));
    tried
        .map(drop)
        .map_err(|error| format!("programs at functions are refused: {error}"))
}

/// Whether the members of `msg_iter` lie as the programs read them, which is in one piece.
fn is_read_at_once(offsets: &Offsets) -> bool {
    let distance = |global| {
        let from = offsets.get("OFF_ITER_TYPE")?;
        offsets.get(global)?.checked_sub(from)
    };
    distance("OFF_ITER_OFFSET") == Some(8)
        && matches!(distance("OFF_ITER_PIECES"), Some(16 | 24))
        && distance("OFF_ITER_COUNT") == Some(32)
}

/// The id of a function; nothing where it need not be there.
fn find(btf: &Btf, place: &Place) -> Result<Option<u32>, String> {
    let name = place.function;
    match btf.function(name) {
        Some((id, parameters)) if place.parameters == 0 || place.parameters == parameters => {
            Ok(Some(id))
        }
        Some((_, parameters)) => Err(format!(
            "{name} has {parameters} parameters, not {}",
            place.parameters
        )),
        None if place.presence == Presence::Always => {
            Err(format!("its BTF has no function {name}"))
        }
        None if place.presence == Presence::WithIpv6 && has_ipv6() => Err(format!(
            "its BTF has no function {name}: IPv6 is a module of this kernel"
        )),
        None => Ok(None),
    }
}

fn has_ipv6() -> bool {
    Path::new("/proc/net/if_inet6").exists()
}

/// Whether this kernel takes a CPU from a thread while a program runs there. Then it skips the program for
/// whoever is next on that CPU until the thread goes on: two at each function seldom are both.
fn preempts() -> bool {
    const MODE: &str = "/sys/kernel/debug/sched/preempt";
    const VERSION: &str = "/proc/sys/kernel/version";
    match fs::read_to_string(MODE) {
        Ok(modes) => is_preemptive(&modes),
        // Built so that it can: whether it does is not known.
        Err(_) => fs::read_to_string(VERSION).is_ok_and(|version| version.contains("PREEMPT")),
    }
}

/// `none voluntary (full) lazy`: the word in brackets is how it is.
fn is_preemptive(modes: &str) -> bool {
    !["(none)", "(voluntary)"]
        .iter()
        .any(|mode| modes.contains(mode))
}

impl Functions {
    /// Takes the programs out of the object, whose maps have to stay until they are attached.
    pub(super) fn read(object: &[u8], ebpf: &Ebpf) -> Result<Self, String> {
        const MORE: &str = "MORE_AT_FUNCTION";
        let Some(Map::ProgramArray(more)) = ebpf.map(MORE) else {
            return Err(format!("the kernel side has no array of programs {MORE}"));
        };
        Ok(Self {
            more: more.fd().as_fd().as_raw_fd(),
            code: Code::read(object, ebpf, &[PROGRAMS])?,
        })
    }

    /// Loads all programs, then puts them on their places; where one cannot be, none is.
    pub(super) fn attach(&self, btf: &Btf) -> Result<Attached, String> {
        let mut attached = Attached::default();
        let mut ready = Vec::new();
        let twice = preempts();
        for place in PLACES {
            let Some(id) = find(btf, place)? else {
                continue;
            };
            let swap = self.load_more(place, id, &mut attached.links)?;
            let twice = twice && place.again.is_some();
            // The exits first: without them the entries would fill the map of calls. Of two entries the one
            // that looks whether the other has run is attached first, for the kernel runs the last first.
            let exits = [place.exit, place.exit.filter(|_| twice)];
            let entries = [place.again.filter(|_| twice), place.entry];
            for (names, kind) in [
                (exits, ProgramKind::FunctionReturn(id)),
                (entries, ProgramKind::FunctionEntry(id)),
            ] {
                let mut copies = Vec::new();
                for name in names.into_iter().flatten() {
                    let program = self
                        .code
                        .load(name, kind, swap)
                        .map_err(|why| format!("at {}: {why}", place.function))?;
                    copies.push(program.try_clone().map_err(|error| reason(&error))?);
                    ready.push((place.function, program));
                }
                if place.parameters == 0 {
                    attached.others.push(copies);
                } else {
                    attached.carrying.push(copies);
                }
            }
        }
        for (function, program) in ready {
            let link = bpf::attach_tracing(program.as_fd())
                .map_err(|error| format!("nothing can be attached to {function}: {error}"))?;
            attached.links.push(link);
        }
        Ok(attached)
    }

    /// The array of the program that goes on at this function, in place of the one in the code.
    fn load_more(
        &self,
        place: &Place,
        id: u32,
        links: &mut Links,
    ) -> Result<Option<(RawFd, RawFd)>, String> {
        let Some(name) = place.more else {
            return Ok(None);
        };
        let array =
            bpf::create_table(bpf::MAP_PROGRAMS, 4, 4, 1).map_err(|error| reason(&error))?;
        let swap = Some((self.more, array.as_raw_fd()));
        let program = self
            .code
            .load(name, ProgramKind::FunctionReturn(id), swap)
            .map_err(|why| format!("at {}: {why}", place.function))?;
        bpf::set_program(array.as_fd(), 0, program.as_fd()).map_err(|error| reason(&error))?;
        // The kernel empties an array that nobody holds.
        links.push(array);
        Ok(swap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_that_is_named_is_read() {
        for place in PLACES {
            for name in [place.entry, place.exit, place.more, place.again]
                .into_iter()
                .flatten()
            {
                assert!(PROGRAMS.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn the_mode_of_preemption_is_the_one_in_brackets() {
        assert!(!is_preemptive("none (voluntary) full lazy"));
        assert!(!is_preemptive("(none) voluntary full"));
        assert!(is_preemptive("full (lazy)"));
        assert!(is_preemptive("none voluntary (full)"));
    }

    #[test]
    fn this_kernel_has_the_functions_and_the_form_of_their_messages() {
        let btf = Btf::load(None).unwrap();
        assert!(is_read_at_once(&Offsets::from_btf(&btf).unwrap()));
        for place in PLACES {
            find(&btf, place).unwrap();
        }
    }
}
