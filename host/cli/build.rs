//! Embeds the eBPF object and the built-in parsers, when `cargo xtask build` has made them.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=WIRESPAN_ARTEFACTS");
    let directory = env::var_os("WIRESPAN_ARTEFACTS").map_or_else(
        || {
            let manifest =
                env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
            Path::new(&manifest).join("../../target/artefacts")
        },
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut files: Vec<PathBuf> = fs::read_dir(&directory)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.retain(|path| path.extension().is_some_and(|e| e == "wasm" || e == "o"));
    files.sort();
    let mut table = String::from("&[");
    for file in files {
        let file = file.canonicalize().expect("a file just listed");
        let name = file
            .file_name()
            .and_then(|n| n.to_str())
            .expect("artefacts have plain names");
        println!("cargo::rerun-if-changed={}", file.display());
        write!(
            table,
            "({name:?}, {{ static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!({file:?})); &FILE.0 }}),"
        )
        .expect("a string takes everything");
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("embedded.rs"), table).expect("OUT_DIR can be written");
}
