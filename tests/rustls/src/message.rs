//! HTTP/1.1, as much of it as these two say to each other.

use std::io::IoSlice;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A head ends here.
const END: &[u8] = b"\r\n\r\n";
/// As much as is asked for at once: a record's plaintext can come in parts.
const READ: usize = 10_000;

/// A request or a response.
pub(crate) struct Message {
    /// The first line.
    pub(crate) line: String,
    pub(crate) body: Vec<u8>,
}

/// The next one; `None` at the end of the stream. `held` has what came behind the last one.
pub(crate) async fn read(
    from: &mut (impl AsyncRead + Unpin),
    held: &mut Vec<u8>,
) -> Result<Option<Message>> {
    let head = loop {
        if let Some(at) = held.windows(END.len()).position(|window| window == END) {
            break at;
        }
        if more(from, held).await? == 0 {
            ensure!(held.is_empty(), "the stream ends in a head");
            return Ok(None);
        }
    };
    let text = std::str::from_utf8(&held[..head]).context("a head")?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let length = lines
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .context("a head without a length")?;
    let end = head + END.len() + length.parse::<usize>().context("a length")?;
    while held.len() < end {
        ensure!(more(from, held).await? != 0, "the stream ends in a body");
    }
    let behind = held.split_off(end);
    let body = std::mem::replace(held, behind).split_off(head + END.len());
    Ok(Some(Message { line, body }))
}

async fn more(from: &mut (impl AsyncRead + Unpin), held: &mut Vec<u8>) -> Result<usize> {
    held.reserve(READ);
    from.read_buf(held).await.context("reading")
}

/// Says one: head and body as pieces of one call, as HTTP libraries do.
pub(crate) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    line: &str,
    body: &[u8],
) -> Result<()> {
    let head = format!("{line}\r\nContent-Length: {}\r\n\r\n", body.len());
    let (mut head, mut body) = (head.as_bytes(), body);
    while !head.is_empty() || !body.is_empty() {
        let pieces = [IoSlice::new(head), IoSlice::new(body)];
        let written = to.write_vectored(&pieces).await.context("writing")?;
        ensure!(written != 0, "nothing can be written any more");
        let of_head = written.min(head.len());
        head = &head[of_head..];
        body = &body[written - of_head..];
    }
    to.flush().await.context("flushing")
}
