//! A client made of a plain socket, for what ordinary clients do not do: pipelining, requests cut at
//! odd places, connections that stay open while the test does something else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::expect::{Exchange, Request};

/// An answer may have to wait for an agent to start.
const LIMIT: Duration = Duration::from_secs(60);

/// One connection, kept open until this is dropped. The client is this process.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    port: u16,
    /// Of this process, as the kernel has it.
    command: String,
    received: Vec<u8>,
}

impl Connection {
    /// # Errors
    /// When nobody listens.
    pub fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .with_context(|| format!("connecting to port {port}"))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            port,
            command: std::fs::read_to_string("/proc/self/comm")?
                .trim_end()
                .to_owned(),
            received: Vec::new(),
        })
    }

    /// Sends all requests, then reads all answers.
    ///
    /// # Errors
    /// When an answer does not come, or is not framed by Content-Length.
    pub fn pipeline(&mut self, targets: &[&str]) -> Result<Vec<Exchange>> {
        let text: String = targets.iter().map(|target| request(target)).collect();
        let start = Instant::now();
        self.stream.write_all(text.as_bytes())?;
        self.answers(targets, start)
    }

    /// As [`Self::pipeline`] with one request, written in pieces of `size` bytes.
    ///
    /// # Errors
    /// As there.
    pub fn get_in_pieces(&mut self, target: &str, size: usize) -> Result<Vec<Exchange>> {
        let text = request(target);
        let start = Instant::now();
        for piece in text.as_bytes().chunks(size) {
            self.stream.write_all(piece)?;
        }
        self.answers(&[target], start)
    }

    /// # Errors
    /// As for [`Self::pipeline`].
    pub fn get(&mut self, target: &str) -> Result<Exchange> {
        self.pipeline(&[target])?.pop().context("an answer")
    }

    /// Sends what is not answered yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    fn answers(&mut self, targets: &[&str], start: Instant) -> Result<Vec<Exchange>> {
        let answer = |target: &&str| {
            let (status, size) = self.answer()?;
            let request = Request::new("GET", target);
            let exchange = Exchange::new(request, status, start.elapsed().as_secs_f64(), self.port);
            Ok(Exchange {
                response_bytes: Some(size),
                ..exchange.by(&self.command, std::process::id())
            })
        };
        targets.iter().map(answer).collect()
    }

    /// Status and size of the body of the next answer.
    fn answer(&mut self) -> Result<(u16, u64)> {
        loop {
            if let Some((status, head, body)) = frame(&self.received)?
                && self.received.len() >= head + body
            {
                self.received.drain(..head + body);
                return Ok((status, body as u64));
            }
            let mut piece = [0; 16384];
            let count = self
                .stream
                .read(&mut piece)
                .context("waiting for an answer")?;
            if count == 0 {
                bail!(
                    "the server closed after {:?}",
                    String::from_utf8_lossy(&self.received)
                );
            }
            self.received
                .extend_from_slice(piece.get(..count).unwrap_or_default());
        }
    }
}

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: plain-socket\r\n\r\n")
}

/// Status, size of the head, size of the body; none while the head is incomplete.
fn frame(received: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head =
        String::from_utf8_lossy(received.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let status = head
        .split_whitespace()
        .nth(1)
        .context("a status")?
        .parse()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .context("a Content-Length")?;
    Ok(Some((status, end + 4, length.trim().parse()?)))
}
