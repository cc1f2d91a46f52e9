//! From a parser's numbers to spans: every one of them is checked.

use std::sync::Arc;

use wirespan_capture::Clock;
use wirespan_contract::limit::{NAME_BYTES, VALUE_BYTES, VALUES_PER_SPAN};
use wirespan_span::{
    Attribute, Exchange, FieldType, Flags, Kind, Resource, Span, Status, Text, TraceParent, Value,
    fields, trace_id_from,
};

use crate::bindings::{self, Output, Side, Slice, SpanFlags, SpanKind};
use crate::connection::Connection;
use crate::counters::ParserCounters;
use crate::fault::Fault;
use crate::load::Parser;
use crate::manifest::FIELDS;

/// Attributes that the host adds, here and where it knows who the ends are.
const ADDED: usize = 10;

/// What a span is made from beside the guest's answer.
pub(crate) struct Converter<'a> {
    pub(crate) parser: &'a Parser,
    pub(crate) counters: &'a ParserCounters,
    pub(crate) clock: Clock,
    /// Identity comes later; until then all share an empty one.
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) output: &'a Output,
    /// All texts of the answer, where they are in order: so they nearly always are, and finding that
    /// out for all of them at once takes less than for one after the other.
    text: Option<&'a str>,
}

impl<'a> Converter<'a> {
    pub(crate) fn new(
        parser: &'a Parser,
        counters: &'a ParserCounters,
        clock: Clock,
        resource: &'a Arc<Resource>,
        output: &'a Output,
    ) -> Self {
        Self {
            parser,
            counters,
            clock,
            resource,
            output,
            text: std::str::from_utf8(&output.text).ok(),
        }
    }

    /// `None` where the span cannot be true and was counted; an error where the whole answer makes
    /// no sense.
    pub(crate) fn convert(
        &self,
        span: &bindings::SpanRow,
        connection: &mut Connection,
    ) -> Result<Option<Span>, Fault> {
        let protocol = self
            .parser
            .protocols
            .get(usize::from(span.protocol))
            .ok_or(Fault::Nonsense("a protocol that is not in its manifest"))?;
        let name = self.text(span.name, NAME_BYTES)?;
        let mut attributes = self.attributes(span)?;
        let trace = TraceParent::parse(slice(self.output, span.trace)?);
        if !possible(span, connection) {
            self.counters.impossible_times.one();
            return Ok(None);
        }
        if connection.tls {
            attributes.push(Attribute::new(&fields::WIRESPAN_TLS, true));
        }
        let observed_client = connection.observed_client();
        let info = &connection.info;
        let span_id = Exchange {
            capture: self.clock.capture_id,
            socket: info.key.socket,
            generation: info.key.generation,
            observed_client,
            layer: connection.layer,
            from_client: span.side == Side::Client,
            position: span.position,
            protocol,
        }
        .span_id();
        let seen = |time: u64| (time != 0).then(|| self.clock.unix_nanos(time));
        Ok(Some(Span {
            trace_id: trace.map_or_else(|| trace_id_from(span_id), |trace| trace.trace_id),
            span_id,
            parent_span_id: trace.map(|trace| trace.parent_id),
            trace_flags: trace.map_or(0, |trace| trace.flags),
            name: if name.is_empty() {
                protocol.as_ref().into()
            } else {
                name
            },
            kind: kind(span, observed_client),
            start_unix_nano: self.clock.unix_nanos(span.start),
            request_end_unix_nano: seen(span.request_end),
            response_start_unix_nano: seen(span.response_start),
            end_unix_nano: self.clock.unix_nanos(span.end),
            status: match span.status {
                bindings::Status::Unset => Status::Unset,
                bindings::Status::Ok => Status::Ok,
                bindings::Status::Error => Status::Error,
            },
            attributes,
            resource: Arc::clone(self.resource),
            flags: flags(span, connection),
            protocol: Arc::clone(protocol),
            parser: Arc::clone(&self.parser.label),
        }))
    }

