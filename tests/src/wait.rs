//! Waiting, always with a limit.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at again: short beside what is waited for, long beside a look.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until `ready` gives something.
///
/// # Errors
/// When `ready` fails, or `limit` has passed; then the message names `what`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("{what}: not within {limit:?}");
        }
        std::thread::sleep(PAUSE);
    }
}
