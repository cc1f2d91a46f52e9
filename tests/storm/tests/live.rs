//! The short form of the storm, on this kernel.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use wirespan_storm::random::mix;
use wirespan_storm::run::{Storm, run};

#[test]
fn what_is_captured_is_what_was_sent() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = mix(now.as_nanos() as u64);
    println!("seed {seed}");
    let report = run(&Storm {
        actor: PathBuf::from(env!("CARGO_BIN_EXE_storm-actor")),
        seed,
        operations: 20_000,
        workers: 3,
        huge_bytes: 8 << 20,
        rings_bytes: 64 << 20,
    })
    .unwrap();
    println!("{report:#?}");
    assert!(report.differences.is_empty(), "{:#?}", report.differences);
    assert!(report.operations >= 20_000 && report.connections > 500);
    assert!(report.captured_bytes > 1_000_000);
}
