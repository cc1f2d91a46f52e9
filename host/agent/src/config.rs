//! Configuration: TOML, every setting with a default that is right for most.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wirespan_capture::live::{CallPlaces, DenyList};
use wirespan_sink_nats::Encoding;

use crate::error::AgentError;

/// Read when `--config` is not given and the file is there.
pub const DEFAULT_PATH: &str = "/etc/wirespan/wirespan.toml";

/// Own metrics; loopback, since they name what runs on the node.
pub const DEFAULT_METRICS: &str = "127.0.0.1:9475";

/// Spans that may wait for a sink. About 1 KiB each: at most some 64 MiB.
pub(crate) const SINK_QUEUE_SPANS: usize = 65_536;

/// Threads that parse: more than nodes have CPUs to spare for them.
pub(crate) const MAX_WORKERS: usize = 64;

/// A configuration is a page of text; what is larger is something else.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub capture: CaptureSection,
    pub tls: TlsSection,
    pub parsers: ParsersSection,
    pub spans: SpansSection,
    pub nats: NatsSection,
    pub metrics: MetricsSection,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureSection {
    /// Memory of all rings together, in MiB.
    pub ring_mib: u32,
    /// Where calls are looked at: `tracepoints` (of system calls), `fentry` (functions of sockets), or `auto`:
    /// the second where the kernel allows it.
    pub calls: String,
    /// Empty: every process. Otherwise only these.
    pub pids: Vec<u32>,
    /// Empty: every port. Otherwise connections with one of these at either end.
    pub ports: Vec<u16>,
    /// Empty: every container. Otherwise ids or prefixes of ids.
    pub containers: Vec<String>,
}

