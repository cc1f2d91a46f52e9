//! One HTTP/1.1 exchange over loopback, with nothing but read and write.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

const ADDRESS: &str = "127.0.0.1:8080";
const ANSWER: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nhello, kernel\n";

/// Where the server made by Go listens.
pub(crate) const GO_ADDRESS: &str = "127.0.0.1:8444";

/// Waits until a server listens.
pub(crate) fn wait_for(address: &str) -> Result<()> {
    for _ in 0..500 {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("nobody listens on {address}")
}

/// Answers every request until killed.
pub(crate) fn serve() -> Result<()> {
    let listener = TcpListener::bind(ADDRESS).context("the server cannot listen")?;
    for stream in listener.incoming() {
        let mut stream = BufReader::new(stream?);
        while read_head(&mut stream)?.is_some() {
            stream.get_mut().write_all(ANSWER.as_bytes())?;
        }
    }
    Ok(())
}

/// Asks once.
pub(crate) fn fetch() -> Result<()> {
    let mut stream = BufReader::new(connect()?);
    stream
        .get_mut()
        .write_all(b"GET /kernel?asked=yes HTTP/1.1\r\nHost: localhost:8080\r\n\r\n")?;
    let head = read_head(&mut stream)?.context("the server closed without an answer")?;
    let mut body = [0; 14];
    stream.read_exact(&mut body)?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("the server answered {head:?}");
    }
    Ok(())
}

/// The server needs a moment to listen.
fn connect() -> Result<TcpStream> {
    for _ in 0..100 {
        if let Ok(stream) = TcpStream::connect(ADDRESS) {
            return Ok(stream);
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("nobody listens on {ADDRESS}")
}

/// Everything up to the empty line; nothing at the end of the connection.
fn read_head(stream: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if stream.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        if head.get(before..) == Some("\r\n") {
            return Ok(Some(head));
        }
    }
}
