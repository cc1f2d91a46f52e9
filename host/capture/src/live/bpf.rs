//! The few `bpf(2)` and `perf_event_open(2)` calls that tests of features need, and those that aya does
//! not make: `uprobe_multi` links. Everything made here is closed again by its owner; nothing is pinned.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const MAP_CREATE: u32 = 0;
const MAP_UPDATE_ELEM: u32 = 2;
const PROG_LOAD: u32 = 5;
const PROG_TEST_RUN: u32 = 10;
const OBJ_GET_INFO_BY_FD: u32 = 15;
const RAW_TRACEPOINT_OPEN: u32 = 17;
const LINK_CREATE: u32 = 28;

/// `BPF_TRACE_UPROBE_MULTI` of `enum bpf_attach_type`.
const TRACE_UPROBE_MULTI: u32 = 48;

const LICENSE: &CStr = c"GPL";

/// Numbers of `enum bpf_map_type`.
pub(super) const MAP_HASH: u32 = 1;
pub(super) const MAP_PROGRAMS: u32 = 3;
pub(super) const MAP_LRU_HASH: u32 = 9;
pub(super) const MAP_RINGBUF: u32 = 27;

/// Numbers of `enum bpf_prog_type`, and of `enum bpf_attach_type` for tracing programs.
#[derive(Clone, Copy, Debug)]
pub(super) enum ProgramKind {
    /// Runs at kprobes and uprobes.
    Probe,
    /// Runs at uprobes that a `uprobe_multi` link has put on their places.
    LinkedProbe,
    Tracepoint,
    /// At a tracepoint, with typed arguments; the id is that of the kernel type `btf_trace_<name>`.
    TypedTracepoint(u32),
    /// At the entry of the kernel function with this BTF id.
    FunctionEntry(u32),
    /// At its return.
    FunctionReturn(u32),
}

impl ProgramKind {
    /// Program type, expected attach type, BTF id.
    const fn numbers(self) -> (u32, u32, u32) {
        match self {
            Self::Probe => (2, 0, 0),
            Self::LinkedProbe => (2, TRACE_UPROBE_MULTI, 0),
            Self::Tracepoint => (5, 0, 0),
            Self::TypedTracepoint(id) => (26, 23, id),
            Self::FunctionEntry(id) => (26, 24, id),
            Self::FunctionReturn(id) => (26, 25, id),
        }
    }
}

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Instruction {
    pub(super) code: u8,
    /// Destination in the lower half, source in the upper.
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

impl Instruction {
    /// Where it loads the address of a map, makes it that of another; both by their descriptors.
    pub(super) fn refer_to(&mut self, from: RawFd, to: RawFd) {
        /// `BPF_LD | BPF_IMM | BPF_DW`.
        const LOAD: u8 = 0x18;
        /// `BPF_PSEUDO_MAP_FD`.
        const MAP: u8 = 1;
        if self.code == LOAD && self.registers >> 4 == MAP && self.immediate == from {
            self.immediate = to;
        }
    }
}

const fn op(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers,
        offset,
        immediate,
    }
}

/// `*(u64 *)(fp - 8) = 0; bpf_probe_read_kernel(fp - 8, 8, 0); return 0;`: the helper is what
/// lockdown takes away.
const READS_KERNEL: [Instruction; 8] = [
    op(0x7a, 10, -8, 0),
    op(0xbf, 0xa1, 0, 0),
    op(0x07, 1, 0, -8),
    op(0xb7, 2, 0, 8),
    op(0xb7, 3, 0, 0),
    op(0x85, 0, 0, 113),
    op(0xb7, 0, 0, 0),
    op(0x95, 0, 0, 0),
];

/// The part of `union bpf_attr` for `BPF_MAP_CREATE` that is used; the kernel takes what follows
/// as zero.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// The part for `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
struct MapUpdate {
    map_fd: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The part for `BPF_PROG_TEST_RUN` up to `batch_size`.
#[derive(Default)]
#[repr(C)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    zero: u32,
}

/// The part for `BPF_PROG_LOAD`.
#[derive(Default)]
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// The part for `BPF_LINK_CREATE` of a `uprobe_multi` link.
#[repr(C)]
struct LinkUprobes {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    ref_ctr_offsets: u64,
    cookies: u64,
    count: u32,
    link_flags: u32,
    pid: u32,
    zero: u32,
}

/// The part for `BPF_RAW_TRACEPOINT_OPEN`, with room that the kernel wants zero.
#[repr(C)]
struct RawTracepointOpen {
    name: u64,
    prog_fd: u32,
    zero: u32,
}

/// `struct perf_event_attr` up to `config2` (`PERF_ATTR_SIZE_VER1`).
#[derive(Default)]
#[repr(C)]
struct PerfEvent {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    config1: u64,
    config2: u64,
}

/// Makes an empty map without keys.
pub(super) fn create_map(map_type: u32, max_entries: u32) -> io::Result<OwnedFd> {
    create_table(map_type, 0, 0, max_entries)
}

