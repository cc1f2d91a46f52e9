//! The flat JSON form: one object a line, written straight into bytes.
//!
//! The order of keys is fixed; what is not known is left out; `attributes`, `resource` and `flags`
//! are always there, if empty. [`crate::FlatSpan`] reads it back.

use crate::model::{Attribute, Flags, Resource, Span, Value, distinct};

const SERVICE_NAME: &str = "service.name";

/// Appends `span` as one line, newline included.
pub fn write_line(span: &Span, out: &mut Vec<u8>) {
    write_object(span, out);
    out.push(b'\n');
}

/// Appends `span` as one object.
pub fn write_object(span: &Span, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"trace_id\":\"");
    write_hex(out, &span.trace_id.to_be_bytes());
    out.extend_from_slice(b"\",\"span_id\":\"");
    write_hex(out, &span.span_id.to_be_bytes());
    if let Some(parent) = span.parent_span_id {
        out.extend_from_slice(b"\",\"parent_span_id\":\"");
        write_hex(out, &parent.to_be_bytes());
    }
    out.extend_from_slice(b"\",\"name\":");
    write_text(out, &span.name);
    out.extend_from_slice(b",\"kind\":\"");
    out.extend_from_slice(span.kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"start_unix_nano\":");
    write_integer(out, span.start_unix_nano);
    if let Some(time) = span.request_end_unix_nano {
        out.extend_from_slice(b",\"request_end_unix_nano\":");
        write_integer(out, time);
    }
    if let Some(time) = span.response_start_unix_nano {
        out.extend_from_slice(b",\"response_start_unix_nano\":");
        write_integer(out, time);
    }
    out.extend_from_slice(b",\"end_unix_nano\":");
    write_integer(out, span.end_unix_nano);
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(span.status.as_str().as_bytes());
    out.extend_from_slice(b"\",\"attributes\":");
    write_attributes(out, &span.attributes);
    out.extend_from_slice(b",\"resource\":");
    write_resource(out, &span.resource);
    out.extend_from_slice(b",\"flags\":");
    write_flags(out, span.flags);
    out.extend_from_slice(b",\"protocol\":");
    write_text(out, &span.protocol);
    out.extend_from_slice(b",\"parser\":");
    write_text(out, &span.parser);
    out.push(b'}');
}

fn write_attributes(out: &mut Vec<u8>, attributes: &[Attribute]) {
    out.push(b'{');
    let mut separator = false;
    for attribute in distinct(attributes) {
        write_attribute(out, attribute, &mut separator);
    }
    out.push(b'}');
}

fn write_resource(out: &mut Vec<u8>, resource: &Resource) {
    out.push(b'{');
    let mut separator = false;
    if !resource.service_name.is_empty() {
        out.extend_from_slice(b"\"service.name\":");
        write_text(out, &resource.service_name);
        separator = true;
    }
    for attribute in distinct(&resource.attributes).filter(|a| &*a.field.name != SERVICE_NAME) {
        write_attribute(out, attribute, &mut separator);
    }
    out.push(b'}');
}

fn write_attribute(out: &mut Vec<u8>, attribute: &Attribute, separator: &mut bool) {
    if *separator {
        out.push(b',');
    }
    *separator = true;
    write_text(out, &attribute.field.name);
    out.push(b':');
    match &attribute.value {
        Value::Text(text) => write_text(out, text),
        Value::Integer(number) => write_integer(out, *number),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
    }
}

fn write_flags(out: &mut Vec<u8>, flags: Flags) {
    out.push(b'[');
    for (index, name) in flags.names().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
    }
    out.push(b']');
}

fn write_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(crate) fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend([hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + nibble - 10
    }
}