    fn attributes(&self, span: &bindings::SpanRow) -> Result<Vec<Attribute>, Fault> {
        let start = index(span.values_start);
        let values = start
            .checked_add(index(span.values_len))
            .and_then(|end| self.output.values.get(start..end))
            .ok_or(Fault::Nonsense("a range outside of its values"))?;
        if values.len() > VALUES_PER_SPAN {
            return Err(Fault::Nonsense("too many values in a span"));
        }
        let mut given = [0u64; FIELDS / 64];
        let mut attributes = Vec::with_capacity(values.len().saturating_add(ADDED));
        for value in values {
            let number = usize::from(value.field);
            let field = self.parser.manifest().fields.get(number);
            let field = field.ok_or(Fault::Nonsense("a field that is not in its manifest"))?;
            let bit = 1u64 << (number % 64);
            let Some(word) = given.get_mut(number / 64) else {
                continue;
            };
            if *word & bit != 0 {
                self.counters.invalid_values.one();
                continue;
            }
            *word |= bit;
            let value = match field.field_type {
                FieldType::Text => Value::Text(self.text(value.text, VALUE_BYTES)?),
                FieldType::Integer => Value::Integer(value.number),
                FieldType::Boolean => Value::Boolean(value.number != 0),
            };
            attributes.push(Attribute {
                field: *field,
                value,
            });
        }
        for (size, field) in [
            (span.request_bytes, &fields::WIRESPAN_REQUEST_SIZE),
            (span.response_bytes, &fields::WIRESPAN_RESPONSE_SIZE),
        ] {
            // Nothing is the parser's way to say that it does not know.
            if size != 0 {
                let size = i64::try_from(size).unwrap_or(i64::MAX);
                attributes.push(Attribute::new(field, size));
            }
        }
        Ok(attributes)
    }

    /// A text of the answer. Parsers hand out UTF-8; what is not is replaced and counted, and what
    /// is too long is cut and counted.
    fn text(&self, range: Slice, limit: usize) -> Result<Text, Fault> {
        let start = index(range.start);
        let end = start.saturating_add(index(range.len));
        // A range that goes through a character is none of the whole text.
        if let Some(text) = self.text.and_then(|text| text.get(start..end))
            && text.len() <= limit
        {
            return Ok(text.into());
        }
        let bytes = slice(self.output, range)?;
        let cut = bytes.get(..limit).unwrap_or(bytes);
        if cut.len() < bytes.len() {
            self.counters.invalid_values.one();
        }
        match std::str::from_utf8(cut) {
            Ok(text) => Ok(text.into()),
            // The cut went through a character.
            Err(e) if cut.len() < bytes.len() && e.error_len().is_none() => {
                Ok(String::from_utf8_lossy(cut.get(..e.valid_up_to()).unwrap_or_default()).into())
            }
            Err(_) => {
                self.counters.invalid_text.one();
                Ok(String::from_utf8_lossy(cut).into())
            }
        }
    }
}

pub(crate) fn slice(output: &Output, range: Slice) -> Result<&[u8], Fault> {
    let start = index(range.start);
    start
        .checked_add(index(range.len))
        .and_then(|end| output.text.get(start..end))
        .ok_or(Fault::Nonsense("a slice outside of its text"))
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Every time lies between the opening of the connection and the last event of it, and an exchange
/// does not end before it begins. A request may end after its answer did: a server need not wait.
fn possible(span: &bindings::SpanRow, connection: &Connection) -> bool {
    let range = connection.earliest..=connection.latest;
    let optional = |time: u64| time == 0 || (range.contains(&time) && time >= span.start);
    range.contains(&span.start)
        && range.contains(&span.end)
        && span.start <= span.end
        && optional(span.request_end)
        && optional(span.response_start)
        && span.response_start <= span.end
}

const fn kind(span: &bindings::SpanRow, observed_client: bool) -> Kind {
    match (span.kind, observed_client) {
        (SpanKind::Exchange, true) => Kind::Client,
        (SpanKind::Exchange, false) => Kind::Server,
        (SpanKind::Message, _) => {
            let observed_sends = matches!(span.side, Side::Client) == observed_client;
            if observed_sends {
                Kind::Producer
            } else {
                Kind::Consumer
            }
        }
        (SpanKind::Internal, _) => Kind::Internal,
    }
}

fn flags(span: &bindings::SpanRow, connection: &mut Connection) -> Flags {
    let mut flags = Flags::default();
    if span.flags != SpanFlags::empty() {
        for (given, flag) in [
            (SpanFlags::MID_STREAM, Flags::MID_STREAM),
            (SpanFlags::GAP, Flags::GAP),
            (SpanFlags::REQUEST_TRUNCATED, Flags::REQUEST_TRUNCATED),
            (SpanFlags::RESPONSE_TRUNCATED, Flags::RESPONSE_TRUNCATED),
            (SpanFlags::NO_RESPONSE, Flags::NO_RESPONSE),
            (SpanFlags::RESET, Flags::RESET),
            (SpanFlags::UNFINISHED, Flags::UNFINISHED),
            (SpanFlags::ORDER_UNCERTAIN, Flags::ORDER_UNCERTAIN),
            (SpanFlags::PARSER_RESTART, Flags::PARSER_RESTART),
        ] {
            if span.flags.contains(given) {
                flags = flags.with(flag);
            }
        }
    }
    if let Some(restarted) = connection.restarted {
        flags = flags.with(Flags::PARSER_RESTART);
        // The exchange in flight may never be told; the first one after it says so then.
        if span.start > restarted {
            connection.restarted = None;
        }
    }
    flags
}
