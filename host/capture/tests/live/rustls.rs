//! Plaintext of rustls, in a program that has symbols as programs made by Rust have them: this one.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, DigitallySignedStruct, ServerConfig,
    ServerConnection, SideData, SignatureScheme, StreamOwned,
};
use wirespan_capture::{Direction, Layer, Role};

use crate::script::Certificate;
use crate::support::{Bench, config};

/// How the program is told that it is to run, and what.
const ARGUMENTS: &str = "WIRESPAN_TEST_RUSTLS";
/// On a busy machine with others' tests beside it.
const LIMIT: Duration = Duration::from_secs(120);
/// More than rustls reads at once: what is larger than a buffer is read past it.
const LARGE: usize = 64 << 10;
/// Clients at a time.
const CLIENTS: usize = 8;

/// What a connection says in a round: from one byte to more than a record holds.
fn said(connection: usize, round: usize) -> Vec<u8> {
    let length = 1 + (connection * 7919 + round * 104_729) % 20_000;
    let mut state = u32::try_from(connection * 65_537 + round * 257 + 1).unwrap();
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// All at once, or in pieces of different lengths, some of them empty, as HTTP libraries write.
fn say<C, D>(stream: &mut StreamOwned<C, Box<dyn Socket>>, bytes: &[u8], in_pieces: bool)
where
    C: std::ops::DerefMut<Target = ConnectionCommon<D>>,
    D: SideData,
{
    let mut left = bytes;
    while !left.is_empty() {
        let written = if in_pieces {
            let (mut pieces, mut rest) = (Vec::new(), left);
            for number in 0..20 {
                let (piece, behind) = rest.split_at(rest.len().min(number * number * 17 % 3_000));
                pieces.push(IoSlice::new(piece));
                rest = behind;
            }
            pieces.push(IoSlice::new(rest));
            // As much as it takes at once.
            stream.conn.writer().write_vectored(&pieces).unwrap()
        } else {
            stream.write(left).unwrap()
        };
        stream.flush().unwrap();
        left = &left[written..];
    }
}

fn hear(stream: &mut impl Read, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// A socket that is read through a buffer: rustls gets what was received in other memory than that which
/// it was received into.
struct Buffered(BufReader<TcpStream>);

impl Read for Buffered {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

trait Socket: Read + Write + Send {}
impl<T: Read + Write + Send> Socket for T {}

fn socket(stream: TcpStream, buffered: bool) -> Box<dyn Socket> {
    stream.set_nodelay(true).unwrap();
    if buffered {
        Box::new(Buffered(BufReader::with_capacity(LARGE, stream)))
    } else {
        Box::new(stream)
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, rounds: usize, buffered: bool) {
    let session = ServerConnection::new(config).unwrap();
    let mut stream = StreamOwned::new(session, socket(stream, buffered));
    let number = hear(&mut stream, 2);
    let number = usize::from(number[0]) << 8 | usize::from(number[1]);
    for round in 0..rounds {
        let heard = hear(&mut stream, said(number, round).len());
        say(&mut stream, &heard, round % 3 == 1);
    }
    // Until the client has everything.
    let _ = stream.read(&mut [0]);
}

fn ask(port: u16, config: Arc<ClientConfig>, number: usize, rounds: usize, buffered: bool) {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(config, name).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut stream = StreamOwned::new(session, socket(stream, buffered));
    say(&mut stream, &[(number >> 8) as u8, number as u8], false);
    for round in 0..rounds {
        let saying = said(number, round);
        say(&mut stream, &saying, round % 2 == 1);
        assert!(hear(&mut stream, saying.len()) == saying);
    }
}

/// Any certificate is good.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The program under test: this test does nothing unless it is started as that.
#[test]
fn is_the_program_under_test() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let [certificate, key, connections, rounds, buffered] =
        arguments.split(' ').collect::<Vec<_>>()[..]
    else {
        panic!("{arguments}")
    };
    let (connections, rounds): (usize, usize) =
        (connections.parse().unwrap(), rounds.parse().unwrap());
    let buffered = buffered == "true";
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    let (server, client) = (Arc::new(server), Arc::new(client));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    println!("listening {port}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..connections {
                let (stream, _) = listener.accept().unwrap();
                let server = Arc::clone(&server);
                scope.spawn(move || serve(stream, server, rounds, buffered));
            }
        });
        for first in 0..CLIENTS {
            let client = &client;
            scope.spawn(move || {
                for number in (first..connections).step_by(CLIENTS) {
                    ask(port, Arc::clone(client), number, rounds, buffered);
                }
            });
        }
    });
    println!("talked");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// It, stopped whatever becomes of the test.
