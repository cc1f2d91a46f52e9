//! OTLP: the `ExportTraceServiceRequest` of a batch, as protobuf or as JSON.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, Status as OtlpStatus, span::SpanKind,
    status::StatusCode,
};
use prost::Message as _;

use crate::fields;
use crate::model::{Attribute, Kind, Resource, Span, Status, Value, distinct};

/// Schema of the conventions that names follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The batch as one request, spans grouped by resource and scope in the order of their first span.
#[must_use]
pub fn request(spans: &[Arc<Span>]) -> ExportTraceServiceRequest {
    let mut by_address: HashMap<*const Resource, usize> = HashMap::new();
    let mut groups: Vec<(&Resource, ResourceSpans)> = Vec::new();
    for span in spans {
        let index = *by_address
            .entry(Arc::as_ptr(&span.resource))
            .or_insert_with(|| {
                // Each connection has a resource of its own; those of one process are equal.
                groups
                    .iter()
                    .position(|(resource, _)| *resource == &*span.resource)
                    .unwrap_or_else(|| {
                        groups.push((&span.resource, resource_spans(&span.resource)));
                        groups.len() - 1
                    })
            });
        if let Some((_, group)) = groups.get_mut(index) {
            add(group, span);
        }
    }
    ExportTraceServiceRequest {
        resource_spans: groups.into_iter().map(|(_, group)| group).collect(),
    }
}

/// `application/x-protobuf`.
#[must_use]
pub fn protobuf(spans: &[Arc<Span>]) -> Vec<u8> {
    request(spans).encode_to_vec()
}

/// `application/json`: the JSON encoding of OTLP.
///
/// # Errors
/// Never for the texts and numbers of a span.
pub fn json(spans: &[Arc<Span>]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&request(spans))
}

fn add(group: &mut ResourceSpans, span: &Span) {
    let (name, version) = span.parser.split_once('@').unwrap_or((&span.parser, ""));
    let known = group.scope_spans.iter().position(|scope_spans| {
        scope_spans
            .scope
            .as_ref()
            .is_some_and(|s| s.name == name && s.version == version)
    });
    let index = known.unwrap_or_else(|| {
        group.scope_spans.push(ScopeSpans {
            scope: Some(InstrumentationScope {
                name: name.to_owned(),
                version: version.to_owned(),
                ..InstrumentationScope::default()
            }),
            spans: Vec::new(),
            schema_url: SCHEMA_URL.to_owned(),
        });
        group.scope_spans.len() - 1
    });
    if let Some(scope_spans) = group.scope_spans.get_mut(index) {
        scope_spans.spans.push(otlp_span(span));
    }
}

fn resource_spans(resource: &Resource) -> ResourceSpans {
    let mut attributes = Vec::with_capacity(resource.attributes.len() + 1);
    if !resource.service_name.is_empty() {
        attributes.push(key_value(
            &fields::SERVICE_NAME.name,
            text(&resource.service_name),
        ));
    }
    attributes.extend(
        distinct(&resource.attributes)
            .filter(|attribute| attribute.field.name != fields::SERVICE_NAME.name)
            .map(attribute_value),
    );
    ResourceSpans {
        resource: Some(OtlpResource {
            attributes,
            ..OtlpResource::default()
        }),
        scope_spans: Vec::new(),
        schema_url: SCHEMA_URL.to_owned(),
    }
}

fn otlp_span(span: &Span) -> OtlpSpan {
    let mut attributes: Vec<KeyValue> = distinct(&span.attributes).map(attribute_value).collect();
    attributes.push(key_value(
        &fields::WIRESPAN_PROTOCOL.name,
        text(&span.protocol),
    ));
    for (field, time) in [
        (
            &fields::WIRESPAN_REQUEST_END_UNIX_NANO,
            span.request_end_unix_nano,
        ),
        (
            &fields::WIRESPAN_RESPONSE_START_UNIX_NANO,
            span.response_start_unix_nano,
        ),
    ] {
        // Unix nanoseconds fit an i64 until the year 2262.
        if let Some(time) = time.and_then(|time| i64::try_from(time).ok()) {
            attributes.push(key_value(&field.name, any_value::Value::IntValue(time)));
        }
    }
    if !span.flags.is_empty() {
        let values = span
            .flags
            .names()
            .map(|name| AnyValue {
                value: Some(text(name)),
            })
            .collect();
        attributes.push(key_value(
            &fields::WIRESPAN_FLAGS.name,
            any_value::Value::ArrayValue(ArrayValue { values }),
        ));
    }
    OtlpSpan {
        trace_id: span.trace_id.to_be_bytes().to_vec(),
        span_id: span.span_id.to_be_bytes().to_vec(),
        parent_span_id: span
            .parent_span_id
            .map(|id| id.to_be_bytes().to_vec())
            .unwrap_or_default(),
        flags: span.trace_flags.into(),
        name: span.name.to_string(),
        kind: kind(span.kind).into(),
        start_time_unix_nano: span.start_unix_nano,
        end_time_unix_nano: span.end_unix_nano,
        attributes,
        status: Some(OtlpStatus {
            message: String::new(),
            code: status(span.status).into(),
        }),
        ..OtlpSpan::default()
    }
}

const fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Client => SpanKind::Client,
        Kind::Server => SpanKind::Server,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
        Kind::Internal => SpanKind::Internal,
    }
}

const fn status(status: Status) -> StatusCode {
    match status {
        Status::Unset => StatusCode::Unset,
        Status::Ok => StatusCode::Ok,
        Status::Error => StatusCode::Error,
    }
}

fn text(text: &str) -> any_value::Value {
    any_value::Value::StringValue(text.to_owned())
}

fn attribute_value(attribute: &Attribute) -> KeyValue {
    let value = match &attribute.value {
        Value::Text(value) => text(value),
        Value::Integer(number) => any_value::Value::IntValue(*number),
        Value::Boolean(truth) => any_value::Value::BoolValue(*truth),
    };
    key_value(&attribute.field.name, value)
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::model::Flags;

    fn batch() -> Vec<Arc<Span>> {
        let first = example::span();
        let mut second = first.clone();
        second.resource = Arc::new(Resource::clone(&first.resource));
        second.parser = "grpc@0.2.0".into();
        let mut third = first.clone();
        third.resource = Arc::new(Resource {
            service_name: "other".into(),
            ..Resource::default()
        });
        third.flags = Flags::default();
        third.status = Status::Error;
        [first.clone(), second, third, first].map(Arc::new).into()
    }

    #[test]
    fn spans_are_grouped_by_resource_and_scope() {
        let decoded = ExportTraceServiceRequest::decode(&*protobuf(&batch())).unwrap();
        let shape: Vec<Vec<(&str, &str, usize)>> = decoded
            .resource_spans
            .iter()
            .map(|resource| {
                let scopes = resource.scope_spans.iter();
                scopes
                    .map(|s| {
                        (
                            &*s.scope.as_ref().unwrap().name,
                            &*s.scope.as_ref().unwrap().version,
                            s.spans.len(),
                        )
                    })
                    .collect()
            })
            .collect();
        assert_eq!(
            shape,
            [
                vec![("http", "0.1.0", 2), ("grpc", "0.2.0", 1)],
                vec![("http", "0.1.0", 1)]
            ]
        );
    }

    #[test]
    fn the_json_is_that_of_the_specification() {
        let value: serde_json::Value =
            serde_json::from_slice(&json(&batch()[..1]).unwrap()).unwrap();
        let resource = &value["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["key"], "service.name");
        assert_eq!(
            resource["resource"]["attributes"][0]["value"]["stringValue"],
            "users"
        );
        assert_eq!(
            resource["resource"]["attributes"][1]["value"]["intValue"],
            "4711"
        );
        let scope = &resource["scopeSpans"][0];
        assert_eq!(scope["scope"]["name"], "http");
        let span = &scope["spans"][0];
        assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span["spanId"], "00f067aa0ba902b7");
        assert_eq!(span["parentSpanId"], "b7ad6b7169203331");
        assert_eq!(span["kind"], 2);
        assert_eq!(span["startTimeUnixNano"], "1763769600000000000");
        assert_eq!(span["endTimeUnixNano"], "1763769600001200000");
        let of = |key: &str| {
            let attributes = span["attributes"].as_array().unwrap();
            attributes.iter().find(|a| a["key"] == key).unwrap()["value"].clone()
        };
        assert_eq!(of("wirespan.protocol")["stringValue"], "http");
        assert_eq!(
            of("wirespan.request_end_unix_nano")["intValue"],
            "1763769600000100000"
        );
        assert_eq!(
            of("wirespan.response_start_unix_nano")["intValue"],
            "1763769600001000000"
        );
        assert_eq!(
            of("wirespan.flags")["arrayValue"]["values"][0]["stringValue"],
            "mid_stream"
        );
        assert_eq!(of("http.response.status_code")["intValue"], "200");
    }

    #[test]
    fn both_encodings_say_the_same() {
        let from_json: ExportTraceServiceRequest =
            serde_json::from_slice(&json(&batch()).unwrap()).unwrap();
        let from_protobuf = ExportTraceServiceRequest::decode(&*protobuf(&batch())).unwrap();
        assert_eq!(from_json, from_protobuf);
    }
}
