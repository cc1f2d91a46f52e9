//! A connection that a child has from its parent: who did what.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use wirespan_tests::process::Running;
use wirespan_tests::{Agent, Span, tools};

/// The parent accepts and answers the first connection, a child of its own each other one, and says who it is.
/// One that is gone before the agent has looked at it is told as what its parent is, where that is known: so the
/// parent comes first, and stays.
const SERVER: &str = r#"
import http.server, os, socketserver, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    request_queue_size = 128
    is_first = True
    def process_request(self, request, address):
        if self.is_first:
            self.is_first = False
            self.finish_request(request, address)
            self.shutdown_request(request)
        else:
            super().process_request(request, address)
server = Server(('127.0.0.1', int(sys.argv[1])), Answer)
print('listening', flush=True)
server.serve_forever()
"#;

/// The parent asks on a connection of its own; then, on each of many, it connects, a child asks and is gone, the
/// parent asks for itself, and so on. It stays until its input ends.
const CLIENT: &str = r#"
import http.client, json, os, sys
port, connections, turns = map(int, sys.argv[1:4])
def ask(connection, number, turn):
    path = '/%d/%d' % (number, turn)
    connection.request('GET', path)
    server = int(connection.getresponse().read())
    line = json.dumps({'path': path, 'client': os.getpid(), 'server': server}) + '\n'
    os.write(1, line.encode())
first = http.client.HTTPConnection('127.0.0.1', port)
ask(first, 0, 0)
first.close()
for number in range(1, connections + 1):
    connection = http.client.HTTPConnection('127.0.0.1', port)
    connection.connect()
    for turn in range(turns):
        if turn % 2 == 1:
            ask(connection, number, turn)
            continue
        child = os.fork()
        if child == 0:
            ask(connection, number, turn)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            sys.exit('a child has failed')
    connection.close()
os.write(1, b'\n')
sys.stdin.read()
"#;

const CONNECTIONS: usize = 30;

/// Of one connection: more than the holders that are remembered.
const TURNS: usize = 7;

/// Forks on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What the two have said of an exchange.
#[derive(Debug, Deserialize)]
struct Exchange {
    path: String,
    client: u64,
    server: u64,
}

fn python(script: &str, service: &str, arguments: &[String]) -> Result<Command> {
    let mut command = Command::new(tools::program("setpriv")?);
    command
        .args(["--pdeathsig", "TERM", "--"])
        .arg(tools::python()?)
        .args(["-c", script])
        .args(arguments)
        .env("OTEL_SERVICE_NAME", service);
    Ok(command)
}

/// Who each end of each exchange is told to be: process and service.
fn told(spans: &[Span], kind: &str) -> BTreeMap<String, Vec<(u64, String)>> {
    let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.kind == kind) {
        let who = (
            span.pid().unwrap_or_default(),
            span.service().unwrap_or_default().to_owned(),
        );
        let path = span.path().unwrap_or_default().to_owned();
        told.entry(path).or_default().push(who);
    }
    told
}

#[test]
fn each_exchange_is_of_the_process_that_has_moved_its_bytes() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let folder = tempfile::tempdir()?;
    let port = tools::free_port()?;
    let program = tools::python()?;
    let command = python(SERVER, "answers", &[port.to_string()])?;
    let mut server = Running::spawn(folder.path(), &program, command)?;
    server.wait_ready("the server listens", Duration::from_secs(30), |server| {
        Ok(server.output()?.contains("listening"))
    })?;
    let agent = Agent::watching(&[port])?;
    let arguments = [port.into(), CONNECTIONS, TURNS].map(|number: usize| number.to_string());
    let command = python(CLIENT, "asks", &arguments)?;
    let mut client = Running::spawn_reading(folder.path(), &program, command, Stdio::piped())?;
    client.wait_ready("the client has asked", LIMIT, |client| {
        Ok(client.output()?.ends_with("\n\n"))
    })?;
    let output = client.output()?;
    let exchanges: Vec<Exchange> = output
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).context("a line of the client"))
        .collect::<Result<_>>()?;
    assert_eq!(exchanges.len(), 1 + CONNECTIONS * TURNS);
    let spans = agent.stop_after(2 * exchanges.len())?.spans;
    assert_eq!(spans.len(), 2 * exchanges.len());
    let (servers, clients) = (told(&spans, "SERVER"), told(&spans, "CLIENT"));
    let parents = [u64::from(server.pid()), u64::from(client.pid())];
    let mut of_children = [0, 0];
    for exchange in &exchanges {
        for (end, told, pid, service) in [
            (0, &servers, exchange.server, "answers"),
            (1, &clients, exchange.client, "asks"),
        ] {
            let expected = vec![(pid, service.to_owned())];
            assert_eq!(told.get(&exchange.path), Some(&expected), "{exchange:?}");
            of_children[end] += usize::from(pid != parents[end]);
        }
    }
    // All but the first that is served, and every second that is asked after it.
    let by_children = CONNECTIONS * TURNS.div_ceil(2);
    assert_eq!(of_children, [exchanges.len() - 1, by_children]);
    Ok(())
}
