//! What a subscriber of a real server sees.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::subscriber::{Subscriber, header};
use crate::support::{Server, spans, spans_with};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use wirespan_sink::{Sink as _, SinkCounts};
use wirespan_sink_nats::{BATCH_BYTES, BATCH_SPANS, Encoding, NatsConfig, NatsSink};
use wirespan_span::{FlatSpan, Resource, Span};

/// Of a drain that has somebody to deliver to: it ends with the last confirmation, so only what hangs takes
/// as long.
const LIMIT: Duration = Duration::from_secs(60);

fn config(server: &Server) -> NatsConfig {
    NatsConfig {
        servers: vec![server.url()],
        cluster: "test".into(),
        connect_timeout: LIMIT,
        ..NatsConfig::default()
    }
}

fn ids(payload: &[u8]) -> Vec<String> {
    FlatSpan::from_lines(payload)
        .unwrap()
        .into_iter()
        .map(|span| span.span_id)
        .collect()
}

#[test]
fn spans_arrive_on_the_subject_of_their_workload() {
    let server = Server::start("");
    let subscriber = Subscriber::new(&server.url(), "wirespan.spans.v1.>");
    let mut sink = NatsSink::connect(config(&server)).unwrap();
    let mut pod = Span::clone(&spans("ignored", 7, 1)[0]);
    pod.protocol = "mysql".into();
    pod.resource = Arc::new(Resource {
        service_name: "users".into(),
        namespace: Some("shop".into()),
        workload: Some("users.api".into()),
        ..Resource::default()
    });
    let published = [spans("a", 1, 2), spans("b", 3, 1), vec![Arc::new(pod)]].concat();
    let start = Instant::now();
    sink.publish(&published).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let message = subscriber.next();
        assert_eq!(
            header(&message, "Content-Type"),
            Some("application/x-ndjson")
        );
        assert_eq!(header(&message, "Nats-Msg-Id").map(str::len), Some(32));
        assert_eq!(header(&message, "traceparent"), None);
        assert_eq!(message.headers.as_ref().unwrap().len(), 2);
        seen.push((message.subject.to_string(), ids(&message.payload).len()));
    }
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_millis(50) && waited < Duration::from_secs(2),
        "{waited:?}"
    );
    seen.sort();
    let expected = [
        ("wirespan.spans.v1.test._.a.http", 2),
        ("wirespan.spans.v1.test._.b.http", 1),
        ("wirespan.spans.v1.test.shop.users_api.mysql", 1),
    ];
    assert_eq!(
        seen,
        expected.map(|(subject, count)| (subject.to_owned(), count))
    );
    sink.drain(LIMIT).unwrap();
    assert_eq!(
        sink.counts(),
        SinkCounts {
            delivered: 4,
            dropped: 0
        }
    );
    let status = sink.monitor().status();
    assert!(status.confirming && status.lag.is_some(), "{status:?}");
    assert!(status.server.unwrap().contains(&server.port.to_string()));
}

#[test]
fn each_encoding_can_be_read() {
    let server = Server::start("");
    for encoding in Encoding::ALL {
        let subscriber = Subscriber::new(&server.url(), "wirespan.spans.v1.>");
        let mut sink = NatsSink::connect(NatsConfig {
            encoding,
            ..config(&server)
        })
        .unwrap();
        sink.publish(&spans("a", 1, 3)).unwrap();
        sink.drain(LIMIT).unwrap();
        let message = subscriber.next();
        assert_eq!(
            header(&message, "Content-Type"),
            Some(encoding.content_type())
        );
        let otlp = |request: ExportTraceServiceRequest| {
            request.resource_spans[0].scope_spans[0]
                .spans
                .iter()
                .map(|span| span.span_id[7])
                .collect()
        };
        let ids: Vec<u8> = match encoding {
            Encoding::Json => ids(&message.payload)
                .iter()
                .map(|id| u8::from_str_radix(id, 16).unwrap())
                .collect(),
            Encoding::Otlp => otlp(ExportTraceServiceRequest::decode(message.payload).unwrap()),
            Encoding::OtlpJson => otlp(serde_json::from_slice(&message.payload).unwrap()),
        };
        assert_eq!(ids, [1, 2, 3], "{encoding}");
    }
}

