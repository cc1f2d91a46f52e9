//! Plaintext of other programs' TLS libraries, at both ends of one connection.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wirespan_capture::{Direction, Layer};

use crate::script::Certificate;
use crate::support::{Bench, Seen, config};

const LIMIT: Duration = Duration::from_secs(30);
const PATH: &str = "/a/path/of/this/test";

/// A program, stopped whatever becomes of the test.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}: run `cargo xtask setup`"));
        Self(child)
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < LIMIT, "{:?} does not end", self.0);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until someone listens, without connecting: `/proc/net/tcp` has it.
fn listens(port: u16) {
    let begun = Instant::now();
    let wanted = format!(":{port:04X} ");
    loop {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
            .map(|path| std::fs::read_to_string(path).unwrap_or_default());
        let listening = |line: &str| {
            let mut fields = line.split_whitespace().skip(1);
            fields
                .next()
                .is_some_and(|local| local.ends_with(wanted.trim()))
                && fields.nth(1) == Some("0A")
        };
        if tables.iter().any(|table| table.lines().any(listening)) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "nobody listens at port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the plaintext of both ends must be: the same, with the request in one direction and an answer
/// in the other.
fn ends_agree(client: &Seen, server: &Seen, read: usize) {
    let sent = client.bytes(Direction::Sent, Layer::Plaintext, 0);
    let received = client.bytes(Direction::Received, Layer::Plaintext, 0);
    let text = String::from_utf8_lossy(&sent);
    assert!(text.starts_with(&format!("GET {PATH} HTTP/1.")), "{text}");
    assert!(received.starts_with(b"HTTP/1."), "{received:?}");
    assert!(received.len() > 100, "an answer with a body");
    let sent = &sent[..sent.len().min(read)];
    for (here, there) in [(sent, Direction::Received), (&received, Direction::Sent)] {
        let there = server.bytes(there, Layer::Plaintext, 0);
        assert!(
            here == there,
            "{:?} and {:?}",
            String::from_utf8_lossy(here),
            String::from_utf8_lossy(&there)
        );
    }
    for seen in [client, server] {
        let [secured] = &seen.secured[..] else {
            panic!("{:?}", seen.secured)
        };
        assert_eq!((secured.positions, secured.mid_stream), ([0, 0], false));
        // No byte is told twice: nothing but the handshake comes from the socket itself.
        for data in seen.data.iter().filter(|data| data.layer == Layer::Socket) {
            assert!(!data.bytes.windows(4).any(|part| part == b"HTTP"));
        }
    }
}

/// One exchange between a server that gets a port and a client that gets one.
fn exchange(
    server: impl FnOnce(&Certificate, u16) -> Command,
    client: impl FnOnce(u16) -> Command,
) {
    exchange_read_up_to(usize::MAX, server, client);
}

/// The same with a server that reads no more of the request than so many bytes.
fn exchange_read_up_to(
    read: usize,
    server: impl FnOnce(&Certificate, u16) -> Command,
    client: impl FnOnce(u16) -> Command,
) {
    let Some(mut config) = config() else { return };
    let certificate = Certificate::make();
    let listener = Bench::listen();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    config.ports = vec![port];
    config.copy_all = true;
    // What it uses is found when the capture begins, wherever its libraries are.
    let _server = Program::start(server(&certificate, port).stdin(Stdio::null()));
    listens(port);
    let mut bench = Bench::for_ports(config);
    let mut client = Program::start(&mut client(port));
    client.wait();
    bench.until_within(LIMIT, |seen| {
        let closed = seen.values().filter(|seen| seen.close.is_some());
        closed.count() >= 2
    });
    let end = |is_client: bool| {
        let mut ends = bench
            .all()
            .filter(|seen| (seen.open.local.map(|local| local.port()) != Some(port)) == is_client);
        let end = ends.next().expect("it is seen");
        assert!(ends.next().is_none(), "one connection");
        end
    };
    ends_agree(end(true), end(false), read);
}

fn openssl_server(program: &Path, certificate: &Certificate, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .args(["s_server", "-www", "-quiet", "-accept", &port.to_string()])
        .arg("-cert")
        .arg(&certificate.certificate)
        .arg("-key")
        .arg(&certificate.key);
    command
}

/// `s_client` sends what it is told; the shell waits for the answer's end.
fn openssl_client(program: &Path, port: u16) -> Command {
    let mut command = Command::new("sh");
    let script = format!(
        "printf 'GET {PATH} HTTP/1.0\\r\\n\\r\\n' | {} s_client -quiet -ign_eof -connect 127.0.0.1:{port}",
        program.display()
    );
    command.args(["-c", &script]);
    command
}

fn curl(port: u16) -> Command {
    let mut command = Command::new("curl");
    command.args([
        "-sk",
        "--http1.1",
        &format!("https://127.0.0.1:{port}{PATH}"),
    ]);
    command
}

/// GnuTLS.
fn wget(port: u16) -> Command {
    let mut command = Command::new("wget");
    command
        .args([
            "-q",
            "--no-check-certificate",
            "--no-proxy",
            "-O",
            "/dev/null",
        ])
        .arg(format!("https://127.0.0.1:{port}{PATH}"));
    command
}

#[test]
fn gnutls_as_a_client() {
    exchange(
        |certificate, port| openssl_server(Path::new("openssl"), certificate, port),
        wget,
    );
}

#[test]
fn gnutls_as_a_server() {
    exchange(
        |certificate, port| {
            let mut command = Command::new("gnutls-serv");
            command
                .args(["--http", "--quiet", "--port", &port.to_string()])
                .arg("--x509certfile")
                .arg(&certificate.certificate)
                .arg("--x509keyfile")
                .arg(&certificate.key);
            command
        },
        curl,
    );
}

#[test]
fn openssl_by_its_own_programs() {
    let openssl = Path::new("openssl");
    exchange(
        |certificate, port| openssl_server(openssl, certificate, port),
        |port| openssl_client(openssl, port),
    );
}

/// Which has its own way to shake hands: within a read or a write.
#[test]
fn boringssl_as_a_client() {
    // The client alone would have come and gone before its libraries are looked for: somebody has them
    // from the beginning.
    let mut holder = None;
    exchange(
        |certificate, port| {
            let listener = Bench::listen();
            let other = listener.local_addr().unwrap().port();
            drop(listener);
            holder = Some(Program::start(
                boringssl_server(certificate, other).stdin(Stdio::null()),
            ));
            listens(other);
            openssl_server(Path::new("openssl"), certificate, port)
        },
        |port| {
            let mut command = Command::new("sh");
            let script = format!(
                "printf 'GET {PATH} HTTP/1.0\\r\\n\\r\\n' | bssl-tool client -connect 127.0.0.1:{port}"
            );
            command.args(["-c", &script]);
            command
        },
    );
}

fn boringssl_server(certificate: &Certificate, port: u16) -> Command {
    let mut command = Command::new("bssl-tool");
    command
        .args(["server", "-www", "-loop", "-accept", &port.to_string()])
        .arg("-cert")
        .arg(&certificate.certificate)
        .arg("-key")
        .arg(&certificate.key);
    command
}

/// Its server answers when it has read the first four bytes.
#[test]
fn boringssl_as_a_server() {
    exchange_read_up_to(4, boringssl_server, |port| {
        openssl_client(Path::new("openssl"), port)
    });
}

/// The programs and libraries of Debian 11, unpacked by `cargo xtask test`.
fn openssl_1_1() -> Option<(PathBuf, PathBuf)> {
    let artefacts = std::env::var_os("WIRESPAN_ARTEFACTS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../target/artefacts"
            ))
        },
        PathBuf::from,
    );
    let root = artefacts.with_file_name("openssl-1.1");
    let program = root.join("usr/bin/openssl");
    if !program.is_file() {
        eprintln!(
            "SKIPPED: no OpenSSL 1.1 in {}: `cargo xtask test` says why",
            root.display()
        );
        return None;
    }
    Some((program, root.join("usr/lib/x86_64-linux-gnu")))
}

#[test]
fn openssl_1_1_by_its_own_programs() {
    let Some((program, libraries)) = openssl_1_1() else {
        return;
    };
    let old = |mut command: Command| {
        command.env("LD_LIBRARY_PATH", &libraries);
        command
    };
    exchange(
        |certificate, port| old(openssl_server(&program, certificate, port)),
        |port| old(openssl_client(&program, port)),
    );
}
