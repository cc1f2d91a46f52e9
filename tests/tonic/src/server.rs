//! The server.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};
use tower::service_fn;

use crate::codec::Raw;
use crate::wish::{Wish, padded};

const SERVICE: &str = "/fixture.v1.Echo/";
const LARGEST_MESSAGE_BYTES: usize = 64 << 20;

type Replies = ReceiverStream<Result<Bytes, Status>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Unary,
    ServerStream,
    ClientStream,
    Bidirectional,
}

pub(crate) async fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening");
    let incoming = TcpListenerStream::new(listener);
    Server::builder()
        .serve_with_incoming(service_fn(answer), incoming)
        .await?;
    Ok(())
}

async fn answer(request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
    let shape = match request.uri().path().strip_prefix(SERVICE) {
        Some("Unary") => Shape::Unary,
        Some("ServerStream") => Shape::ServerStream,
        Some("ClientStream") => Shape::ClientStream,
        Some("Bidirectional") => Shape::Bidirectional,
        _ => return Ok(Status::unimplemented("Method not found!").into_http()),
    };
    let mut grpc = Grpc::new(Raw)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(LARGEST_MESSAGE_BYTES);
    if request.headers().contains_key("grpc-encoding") {
        grpc = grpc.send_compressed(CompressionEncoding::Gzip);
    }
    let service = service_fn(move |request| respond(shape, request));
    Ok(grpc.streaming(service, request).await)
}

async fn respond(
    shape: Shape,
    request: Request<Streaming<Bytes>>,
) -> Result<Response<Replies>, Status> {
    let mut messages = request.into_inner();
    let first = messages.message().await?;
    let first = first.ok_or_else(|| Status::invalid_argument("no message"))?;
    let wish: Wish = serde_json::from_slice(&first)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let (replies, received) = mpsc::channel(1);
    let mut response = Response::new(ReceiverStream::new(received));
    if wish.metadata {
        let metadata = response.metadata_mut();
        metadata.insert("x-fixture", MetadataValue::from_static("initial"));
    }
    if shape != Shape::Bidirectional {
        while messages.message().await?.is_some() {}
    }
    match shape {
        Shape::Unary | Shape::ClientStream => {
            end(&wish).await?;
            tokio::spawn(async move { replies.send(Ok(reply(&wish))).await });
        }
        Shape::ServerStream | Shape::Bidirectional => {
            tokio::spawn(stream(shape, wish, messages, replies));
        }
    }
    Ok(response)
}

/// Replies to the only message or to each, until the client has gone.
async fn stream(
    shape: Shape,
    wish: Wish,
    mut messages: Streaming<Bytes>,
    replies: mpsc::Sender<Result<Bytes, Status>>,
) {
    loop {
        for _ in 0..wish.replies {
            if replies.send(Ok(reply(&wish))).await.is_err() {
                return;
            }
        }
        if shape == Shape::ServerStream || !matches!(messages.message().await, Ok(Some(_))) {
            break;
        }
    }
    tokio::select! {
        ended = end(&wish) => if let Err(status) = ended {
            let _ = replies.send(Err(status)).await;
        },
        () = replies.closed() => {}
    }
}

async fn end(wish: &Wish) -> Result<(), Status> {
    if wish.sleep > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(wish.sleep)).await;
    }
    match Code::from_i32(wish.code) {
        Code::Ok => Ok(()),
        code => Err(Status::new(code, &wish.details)),
    }
}

fn reply(wish: &Wish) -> Bytes {
    padded(b"{}".to_vec(), wish.reply)
}
