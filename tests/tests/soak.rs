//! The short form of `cargo xtask soak`.

use std::time::Duration;

use anyhow::Result;
use wirespan_tests::soak::{self, Plan};
use wirespan_tests::tools;

#[test]
fn what_connections_took_is_given_back() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let outcome = soak::run(Plan {
        warm_up: Duration::from_secs(2),
        churn: Duration::from_secs(4),
        idle_connections: 500,
        idle: Duration::from_millis(100),
    })?;
    let (before, after) = (&outcome.before, &outcome.after);
    let kept = soak::kept(before, after);
    assert!(kept.is_empty(), "{kept:?}: {outcome:#?}");
    assert!(before.probes > 0, "{outcome:#?}");
    assert!(after.probes <= before.probes, "{outcome:#?}");
    assert!(
        outcome.connections.iter().all(|count| *count > 0),
        "{outcome:#?}"
    );
    // Every byte that passed is in one of the books, exactly.
    assert!(outcome.passed_bytes > 0.0, "{outcome:#?}");
    assert_eq!(outcome.unaccounted_bytes, 0.0, "{outcome:#?}");
    Ok(())
}
