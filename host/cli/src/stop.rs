//! SIGINT and SIGTERM ask for an orderly end; a second one ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit status after the second signal.
const IMPATIENT: i32 = 1;

/// Becomes true with the first signal.
///
/// # Errors
/// When a handler cannot be installed.
pub(crate) fn on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal finds the flag unset, the second one does not.
        flag::register_conditional_shutdown(signal, IMPATIENT, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
