//! Settings that can be read and cannot be meant.

use crate::config::{Config, MAX_WORKERS};
use crate::error::AgentError;

impl Config {
    /// Whether every setting means something, also those that are of no use as the others are.
    ///
    /// # Errors
    /// The first that does not; the message has its name, its value, and what it may be.
    pub(crate) fn check(&self) -> Result<(), AgentError> {
        let capture = &self.capture;
        let refuse = |setting, value: String, reason: &str| {
            Err(AgentError::Setting {
                setting,
                value,
                reason: reason.to_owned(),
            })
        };
        if capture.ring_mib == 0 {
            return refuse(
                "capture.ring_mib",
                "0".to_owned(),
                "give at least 1, or leave it out",
            );
        }
        if capture.ports.contains(&0) {
            return refuse(
                "port",
                "0".to_owned(),
                "no connection has it; give 1 to 65535",
            );
        }
        if capture.pids.contains(&0) {
            return refuse("pid", "0".to_owned(), "no process has it; give that of one");
        }
        if self.parsers.workers > MAX_WORKERS {
            let reason = format!("give at most {MAX_WORKERS}; 0 goes by the number of CPUs");
            return refuse("parsers.workers", self.parsers.workers.to_string(), &reason);
        }
        self.nats.encoding().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_cannot_be_meant_is_named_with_what_it_may_be() {
        Config::default().check().unwrap();
        let told = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        for (error, setting, remedy) in [
            (
                told(|config| config.capture.ring_mib = 0),
                "capture.ring_mib is \"0\"",
                "at least 1",
            ),
            (
                told(|config| config.capture.ports = vec![80, 0]),
                "port is \"0\"",
                "1 to 65535",
            ),
            (
                told(|config| config.capture.pids = vec![0]),
                "pid is \"0\"",
                "that of one",
            ),
            (
                told(|config| config.parsers.workers = 65),
                "parsers.workers is \"65\"",
                "at most 64",
            ),
            (
                told(|config| config.nats.encoding = Some("xml".to_owned())),
                "encoding is \"xml\"",
                "otlp-json",
            ),
        ] {
            assert!(error.contains(setting) && error.contains(remedy), "{error}");
        }
    }
}
