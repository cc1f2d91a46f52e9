//! Where in a library a probe costs least.
//!
//! The kernel runs a few instructions itself when a probe sits on them (`push`, `nop`, relative
//! branches); any other it executes out of line under single step, which costs some twenty times as
//! much, most of all in virtual machines. `SSL_read` and its kin begin with an instruction of the dear
//! kind, and a return probe must sit where the return address is still on top of the stack. But they
//! are thin: `SSL_read` and `SSL_read_ex` hand their arguments to one function of the library, which
//! no symbol names and which saves registers first (`push`). The code of both is followed to find it;
//! where they do not agree, or anything is unusual, nothing is found and the probes sit on the entries.

use std::fs::File;
use std::os::unix::fs::FileExt;

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess,
    OpKind, Register,
};

/// Bytes of a function that are looked at: the wrappers have 40 to 160.
const MAX_CODE: usize = 256;
/// Instructions followed from an entry, on all of its branches together.
const MAX_STEPS: usize = 200;
/// Branches that are still to be followed.
const MAX_BRANCHES: usize = 16;
/// Instructions before the one that a probe sits on.
const MAX_PROLOGUE: usize = 8;

/// Registers of the first six arguments (System V ABI, x86-64 supplement §3.2.3).
const ARGUMENTS: [Register; 6] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
    Register::R9,
];

/// What a register holds, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// The argument of this number, perhaps widened from 32 bits.
    Argument(usize),
    /// An address on the stack.
    Stack,
    Other,
}

/// A call that passes on `ssl`, buffer and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PassedOn {
    target: u64,
    /// The argument that says where the number of bytes goes: 3 or 4.
    out: usize,
}

/// The function behind a pair such as `SSL_read` and `SSL_read_ex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inner {
    /// Offset into the file at which both a probe and a return probe are cheap.
    pub offset: u64,
    /// The argument that points to where the number of bytes goes, counted from 0.
    pub out: usize,
}

/// The function to which `plain` (`int (SSL *, void *, int)`) and `extended`
/// (`int (SSL *, void *, size_t, size_t *)`) both hand their arguments, given by their offsets into
/// the file.
pub(super) fn inner(file: &File, plain: u64, extended: u64) -> Option<Inner> {
    let from_plain = passed_on(file, plain, Held::Stack);
    let from_extended = passed_on(file, extended, Held::Argument(3));
    let mut common = from_plain
        .iter()
        .filter(|call| from_extended.contains(call));
    let found = *common.next()?;
    if common.any(|other| *other != found) {
        return None;
    }
    let offset = cheap(file, found.target, true)?;
    Some(Inner {
        offset,
        out: found.out,
    })
}

/// The first place in a function at which a probe is cheap and its first argument is still there.
pub(super) fn cheap_entry(file: &File, function: u64) -> Option<u64> {
    cheap(file, function, false)
}

/// The first place in a function at which both a probe and a return probe are cheap, with all of its
/// arguments still there.
pub(super) fn cheap_with_return(file: &File, function: u64) -> Option<u64> {
    cheap(file, function, true)
}

/// `with_return`: the return address is still on top of the stack.
fn cheap(file: &File, function: u64, with_return: bool) -> Option<u64> {
    let code = read(file, function)?;
    let mut info = InstructionInfoFactory::new();
    for instruction in decoder(&code, function).into_iter().take(MAX_PROLOGUE) {
        if instruction.is_invalid() {
            return None;
        }
        if is_emulated(&instruction) {
            return Some(instruction.ip());
        }
        if instruction.flow_control() != FlowControl::Next {
            return None;
        }
        let spoils = info.info(&instruction).used_registers().iter().any(|used| {
            let register = used.register().full_register();
            is_write(used.access())
                && (register == Register::RSP && with_return || ARGUMENTS.contains(&register))
        });
        if spoils {
            return None;
        }
    }
    None
}

/// What `arch/x86/kernel/uprobes.c` emulates on every kernel from 5.10 on: `push` of a 64-bit
/// register, `nop`, and relative jumps and calls.
fn is_emulated(instruction: &Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::Next => matches!(instruction.code(), Code::Push_r64 | Code::Nopd),
        FlowControl::ConditionalBranch => instruction.is_jcc_short_or_near(),
        FlowControl::UnconditionalBranch => instruction.is_jmp_short_or_near(),
        _ => false,
    }
}

