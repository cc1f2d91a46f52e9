//! Where a function returns: for plain probes in the place of return probes, which neither Go's stacks
//! nor a panic of Rust would survive.

use std::fs::File;
use std::os::unix::fs::FileExt;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl};

use super::elf::Function;

/// The longest of those that are probed have some 2,500 bytes.
const MAX_FUNCTION_BYTES: u64 = 64 << 10;
/// They have some ten return instructions each.
const MAX_RETURNS: usize = 64;

/// The bytes of a function.
///
/// # Errors
/// Why it cannot be looked at, as the rest of a sentence about it.
pub(super) fn code(file: &File, function: Function) -> Result<Vec<u8>, String> {
    if function.bytes == 0 || function.bytes > MAX_FUNCTION_BYTES {
        return Err(format!("has {} bytes, which is unusual", function.bytes));
    }
    let mut code = vec![0; usize::try_from(function.bytes).unwrap_or_default()];
    file.read_exact_at(&mut code, function.offset)
        .map_err(|error| format!("cannot be read: {error}"))?;
    Ok(code)
}

pub(super) fn decoder(code: &[u8], function: Function) -> Decoder<'_> {
    Decoder::with_ip(64, code, function.offset, DecoderOptions::NONE)
}

/// Offsets into the file of all of its return instructions.
///
/// # Errors
/// Why they are not all known, as the rest of a sentence about the function.
pub(super) fn of(file: &File, function: Function) -> Result<Vec<u64>, String> {
    within(&code(file, function)?, function)
}

/// The same of code that has been read.
///
/// # Errors
/// As for [`of`].
pub(super) fn within(code: &[u8], function: Function) -> Result<Vec<u64>, String> {
    let mut returns = Vec::new();
    for instruction in &mut decoder(code, function) {
        if instruction.is_invalid() {
            return Err("cannot be decoded".to_owned());
        }
        match instruction.flow_control() {
            FlowControl::Return if instruction.code() == Code::Retnq => {
                returns.push(instruction.ip());
            }
            FlowControl::Return => return Err("returns in an unusual way".to_owned()),
            FlowControl::UnconditionalBranch
                if !(function.offset..function.offset.saturating_add(function.bytes))
                    .contains(&instruction.near_branch_target()) =>
            {
                return Err("is left by a jump".to_owned());
            }
            _ => {}
        }
    }
    if returns.is_empty() || returns.len() > MAX_RETURNS {
        return Err(format!("has {} return instructions", returns.len()));
    }
    Ok(returns)
}
