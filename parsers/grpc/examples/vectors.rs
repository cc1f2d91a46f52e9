//! Holds the decoder and the parser against vectors that others publish: the stories of
//! `hpack-test-case`, the frames of `http2-frame-test-case`, and any other files as bytes of a
//! connection, which must not crash the parser.
//!
//! `cargo run --release -p wirespan-parser-grpc --example vectors -- FOLDER`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value as Json;
use wirespan_parser_grpc::Http2;
use wirespan_parser_grpc::hpack::{Decoder, Field, Sink, Value};
use wirespan_sdk::testkit::{Conversation, End, Random, check_cuts, replay};
use wirespan_sdk::{Cause, Side};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS without a setting.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

#[derive(Default)]
struct Tally {
    stories: u32,
    blocks: u32,
    frames: u32,
    streams: u32,
    spans: usize,
    differences: u32,
}

impl Tally {
    fn differs(&mut self, path: &Path, what: impl std::fmt::Display) {
        self.differences += 1;
        println!("{}: {what}", path.display());
    }
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: vectors FOLDER");
        return ExitCode::from(2);
    };
    let mut files = Vec::new();
    if let Err(error) = walk(Path::new(&folder), &mut files) {
        eprintln!("cannot read {}: {error}", Path::new(&folder).display());
        return ExitCode::FAILURE;
    }
    files.sort();
    let mut random = Random::fresh();
    let mut tally = Tally::default();
    for path in &files {
        let Ok(bytes) = std::fs::read(path) else {
            tally.differs(path, "cannot be read");
            continue;
        };
        let json: Option<Json> = serde_json::from_slice(&bytes).ok();
        match json {
            Some(json) if json["cases"].is_array() => story(path, &json, &mut tally),
            Some(json) if json["wire"].is_string() => one_frame(path, &json, &mut tally),
            _ => stream(&bytes, &mut random, &mut tally),
        }
    }
    println!(
        "{} header blocks of {} stories, {} frames, {} streams ({} spans): {} differences",
        tally.blocks, tally.stories, tally.frames, tally.streams, tally.spans, tally.differences
    );
    if tally.differences == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, &half| byte << 4 | digit(half)))
        .collect()
}

/// All fields of a block, as they are.
#[derive(Default)]
struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

impl Sink for Fields {
    fn field(&mut self, field: Field<'_>) {
        let value = match field.value {
            Value::Known(value) => value.to_vec(),
            other => format!("{other:?}").into_bytes(),
        };
        self.0
            .push((field.text.unwrap_or_default().to_vec(), value));
    }
}

/// The header blocks of one connection, with the fields that they stand for.
fn story(path: &Path, json: &Json, tally: &mut Tally) {
    tally.stories += 1;
    let mut decoder = Decoder::new().keeping_everything();
    let cases = json["cases"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for case in cases {
        tally.blocks += 1;
        if let Some(bytes) = case["header_table_size"].as_u64() {
            decoder.allow(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
        let mut fields = Fields::default();
        let wire = hex(case["wire"].as_str().unwrap_or_default());
        if let Err(error) = decoder.decode(&wire, &mut fields) {
            tally.differs(path, format!("block {}: {error:?}", case["seqno"]));
            return;
        }
        let headers = case["headers"].as_array().map(Vec::as_slice);
        let expected: Vec<(Vec<u8>, Vec<u8>)> = headers
            .unwrap_or_default()
            .iter()
            .filter_map(Json::as_object)
            .flatten()
            .map(|(name, value)| {
                let value = value.as_str().unwrap_or_default();
                (name.clone().into_bytes(), value.as_bytes().to_vec())
            })
            .collect();
        if fields.0 != expected {
            tally.differs(path, format!("block {}: other fields", case["seqno"]));
        }
    }
}

/// A frame that is right, or wrong: where its form is wrong the connection is given up.
fn one_frame(path: &Path, json: &Json, tally: &mut Tally) {
    tally.frames += 1;
    let wire = hex(json["wire"].as_str().unwrap_or_default());
    let good = json["error"].is_null();
    let kept = [Side::Client, Side::Server].map(|side| {
        let conversation = Conversation::new()
            .client([PREFACE, SETTINGS].concat())
            .server(SETTINGS)
            .data(side, &wire);
        let report = replay::<Http2>(&conversation, 1);
        !matches!(report.end, Some(End::Ignored(_)))
    });
    // CONTINUATION alone and a push by the client are errors of the sequence, not of the frame.
    let alone = wire.get(3).is_some_and(|&kind| kind == 9);
    let pushed = wire.get(3).is_some_and(|&kind| kind == 5);
    // An increment of 0 is an error of flow control; WINDOW_UPDATE is stepped over.
    let good = good || wire.get(..4).is_some_and(|header| *header == [0, 0, 4, 8]);
    let expected = match (good, alone, pushed) {
        (true, true, _) | (false, ..) => [false, false],
        (true, _, true) => [false, true],
        (true, ..) => [true, true],
    };
    if kept != expected {
        let what = json["description"].as_str().unwrap_or_default();
        tally.differs(
            path,
            format!("{what}: kept {kept:?}, expected {expected:?}"),
        );
    }
}

/// Bytes of one side, of the other, and of a connection joined in the middle: no crash, and the
/// same spans however they are cut.
fn stream(bytes: &[u8], random: &mut Random, tally: &mut Tally) {
    tally.streams += 1;
    let rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    let begun = || {
        Conversation::new()
            .client([PREFACE, SETTINGS].concat())
            .server(SETTINGS)
    };
    let half = random.below(rest.len() as u64 + 1);
    let (first, second) = rest.split_at(usize::try_from(half).unwrap_or(0));
    let conversations = [
        Conversation::new().client(bytes),
        begun().client(rest),
        begun().server(rest),
        begun().client(first).server(rest).client(second),
        begun()
            .client(first)
            .gap(Side::Client, 1 + random.below(50))
            .client(second),
        Conversation::mid_stream()
            .client(first)
            .server(second)
            .client(rest),
    ];
    for conversation in conversations {
        let report = check_cuts::<Http2>(&conversation.close(Cause::Finished), 10, 4);
        tally.spans += report.spans.len();
    }
}
