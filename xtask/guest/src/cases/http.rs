//! HTTP over loopback, with other calls than read and write.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};

pub(super) const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n";
pub(super) const BODY: &str = "hello, kernel\n";

/// Larger than what any call takes at once.
const FILE_BYTES: usize = 3 << 20;

/// Runs a server on the first connection to `address`, and a client of it.
pub(super) fn between(
    address: &str,
    serve: impl FnOnce(TcpStream) -> Result<()> + Send + 'static,
    ask: impl FnOnce(TcpStream) -> Result<()>,
) -> Result<()> {
    let listener = TcpListener::bind(address).context("the server cannot listen")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || serve(listener.accept()?.0));
    let asked = TcpStream::connect(address)
        .context("the client cannot connect")
        .and_then(ask);
    let served = server.join().map_err(|_| anyhow!("the server panicked"))?;
    asked.and(served)
}

pub(super) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Reads up to the empty line.
fn head(reader: &mut impl BufRead) -> Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            bail!("the connection ended within a head: {head:?}");
        }
    }
    Ok(head)
}

fn answer(reader: &mut impl BufRead, len: usize) -> Result<()> {
    let head = head(reader)?;
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("the server answered {head:?}");
    }
    Ok(())
}

/// Both ends of one exchange, whatever they run over.
fn serve_plain(stream: impl Read + Write) -> Result<()> {
    let mut stream = BufReader::new(stream);
    head(&mut stream)?;
    stream
        .get_mut()
        .write_all(format!("{HEAD}{BODY}").as_bytes())?;
    Ok(())
}

fn ask_plain(stream: impl Read + Write, path: &str) -> Result<()> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(request(path).as_bytes())?;
    answer(&mut stream, BODY.len())
}

/// Everything in two pieces a call, the first of them empty or small.
pub(super) fn vectors() -> Result<()> {
    fn read(stream: &mut TcpStream, end: &str) -> Result<()> {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            let (mut first, mut second) = ([0; 3], [0; 500]);
            let mut pieces = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
            let len = stream.read_vectored(&mut pieces)?;
            if len == 0 {
                bail!("the connection ended early");
            }
            all.extend([first.as_slice(), &second].concat().into_iter().take(len));
        }
        Ok(())
    }
    fn write(stream: &mut TcpStream, pieces: [&str; 2]) -> Result<()> {
        let len = pieces.concat().len();
        let written = stream.write_vectored(&pieces.map(|one| IoSlice::new(one.as_bytes())))?;
        ensure!(written == len, "{written} of {len} bytes were written");
        Ok(())
    }
    between(
        "127.0.0.1:8101",
        |mut stream| {
            read(&mut stream, "\r\n\r\n")?;
            write(&mut stream, [HEAD, BODY])
        },
        |mut stream| {
            write(&mut stream, ["", &request("/vectors")])?;
            read(&mut stream, BODY)
        },
    )
}

/// A body that no probe can read, and an exchange after it.
pub(super) fn sendfile() -> Result<()> {
    const FILE: &str = "/tmp/body";
    fs::write(FILE, vec![b'x'; FILE_BYTES])?;
    between(
        "127.0.0.1:8102",
        |stream| {
            let mut stream = BufReader::new(stream);
            head(&mut stream)?;
            let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {FILE_BYTES}\r\n\r\n");
            stream.get_mut().write_all(length.as_bytes())?;
            let file = File::open(FILE)?;
            let mut sent = 0;
            while sent < FILE_BYTES {
                sent += rustix::fs::sendfile(stream.get_ref(), &file, None, FILE_BYTES - sent)?;
            }
            serve_plain(stream.into_inner())
        },
        |stream| {
            let mut stream = BufReader::new(stream);
            stream
                .get_mut()
                .write_all(request("/sendfile").as_bytes())?;
            answer(&mut stream, FILE_BYTES)?;
            ask_plain(stream.into_inner(), "/after-sendfile")
        },
    )
}

/// Looks at what has come before it takes it.
pub(super) fn peek() -> Result<()> {
    fn look(stream: &TcpStream) -> Result<()> {
        let mut some = [0; 10];
        for _ in 0..3 {
            stream.peek(&mut some)?;
        }
        Ok(())
    }
    between(
        "127.0.0.1:8103",
        |stream| {
            look(&stream)?;
            serve_plain(stream)
        },
        |stream| {
            let mut stream = BufReader::new(stream);
            stream.get_mut().write_all(request("/peek").as_bytes())?;
            look(stream.get_ref())?;
            answer(&mut stream, BODY.len())
        },
    )
}

/// The client has said all it has to say before it is answered.
pub(super) fn half() -> Result<()> {
    between(
        "127.0.0.1:8104",
        |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all)?;
            stream.write_all(format!("{HEAD}{BODY}").as_bytes())?;
            Ok(())
        },
        |mut stream| {
            stream.write_all(request("/half").as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            answer(&mut BufReader::new(stream), BODY.len())
        },
    )
}

/// One connection, several descriptors, several threads.
pub(super) fn duplicate() -> Result<()> {
    between(
        "127.0.0.1:8105",
        |stream| {
            let other = stream.try_clone()?;
            head(&mut BufReader::new(stream))?;
            let mut third = other.try_clone()?;
            let head = thread::spawn(move || third.write_all(HEAD.as_bytes()));
            head.join().map_err(|_| anyhow!("a thread panicked"))??;
            (&other).write_all(BODY.as_bytes())?;
            Ok(())
        },
        |stream| {
            let other = stream.try_clone()?;
            (&other).write_all(request("/duplicate").as_bytes())?;
            drop(other);
            answer(&mut BufReader::new(stream), BODY.len())
        },
    )
}

pub(super) fn ipv6() -> Result<()> {
    between("[::1]:8106", serve_plain, |stream| {
        ask_plain(stream, "/ipv6")
    })
}

pub(super) fn unix() -> Result<()> {
    const PATH: &str = "/tmp/socket";
    let listener = UnixListener::bind(PATH)?;
    let server = thread::spawn(move || serve_plain(listener.accept()?.0));
    ask_plain(UnixStream::connect(PATH)?, "/unix")?;
    server.join().map_err(|_| anyhow!("the server panicked"))?
}