impl Default for CaptureSection {
    fn default() -> Self {
        Self {
            ring_mib: 32,
            calls: "auto".to_owned(),
            pids: Vec::new(),
            ports: Vec::new(),
            containers: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    /// Probe TLS libraries. Off: encrypted connections are counted and left.
    pub enabled: bool,
    /// Releases of kernels on which no TLS library is probed; `*` stands for anything.
    pub deny_kernels: Vec<String>,
    /// Commands, or paths of executables, that no probe may touch.
    pub deny_processes: Vec<String>,
}

impl Default for TlsSection {
    fn default() -> Self {
        let list = DenyList::default();
        Self {
            enabled: true,
            deny_kernels: list.kernels,
            deny_processes: list.processes,
        }
    }
}

impl TlsSection {
    /// As the capture wants it.
    #[must_use]
    pub fn deny_list(&self) -> DenyList {
        DenyList {
            kernels: self.deny_kernels.clone(),
            processes: self.deny_processes.clone(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParsersSection {
    /// Empty: all that are there. Otherwise only spans of these protocols, and only their parsers
    /// are loaded.
    pub protocols: Vec<String>,
    /// Components to load besides the built-in ones.
    pub plugins: Vec<PathBuf>,
    /// Threads that parse; 0: one for every two CPUs, at most four.
    pub workers: usize,
    /// Compiled parsers are kept here; empty: the user's cache directory.
    pub cache: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpansSection {
    /// Keep statements, queries and paths as they were sent.
    pub unredacted: bool,
    /// Name HTTP spans by the templates of their paths, inferred from what was seen.
    pub route_templates: bool,
    /// Query parameters whose values are removed besides those always removed.
    pub redact_parameters: Vec<String>,
}

impl Default for SpansSection {
    fn default() -> Self {
        Self {
            unredacted: false,
            route_templates: true,
            redact_parameters: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsSection {
    /// `nats://host:4222` or `tls://…`; several separated by commas. Empty: nothing is published.
    pub url: Option<String>,
    /// First token of the subjects that names this cluster.
    pub cluster: Option<String>,
    /// `json`, `otlp` or `otlp-json`.
    pub encoding: Option<String>,
    /// Path of a `.creds` file.
    pub credentials: Option<PathBuf>,
    /// Start even when the server cannot be reached yet.
    pub retry: bool,
}

impl NatsSection {
    /// How spans are encoded.
    ///
    /// # Errors
    /// When there is no such encoding.
    pub(crate) fn encoding(&self) -> Result<Encoding, AgentError> {
        let Some(encoding) = &self.encoding else {
            return Ok(Encoding::default());
        };
        encoding.parse().map_err(|_| AgentError::Setting {
            setting: "encoding",
            value: encoding.clone(),
            reason: "use json, otlp or otlp-json".to_owned(),
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSection {
    /// `off` or an address; absent: [`DEFAULT_METRICS`], given up quietly when it is taken.
    pub listen: Option<String>,
}

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsListen {
    Off,
    /// Taken by another program: a warning.
    Default(SocketAddr),
    /// Taken by another program: an error.
    Explicit(SocketAddr),
}

impl Config {
    /// `path` if given, else [`DEFAULT_PATH`] if there, else the defaults.
    ///
    /// # Errors
    /// When the file cannot be read or says something unknown; the message has line and column.
    pub fn load(path: Option<&Path>) -> Result<Self, AgentError> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_PATH), false),
        };
        let error = |reason: String| AgentError::Configuration {
            path: path.to_owned(),
            reason,
        };
        match fs::metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound && !required => return Ok(Self::default()),
            Err(e) => return Err(error(unreadable(&e))),
            Ok(meta) if meta.len() > MAX_CONFIG_BYTES => {
                return Err(error(format!(
                    "{} bytes is no configuration (limit {MAX_CONFIG_BYTES})",
                    meta.len()
                )));
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(path).map_err(|e| error(unreadable(&e)))?;
        toml::from_str(&text).map_err(|e| error(e.to_string()))
    }

    /// Where calls are looked at.
    ///
    /// # Errors
    /// When it says something unknown.
    pub fn call_places(&self) -> Result<CallPlaces, AgentError> {
        let calls = &self.capture.calls;
        calls.parse().map_err(|reason| AgentError::Setting {
            setting: "capture.calls",
            value: calls.clone(),
            reason,
        })
    }

    /// # Errors
    /// When the address is not one.
    pub fn metrics_listen(&self) -> Result<MetricsListen, AgentError> {
        let parse = |text: &str| {
            text.parse().map_err(|_| AgentError::Setting {
                setting: "metrics",
                value: text.to_owned(),
                reason: "give an address with a port such as 127.0.0.1:9475, or `off`".to_owned(),
            })
        };
        Ok(match self.metrics.listen.as_deref() {
            Some("off") => MetricsListen::Off,
            Some(text) => MetricsListen::Explicit(parse(text)?),
            None => MetricsListen::Default(parse(DEFAULT_METRICS)?),
        })
    }

    /// Number of parser threads.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        match self.parsers.workers {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2).min(4)),
            n => n.min(MAX_WORKERS),
        }
    }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("{error}; name a file with --config that this user may read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, AgentError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wirespan.toml");
        fs::write(&path, text).unwrap();
        Config::load(Some(&path))
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(load("").unwrap(), Config::default());
    }

    #[test]
    fn settings_are_read() {
        let config = load("[nats]\nurl = \"nats://127.0.0.1\"\n[capture]\nports = [80]\n").unwrap();
        assert_eq!(config.nats.url.as_deref(), Some("nats://127.0.0.1"));
        assert_eq!(config.capture.ports, [80]);
        assert!(config.tls.enabled);
    }

    #[test]
    fn what_is_denied_can_be_widened_and_emptied() {
        let config = load("[tls]\ndeny_processes = [\"postgres\"]\n").unwrap();
        assert_eq!(config.tls.deny_processes, ["postgres"]);
        assert!(config.tls.enabled && !config.tls.deny_kernels.is_empty());
        let config = load("[tls]\nenabled = false\ndeny_kernels = []\n").unwrap();
        assert!(!config.tls.enabled && config.tls.deny_kernels.is_empty());
    }

    #[test]
    fn an_unknown_setting_is_named_with_its_line() {
        let error = load("[nats]\nurls = \"x\"\n").unwrap_err().to_string();
        assert!(
            error.contains("urls") && error.contains("line 2"),
            "{error}"
        );
    }

    #[test]
    fn a_given_file_must_exist() {
        let error = Config::load(Some(Path::new("/nonexistent/wirespan.toml")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nonexistent/wirespan.toml") && error.contains("--config"),
            "{error}"
        );
    }

    #[test]
    fn metrics_can_be_moved_and_turned_off() {
        let mut config = Config::default();
        assert!(matches!(
            config.metrics_listen(),
            Ok(MetricsListen::Default(_))
        ));
        config.metrics.listen = Some("off".into());
        assert_eq!(config.metrics_listen().unwrap(), MetricsListen::Off);
        config.metrics.listen = Some("[::1]:1".into());
        assert!(matches!(
            config.metrics_listen(),
            Ok(MetricsListen::Explicit(_))
        ));
        config.metrics.listen = Some("9475".into());
        assert!(config.metrics_listen().is_err());
    }
}
