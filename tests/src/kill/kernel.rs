//! What is in the kernel, and who holds it.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use aya::programs::links::LinkType;
use aya::programs::{loaded_links, loaded_programs};

/// `BPF_PROG_TYPE_KPROBE`, which uprobes have too, and `BPF_PROG_TYPE_TRACEPOINT`.
const PROGRAM_TYPES: [u32; 2] = [2, 5];

/// Lists of probes that have names.
const EVENT_LISTS: [&str; 2] = ["uprobe_events", "kprobe_events"];
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Numbers of programs and of links.
#[derive(Debug, Default)]
struct Numbers {
    programs: BTreeSet<u32>,
    links: BTreeSet<u32>,
}

/// What there was at a moment: all that came later has higher numbers.
#[derive(Debug)]
pub(super) struct Kernel {
    last_program: u32,
    last_link: u32,
}

impl Kernel {
    pub(super) fn now() -> Result<Self> {
        let loaded = loaded();
        Ok(Self {
            last_program: loaded.programs.last().copied().unwrap_or(0),
            last_link: loaded.links.last().copied().unwrap_or(0),
        })
    }

    /// Programs and links that came since and are held by no process: nobody will ever take them away.
    pub(super) fn orphans(&self) -> Result<Vec<String>> {
        // In this order: what is loaded meanwhile is not looked for.
        let loaded = loaded();
        let held = held_by_anybody()?;
        let programs = loaded
            .programs
            .range(self.last_program + 1..)
            .filter(|number| !held.programs.contains(number))
            .map(|number| format!("program {number}"));
        let links = loaded
            .links
            .range(self.last_link + 1..)
            .filter(|number| !held.links.contains(number))
            .map(|number| format!("link {number}"));
        Ok(programs.chain(links).collect())
    }
}

/// Of the kinds that an agent has: others, such as those of control groups, need nobody who holds them.
fn loaded() -> Numbers {
    // What goes away while it is listed is gone.
    Numbers {
        programs: loaded_programs()
            .flatten()
            .filter(|program| PROGRAM_TYPES.contains(&(program.program_type() as u32)))
            .map(|program| program.id())
            .collect(),
        links: loaded_links()
            .flatten()
            .filter(|link| {
                let kind = link.link_type();
                matches!(kind, Ok(LinkType::PerfEvent | LinkType::UProbeMulti))
            })
            .map(|link| link.id())
            .collect(),
    }
}

/// How many programs and links a process holds.
pub(super) fn held_by(pid: u32) -> usize {
    let mut numbers = Numbers::default();
    collect(&pid.to_string(), &mut numbers);
    numbers.programs.len() + numbers.links.len()
}

fn held_by_anybody() -> Result<Numbers> {
    let mut numbers = Numbers::default();
    for entry in fs::read_dir("/proc").context("processes")? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            collect(&name, &mut numbers);
        }
    }
    Ok(numbers)
}

/// Processes and their files come and go while they are listed.
fn collect(pid: &str, numbers: &mut Numbers) {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    for entry in entries.into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for line in text.lines() {
            let number = |name| {
                let rest = line.strip_prefix(name)?;
                rest.trim().parse::<u32>().ok()
            };
            numbers.programs.extend(number("prog_id:"));
            numbers.links.extend(number("link_id:"));
        }
    }
}

/// No probe of ours has a name: those stay when whoever made them is killed.
pub(super) fn assert_no_event() -> Result<()> {
    for list in EVENT_LISTS {
        for root in TRACEFS {
            let left = fs::read_to_string(format!("{root}/{list}")).unwrap_or_default();
            ensure!(!left.contains("wirespan"), "{root}/{list} has {left}");
        }
    }
    Ok(())
}

/// Whether any process holds a link of a uprobe.
pub(super) fn somebody_probes() -> Result<bool> {
    let held = held_by_anybody()?;
    let probes = loaded_programs().flatten().any(|program| {
        held.programs.contains(&program.id())
            && program
                .name_as_str()
                .is_some_and(|name| name.starts_with("tls_") || name.starts_with("go_"))
    });
    Ok(probes)
}
