//! rustls in a program with symbols: where its records are sealed and opened.
//!
//! What hands plaintext over is inlined into whoever calls it, but sealing and opening are methods of
//! trait objects. Those are called through tables, so each of them is in the program as a function. All
//! that rustls brings itself are taken, or none: a connection uses the one for its version and cipher.
//! There are no return probes: see the kernel side.

use std::fs::File;

use super::elf::{ElfError, Function, Image};
use super::library::TlsFunction;
use super::returns;

/// The traits, and their methods that are probed: with the length in front as both ways of mangling
/// names have it.
const METHODS: [(&[u8], &[u8], Method); 2] = [
    (b"MessageEncrypter", b"7encrypt", Method::Seal),
    (b"MessageDecrypter", b"7decrypt", Method::Open),
];

/// Implementations in rustls, of ring and aws-lc-rs: their modules have these names in them. Those of
/// others may add to a record what the kernel side does not know.
const PROVIDERS: [&[u8]; 2] = [b"ring", b"aws_lc_rs"];
/// For connections that have no keys yet.
const INVALID: &[u8] = b"InvalidMessage";

/// Three versions and ciphers of two providers, and those of a second rustls.
const MAX_IMPLEMENTATIONS: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Seal,
    Open,
}

/// What a program with rustls is to an observer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RustlsProgram {
    /// Where to probe, returns first.
    Records(Vec<(TlsFunction, u64)>),
    /// Why its records cannot be observed.
    Refused(String),
}

/// Looks into a program; `None` for one without rustls, or without symbols.
///
/// # Errors
/// The file is damaged or too large.
pub(super) fn examine(file: &File, image: &Image<'_>) -> Result<Option<RustlsProgram>, ElfError> {
    let mut found = Vec::new();
    let mut foreign = false;
    image.each(|name, function| {
        if let Some((method, known)) = method(name) {
            foreign |= !known;
            found.extend(function().map(|function| (method, function)));
        }
    })?;
    found.truncate(MAX_IMPLEMENTATIONS.saturating_add(1));
    let has = |wanted| found.iter().any(|(method, _)| *method == wanted);
    if !has(Method::Seal) || !has(Method::Open) {
        return Ok(None);
    }
    if foreign {
        return Ok(Some(RustlsProgram::Refused(
            "its rustls seals records by a library that is not known here".to_owned(),
        )));
    }
    if found.len() > MAX_IMPLEMENTATIONS {
        return Ok(Some(RustlsProgram::Refused(
            "it has too many ways to seal records".to_owned(),
        )));
    }
    Ok(Some(match places(file, &found) {
        Ok(functions) => RustlsProgram::Records(functions),
        Err(why) => RustlsProgram::Refused(why),
    }))
}

fn places(file: &File, found: &[(Method, Function)]) -> Result<Vec<(TlsFunction, u64)>, String> {
    let mut all = Vec::new();
    let mut entries = Vec::new();
    for (method, function) in found {
        let (entry, exit) = match method {
            Method::Seal => (TlsFunction::RecordSeal, TlsFunction::RecordSealed),
            Method::Open => (TlsFunction::RecordOpen, TlsFunction::RecordOpened),
        };
        let returns = returns::of(file, *function)
            .map_err(|why| format!("what seals or opens its records {why}"))?;
        all.extend(returns.into_iter().map(|offset| (exit, offset)));
        entries.push((entry, function.offset));
    }
    all.append(&mut entries);
    Ok(all)
}

/// Which method a symbol is, and whether it is one of rustls's own; `None` for all others.
///
/// `_ZN111_$LT$rustls..crypto..ring..tls13..Tls13MessageEncrypter$u20$as$u20$rustls..crypto..cipher..`
/// `MessageEncrypter$GT$7encrypt17h…E`, or the same as `_RNv…`, where a name has its length in front.
fn method(symbol: &[u8]) -> Option<(Method, bool)> {
    let legacy = symbol.starts_with(b"_ZN");
    if !legacy && !symbol.starts_with(b"_R") {
        return None;
    }
    // Of the trait in the module `cipher` of `crypto`, as it has been since 0.22.
    let (_, name, method) = METHODS.into_iter().find_map(|(of, name, method)| {
        let qualified = if legacy {
            [b"..crypto..cipher..", of, b"$GT$"].concat()
        } else {
            [b"6cipher16", of].concat()
        };
        contains(symbol, &qualified).then_some((of, name, method))
    })?;
    let is_method = if legacy {
        contains(symbol, &[b"$GT$", name, b"17h"].concat())
    } else {
        // What follows is the suffix of an LLVM that has split the crate.
        let end = symbol.iter().position(|byte| *byte == b'.');
        symbol
            .get(..end.unwrap_or(symbol.len()))
            .is_some_and(|symbol| symbol.ends_with(name))
    };
    if !is_method || contains(symbol, INVALID) || contains(symbol, b"drop_in_place") {
        return None;
    }
    let known = PROVIDERS.iter().any(|provider| {
        let module = if legacy {
            [b"rustls..crypto..", *provider, b"..tls1"].concat()
        } else {
            let length = provider.len().to_string();
            [length.as_bytes(), *provider, b"5tls1"].concat()
        };
        contains(symbol, &module)
    });
    Some((method, known))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_both_ways_of_mangling() {
        let legacy = "_ZN111_$LT$rustls..crypto..ring..tls13..Tls13MessageEncrypter$u20$as$u20$\
                      rustls..crypto..cipher..MessageEncrypter$GT$7encrypt17ha60b585ec820c042E";
        let legacy_open = "_ZN111_$LT$rustls..crypto..aws_lc_rs..tls12..GcmMessageDecrypter$u20$as$u20$\
                           rustls..crypto..cipher..MessageDecrypter$GT$7decrypt17h32654f26290dc32dE";
        let newer = "_RNvXs5_NtNtNtCs3bYfd1_6rustls6crypto4ring5tls13NtB5_21Tls13MessageEncrypter\
                     NtNtB9_6cipher16MessageEncrypter7encrypt";
        let newer_open = "_RNvXs6_NtNtNtCs3bYfd1_6rustls6crypto9aws_lc_rs5tls12NtB5_19GcmMessageDecrypter\
                          NtNtB9_6cipher16MessageDecrypter7decrypt.llvm.857497";
        let foreign = "_ZN99_$LT$rustls_openssl..tls13..Encrypter$u20$as$u20$\
                       rustls..crypto..cipher..MessageEncrypter$GT$7encrypt17ha60b585ec820c042E";
        for (symbol, expected) in [
            (legacy, Some((Method::Seal, true))),
            (legacy_open, Some((Method::Open, true))),
            (newer, Some((Method::Seal, true))),
            (newer_open, Some((Method::Open, true))),
            (foreign, Some((Method::Seal, false))),
        ] {
            assert_eq!(method(symbol.as_bytes()), expected, "{symbol}");
            let split = format!("{}.llvm.12", symbol.split(".llvm").next().unwrap());
            assert_eq!(method(split.as_bytes()), expected, "{split}");
        }
        for other in [
            &legacy.replace("7encrypt17h", "21encrypted_payload_len17h"),
            &legacy.replace("Tls13Message", "InvalidMessage"),
            &newer.replace("7encrypt", "21encrypted_payload_len"),
            "_ZN4core3ptr94drop_in_place$LT$alloc..boxed..Box$LT$dyn$u20$rustls..crypto..cipher..\
             MessageDecrypter$GT$$GT$17h08435535605d67efE",
            "MessageEncrypter7encrypt",
            "",
        ] {
            assert_eq!(method(other.as_bytes()), None, "{other}");
        }
    }
}
