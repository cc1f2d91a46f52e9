//! One road from socket events to spans: streams, parsers, identity, redaction. A lane belongs to
//! one thread; connections are spread over lanes by their key.

use std::sync::Arc;

use wirespan_capture::{ConnectionKey, Nanos, SocketEvent, Verdict};
use wirespan_route::Routes;
use wirespan_runtime::{Output, Worker};
use wirespan_span::{Redactor, Span};
use wirespan_stream::{Connections, StreamEvent};

use crate::enrich::Enricher;
use crate::route;

#[derive(Debug)]
pub struct Lane {
    connections: Connections,
    worker: Worker,
    enricher: Enricher,
    routes: Option<Arc<Routes>>,
    redactor: Redactor,
    stream_events: Vec<StreamEvent>,
    output: Output,
}

impl Lane {
    /// Without `routes` spans are named without inferred routes.
    #[must_use]
    pub fn new(
        connections: Connections,
        worker: Worker,
        enricher: Enricher,
        routes: Option<Arc<Routes>>,
        redactor: Redactor,
    ) -> Self {
        Self {
            connections,
            worker,
            enricher,
            routes,
            redactor,
            stream_events: Vec::new(),
            output: Output::default(),
        }
    }

    /// Takes one event. Spans come with the next [`Self::run`].
    pub fn push(&mut self, event: SocketEvent) {
        self.connections.push(event, &mut self.stream_events);
        for event in self.stream_events.drain(..) {
            self.worker.handle(event);
        }
    }

    /// The capture has come to `watermark`: holes before it will not be filled any more.
    pub fn advance(&mut self, watermark: Nanos) {
        self.connections.tick(watermark, &mut self.stream_events);
        for event in self.stream_events.drain(..) {
            self.worker.handle(event);
        }
        self.worker.advance(watermark);
    }

    /// Every connection ends here: the capture is over.
    pub fn finish(&mut self, time: Nanos) {
        self.connections.finish(time, &mut self.stream_events);
        for event in self.stream_events.drain(..) {
            self.worker.handle(event);
        }
    }

    /// Lets the parsers work on what was pushed; hands out the spans, ready to leave the node, and
    /// the verdicts for the source.
    pub fn run(
        &mut self,
        mut span: impl FnMut(Span),
        mut verdict: impl FnMut(ConnectionKey, Verdict),
    ) {
        self.worker.run(&mut self.output);
        // The worker goes connection by connection; whoever reads the spans goes by time.
        self.output
            .spans
            .sort_by_key(|parsed| (parsed.span.start_unix_nano, parsed.span.span_id));
        for parsed in self.output.spans.drain(..) {
            let mut done = self.enricher.enrich(parsed);
            if let Some(routes) = &self.routes {
                route::add_template(routes, &mut done);
            }
            self.redactor.apply(&mut done);
            span(done);
        }
        for (key, what) in self.output.verdicts.drain(..) {
            verdict(key, what);
        }
    }

    #[must_use]
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.connections
    }
}
