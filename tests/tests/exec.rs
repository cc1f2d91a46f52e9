//! A process that becomes another program, with its connections: who did what.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wirespan_tests::nginx::Options;
use wirespan_tests::{Agent, Nginx, Span, tools, wait};

/// A process in its turn is three programs. The first opens two connections, of which the next one gets
/// one; that opens a third. Each goes on when it is told to, or at once. Nothing but the environment tells
/// them apart.
const PROGRAMS: &str = r#"
import os, socket, sys
port, turn, patient, kept = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == 'patient', int(sys.argv[5])
def get(connection, target):
    request = 'GET /hello.txt?%s HTTP/1.1\r\nHost: localhost\r\n\r\n' % target
    connection.sendall(request.encode())
    got = b''
    while b'\r\n\r\n' not in got:
        got += connection.recv(65536)
    head, body = got.split(b'\r\n\r\n', 1)
    lengths = [line for line in head.split(b'\r\n') if line.lower().startswith(b'content-length:')]
    missing = int(lengths[0].split(b':')[1]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))
if turn == 1:
    connection = socket.create_connection(('127.0.0.1', port))
    connection.set_inheritable(True)
else:
    connection = socket.socket(fileno=kept)
get(connection, 'kept-%d' % turn)
if turn < 3:
    other = socket.create_connection(('127.0.0.1', port))
    get(other, 'own-%d' % turn)
if patient:
    sys.stdin.readline()
if turn < 3:
    environment = dict(os.environ, OTEL_SERVICE_NAME='program-%d' % (turn + 1))
    arguments = sys.argv[1:3] + [str(turn + 1), sys.argv[4], str(connection.fileno())]
    os.execve(sys.executable, ['python3', '-c', sys.argv[1]] + arguments, environment)
"#;

/// Processes that do not wait for anything.
const HURRIED: usize = 6;

/// Requests of one process.
const REQUESTS: usize = 5;

/// A span comes within a second; the rest is for busy machines.
const SOON: Duration = Duration::from_secs(30);

/// A child that is ended when the test is.
struct Programs(Child);

impl Programs {
    fn start(port: u16, how: &str) -> Result<Self> {
        let child = Command::new(tools::python()?)
            .args(["-c", PROGRAMS, PROGRAMS, &port.to_string(), "1", how, "0"])
            .env("OTEL_SERVICE_NAME", "program-1")
            .stdin(Stdio::piped())
            .spawn()
            .context("python3 cannot be started")?;
        Ok(Self(child))
    }

    fn go_on(&mut self) -> Result<()> {
        let input = self.0.stdin.as_mut().context("it has an input")?;
        input.write_all(b"\n").context("it has ended too early")
    }

    fn join(mut self) -> Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "the programs failed: {status}");
        Ok(())
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of each request of one process, the services that its spans at the client name.
fn services(spans: &[Span], pid: u32) -> BTreeMap<&str, Vec<&str>> {
    let mut services: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for span in spans {
        if span.kind == "CLIENT" && span.pid() == Some(pid.into()) {
            let query = span.text("url.query").unwrap_or_default();
            let service = span.service().unwrap_or_default();
            services.entry(query).or_default().push(service);
        }
    }
    services
}

#[test]
fn each_exchange_is_of_the_program_that_the_process_was_then() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let nginx = Nginx::start(Options::default())?;
    let agent = Agent::watching(&[nginx.port])?;
    let mut patient = Programs::start(nginx.port, "patient")?;
    let pid = patient.0.id();
    for seen in [2, 4, 5] {
        // What is to be known of a program is read while the process is that.
        wait::until("the spans of one program", SOON, || {
            Ok((services(&agent.spans()?, pid).len() >= seen).then_some(()))
        })?;
        patient.go_on()?;
    }
    patient.join()?;
    let hurried = (0..HURRIED)
        .map(|_| Programs::start(nginx.port, "hurried"))
        .collect::<Result<Vec<_>>>()?;
    let hurried_pids: Vec<u32> = hurried.iter().map(|programs| programs.0.id()).collect();
    for programs in hurried {
        programs.join()?;
    }
    let stopped = agent.stop_after(2 * REQUESTS * (HURRIED + 1))?;
    let expected = |query: &str| format!("program-{}", &query[query.len() - 1..]);
    let told = services(&stopped.spans, pid);
    assert_eq!(told.len(), REQUESTS, "{told:?}");
    for (query, services) in &told {
        assert_eq!(*services, [expected(query)], "{query}");
    }
    for pid in hurried_pids {
        let told = services(&stopped.spans, pid);
        assert_eq!(told.len(), REQUESTS, "{told:?}");
        for (query, services) in &told {
            // Of one that was another program before it could be read the name of the command is known.
            let [service] = services[..] else {
                panic!("{query}: {services:?}")
            };
            assert!(
                service == expected(query) || service == "python3",
                "{query} was done by {service}"
            );
        }
    }
    Ok(())
}
