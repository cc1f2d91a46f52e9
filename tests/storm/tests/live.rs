//! The short form of the storm, on this kernel.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use wirespan_capture::live::CallPlaces;
use wirespan_storm::observer::Report;
use wirespan_storm::random::mix;
use wirespan_storm::run::{Storm, run};

fn storm(operations: u64, rings_bytes: u64, tight: bool) -> Report {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = mix(now.as_nanos() as u64);
    println!("seed {seed}");
    let report = run(&Storm {
        actor: PathBuf::from(env!("CARGO_BIN_EXE_storm-actor")),
        seed,
        operations,
        workers: 3,
        huge_bytes: 8 << 20,
        rings_bytes,
        calls: CallPlaces::Auto,
        tight,
    })
    .unwrap();
    println!("{report:#?}");
    assert!(report.differences.is_empty(), "{:#?}", report.differences);
    assert!(report.operations >= operations && report.captured_bytes > 1_000_000);
    report
}

#[test]
fn what_is_captured_is_what_was_sent() {
    assert!(storm(20_000, 128 << 20, false).connections > 500);
}

/// The least that there can be: the programs go on, and what is shown is right.
#[test]
fn what_finds_no_room_in_the_rings_is_told_as_lost() {
    let report = storm(20_000, 1, true);
    assert!(report.lost_bytes > 0, "{:?}", report.counters);
}