/// Makes an empty map of keys and values with these sizes in bytes.
pub(super) fn create_table(
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
) -> io::Result<OwnedFd> {
    bpf(
        MAP_CREATE,
        &MapCreate {
            map_type,
            key_size,
            value_size,
            max_entries,
            map_flags: 0,
        },
    )
}

/// Puts a program into an array of programs, for others to go on with.
pub(super) fn set_program(
    array: BorrowedFd<'_>,
    index: u32,
    program: BorrowedFd<'_>,
) -> io::Result<()> {
    let value = program.as_raw_fd().cast_unsigned();
    run(
        MAP_UPDATE_ELEM,
        &MapUpdate {
            map_fd: array.as_raw_fd().cast_unsigned(),
            zero: 0,
            key: std::ptr::from_ref(&index) as u64,
            value: std::ptr::from_ref(&value) as u64,
            flags: 0,
        },
    )
    .map(drop)
}

/// Runs a program for raw trace points once, with these arguments.
pub(super) fn test_run(program: BorrowedFd<'_>, arguments: &[u64]) -> io::Result<()> {
    run(
        PROG_TEST_RUN,
        &TestRun {
            prog_fd: program.as_raw_fd().cast_unsigned(),
            ctx_size_in: u32::try_from(size_of_val(arguments)).unwrap_or_default(),
            ctx_in: arguments.as_ptr() as u64,
            ..TestRun::default()
        },
    )
    .map(drop)
}

/// Loads a program that reads kernel memory and does nothing with it.
pub(super) fn load(kind: ProgramKind) -> io::Result<OwnedFd> {
    load_code(kind, "", &READS_KERNEL, LICENSE)
}

/// Loads a program that is never attached.
pub(super) fn load_trial(kind: ProgramKind, code: &[Instruction]) -> io::Result<OwnedFd> {
    load_code(kind, "", code, LICENSE)
}

/// Loads a program.
pub(super) fn load_code(
    kind: ProgramKind,
    name: &str,
    code: &[Instruction],
    license: &CStr,
) -> io::Result<OwnedFd> {
    bpf(PROG_LOAD, &prog_load(kind, name, code, license))
}

/// What the verifier says of a program that it has refused.
pub(super) fn refusal(kind: ProgramKind, code: &[Instruction], license: &CStr) -> String {
    /// Kernels before 6.4 keep the beginning of what does not fit, and the reason is at the end.
    const LOG_BYTES: usize = 16 << 20;
    let mut log = vec![0_u8; LOG_BYTES];
    let loaded = bpf(
        PROG_LOAD,
        &ProgLoad {
            log_level: 1,
            log_size: u32::try_from(log.len()).unwrap_or_default(),
            log_buf: log.as_mut_ptr() as u64,
            ..prog_load(kind, "", code, license)
        },
    );
    if loaded.is_ok() {
        return "it was not refused the second time".to_owned();
    }
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(log.get(..end).unwrap_or_default());
    let mut lines = text.lines().filter(|line| !line.starts_with("processed "));
    lines.next_back().unwrap_or_default().to_owned()
}

fn prog_load(kind: ProgramKind, name: &str, code: &[Instruction], license: &CStr) -> ProgLoad {
    let (prog_type, expected_attach_type, attach_btf_id) = kind.numbers();
    let mut prog_name = [0; 16];
    // One less than there is room for: the kernel wants a zero behind it.
    for (byte, character) in prog_name.iter_mut().take(15).zip(name.bytes()) {
        *byte = character;
    }
    ProgLoad {
        prog_type,
        expected_attach_type,
        attach_btf_id,
        insn_cnt: u32::try_from(code.len()).unwrap_or_default(),
        insns: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        prog_name,
        ..ProgLoad::default()
    }
}

/// Whether a program runs where functions begin, or where they return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Moment {
    Entry,
    Return,
}

/// Puts a program ([`ProgramKind::LinkedProbe`]) on offsets of a file, in every process or in the one that
/// is named; taken off again when the result is dropped.
pub(super) fn link_uprobes(
    program: BorrowedFd<'_>,
    path: &CStr,
    offsets: &[u64],
    moment: Moment,
    process: Option<u32>,
) -> io::Result<OwnedFd> {
    /// `BPF_F_UPROBE_MULTI_RETURN`.
    const AT_RETURN: u32 = 1;
    bpf(
        LINK_CREATE,
        &LinkUprobes {
            prog_fd: program.as_raw_fd().cast_unsigned(),
            target_fd: 0,
            attach_type: TRACE_UPROBE_MULTI,
            flags: 0,
            path: path.as_ptr() as u64,
            offsets: offsets.as_ptr() as u64,
            ref_ctr_offsets: 0,
            cookies: 0,
            count: u32::try_from(offsets.len()).unwrap_or_default(),
            link_flags: match moment {
                Moment::Entry => 0,
                Moment::Return => AT_RETURN,
            },
            pid: process.unwrap_or(0),
            zero: 0,
        },
    )
}

