//! All counters as OpenMetrics text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use wirespan_capture::live::LiveCounters;
use wirespan_runtime::RuntimeCounters;
use wirespan_sink::SinkHandle;
use wirespan_sink_nats::{NatsMonitor, NatsStatus};
use wirespan_stream::Counters as StreamCounters;

use crate::counters::AgentCounters;

/// Reads every counter when asked.
#[derive(Debug)]
pub(crate) struct Exposition {
    pub capture: LiveCounters,
    pub agent: Arc<AgentCounters>,
    pub runtime: Arc<RuntimeCounters>,
    pub sinks: Vec<Arc<SinkHandle>>,
    pub nats: Option<NatsMonitor>,
}

/// The samples of a family stand together: name, then lines of labels and value.
type Families = BTreeMap<String, (&'static str, Vec<(String, u64)>)>;

impl Exposition {
    /// The whole text, ended as OpenMetrics wants it.
    #[must_use]
    pub(crate) fn render(&self) -> String {
        let mut families = Families::new();
        let mut add = |name: &str, kind, labels: &[(&str, &str)], value| {
            let family = families
                .entry(format!("wirespan_{name}"))
                .or_insert((kind, Vec::new()));
            family.1.push((label_text(labels), value));
        };
        for (name, value) in self.capture.read() {
            add(&format!("capture_{name}"), "counter", &[], value);
        }
        let unaccounted = self.capture.unaccounted_bytes().unsigned_abs();
        add(
            "capture_kernel_unaccounted_bytes",
            "gauge",
            &[],
            unaccounted,
        );
        // What is not accounted for is on its way here: of bytes that passed, of bytes that were copied,
        // of bytes that were handed out.
        for (name, bytes) in [
            (
                "capture_waiting_bytes",
                self.capture.waiting_bytes().unsigned_abs(),
            ),
            ("queue_waiting_bytes", self.agent.queue().difference()),
        ] {
            add(name, "gauge", &[], bytes);
        }
        add(
            "filtered_bytes",
            "counter",
            &[],
            self.agent.filtered_bytes(),
        );
        add("spans", "counter", &[], self.agent.spans());
        add("connections_open", "gauge", &[], self.agent.connections());
        add("queue_lost_bytes", "counter", &[], self.agent.lost_bytes());
        add(
            "queue_lost_events",
            "counter",
            &[],
            self.agent.lost_events(),
        );
        for books in self.agent.books() {
            add_streams(&books.streams, &mut add);
            add("spans_left_out", "counter", &[], books.left_out);
            add("retained_bytes", "gauge", &[], books.retained);
            for law in books.laws() {
                let labels = [("law", law.name)];
                add(
                    "conservation_difference",
                    "gauge",
                    &labels,
                    law.difference(),
                );
            }
        }
        self.runtime
            .each(|name, labels, value| add(name, "counter", labels, value));
        for sink in &self.sinks {
            let labels = [("sink", sink.name())];
            let counts = sink.counts();
            add("sink_delivered_spans", "counter", &labels, counts.delivered);
            add("sink_dropped_spans", "counter", &labels, counts.dropped);
            add("sink_queued_spans", "gauge", &labels, sink.queued() as u64);
        }
        if let Some(nats) = &self.nats {
            add_nats(&nats.status(), &mut add);
        }
        text(families)
    }
}

fn add_nats(nats: &NatsStatus, add: &mut impl FnMut(&str, &'static str, &[(&str, &str)], u64)) {
    for (name, value) in [
        ("nats_published_spans", nats.published),
        ("nats_reconnects", nats.reconnects),
    ] {
        add(name, "counter", &[], value);
    }
    for (cause, value) in [
        ("oldest", nats.dropped_oldest),
        ("too_large", nats.too_large),
        ("refused", nats.refused),
        ("unconfirmed", nats.unconfirmed),
        ("abandoned", nats.abandoned),
    ] {
        let labels = [("cause", cause)];
        add("nats_dropped_spans", "counter", &labels, value);
    }
    let lag = nats.lag.unwrap_or_default().as_micros();
    for (name, value) in [
        ("nats_connected", nats.connected.into()),
        ("nats_confirming", nats.confirming.into()),
        ("nats_queued_spans", nats.queued),
        ("nats_queued_bytes", nats.queued_bytes),
        ("nats_in_flight_spans", nats.in_flight),
        (
            "nats_lag_microseconds",
            u64::try_from(lag).unwrap_or(u64::MAX),
        ),
    ] {
        add(name, "gauge", &[], value);
    }
}

/// The conservation law can be checked from outside: seen = the sum of the others and held.
fn add_streams(
    streams: &StreamCounters,
    add: &mut impl FnMut(&str, &'static str, &[(&str, &str)], u64),
) {
    for (name, value) in [
        ("stream_seen_bytes", streams.seen),
        ("stream_delivered_bytes", streams.delivered),
        ("stream_duplicate_bytes", streams.duplicates),
        ("stream_contradictory_bytes", streams.contradictory),
        ("stream_ciphertext_bytes", streams.ciphertext),
        ("stream_stray_bytes", streams.stray),
        ("stream_opened_connections", streams.opened),
        ("stream_anonymous_connections", streams.anonymous),
        ("stream_closed_connections", streams.closed),
        ("stream_evicted_connections", streams.evicted),
        ("stream_impatient", streams.impatient),
    ] {
        add(name, "counter", &[], value);
    }
    let gaps = &streams.gaps;
    for (cause, value) in [
        ("unwanted", gaps.unwanted),
        ("limit", gaps.limit),
        ("fault", gaps.fault),
        ("ring", gaps.ring),
        ("unobserved", gaps.unobserved),
        ("packet", gaps.packet),
        ("unknown", gaps.unknown),
    ] {
        add("stream_gap_bytes", "counter", &[("cause", cause)], value);
    }
    add("stream_held_bytes", "gauge", &[], streams.held);
}

fn text(families: Families) -> String {
    let mut out = String::new();
    for (name, (kind, samples)) in families {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (labels, value) in samples {
            // Several lanes count the same thing.
            let sum = sums.entry(labels).or_default();
            *sum = sum.saturating_add(value);
        }
        let suffix = if kind == "counter" { "_total" } else { "" };
        let _infallible = writeln!(out, "# TYPE {name} {kind}");
        for (labels, value) in sums {
            let _infallible = writeln!(out, "{name}{suffix}{labels} {value}");
        }
    }
    out.push_str("# EOF\n");
    out
}

fn label_text(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", labels.join(","))
}
