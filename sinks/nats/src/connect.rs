//! Opens the connection, and says why it could not be opened.

use std::cmp::min;
use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use wirespan_sink::SinkError;

use crate::config::{Auth, NatsConfig};

/// A dead connection is noticed after three of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Between attempts, doubled up to this: a server that restarts is found soon, one that is away is
/// not bothered by a fleet.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(2);

/// `on_event` is called for each change of the connection, in their order.
pub(crate) async fn connect(
    config: &NatsConfig,
    on_event: impl Fn(Event) + Send + Sync + 'static,
) -> Result<Client, SinkError> {
    let (servers, url_auth) = addresses(config)?;
    let shown = shown(&servers);
    let auth = if config.auth == Auth::None {
        &url_auth
    } else {
        &config.auth
    };
    let mut options = authorise(
        base_options(config, on_event),
        auth,
        config.credentials_file.as_deref(),
    )
    .await?;
    if let Some(path) = &config.tls_ca {
        options = options.add_root_certificates(readable(path, "TLS certificates")?);
    }
    if let Some((certificate, key)) = &config.tls_identity {
        options = options.add_client_certificate(
            readable(certificate, "TLS certificate")?,
            readable(key, "TLS key")?,
        );
    }
    // Resolving a name has no limit of its own.
    let tries = u32::try_from(servers.len())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let limit = config.connect_timeout.saturating_mul(tries);
    match tokio::time::timeout(limit, options.connect(servers.as_slice())).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(explain(&shown, error.kind(), &error)),
        Err(_) => Err(explain(
            &shown,
            ConnectErrorKind::TimedOut,
            "no answer in time",
        )),
    }
}

fn base_options(
    config: &NatsConfig,
    on_event: impl Fn(Event) + Send + Sync + 'static,
) -> ConnectOptions {
    let options = ConnectOptions::new()
        .name(&config.name)
        .connection_timeout(config.connect_timeout)
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            on_event(event);
            std::future::ready(())
        });
    if config.retry_on_initial_connect {
        options.retry_on_initial_connect()
    } else {
        options
    }
}

fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let millis = 25_u64.saturating_mul(2_u64.saturating_pow(doublings));
    if attempts <= 1 {
        Duration::ZERO
    } else {
        min(Duration::from_millis(millis), MAX_RECONNECT_DELAY)
    }
}

async fn authorise(
    options: ConnectOptions,
    auth: &Auth,
    credentials_file: Option<&Path>,
) -> Result<ConnectOptions, SinkError> {
    let options = match auth {
        Auth::None => options,
        Auth::UserPassword { user, password } => {
            options.user_and_password(user.clone(), password.clone())
        }
        Auth::Token(token) => options.token(token.clone()),
    };
    let Some(path) = credentials_file else {
        return Ok(options);
    };
    options.credentials_file(path).await.map_err(|error| {
        SinkError::new(
            format!("cannot read NATS credentials from {}", path.display()),
            error,
            "give a .creds file that this user may read",
        )
    })
}

fn readable(path: &Path, what: &str) -> Result<std::path::PathBuf, SinkError> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(path.to_owned()),
        Err(error) => Err(SinkError::new(
            format!("cannot read {what} from {}", path.display()),
            error,
            "give a PEM file that this user may read",
        )),
    }
}

/// The servers without what stands before an `@`, and what stood there.
fn addresses(config: &NatsConfig) -> Result<(Vec<ServerAddr>, Auth), SinkError> {
    let mut auth = Auth::None;
    let mut servers = Vec::new();
    for url in &config.servers {
        let (address, found) = address(url)?;
        servers.push(address);
        if auth == Auth::None {
            auth = found;
        }
    }
    if servers.is_empty() {
        return Err(SinkError::new(
            "NATS",
            "no server is given",
            "give one as nats://host:4222",
        ));
    }
    Ok((servers, auth))
}

fn address(url: &str) -> Result<(ServerAddr, Auth), SinkError> {
    let bad = |reason: &dyn ToString| {
        let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
        SinkError::new(
            format!("`{shown}` is not the address of a NATS server"),
            reason.to_string(),
            "write it as nats://host:4222 or tls://host:4222",
        )
    };
    let parsed: ServerAddr = url
        .trim()
        .parse()
        .map_err(|error: std::io::Error| bad(&error))?;
    if parsed.is_websocket() {
        return Err(bad(&"WebSockets are not supported"));
    }
    if parsed.host().is_empty() {
        return Err(bad(&"it names no host"));
    }
    let auth = match (parsed.username(), parsed.password()) {
        (Some(user), Some(password)) => Auth::UserPassword {
            user: decode(user),
            password: decode(password),
        },
        (Some(token), None) => Auth::Token(decode(token)),
        (None, _) => Auth::None,
    };
    let host = parsed.host();
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let plain = format!("{}://{bracketed}:{}", parsed.scheme(), parsed.port());
    plain
        .parse()
        .map(|address| (address, auth))
        .map_err(|error: std::io::Error| bad(&error))
}

/// Percent-decoding of a user or password; what is not UTF-8 then is taken as it stood.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        match after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// The servers as a message may name them: without credentials.
fn shown(servers: &[ServerAddr]) -> String {
    let urls = servers
        .iter()
        .map(|server| server.as_url_str().trim_end_matches('/'));
    urls.collect::<Vec<_>>().join(", ")
}

fn explain(shown: &str, kind: ConnectErrorKind, reason: impl ToString) -> SinkError {
    match kind {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            SinkError::new(
                format!("NATS at {shown} refuses this agent"),
                reason,
                "check the user and password, the token or the credentials file",
            )
        }
        ConnectErrorKind::Tls => SinkError::new(
            format!("no TLS with NATS at {shown}"),
            reason,
            "check that the server speaks TLS and that its certificate's authority is trusted",
        ),
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => SinkError::new(
            format!("cannot reach NATS at {shown}"),
            reason,
            "start a server there, correct the address, or start without it and go on trying (--nats-retry)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_from_the_url_and_not_shown() {
        let (server, auth) = address("nats://me:p%40ss@example.com").unwrap();
        assert_eq!(shown(&[server]), "nats://example.com:4222");
        assert_eq!(
            auth,
            Auth::UserPassword {
                user: "me".into(),
                password: "p@ss".into()
            }
        );
        let (server, auth) = address("tls://s3cret@[::1]:4333").unwrap();
        assert_eq!(shown(&[server]), "tls://[::1]:4333");
        assert_eq!(auth, Auth::Token("s3cret".into()));
    }

    #[test]
    fn what_is_no_address_is_named() {
        for url in [
            "http://h",
            "nats://",
            "ws://h",
            "",
            "nats://u:hunter2@:4222",
            "nats://h:port",
        ] {
            let error = address(url).unwrap_err().to_string();
            assert!(error.contains("nats://host:4222"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn reconnecting_slows_down() {
        let delays: Vec<_> = [0, 1, 2, 3, 20, usize::MAX].map(reconnect_delay).into();
        let millis: Vec<_> = delays.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [0, 0, 50, 100, 2000, 2000]);
    }

    #[test]
    fn escapes_are_decoded_once() {
        for (text, decoded) in [
            ("a%20b", "a b"),
            ("%", "%"),
            ("%2", "%2"),
            ("%zz", "%zz"),
            ("%2525", "%25"),
            ("%ff", "%ff"),
            ("é%é", "é%é"),
        ] {
            assert_eq!(decode(text), decoded);
        }
    }
}