#[test]
fn batches_keep_to_their_limits_and_nothing_is_lost_or_sent_twice() {
    let server = Server::start("");
    for encoding in Encoding::ALL {
        let subscriber = Subscriber::new(&server.url(), "wirespan.spans.v1.>");
        let mut sink = NatsSink::connect(NatsConfig {
            encoding,
            ..config(&server)
        })
        .unwrap();
        sink.publish(&spans("small", 1, 2000)).unwrap();
        sink.publish(&spans_with("large", 10_000, 200, &"x\u{1}".repeat(2000)))
            .unwrap();
        sink.drain(LIMIT).unwrap();
        assert_eq!(
            sink.counts(),
            SinkCounts {
                delivered: 2200,
                dropped: 0
            }
        );
        let messages = subscriber.rest();
        let mut seen = 0;
        for message in &messages {
            assert!(
                message.payload.len() <= BATCH_BYTES,
                "{encoding}: {}",
                message.payload.len()
            );
            let count = match encoding {
                Encoding::Json => ids(&message.payload).len(),
                Encoding::Otlp => {
                    count(&ExportTraceServiceRequest::decode(&*message.payload).unwrap())
                }
                Encoding::OtlpJson => count(&serde_json::from_slice(&message.payload).unwrap()),
            };
            assert!(count <= BATCH_SPANS);
            seen += count;
        }
        assert_eq!(seen, 2200, "{encoding}");
        let message_ids: HashSet<_> = messages.iter().map(|m| header(m, "Nats-Msg-Id")).collect();
        assert_eq!(message_ids.len(), messages.len());
    }
}

fn count(request: &ExportTraceServiceRequest) -> usize {
    let scopes = request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

#[test]
fn messages_stay_below_what_the_server_takes() {
    let server = Server::start("max_payload: 4096\n");
    let subscriber = Subscriber::new(&server.url(), "wirespan.spans.v1.>");
    let mut sink = NatsSink::connect(config(&server)).unwrap();
    let batch = [
        spans("a", 1, 100),
        spans_with("a", 1000, 1, &"x".repeat(5000)),
    ]
    .concat();
    sink.publish(&batch).unwrap();
    sink.drain(LIMIT).unwrap();
    let messages = subscriber.rest();
    assert!(messages.iter().all(|message| message.payload.len() < 4096));
    assert_eq!(
        messages
            .iter()
            .map(|message| ids(&message.payload).len())
            .sum::<usize>(),
        100
    );
    assert_eq!(
        sink.counts(),
        SinkCounts {
            delivered: 100,
            dropped: 1
        }
    );
    assert_eq!(sink.monitor().status().too_large, 1);
}

#[test]
fn many_spans_pass_quickly() {
    let server = Server::start("");
    let subscriber = Subscriber::new(&server.url(), "wirespan.spans.v1.>");
    let mut sink = NatsSink::connect(NatsConfig {
        max_queued_spans: 1 << 20,
        max_queued_bytes: 1 << 30,
        ..config(&server)
    })
    .unwrap();
    let start = Instant::now();
    for round in 0..100 {
        sink.publish(&spans(
            ["a", "b", "c"][round % 3],
            1 + round as u64 * 1000,
            1000,
        ))
        .unwrap();
    }
    sink.drain(LIMIT).unwrap();
    println!("100000 spans confirmed in {:?}", start.elapsed());
    assert_eq!(
        sink.counts(),
        SinkCounts {
            delivered: 100_000,
            dropped: 0
        }
    );
    let messages = subscriber.rest();
    assert_eq!(
        messages
            .iter()
            .map(|message| ids(&message.payload).len())
            .sum::<usize>(),
        100_000
    );
}