/// The calls reached from an entry that pass on the first three arguments, with `out` as the fourth
/// or fifth.
fn passed_on(file: &File, function: u64, out: Held) -> Vec<PassedOn> {
    let Some(code) = read(file, function) else {
        return Vec::new();
    };
    let mut entry = [Held::Other; 16];
    for (number, register) in ARGUMENTS.iter().enumerate() {
        set(&mut entry, *register, Held::Argument(number));
    }
    set(&mut entry, Register::RSP, Held::Stack);
    let mut found = Vec::new();
    let mut branches = vec![(function, entry)];
    let mut decoder = decoder(&code, function);
    let mut info = InstructionInfoFactory::new();
    let mut steps = 0;
    while let Some((at, mut registers)) = branches.pop() {
        let within = usize::try_from(at.wrapping_sub(function)).unwrap_or(usize::MAX);
        if decoder.set_position(within).is_err() {
            continue;
        }
        decoder.set_ip(at);
        while decoder.can_decode() && steps < MAX_STEPS {
            steps += 1;
            let instruction = decoder.decode();
            match instruction.flow_control() {
                FlowControl::Next => step(&mut registers, &instruction, &mut info),
                FlowControl::ConditionalBranch if branches.len() < MAX_BRANCHES => {
                    branches.push((instruction.near_branch_target(), registers));
                }
                FlowControl::Call if instruction.is_call_near() => {
                    found.extend(arguments_of(&registers, &instruction, out));
                    break;
                }
                _ => break,
            }
        }
    }
    found
}

fn arguments_of(registers: &[Held; 16], call: &Instruction, out: Held) -> Option<PassedOn> {
    let [ssl, buffer, length, fourth, fifth, _] =
        ARGUMENTS.map(|register| get(registers, register));
    let handed_on = [ssl, buffer, length] == [0, 1, 2].map(Held::Argument);
    let out = match (fourth == out, fifth == out) {
        (true, false) => 3,
        (false, true) => 4,
        _ => return None,
    };
    handed_on.then(|| PassedOn {
        target: call.near_branch_target(),
        out,
    })
}

/// What the registers hold after an instruction.
fn step(registers: &mut [Held; 16], instruction: &Instruction, info: &mut InstructionInfoFactory) {
    let target = instruction.op0_register().full_register();
    let source = instruction.op1_register().full_register();
    let moved = match instruction.code() {
        Code::Mov_r64_rm64
        | Code::Mov_rm64_r64
        | Code::Mov_r32_rm32
        | Code::Mov_rm32_r32
        | Code::Movsxd_r64_rm32
            if instruction.op0_kind() == OpKind::Register
                && instruction.op1_kind() == OpKind::Register =>
        {
            Some(get(registers, source))
        }
        Code::Lea_r64_m if instruction.memory_base() == Register::RSP => Some(Held::Stack),
        _ => None,
    };
    if let Some(held) = moved {
        set(registers, target, held);
        return;
    }
    for used in info.info(instruction).used_registers() {
        let register = used.register().full_register();
        // The stack stays the stack, wherever in it.
        if is_write(used.access()) && register != Register::RSP {
            set(registers, register, Held::Other);
        }
    }
}

const fn is_write(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

fn get(registers: &[Held; 16], register: Register) -> Held {
    let slot = register.is_gpr64().then(|| register.number());
    slot.and_then(|slot| registers.get(slot).copied())
        .unwrap_or(Held::Other)
}

fn set(registers: &mut [Held; 16], register: Register, held: Held) {
    if register.is_gpr64()
        && let Some(slot) = registers.get_mut(register.number())
    {
        *slot = held;
    }
}

fn decoder(code: &[u8], ip: u64) -> Decoder<'_> {
    Decoder::with_ip(64, code, ip, DecoderOptions::NONE)
}

