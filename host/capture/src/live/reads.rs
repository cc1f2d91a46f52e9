//! How the kernel side reads memory of the kernel: by a helper, which costs some hundred instructions, or by
//! plain loads, where the kernel has a function that makes a typed pointer of any address (`bpf_rdonly_cast`,
//! since 6.2).
//!
//! A function of the kernel is called by a number that differs from kernel to kernel. In the kernel side's
//! instructions a number stands for it that is none ([`CAST`]), and is replaced before they are loaded.

use std::io;

use wirespan_events::config::CAST;

use super::bpf::{self, Instruction, ProgramKind};
use super::btf::{Btf, kind};

/// `void *bpf_rdonly_cast(const void *obj, u32 btf_id)`.
const FUNCTION: &str = "bpf_rdonly_cast";
/// A struct that begins with a number of 64 bits, which every kernel has.
const TYPE: &str = "timespec64";
/// A helper's number among those that this kernel has.
const TYPED_TASK: &str = "BPF_FUNC_get_current_task_btf";

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`, as a source register.
const OF_THE_KERNEL: u8 = 2 << 4;
/// `BPF_ALU64 | BPF_MOV | BPF_K`.
const SET: u8 = 0xb7;

/// How an address becomes a typed pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cast {
    /// Number of the function.
    function: i32,
    /// Number of the type.
    pub(super) to: u32,
}

impl Cast {
    /// # Errors
    /// The kernel has no such function, or not for these programs.
    pub(super) fn of(btf: &Btf) -> io::Result<Self> {
        let cast = Self::named(btf).ok_or_else(absent)?;
        // What an object of the kernel is not is read as 0.
        let code = [
            set(1, 0),
            set(2, cast.to.cast_signed()),
            cast.call(),
            load(0),
            set(0, 0),
            RETURN,
        ];
        for kind in [ProgramKind::Tracepoint, ProgramKind::Probe] {
            bpf::load_trial(kind, &code)?;
        }
        Ok(cast)
    }

    fn named(btf: &Btf) -> Option<Self> {
        let (function, _) = btf.function(FUNCTION)?;
        Some(Self {
            function: i32::try_from(function).ok()?,
            to: btf.find(kind::STRUCT, TYPE).next()?,
        })
    }

    const fn call(self) -> Instruction {
        Instruction {
            code: CALL,
            registers: OF_THE_KERNEL,
            offset: 0,
            immediate: self.function,
        }
    }
}

/// Whether the kernel tells the current task as a typed pointer, whose members programs may load (from 5.11 on).
///
/// # Errors
/// It does not, or not to these programs.
pub(super) fn typed_task(btf: &Btf) -> io::Result<()> {
    let helper = btf.enumerator(TYPED_TASK).ok_or_else(absent)?;
    let files = btf.member("task_struct", "files").map_err(|_| absent())?;
    let code = [
        Instruction {
            code: CALL,
            registers: 0,
            offset: 0,
            immediate: helper.cast_signed(),
        },
        load(i16::try_from(files.offset_bytes).map_err(|_| absent())?),
        set(0, 0),
        RETURN,
    ];
    bpf::load_trial(ProgramKind::Tracepoint, &code).map(drop)
}

fn absent() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the kernel has no such function")
}

/// `register = number`.
const fn set(register: u8, number: i32) -> Instruction {
    Instruction {
        code: SET,
        registers: register,
        offset: 0,
        immediate: number,
    }
}

/// `r0 = *(u64 *)(r0 + offset)`.
const fn load(offset: i16) -> Instruction {
    Instruction {
        code: 0x79,
        registers: 0,
        offset,
        immediate: 0,
    }
}

/// `return r0`.
const RETURN: Instruction = Instruction {
    code: 0x95,
    registers: 0,
    offset: 0,
    immediate: 0,
};

/// Puts the function's number into the object; where there is none, what never runs is made harmless.
pub(super) fn resolve(object: &mut [u8], cast: Option<Cast>) {
    let placeholder = bytes(Instruction {
        code: CALL,
        registers: 0,
        offset: 0,
        immediate: CAST,
    });
    let replacement = bytes(cast.map_or(set(0, 0), Cast::call));
    // Sections of instructions are aligned to their size.
    let (instructions, _) = object.as_chunks_mut::<8>();
    for instruction in instructions {
        if *instruction == placeholder {
            *instruction = replacement;
        }
    }
}

/// `struct bpf_insn` as it lies in memory.
fn bytes(instruction: Instruction) -> [u8; 8] {
    let [first, second] = instruction.offset.to_le_bytes();
    let [a, b, c, d] = instruction.immediate.to_le_bytes();
    [
        instruction.code,
        instruction.registers,
        first,
        second,
        a,
        b,
        c,
        d,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEHOLDER: [u8; 8] = [0x85, 0, 0, 0, 0x45, 0x52, 0x49, 0x57];

    #[test]
    fn only_the_placeholder_is_replaced() {
        let helper = [0x85, 0, 0, 0, 113, 0, 0, 0];
        let mut object = [helper, PLACEHOLDER, helper].concat();
        let cast = Cast {
            function: 0x0102_0304,
            to: 7,
        };
        resolve(&mut object, Some(cast));
        let call = [0x85, 0x20, 0, 0, 4, 3, 2, 1];
        assert_eq!(object, [helper, call, helper].concat());
    }

    #[test]
    fn where_the_kernel_has_no_such_function_nothing_is_called() {
        let mut object = PLACEHOLDER.to_vec();
        resolve(&mut object, None);
        assert_eq!(object, [0xb7, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_kernel_that_names_the_function_takes_programs_that_call_it() {
        let btf = Btf::load(None).unwrap();
        // Of the programs here those for system calls could call it since 6.12 at the latest.
        if btf.function(FUNCTION).is_some() && btf.function("bpf_iter_bits_new").is_some() {
            Cast::of(&btf).unwrap();
            typed_task(&btf).unwrap();
        }
    }
}
