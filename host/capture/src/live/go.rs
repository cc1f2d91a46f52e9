//! crypto/tls in a program made by Go: where its functions begin, and where they return.
//!
//! A return probe must never be set on Go: it replaces the return address on a stack that the
//! runtime moves and unwinds, and the program dies. So the functions are decoded and a plain probe
//! is put on each of their return instructions. They are found by the symbol table, or in a
//! stripped program by the table that the runtime itself unwinds with (`.gopclntab`), which no
//! program can do without.

use std::fs::File;

use iced_x86::{Decoder, Instruction, Mnemonic, Register};

use super::elf::{ElfError, Function, Image};
use super::library::TlsFunction;
use super::{pclntab, returns};

/// Functions take their arguments in registers from here on (`internal/abi`).
const FIRST_MINOR: u32 = 17;

/// The functions of crypto/tls that are probed, and what their entries are. Those without which
/// nothing is seen come first; of the handshakes a program has those that it can reach.
const FUNCTIONS: [(&str, TlsFunction); 4] = [
    ("crypto/tls.(*Conn).Read", TlsFunction::GoRead),
    ("crypto/tls.(*Conn).Write", TlsFunction::GoWrite),
    (
        "crypto/tls.(*Conn).clientHandshake",
        TlsFunction::GoHandshake,
    ),
    (
        "crypto/tls.(*Conn).serverHandshake",
        TlsFunction::GoHandshake,
    ),
];

/// Instructions up to the branch that makes the stack larger.
const MAX_PROLOGUE: usize = 4;
/// Where `runtime.g` has the lowest address that the stack may reach (`stackguard0`).
const STACK_GUARD: u64 = 16;

/// What a Go program is to an observer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GoProgram {
    /// It has crypto/tls: where to probe, returns first.
    Tls(Vec<(TlsFunction, u64)>),
    /// It has no crypto/tls.
    WithoutTls,
    /// Why its crypto/tls cannot be observed.
    Refused(String),
}

/// Looks into a program; `None` when Go did not make it.
///
/// # Errors
/// The file is damaged or too large.
pub(super) fn examine(file: &File, image: &Image<'_>) -> Result<Option<GoProgram>, ElfError> {
    let Some(information) = image.section(b".go.buildinfo")? else {
        return Ok(None);
    };
    let names = FUNCTIONS.map(|(name, _)| name);
    let mut found = image.functions(names)?;
    if found.iter().all(Option::is_none) {
        found = pclntab::functions(image, names)?;
    }
    let [Some(_), Some(_), ..] = found else {
        return Ok(Some(GoProgram::WithoutTls));
    };
    let version = version(image, information);
    if let Some(minor) = version.as_deref().and_then(minor)
        && minor < FIRST_MINOR
    {
        return Ok(Some(GoProgram::Refused(format!(
            "made by Go {}: before 1.{FIRST_MINOR} functions take their arguments on the stack",
            version.unwrap_or_default()
        ))));
    }
    let mut returns = Vec::new();
    let mut entries = Vec::new();
    for ((name, kind), function) in FUNCTIONS.iter().zip(found) {
        let Some(function) = function else { continue };
        match places(file, function) {
            Ok(places) => {
                entries.push((*kind, places.entry));
                returns.extend(
                    places
                        .returns
                        .into_iter()
                        .map(|offset| (TlsFunction::GoReturn, offset)),
                );
            }
            Err(why) => return Ok(Some(GoProgram::Refused(format!("{name} {why}")))),
        }
    }
    returns.extend(entries);
    Ok(Some(GoProgram::Tls(returns)))
}

/// `go1.19.8` out of what `go version` reads (`debug/buildinfo`).
fn version(image: &Image<'_>, information: &[u8]) -> Option<String> {
    const MAGIC: &[u8] = b"\xff Go buildinf:";
    const MAX_VERSION_BYTES: u64 = 256;
    /// In `flags`: the text follows, after its length.
    const INLINE: u8 = 2;
    let rest = information.strip_prefix(MAGIC)?;
    let flags = *rest.get(1)?;
    let text = if flags & INLINE != 0 {
        let body = information.get(32..)?;
        // A version is shorter than 128 bytes, so its length has one.
        let length = usize::from(*body.first()?);
        body.get(1..length.checked_add(1)?)?
    } else {
        // A pointer to a string, which is a pointer and a length.
        let word = |bytes: &[u8]| Some(u64::from_le_bytes(*bytes.first_chunk::<8>()?));
        let header = image.at_address(word(information.get(16..)?)?, 16)?;
        let length = word(header.get(8..)?)?.min(MAX_VERSION_BYTES);
        image.at_address(word(header)?, length)?
    };
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The 19 of `go1.19.8`, also of `devel go1.25-1a2b3c`.
fn minor(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once("go1.")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Offsets into the file for the probes on one function.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    entry: u64,
    returns: Vec<u64>,
}

fn places(file: &File, function: Function) -> Result<Places, String> {
    let code = returns::code(file, function)?;
    let entry =
        entry(returns::decoder(&code, function)).ok_or("does not begin as Go's functions do")?;
    let returns = returns::within(&code, function)?;
    Ok(Places { entry, returns })
}

/// The branch that every function of Go begins with, but for the smallest: is there room on the
/// stack? Nothing has been changed yet when it is reached, and the kernel emulates it, which costs
/// a tenth of what an instruction under single step does. When there is no room the function begins
/// again on a larger stack, and the probe is hit twice.
fn entry(mut decoder: Decoder<'_>) -> Option<u64> {
    let mut compared = false;
    for instruction in decoder.iter().take(MAX_PROLOGUE) {
        match instruction.mnemonic() {
            Mnemonic::Cmp if is_guard(&instruction) => compared = true,
            Mnemonic::Lea if !compared && instruction.op0_register() == Register::R12 => {}
            Mnemonic::Jbe if compared => return Some(instruction.ip()),
            _ => return None,
        }
    }
    None
}

/// `cmp …, [r14 + 16]`: the current goroutine is in R14.
fn is_guard(instruction: &Instruction) -> bool {
    instruction.memory_base() == Register::R14
        && instruction.memory_displacement64() == STACK_GUARD
        && matches!(
            instruction.op0_register(),
            Register::RSP | Register::R12 | Register::None
        )
}

#[cfg(test)]
#[path = "go_tests.rs"]
mod tests;
