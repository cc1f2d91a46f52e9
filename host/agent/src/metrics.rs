//! Own metrics in the OpenMetrics text format, served on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::error::AgentError;

/// A scrape that takes longer than this is ended: nothing may keep the listener busy.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// After a connection could not be accepted: out of file descriptors, trying again at once would only
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes all metrics into a text.
pub(crate) type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Serves until dropped.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    address: SocketAddr,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    /// # Errors
    /// When the address cannot be listened on.
    pub(crate) fn start(address: SocketAddr, render: Render) -> Result<Self, AgentError> {
        let error = |source| AgentError::Metrics {
            address: address.to_string(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(error)?;
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .map_err(error)?;
        let bound = listener.local_addr().map_err(error)?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("metrics".into())
            .spawn(move || runtime.block_on(serve(listener, render, stopped)))
            .map_err(AgentError::Thread)?;
        Ok(Self {
            address: bound,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The address it listens on, with the port that port 0 became.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the metrics server had panicked");
        }
    }
}

async fn serve(listener: TcpListener, render: Render, mut stop: oneshot::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let render = Arc::clone(&render);
        let service = service_fn(move |request| {
            let response = answer(&request, &render);
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that went away mid-way is no concern of ours.
            let _gone = tokio::time::timeout(CONNECTION_LIMIT, connection).await;
        });
    }
}

fn answer(request: &Request<Incoming>, render: &Render) -> Response<Full<Bytes>> {
    let known = request.uri().path() == "/metrics";
    let (status, body) = match (known, request.method() == Method::GET) {
        (true, true) => (StatusCode::OK, render()),
        (true, false) => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        (false, _) => (
            StatusCode::NOT_FOUND,
            "metrics are at /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if let Ok(value) = CONTENT.parse() {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}
