//! One road from socket events to spans: streams, parsers, identity, redaction. A lane belongs to
//! one thread; connections are spread over lanes by their key.

use std::sync::Arc;

use wirespan_capture::{Nanos, Said, SocketEvent};
use wirespan_route::Routes;
use wirespan_runtime::{Output, Worker};
use wirespan_span::{Redactor, Span};
use wirespan_stream::{Connections, StreamEvent};

use crate::books::Books;
use crate::enrich::Enricher;
use crate::route;

#[derive(Debug)]
pub struct Lane {
    connections: Connections,
    worker: Worker,
    enricher: Enricher,
    routes: Option<Arc<Routes>>,
    redactor: Redactor,
    /// Spans of others are left out; empty: all are wanted.
    protocols: Vec<String>,
    taken_bytes: u64,
    told: u64,
    handed_on: u64,
    left_out: u64,
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
            protocols: Vec::new(),
            taken_bytes: 0,
            told: 0,
            handed_on: 0,
            left_out: 0,
            stream_events: Vec::new(),
            output: Output::default(),
        }
    }

    /// From now on hands on spans of these protocols only; of all where there are none. A parser of
    /// one protocol may tell of another: that of gRPC tells of HTTP/2.
    #[must_use]
    pub fn only(self, protocols: &[String]) -> Self {
        Self {
            protocols: protocols.to_vec(),
            ..self
        }
    }

    /// Takes one event. Spans come with the next [`Self::run`].
    pub fn push(&mut self, event: SocketEvent) {
        self.taken_bytes = self.taken_bytes.saturating_add(event.payload_bytes());
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
    pub fn run(&mut self, mut span: impl FnMut(Span), verdict: impl FnMut(Said)) {
        self.worker.run(&mut self.output);
        let told = self.output.spans.len() as u64;
        self.told = self.told.saturating_add(told);
        // The worker goes connection by connection; whoever reads the spans goes by time.
        self.output
            .spans
            .sort_by_key(|parsed| (parsed.span.start_unix_nano, parsed.span.span_id));
        for parsed in self.output.spans.drain(..) {
            let protocol = &*parsed.span.protocol;
            if !self.protocols.is_empty() && self.protocols.iter().all(|one| one != protocol) {
                self.left_out = self.left_out.saturating_add(1);
                continue;
            }
            let mut done = self.enricher.enrich(parsed);
            if let Some(routes) = &self.routes {
                route::add_template(routes, &mut done);
            }
            self.redactor.apply(&mut done);
            span(done);
            self.handed_on = self.handed_on.saturating_add(1);
        }
        self.output.verdicts.drain(..).for_each(verdict);
    }

    /// What was counted until now. Between two calls of [`Self::run`] it adds up.
    #[must_use]
    pub fn books(&self) -> Books {
        Books {
            taken_bytes: self.taken_bytes,
            streams: *self.connections.counters(),
            parsers: *self.worker.ledger(),
            retained: self.worker.retained_bytes() as u64,
            told: self.told,
            spans: self.handed_on,
            left_out: self.left_out,
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