/// The beginning of a function. Positions in one segment are as far apart in the file as in memory,
/// so offsets into the file stand for addresses.
fn read(file: &File, offset: u64) -> Option<Vec<u8>> {
    let mut code = vec![0; MAX_CODE];
    let mut filled = 0;
    while let Some(rest) = code.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.checked_add(filled as u64)?) {
            Ok(0) | Err(_) => break,
            Ok(count) => filled = filled.saturating_add(count),
        }
    }
    code.truncate(filled);
    (!code.is_empty()).then_some(code)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A wrapper at 0 and one at 256 around a function at 512, as compilers make them: the plain one
    /// has the number of bytes on its stack, and a branch to an error.
    fn library(inner: &[u8], fourth: bool) -> File {
        let mut image = vec![0xcc_u8; 1024];
        // mov rcx, rsp or mov r8, rsp; mov rcx, r… stays: the argument is handed on as it is.
        let stack: &[u8] = if fourth {
            &[0x48, 0x89, 0xe1]
        } else {
            &[0x49, 0x89, 0xe0]
        };
        let shift: &[u8] = if fourth {
            &[]
        } else {
            // mov r8, rcx; xor ecx, ecx
            &[0x49, 0x89, 0xc8, 0x31, 0xc9]
        };
        let plain = [
            // sub rsp, 0x18; test edx, edx; js +0x60
            &[0x48, 0x83, 0xec, 0x18, 0x85, 0xd2, 0x78, 0x60][..],
            stack,
            // movsxd rdx, edx
            &[0x48, 0x63, 0xd2],
        ];
        let extended = [&[0x48, 0x83, 0xec, 0x08][..], shift];
        for (at, code) in [(0, plain.concat()), (256, extended.concat())] {
            image[at..at + code.len()].copy_from_slice(&code);
            let call = at + code.len();
            image[call] = 0xe8;
            let distance = i32::try_from(512 - (call + 5)).unwrap();
            image[call + 1..call + 5].copy_from_slice(&distance.to_le_bytes());
        }
        image[512..512 + inner.len()].copy_from_slice(inner);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&image).unwrap();
        file
    }

    /// endbr64
    const MARK: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    /// push r12; push rbp
    const PUSHES: [u8; 3] = [0x41, 0x54, 0x55];

    #[test]
    fn the_function_behind_both_wrappers_is_found() {
        let file = library(&PUSHES, true);
        assert_eq!(
            inner(&file, 0, 256),
            Some(Inner {
                offset: 512,
                out: 3
            })
        );
        let file = library(&[&MARK[..], &PUSHES].concat(), false);
        assert_eq!(
            inner(&file, 0, 256),
            Some(Inner {
                offset: 516,
                out: 4
            })
        );
    }

    #[test]
    fn what_is_unusual_is_left_alone() {
        // sub rsp, 8; push rbp: the return address is not on top any more.
        let file = library(&[0x48, 0x83, 0xec, 0x08, 0x55], true);
        assert_eq!(inner(&file, 0, 256), None);
        // mov rdi, rax; push rbp: the arguments are gone.
        let file = library(&[0x48, 0x89, 0xc7, 0x55], true);
        assert_eq!(inner(&file, 0, 256), None);
        // jmp [rip]: a call into another library.
        let file = library(&[0xff, 0x25, 0, 0, 0, 0], true);
        assert_eq!(inner(&file, 0, 256), None);
        assert_eq!(inner(&file, 0, 0), None, "not of the extended shape");
        assert_eq!(inner(&file, 256, 0), None);
        assert_eq!(inner(&file, 4_000, 1 << 40), None);
    }

    #[test]
    fn an_entry_without_its_return_may_come_later() {
        let mut file = tempfile::tempfile().unwrap();
        // test rdi, rdi; je +5; push r13
        file.write_all(&[0x48, 0x85, 0xff, 0x74, 0x05, 0x41, 0x55])
            .unwrap();
        assert_eq!(cheap_entry(&file, 0), Some(3));
        assert_eq!(cheap_entry(&file, 5), Some(5));
        assert_eq!(cheap_entry(&file, 7), None);
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut state = 1_u64;
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..600)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let _ = inner(&file, state % 300, state % 600);
            let _ = cheap_entry(&file, state % 600);
        }
    }
}
