use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::elf;
use super::*;

/// Serves and calls over TLS, so that the linker keeps both handshakes.
const PROGRAM: &str = r#"package main

import (
	"crypto/tls"
	"fmt"
	"net"
)

func main() {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{})
	fmt.Println(listener, err)
	client := tls.Client(&net.TCPConn{}, &tls.Config{})
	buffer := make([]byte, 1)
	fmt.Println(client.Read(buffer))
	fmt.Println(client.Write(buffer))
	go func() { connection, _ := listener.Accept(); connection.Read(buffer) }()
}
"#;

fn build(directory: &Path, name: &str, source: &str, options: &[&str]) -> PathBuf {
    let (input, output) = (directory.join(format!("{name}.go")), directory.join(name));
    std::fs::write(&input, source).unwrap();
    let status = Command::new("go")
        .arg("build")
        .args(options)
        .arg("-o")
        .args([&output, &input])
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "0")
        .env("GOCACHE", std::env::temp_dir().join("wirespan-go-cache"))
        .status()
        .expect("Go is installed: `cargo xtask setup --test`");
    assert!(status.success());
    output
}

fn look(path: &Path) -> Result<Option<GoProgram>, ElfError> {
    let file = File::open(path).unwrap();
    elf::examine(&file, |image| examine(&file, image))
}

fn probes(path: &Path) -> Vec<(TlsFunction, u64)> {
    match look(path) {
        Ok(Some(GoProgram::Tls(probes))) => probes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn functions_are_found_by_symbols_and_without_them() {
    let directory = tempfile::tempdir().unwrap();
    let whole = build(directory.path(), "whole", PROGRAM, &[]);
    let found = probes(&whole);
    let count = |wanted| found.iter().filter(|(kind, _)| *kind == wanted).count();
    assert_eq!(count(TlsFunction::GoRead), 1);
    assert_eq!(count(TlsFunction::GoWrite), 1);
    assert_eq!(count(TlsFunction::GoHandshake), 2);
    assert!(count(TlsFunction::GoReturn) > 10, "{found:?}");
    // Each return is one byte, C3; each entry a conditional branch.
    let bytes = std::fs::read(&whole).unwrap();
    for (kind, offset) in &found {
        let at = &bytes[usize::try_from(*offset).unwrap()..];
        match kind {
            TlsFunction::GoReturn => assert_eq!(at[0], 0xc3),
            _ => assert!(at[0] == 0x76 || at[..2] == [0x0f, 0x86], "{kind:?}"),
        }
    }
    // Without symbols the same places are found through the runtime's own table: in the same code.
    let stripped = build(directory.path(), "stripped", PROGRAM, &["-ldflags=-s -w"]);
    let again = probes(&stripped);
    assert_eq!(again.len(), found.len());
    let distance = |of: &[(TlsFunction, u64)]| {
        let first = of[0].1;
        of.iter()
            .map(|(kind, at)| (*kind, at.wrapping_sub(first)))
            .collect::<Vec<_>>()
    };
    assert_eq!(distance(&again), distance(&found));
}

#[test]
fn a_program_without_tls_is_none_and_another_language_is_not_go() {
    let directory = tempfile::tempdir().unwrap();
    let plain = build(
        directory.path(),
        "plain",
        "package main\nfunc main() { println(1) }\n",
        &[],
    );
    assert_eq!(look(&plain), Ok(Some(GoProgram::WithoutTls)));
    assert_eq!(look(Path::new("/proc/self/exe")), Ok(None));
}

#[test]
fn versions_are_told_apart() {
    for (text, expected) in [
        ("go1.19.8", Some(19)),
        ("go1.16", Some(16)),
        ("devel go1.25-1a2b3c Thu", Some(25)),
        ("go1.22.1 X:boringcrypto", Some(22)),
        ("unknown", None),
        ("", None),
    ] {
        assert_eq!(minor(text), expected, "{text}");
    }
}

#[test]
fn any_bytes_are_survived() {
    let directory = tempfile::tempdir().unwrap();
    let path = build(directory.path(), "stripped", PROGRAM, &["-ldflags=-s -w"]);
    let whole = std::fs::read(&path).unwrap();
    let damaged = directory.path().join("damaged");
    let mut state = 11_u64;
    for _ in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..200 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = usize::try_from(state >> 20).unwrap() % bytes.len();
            bytes[at] = (state >> 8) as u8;
        }
        std::fs::write(&damaged, &bytes).unwrap();
        let _ = look(&damaged);
    }
    for part in 1..20 {
        std::fs::write(&damaged, &whole[..whole.len() * part / 20]).unwrap();
        let _ = look(&damaged);
    }
}