/// RFC 8259 §7: quotation mark, reverse solidus and what is below U+0020 are escaped, nothing else.
fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
    {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                write_hex(out, &[*control]);
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// About how long the line of `span` is; never less than half of it for text without control
/// characters. Cheap enough to be asked for each span.
#[must_use]
pub fn size_hint(span: &Span) -> usize {
    /// Keys, ids, times and punctuation of the flat form.
    const FIXED: usize = 420;
    FIXED
        + span.name.len()
        + span.protocol.len()
        + span.parser.len()
        + span.resource.service_name.len()
        + attributes_size(&span.attributes)
        + attributes_size(&span.resource.attributes)
}

fn attributes_size(attributes: &[Attribute]) -> usize {
    /// Quotation marks, colon and comma, or a number.
    const EACH: usize = 6;
    attributes
        .iter()
        .map(|attribute| {
            let value = match &attribute.value {
                Value::Text(text) => text.len(),
                Value::Integer(_) | Value::Boolean(_) => 8,
            };
            EACH + attribute.field.name.len() + value
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::field::Class;
    use crate::flat::{FlatSpan, FlatValue};

    fn line(span: &Span) -> String {
        let mut out = Vec::new();
        write_line(span, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_line_is_the_documented_one() {
        assert_eq!(
            line(&example::span()),
            concat!(
                r#"{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"00f067aa0ba902b7","#,
                r#""parent_span_id":"b7ad6b7169203331","name":"GET /users/{id}","kind":"SERVER","#,
                r#""start_unix_nano":1763769600000000000,"#,
                r#""request_end_unix_nano":1763769600000100000,"#,
                r#""response_start_unix_nano":1763769600001000000,"#,
                r#""end_unix_nano":1763769600001200000,"status":"UNSET","#,
                r#""attributes":{"http.request.method":"GET","url.path":"/users/7","#,
                r#""http.response.status_code":200},"#,
                r#""resource":{"service.name":"users","process.pid":4711},"#,
                r#""flags":["mid_stream"],"protocol":"http","parser":"http@0.1.0"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut span = example::span();
        span.parent_span_id = None;
        span.request_end_unix_nano = None;
        span.response_start_unix_nano = None;
        span.attributes.clear();
        span.flags = Flags::default();
        let line = line(&span);
        assert!(!line.contains("parent_span_id"), "{line}");
        assert!(!line.contains("request_end"), "{line}");
        assert!(!line.contains("response_start"), "{line}");
        assert!(line.contains(r#""attributes":{},"#), "{line}");
        assert!(line.contains(r#""flags":[],"#), "{line}");
    }

    #[test]
    fn every_text_comes_back_as_it_was() {
        let mut all = String::new();
        for code in (0..0x300)
            .chain(0x2000..0x2100)
            .chain([0xfffd, 0x1_f600, 0x10_ffff])
        {
            all.extend(char::from_u32(code));
        }
        let mut span = example::span();
        span.name = all.as_str().into();
        span.attributes = vec![example::text("we\"ird\\\n", Class::Public, &all)];
        let line = line(&span);
        assert_eq!(line.matches('\n').count(), 1, "one object a line");
        let flat: FlatSpan = serde_json::from_str(&line).unwrap();
        assert_eq!(flat.name, all);
        assert_eq!(
            flat.attributes.get("we\"ird\\\n"),
            Some(&FlatValue::Text(all))
        );
    }

    #[test]
    fn extreme_numbers_come_back_as_they_were() {
        let mut span = example::span();
        span.end_unix_nano = u64::MAX;
        span.attributes = vec![
            example::integer("a", i64::MIN),
            example::integer("b", i64::MAX),
        ];
        let flat: FlatSpan = serde_json::from_str(&line(&span)).unwrap();
        assert_eq!(flat.end_unix_nano, u64::MAX);
        assert_eq!(
            flat.attributes.get("a"),
            Some(&FlatValue::Integer(i64::MIN))
        );
        assert_eq!(
            flat.attributes.get("b"),
            Some(&FlatValue::Integer(i64::MAX))
        );
    }

    #[test]
    fn a_name_is_said_once_and_the_first_value_counts() {
        let mut span = example::span();
        span.attributes = vec![example::integer("a", 1), example::integer("a", 2)];
        assert!(line(&span).contains(r#""attributes":{"a":1}"#));
    }

    #[test]
    fn the_size_hint_is_near_the_size() {
        let span = example::span();
        let (hint, size) = (size_hint(&span), line(&span).len());
        assert!(hint >= size / 2 && hint <= size * 2, "{hint} for {size}");
    }
}
