//! The client: one connection for all of its calls.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::codec::Raw;
use crate::wish::Wish;

const PATIENCE: Duration = Duration::from_secs(60);
const LARGEST_MESSAGE_BYTES: usize = 64 << 20;

#[derive(Debug, Default, Serialize)]
struct Report {
    number: usize,
    method: String,
    status: String,
    details: String,
    request_messages: usize,
    request_bytes: usize,
    response_messages: usize,
    response_bytes: usize,
    seconds: f64,
}

pub(crate) async fn client(port: u16) -> Result<()> {
    let channel = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
        .connect()
        .await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let wishes: Vec<Wish> = serde_json::from_str(&line).context("a group of calls")?;
        let mut calls = JoinSet::new();
        for wish in wishes {
            calls.spawn(call(channel.clone(), wish));
        }
        while let Some(report) = calls.join_next().await {
            println!("{}", serde_json::to_string(&report??)?);
        }
        println!();
    }
    Ok(())
}

async fn call(channel: Channel, wish: Wish) -> Result<Report> {
    let messages: Vec<_> = wish
        .requests
        .iter()
        .map(|size| wish.message(*size))
        .collect();
    let mut report = Report {
        number: wish.number,
        method: wish.method.clone(),
        request_messages: messages.len(),
        request_bytes: messages.iter().map(|message| message.len()).sum(),
        ..Report::default()
    };
    let start = Instant::now();
    let mut request = Request::new(tokio_stream::iter(messages));
    let deadline = if wish.deadline > 0.0 {
        Duration::from_secs_f64(wish.deadline)
    } else {
        PATIENCE
    };
    request.set_timeout(deadline);
    if wish.metadata {
        let metadata = request.metadata_mut();
        metadata.insert("x-fixture", MetadataValue::from_static("a value"));
        metadata.insert_bin("x-fixture-bin", MetadataValue::from_bytes(&[0, 1, 2, 255]));
    }
    let mut grpc = Grpc::new(channel).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
    if wish.compress {
        grpc = grpc
            .send_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Gzip);
    }
    let path = http::uri::PathAndQuery::try_from(format!("/{}", wish.method))?;
    let exchange = async {
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut replies = grpc.streaming(request, path, Raw).await?.into_inner();
        while let Some(reply) = replies.message().await? {
            report.response_messages += 1;
            report.response_bytes += reply.len();
            if report.response_messages == wish.cancel_after {
                return Err(Status::cancelled("by the client"));
            }
        }
        Ok(())
    };
    let ended = if wish.cancel_seconds > 0.0 {
        let patience = Duration::from_secs_f64(wish.cancel_seconds);
        let cancelled = Err(Status::cancelled("by the client"));
        tokio::time::timeout(patience, exchange)
            .await
            .unwrap_or(cancelled)
    } else {
        exchange.await
    };
    let status = ended.err().unwrap_or_else(|| Status::ok(""));
    report.status = name(status.code());
    status.message().clone_into(&mut report.details);
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// The name of a code as the protocol has it: `NotFound` is `NOT_FOUND`.
fn name(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() && code != tonic::Code::Ok {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
