//! What fuzzing found, the seeds it starts from, and a few changes of them.
//!
//! The long form is `cargo xtask fuzz`: new inputs are looked for there, and here they are always the
//! same.

use std::path::Path;

use wirespan_fuzzing::TARGETS;
use wirespan_traffic::Random;

/// Seeds that are changed at random, of each target.
const CHANGED: usize = 60;

/// Inputs that once broke something, in `fuzz/cases/<target>/`.
#[test]
fn what_was_found_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/cases");
    for target in TARGETS {
        let Ok(entries) = std::fs::read_dir(folder.join(target.name)) else {
            continue;
        };
        for entry in entries {
            let file = entry.expect("a folder can be listed").path();
            println!("{}", file.display());
            target.run(&std::fs::read(&file).expect("a case can be read"));
        }
    }
}

#[test]
fn the_seeds_and_random_changes_of_them_break_nothing() {
    let mut random = Random::new(7);
    for target in TARGETS {
        let seeds = target.seeds();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for input in &seeds {
            target.run(input);
        }
        for number in 0..CHANGED {
            let mut input = seeds[random.below(seeds.len())].clone();
            for _ in 0..random.between(1, 5) {
                let at = random.below(input.len());
                if let Some(byte) = input.get_mut(at) {
                    *byte = random.byte();
                }
            }
            input.truncate(random.between(1, input.len().max(1)));
            println!("{} {number} {}", target.name, input.escape_ascii());
            target.run(&input);
        }
    }
}
