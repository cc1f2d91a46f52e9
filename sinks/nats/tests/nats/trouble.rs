//! A server that is away, comes back, or refuses.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::support::subscriber::Subscriber;
use crate::support::{Server, eventually, free_port, spans};
use async_nats::ConnectOptions;
use wirespan_sink::{Sink as _, SinkCounts};
use wirespan_sink_nats::{Auth, NatsConfig, NatsSink};
use wirespan_span::FlatSpan;

/// Of a drain that has somebody to deliver to: it ends with the last confirmation, so only what hangs takes
/// as long.
const LIMIT: Duration = Duration::from_secs(60);

/// A server's own patience with who does not log in, or shake hands, is 2 s, which a busy machine can take.
const PATIENCE: &str = "timeout: 30";

fn config(url: String) -> NatsConfig {
    NatsConfig {
        servers: vec![url],
        connect_timeout: LIMIT,
        ..NatsConfig::default()
    }
}

fn total(counts: SinkCounts) -> u64 {
    counts.delivered + counts.dropped
}

#[test]
fn an_unreachable_server_is_named_with_the_reason_and_without_its_password() {
    let port = free_port();
    let url = format!("nats://me:hunter2@127.0.0.1:{port}");
    let error = NatsSink::connect(config(url)).unwrap_err().to_string();
    assert!(
        error.contains(&format!("nats://127.0.0.1:{port}")),
        "{error}"
    );
    assert!(error.contains("refused"), "{error}");
    assert!(error.contains("start a server there"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_port_without_nats_is_an_error_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let config = NatsConfig {
        connect_timeout: Duration::from_millis(300),
        ..config(url)
    };
    let start = Instant::now();
    let error = NatsSink::connect(config).unwrap_err().to_string();
    assert!(error.contains("timed out"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_server_that_comes_later_is_found_when_asked_to_wait() {
    let mut server = Server::start("");
    server.stop();
    let config = NatsConfig {
        retry_on_initial_connect: true,
        ..config(server.url())
    };
    let mut sink = NatsSink::connect(config).unwrap();
    sink.publish(&spans("a", 1, 10)).unwrap();
    assert!(!sink.monitor().status().connected);
    assert_eq!(sink.monitor().status().queued, 10);
    server.start_again("");
    let monitor = sink.monitor();
    eventually("delivery", || monitor.counts().delivered == 10);
    sink.drain(LIMIT).unwrap();
}

#[test]
fn wrong_credentials_are_refused_clearly_and_right_ones_work() {
    let server = Server::start(&format!(
        "authorization {{ user: agent, password: \"s3cr@t\", {PATIENCE} }}\n"
    ));
    let right = Auth::UserPassword {
        user: "agent".into(),
        password: "s3cr@t".into(),
    };
    let wrong = Auth::UserPassword {
        user: "agent".into(),
        password: "hunter2".into(),
    };
    for auth in [Auth::None, wrong, Auth::Token("agent".into())] {
        let error = NatsSink::connect(NatsConfig {
            auth,
            ..config(server.url())
        })
        .unwrap_err()
        .to_string();
        assert!(error.contains("refuses this agent"), "{error}");
        assert!(error.contains("authorization violation"), "{error}");
        assert!(error.contains("check the user and password"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let in_url = server.url().replace("//", "//agent:s3cr%40t@");
    for config in [
        NatsConfig {
            auth: right,
            ..config(server.url())
        },
        config(in_url),
    ] {
        let mut sink = NatsSink::connect(config).unwrap();
        sink.publish(&spans("a", 1, 1)).unwrap();
        sink.drain(LIMIT).unwrap();
        assert_eq!(
            sink.counts(),
            SinkCounts {
                delivered: 1,
                dropped: 0
            }
        );
    }
}

#[test]
fn a_token_in_the_url_works() {
    let server = Server::start(&format!("authorization {{ token: s3cret, {PATIENCE} }}\n"));
    NatsSink::connect(config(server.url())).unwrap_err();
    NatsSink::connect(config(server.url().replace("//", "//s3cret@"))).unwrap();
}

#[test]
fn missing_files_are_named() {
    let server = Server::start("");
    let missing = std::path::PathBuf::from("/nonexistent/wirespan.creds");
    for config in [
        NatsConfig {
            credentials_file: Some(missing.clone()),
            ..config(server.url())
        },
        NatsConfig {
            tls_ca: Some(missing.clone()),
            ..config(server.url())
        },
        NatsConfig {
            tls_identity: Some((missing.clone(), missing)),
            ..config(server.url())
        },
    ] {
        let error = NatsSink::connect(config).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/wirespan.creds"), "{error}");
    }
}

const PERMISSIONS: &str = r#"authorization { timeout: 30, users: [
    { user: agent, password: a, permissions: { publish: ["wirespan.spans.v1.*.*.allowed.*", INBOX], subscribe: [INBOX] } },
    { user: reader, password: r }
] }
"#;

#[test]
fn subjects_that_are_refused_are_counted() {
    let server = Server::start(&PERMISSIONS.replace("INBOX", "\"_INBOX.>\""));
    let mut sink = NatsSink::connect(config(server.url().replace("//", "//agent:a@"))).unwrap();
    sink.publish(&[spans("allowed", 1, 3), spans("other", 4, 5)].concat())
        .unwrap();
    sink.drain(LIMIT).unwrap();
    assert_eq!(
        sink.counts(),
        SinkCounts {
            delivered: 3,
            dropped: 5
        }
    );
    let status = sink.monitor().status();
    assert_eq!(status.refused, 5);
    assert!(status.confirming);
    assert!(
        status
            .last_error
            .unwrap()
            .contains("wirespan.spans.v1._._.other.http")
    );
}

#[test]
fn without_an_inbox_it_delivers_without_confirmation() {
    let server = Server::start(&PERMISSIONS.replace("INBOX", "\"none\""));
    let reader = ConnectOptions::new().user_and_password("reader".into(), "r".into());
    let subscriber = Subscriber::with(reader, &server.url(), "wirespan.spans.v1.>");
    let mut sink = NatsSink::connect(config(server.url().replace("//", "//agent:a@"))).unwrap();
    sink.publish(&spans("allowed", 1, 3)).unwrap();
    subscriber.next();
    sink.drain(LIMIT).unwrap();
    assert_eq!(
        sink.counts(),
        SinkCounts {
            delivered: 3,
            dropped: 0
        }
    );
    assert!(!sink.monitor().status().confirming);
}

#[test]
fn it_comes_back_when_the_server_restarts_and_the_counts_balance() {
    let mut server = Server::start("");
    let mut sink = NatsSink::connect(config(server.url())).unwrap();
    let monitor = sink.monitor();
    sink.publish(&spans("a", 1, 1000)).unwrap();
    eventually("delivery", || monitor.counts().delivered == 1000);
    // While it goes away there is traffic.
    let mut published = 1000;
    server.stop();
    for round in 0..20 {
        sink.publish(&spans("a", 1001 + round * 50, 50)).unwrap();
        published += 50;
        std::thread::sleep(Duration::from_millis(20));
    }
    eventually("the loss of the connection", || !monitor.status().connected);
    sink.publish(&spans("a", 10_001, 500)).unwrap();
    published += 500;
    server.start_again("");
    let subscriber = Subscriber::new(&server.url(), "wirespan.spans.v1.>");
    eventually("reconnection", || monitor.status().connected);
    sink.publish(&spans("a", 20_001, 500)).unwrap();
    published += 500;
    sink.drain(LIMIT).unwrap();
    let status = monitor.status();
    assert_eq!(status.published, published);
    assert_eq!(total(sink.counts()), published, "{status:?}");
    assert_eq!(status.dropped_oldest + status.abandoned, 0, "{status:?}");
    assert!(status.reconnects >= 1, "{status:?}");
    let mut seen = HashSet::new();
    for message in subscriber.rest() {
        for span in FlatSpan::from_lines(&message.payload).unwrap() {
            let id = u64::from_str_radix(&span.span_id, 16).unwrap();
            assert!(seen.insert(id), "{id} came twice");
        }
    }
    assert!(
        (20_001..20_501).all(|id| seen.contains(&id)),
        "all that came after arrived"
    );
}

#[test]
fn while_the_server_is_away_the_queue_is_bounded_and_the_oldest_go() {
    let mut server = Server::start("");
    let config = NatsConfig {
        max_queued_spans: 2000,
        ..config(server.url())
    };
    let mut sink = NatsSink::connect(config).unwrap();
    let monitor = sink.monitor();
    // It is told of a little later than it is made.
    eventually("the connection", || monitor.status().connected);
    server.stop();
    eventually("the loss of the connection", || !monitor.status().connected);
    for round in 0..100 {
        sink.publish(&spans("a", 1 + round * 100, 100)).unwrap();
        let status = monitor.status();
        assert!(status.queued <= 2000, "{status:?}");
    }
    let status = monitor.status();
    assert_eq!(status.dropped_oldest + status.queued, 10_000, "{status:?}");
    assert!(
        status.queued >= 1400,
        "no more than a batch is dropped beyond need: {status:?}"
    );
    server.start_again("");
    eventually("delivery", || {
        monitor.status().queued == 0 && monitor.status().in_flight == 0
    });
    sink.drain(LIMIT).unwrap();
    let status = monitor.status();
    assert_eq!(
        status.delivered + status.dropped_oldest,
        10_000,
        "{status:?}"
    );
}

#[test]
fn draining_without_a_server_ends_in_time_and_says_what_was_lost() {
    let mut server = Server::start("");
    let mut sink = NatsSink::connect(config(server.url())).unwrap();
    let monitor = sink.monitor();
    // It is told of a little later than it is made.
    eventually("the connection", || monitor.status().connected);
    server.stop();
    eventually("the loss of the connection", || !monitor.status().connected);
    sink.publish(&spans("a", 1, 700)).unwrap();
    let start = Instant::now();
    let error = sink
        .drain(Duration::from_millis(300))
        .unwrap_err()
        .to_string();
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(error.contains("700 spans"), "{error}");
    assert_eq!(
        sink.counts(),
        SinkCounts {
            delivered: 0,
            dropped: 700
        }
    );
}

#[test]
fn a_lower_max_payload_after_a_restart_is_kept_to() {
    let mut server = Server::start("");
    let mut sink = NatsSink::connect(config(server.url())).unwrap();
    let monitor = sink.monitor();
    // It is told of a little later than it is made.
    eventually("the connection", || monitor.status().connected);
    server.stop();
    eventually("the loss of the connection", || !monitor.status().connected);
    sink.publish(&spans("a", 1, 400)).unwrap();
    server.start_again("max_payload: 4096\n");
    eventually("delivery", || monitor.counts().delivered == 400);
    sink.drain(LIMIT).unwrap();
}

/// A certificate for 127.0.0.1 that is its own authority, and its key.
fn self_signed(directory: &std::path::Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let output = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-subj",
            "/CN=nats",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-days",
            "2",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("this test needs the program `openssl` on PATH");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (certificate, key)
}

#[test]
fn tls_is_spoken_with_who_is_trusted_and_with_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = self_signed(directory.path());
    let server = Server::start(&format!(
        "tls {{ cert_file: {certificate:?}, key_file: {key:?}, {PATIENCE} }}\n"
    ));
    let url = server.url().replace("nats://", "tls://");
    let trusting = NatsConfig {
        tls_ca: Some(certificate),
        ..config(url.clone())
    };
    let mut sink = NatsSink::connect(trusting).unwrap();
    sink.publish(&spans("a", 1, 3)).unwrap();
    sink.drain(LIMIT).unwrap();
    assert_eq!(
        sink.counts(),
        SinkCounts {
            delivered: 3,
            dropped: 0
        }
    );
    let error = NatsSink::connect(config(url.clone()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&url) && error.contains("certificate"),
        "{error}"
    );
}
