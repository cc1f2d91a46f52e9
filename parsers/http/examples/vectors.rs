//! Holds the parser against the event logs of llhttp's tests: Markdown files in which a block
//! `http` has the bytes and the block `log` after it has the events. Prints every difference, to be
//! read by a person: the logs follow one implementation, RFC 9112 leaves several answers.
//!
//! `cargo run --release -p wirespan-parser-http --example vectors -- FOLDER`, where FOLDER has
//! `request/*.md` and `response/*.md` of <https://github.com/nodejs/llhttp/tree/main/test>.

use std::path::Path;
use std::{env, fs, process};

use wirespan_parser_http::Http;
use wirespan_sdk::testkit::{Conversation, Report, SeenSpan, replay};
use wirespan_sdk::{Cause, Flags, Side};

#[derive(Debug, Default)]
struct Vector {
    title: String,
    bytes: Vec<u8>,
    log: Vec<String>,
}

/// A message as the log has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    method: String,
    target: String,
    status: Option<i64>,
    body: usize,
    complete: bool,
}

fn main() {
    let Some(folder) = env::args().nth(1) else {
        eprintln!(
            "no folder given: name the one that has `request` and `response` with the vectors"
        );
        process::exit(2);
    };
    let (mut agree, mut differ) = (0, 0);
    for (name, side) in [("request", Side::Client), ("response", Side::Server)] {
        for (file, text) in files(&Path::new(&folder).join(name)) {
            for vector in vectors(&text) {
                let (expected, error) = messages(&vector.log);
                let report = run(side, &vector.bytes, expected.len());
                let found = complaints(side, &expected, error.is_some(), &report);
                if found.is_empty() {
                    agree += 1;
                    continue;
                }
                differ += 1;
                println!(
                    "{name}/{file}: {}\n  {}",
                    vector.title,
                    vector.bytes.escape_ascii()
                );
                println!(
                    "  log: {expected:?} {error:?}\n  here: {}",
                    report.to_string().trim()
                );
                found
                    .iter()
                    .for_each(|complaint| println!("  - {complaint}"));
            }
        }
    }
    println!("{agree} agree, {differ} differ");
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| {
        eprintln!(
            "{} cannot be listed: {error}; give the folder of the vectors",
            folder.display()
        );
        process::exit(1);
    });
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let text = fs::read_to_string(entry.path()).ok()?;
            Some((entry.file_name().to_string_lossy().into_owned(), text))
        })
        .collect();
    files.sort();
    files
}

fn vectors(text: &str) -> Vec<Vector> {
    let mut vectors = Vec::<Vector>::new();
    let mut title = "";
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix('#') {
            title = heading.trim_start_matches('#').trim();
        }
        let Some(kind @ ("http" | "log")) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if kind == "http" {
            vectors.push(Vector {
                title: title.into(),
                bytes: unescape(&block.join("\n")),
                log: Vec::new(),
            });
        } else if let Some(vector) = vectors.last_mut() {
            vector.log = block.iter().map(|&line| line.into()).collect();
        }
    }
    vectors
}

/// Line ends become CR LF; a backslash before one joins two lines; others name bytes.
fn unescape(block: &str) -> Vec<u8> {
    let joined = block.replace("\\\n", "").replace('\n', "\r\n");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, used) = match (first, tail) {
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'f', ..]) => (0x0c, 2),
            (b'\\', [b'x', a, b, ..]) => {
                let digits = String::from_utf8_lossy(&[*a, *b]).into_owned();
                u8::from_str_radix(&digits, 16).map_or((first, 1), |byte| (byte, 4))
            }
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    bytes
}

/// The messages of a log, and the error that it ends with.
fn messages(log: &[String]) -> (Vec<Message>, Option<&str>) {
    let mut messages = Vec::<Message>::new();
    for line in log {
        let event = line.split_once(' ').map_or("", |(_, event)| event);
        if event == "message begin" {
            messages.push(Message::default());
        }
        let Some(message) = messages.last_mut() else {
            continue;
        };
        let quoted = || {
            event
                .split_once('"')
                .map_or("", |(_, text)| text.trim_end_matches('"'))
        };
        if event.contains("span[method]") {
            message.method += quoted();
        } else if event.contains("span[url]") {
            message.target += quoted();
        } else if event.contains("span[body]") {
            let len = event
                .strip_prefix("len=")
                .and_then(|rest| rest.split(' ').next());
            message.body += len.and_then(|len| len.parse::<usize>().ok()).unwrap_or(0);
        } else if let Some((_, status)) = event.split_once("headers complete status=") {
            message.status = status
                .split(' ')
                .next()
                .and_then(|status| status.parse().ok());
        } else if event == "message complete" {
            message.complete = true;
        }
    }
    // The interim ones are no exchanges of their own.
    messages.retain(|message| !message.status.is_some_and(|s| s < 200 && s != 101));
    let error = log
        .iter()
        .find(|line| line.contains(" error code="))
        .map(String::as_str);
    (messages, error)
}

fn run(side: Side, bytes: &[u8], messages: usize) -> Report {
    let conversation = match side {
        Side::Client => Conversation::new(),
        Side::Server => Conversation::new().client("GET /asked HTTP/1.1\r\n\r\n".repeat(messages)),
    };
    let conversation = conversation
        .data(side, bytes)
        .end(Side::Client)
        .end(Side::Server)
        .close(Cause::Finished);
    replay::<Http>(&conversation, 1)
}

fn complaints(side: Side, expected: &[Message], error: bool, report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let seen: Vec<_> = report
        .spans
        .iter()
        .filter(|span| side == Side::Client || span.response_start != 0)
        .collect();
    if seen.len() > expected.len() {
        found.push(format!(
            "{} messages, the log has {}",
            seen.len(),
            expected.len()
        ));
    }
    for (number, message) in expected.iter().enumerate() {
        let Some(span) = seen.get(number) else {
            // What the log itself breaks off need not be here.
            if message.complete {
                found.push(format!("message {number} is missing"));
            }
            continue;
        };
        let last = number + 1 == expected.len();
        if !(error && last) {
            found.extend(
                differences(side, message, span).map(|what| format!("message {number}: {what}")),
            );
        }
    }
    found
}

fn differences(side: Side, message: &Message, span: &SeenSpan) -> impl Iterator<Item = String> {
    let of = |what: &str, differs: bool| differs.then(|| what.to_owned());
    let text = |field| span.text(field).unwrap_or_default();
    let size = |field| span.integer(field).unwrap_or(0);
    let body = i64::try_from(message.body).unwrap_or(i64::MAX);
    let found = match side {
        Side::Client => {
            let method = span.text("http.request.method_original");
            let method = method.unwrap_or(text("http.request.method"));
            let read = span.request_end != 0 && !span.has(Flags::REQUEST_TRUNCATED);
            [
                of("method", method != message.method),
                of("target", !message.target.contains(text("url.path"))),
                of(
                    "body size",
                    message.complete && size("http.request.body.size") != body,
                ),
                of("complete in the log", message.complete && !read),
                of("complete here", !message.complete && read),
            ]
        }
        Side::Server => {
            let status = span.integer("http.response.status_code");
            let read = !span.has(Flags::RESPONSE_TRUNCATED);
            [
                of("status", status != message.status),
                of(
                    "body size",
                    message.complete && size("http.response.body.size") != body,
                ),
                of("complete in the log", message.complete && !read),
                // The log does not have the end of the stream, which ends a body here.
                of(
                    "complete here",
                    !message.complete && read && size("http.response.body.size") != body,
                ),
                None,
            ]
        }
    };
    found.into_iter().flatten()
}
