//! From libFuzzer to a target.

use std::path::PathBuf;
use std::sync::OnceLock;

use wirespan_fuzzing::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

/// Chooses the target, and writes its seeds where `WIRESPAN_FUZZ_SEEDS` says.
pub fn start(name: &str) {
    let target = TARGET.get_or_init(|| Target::named(name));
    if let Some(folder) = std::env::var_os("WIRESPAN_FUZZ_SEEDS").map(PathBuf::from) {
        for (number, seed) in target.seeds().iter().enumerate() {
            let file = folder.join(format!("seed-{number}"));
            if !file.exists() {
                // Without seeds it only takes longer.
                let _ = std::fs::write(file, seed);
            }
        }
    }
}

/// Runs one input.
pub fn run(input: &[u8]) {
    if let Some(target) = TARGET.get() {
        target.run(input);
    }
}