struct Program {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
    _certificate: Certificate,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(connections: usize, rounds: usize, buffered: bool) -> Self {
        let certificate = Certificate::make();
        let arguments = format!(
            "{} {} {connections} {rounds} {buffered}",
            certificate.certificate.display(),
            certificate.key.display()
        );
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "rustls::is_the_program_under_test",
                "--nocapture",
            ])
            .env(ARGUMENTS, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self {
            child,
            lines,
            port: 0,
            _certificate: certificate,
        };
        program.port = program.line("listening ").parse().unwrap();
        program
    }

    /// Waits for a line that has this in it, and gives what follows. What runs the test writes too.
    fn line(&mut self, wanted: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "{wanted}");
            if let Some((_, rest)) = line.trim_end().split_once(wanted) {
                return rest.to_owned();
            }
        }
    }

    fn go(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
    }
}

fn bench_for(program: &Program, uprobe_links: bool) -> Option<Bench> {
    let mut config = config()?;
    config.uprobe_links = uprobe_links;
    config.copy_all = true;
    config.rings_bytes = 64 << 20;
    config.ports = vec![program.port];
    config.pids = vec![program.child.id()];
    Some(Bench::for_ports(config))
}

fn converse(uprobe_links: bool, connections: usize, rounds: usize) {
    let mut program = Program::start(connections, rounds, false);
    let Some(mut bench) = bench_for(&program, uprobe_links) else {
        return;
    };
    program.go();
    bench.until_within(LIMIT, |seen| {
        seen.len() >= 2 * connections && seen.values().all(|seen| seen.close.is_some())
    });
    program.line("talked");
    let mut numbers = [Vec::new(), Vec::new()];
    for seen in bench.all() {
        let (role, outward, inward) = match seen.open.role.unwrap() {
            Role::Client => (0, Direction::Sent, Direction::Received),
            Role::Server => (1, Direction::Received, Direction::Sent),
        };
        let [secured] = &seen.secured[..] else {
            panic!("{:?}: {:?}", seen.open, seen.secured)
        };
        assert_eq!((secured.positions, secured.mid_stream), ([0, 0], false));
        let asked = seen.bytes(outward, Layer::Plaintext, 0);
        let number = usize::from(asked[0]) << 8 | usize::from(asked[1]);
        let all: Vec<u8> = (0..rounds).flat_map(|round| said(number, round)).collect();
        assert!(asked[2..] == all, "connection {number}");
        assert!(
            seen.bytes(inward, Layer::Plaintext, 0) == all,
            "connection {number}"
        );
        numbers[role].push(number);
    }
    for mut numbers in numbers {
        numbers.sort_unstable();
        assert_eq!(numbers, (0..connections).collect::<Vec<_>>());
    }
    program.go();
}

#[test]
fn both_ends_of_rustls_are_exact() {
    converse(true, 30, 6);
}

#[test]
fn rustls_by_perf_events_is_the_same() {
    converse(false, 5, 4);
}

/// Where nothing tells on which socket a record was received, nothing is told: neither half of a
/// conversation, nor another one's.
#[test]
fn a_socket_that_rustls_reads_through_a_buffer_has_no_plaintext() {
    const CONNECTIONS: usize = 10;
    let mut program = Program::start(CONNECTIONS, 3, true);
    let Some(mut bench) = bench_for(&program, true) else {
        return;
    };
    program.go();
    bench.until_within(LIMIT, |seen| {
        seen.len() >= 2 * CONNECTIONS && seen.values().all(|seen| seen.close.is_some())
    });
    program.line("talked");
    for seen in bench.all() {
        assert!(seen.secured.is_empty(), "{:?}", seen.secured);
        assert!(
            seen.data.iter().all(|data| data.layer == Layer::Socket),
            "{:?}",
            seen.open
        );
    }
    program.go();
}