/// Whether the kernel knows `uprobe_multi` links: only then does it look at the path, and finds that a
/// directory cannot be probed. Nothing is attached.
pub(super) fn has_uprobe_links() -> bool {
    let refused = load(ProgramKind::LinkedProbe)
        .and_then(|program| link_uprobes(program.as_fd(), c"/", &[0], Moment::Entry, None));
    refused.is_err_and(|error| error.raw_os_error() == Some(libc::EBADF))
}

/// Attaches a tracing program to what it was loaded for; detached when the result is dropped.
pub(super) fn attach_tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    bpf(
        RAW_TRACEPOINT_OPEN,
        &RawTracepointOpen {
            name: 0,
            prog_fd: program.as_raw_fd().cast_unsigned(),
            zero: 0,
        },
    )
}

/// Attaches a program to the tracepoint with this number; detached when the result is dropped.
pub(super) fn attach_tracepoint(program: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    const PERF_TYPE_TRACEPOINT: u32 = 2;
    attach_perf(
        program,
        PerfEvent {
            kind: PERF_TYPE_TRACEPOINT,
            config: id,
            ..PerfEvent::default()
        },
    )
}

/// Attaches a program to an offset of a file; `kind` is the number of the kernel's uprobe events.
pub(super) fn attach_uprobe(
    program: BorrowedFd<'_>,
    kind: u32,
    path: &CStr,
    offset: u64,
) -> io::Result<OwnedFd> {
    attach_perf(
        program,
        PerfEvent {
            kind,
            config1: path.as_ptr() as u64,
            config2: offset,
            ..PerfEvent::default()
        },
    )
}

fn attach_perf(program: BorrowedFd<'_>, event: PerfEvent) -> io::Result<OwnedFd> {
    const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
    /// `_IOW('$', 8, __u32)`.
    const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;
    let event = PerfEvent {
        size: size_of_u32::<PerfEvent>(),
        ..event
    };
    let (every_process, first_cpu, no_group) = (-1, 0, -1);
    // SAFETY: the kernel reads `size` bytes of the struct, and a path where the caller has a
    // pointer to one that outlives this call.
    #[expect(unsafe_code, reason = "perf_event_open has no safe wrapper")]
    let opened = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const event,
            every_process,
            first_cpu,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    let opened = owned(opened)?;
    // SAFETY: both are open file descriptors; the call takes the second by value.
    #[expect(unsafe_code, reason = "this ioctl has no safe wrapper")]
    let result = unsafe {
        libc::ioctl(
            opened.as_raw_fd(),
            PERF_EVENT_IOC_SET_BPF,
            program.as_fd().as_raw_fd(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(opened)
    }
}

/// Parameters of [`OBJ_GET_INFO_BY_FD`].
#[repr(C)]
struct GetInfo {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// The first members of `struct bpf_prog_info` as 64-bit words, up to and with the last one below.
const PROGRAM_INFO_WORDS: usize = 27;
/// `recursion_misses`, since 5.12.
const RECURSION_MISSES: usize = 26;

/// How often the kernel has skipped a program; 0 where it does not count (before 5.12).
pub(super) fn skipped(program: BorrowedFd<'_>) -> u64 {
    let mut info = [0_u64; PROGRAM_INFO_WORDS];
    let asked = GetInfo {
        fd: u32::try_from(program.as_raw_fd()).unwrap_or_default(),
        info_len: size_of_u32::<[u64; PROGRAM_INFO_WORDS]>(),
        info: (&raw mut info) as u64,
    };
    // Older kernels write less.
    if run(OBJ_GET_INFO_BY_FD, &asked).is_err() {
        return 0;
    }
    info.get(RECURSION_MISSES).copied().unwrap_or_default()
}

/// A command that makes a descriptor.
fn bpf<T>(command: u32, attributes: &T) -> io::Result<OwnedFd> {
    owned(run(command, attributes)?)
}

fn run<T>(command: u32, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads exactly the size given; the pointers within are to data that the
    // callers above hold until this returns.
    #[expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of_u32::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or_default()
}

/// Takes over a file descriptor that a system call returned.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(result)
        .ok()
        .filter(|&fd| fd >= 0)
        .ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made it, nobody else has it.
    #[expect(unsafe_code, reason = "the only way to own a raw descriptor")]
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_says_what_it_dislikes() {
        // `return` with nothing to return.
        let code = [op(0x95, 0, 0, 0)];
        let kind = ProgramKind::Probe;
        assert!(load_code(kind, "refused", &code, LICENSE).is_err());
        let why = refusal(kind, &code, LICENSE);
        assert!(why.contains("R0"), "{why}");
    }

    #[test]
    fn a_program_that_never_ran_was_never_skipped() {
        let program = load(ProgramKind::Tracepoint).unwrap();
        let described =
            std::fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd())).unwrap();
        assert!(described.contains("recursion_misses:\t0\n"), "{described}");
        assert_eq!(skipped(program.as_fd()), 0);
    }
}
