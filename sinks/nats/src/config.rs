//! How to reach NATS, and what to send.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What a message holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Lines of the flat form.
    #[default]
    Json,
    /// `ExportTraceServiceRequest` as protobuf.
    Otlp,
    /// `ExportTraceServiceRequest` as JSON.
    OtlpJson,
}

impl Encoding {
    pub const ALL: [Self; 3] = [Self::Json, Self::Otlp, Self::OtlpJson];

    /// As it is written in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Otlp => "otlp",
            Self::OtlpJson => "otlp-json",
        }
    }

    /// Header `Content-Type` of the messages.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-ndjson",
            Self::Otlp => "application/x-protobuf",
            Self::OtlpJson => "application/json",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL
            .into_iter()
            .find(|encoding| encoding.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is not an encoding; use json, otlp or otlp-json"))
    }
}

/// How the agent says who it is. A user and password, or a token, may also stand in the URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    #[default]
    None,
    UserPassword {
        user: String,
        password: String,
    },
    Token(String),
}

/// Never shows a password.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::UserPassword { .. } => "UserPassword",
            Self::Token(_) => "Token",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsConfig {
    /// `nats://host:4222` or `tls://…`; several are those of one cluster.
    pub servers: Vec<String>,
    /// Token of the subjects; empty is `_`.
    pub cluster: String,
    pub encoding: Encoding,
    /// Name of the connection, shown by the server.
    pub name: String,
    pub auth: Auth,
    /// A `.creds` file: JWT and seed of a user.
    pub credentials_file: Option<PathBuf>,
    /// Certificates to trust instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Certificate and key of the agent.
    pub tls_identity: Option<(PathBuf, PathBuf)>,
    /// Start although no server answers, and go on trying.
    pub retry_on_initial_connect: bool,
    pub connect_timeout: Duration,
    /// Spans that wait while the server is away or slow. At about 1 KiB each the default is some
    /// 64 MiB: half a minute of a busy node.
    pub max_queued_spans: usize,
    /// Bytes that wait, as estimated from the encoded size.
    pub max_queued_bytes: usize,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".to_owned()],
            cluster: String::new(),
            encoding: Encoding::default(),
            name: "wirespan".to_owned(),
            auth: Auth::default(),
            credentials_file: None,
            tls_ca: None,
            tls_identity: None,
            retry_on_initial_connect: false,
            connect_timeout: Duration::from_secs(5),
            max_queued_spans: 65_536,
            max_queued_bytes: 64 << 20,
        }
    }
}

impl NatsConfig {
    /// The defaults, with one server or several separated by commas.
    #[must_use]
    pub fn new(servers: &str) -> Self {
        let servers = servers
            .split(',')
            .map(|url| url.trim().to_owned())
            .collect();
        Self {
            servers,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_read_as_they_are_written() {
        for encoding in Encoding::ALL {
            assert_eq!(encoding.to_string().parse(), Ok(encoding));
        }
        assert!("xml".parse::<Encoding>().unwrap_err().contains("otlp-json"));
    }

    #[test]
    fn passwords_are_not_shown() {
        let auth = Auth::UserPassword {
            user: "u".into(),
            password: "hunter2".into(),
        };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
