//! Documentation of what a span holds, written from the registry of [`fields`].

use std::fmt::Write as _;

use crate::field::{Cardinality, Class, Field, FieldType};
use crate::fields::{self, Carrier};
use crate::model::Flags;

/// The whole of `docs/span-schema.md`.
#[must_use]
pub fn document() -> String {
    let mut out = String::from(INTRODUCTION);
    out.push_str("\n## Flags: what was not seen\n\n| flag | meaning |\n|---|---|\n");
    for (flag, name) in Flags::NAMES {
        let _ = writeln!(out, "| `{name}` | {} |", meaning(flag));
    }
    for (carrier, title) in [
        (Carrier::Span, "Attributes of a span that the host adds"),
        (Carrier::Resource, "Attributes of a resource"),
        (Carrier::Otlp, "Attributes that only OTLP needs"),
    ] {
        let _ = write!(out, "\n## {title}\n\n");
        let of_carrier: Vec<_> = fields::registry()
            .into_iter()
            .filter(|(of, _)| *of == carrier)
            .map(|(_, field)| field)
            .collect();
        out.push_str(&table(of_carrier.iter().map(|field| &**field)));
    }
    out.push_str(END);
    out
}

/// A table of fields in Markdown: those of a parser's manifest, or of the registry.
#[must_use]
pub fn table<'a>(fields: impl Iterator<Item = &'a Field>) -> String {
    let mut out = String::from(
        "| name | type | class | values | description | example |\n|---|---|---|---|---|---|\n",
    );
    for field in fields {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | `{}` |",
            cell(&field.name),
            type_name(field.field_type),
            class_name(field.class),
            cardinality_name(field.cardinality),
            cell(&field.description),
            cell(&field.example),
        );
    }
    out
}

/// A description may come from a foreign manifest: it must not break the table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

const fn type_name(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Text => "text",
        FieldType::Integer => "integer",
        FieldType::Boolean => "boolean",
    }
}

const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Public => "public",
        Class::Identifier => "identifier",
        Class::Statement => "statement",
        Class::Secret => "secret",
        Class::Payload => "payload",
    }
}

const fn cardinality_name(cardinality: Cardinality) -> &'static str {
    match cardinality {
        Cardinality::Bounded => "bounded",
        Cardinality::Unbounded => "unbounded",
    }
}

fn meaning(flag: Flags) -> &'static str {
    match flag {
        Flags::MID_STREAM => {
            "The connection was joined after its beginning, and that touches this exchange."
        }
        Flags::GAP => {
            "Bytes that this span would tell of are missing. Content of a body whose extent is known is not among them."
        }
        Flags::REQUEST_TRUNCATED => {
            "The request, or a value taken from it, was cut off by a limit."
        }
        Flags::RESPONSE_TRUNCATED => {
            "The response, or a value taken from it, was cut off by a limit."
        }
        Flags::NO_RESPONSE => "The request was never answered.",
        Flags::RESET => "The connection was reset during this exchange.",
        Flags::UNFINISHED => "The exchange was not over when it was reported.",
        Flags::ORDER_UNCERTAIN => "Which side sent first could not be known.",
        Flags::PARSER_RESTART => {
            "The parser was restarted during this exchange; what it knew of it is lost."
        }
        _ => "",
    }
}

const INTRODUCTION: &str = r#"<!-- Written from host/span by `UPDATE_DOCS=1 cargo test --release -p wirespan-span`; do not edit. -->

# What a span holds

A span is one exchange as one end of a connection saw it. Names follow the OpenTelemetry semantic
conventions 1.44 where they have one; facts of our own are under `wirespan.`.

## The flat form

One JSON object a line, keys in this order. What is not known is absent; `attributes`, `resource`
and `flags` are always there. Readers ignore keys they do not know.

| key | type | meaning |
|---|---|---|
| `trace_id` | 32 hexadecimal digits | From a `traceparent` on the wire, else derived from `span_id`. |
| `span_id` | 16 hexadecimal digits | A hash of the capture, the connection and its opening, the end observed, and the message's position: the same exchange published or replayed twice has the same id. |
| `parent_span_id` | 16 hexadecimal digits | From a `traceparent` on the wire; absent without one. |
| `name` | text | By the conventions of the protocol. |
| `kind` | `CLIENT`, `SERVER`, `PRODUCER`, `CONSUMER`, `INTERNAL` | Which end the observed process holds. |
| `start_unix_nano` | integer | First byte of the request; where that was not seen, of the response. |
| `request_end_unix_nano` | integer | Last byte of the request. |
| `response_start_unix_nano` | integer | First byte of the response. |
| `end_unix_nano` | integer | Last byte of the response, or the last thing known of the exchange. |
| `status` | `UNSET`, `OK`, `ERROR` | By the conventions of the protocol. |
| `attributes` | object of texts, integers, booleans | Those of the parser, and those below. |
| `resource` | object of texts, integers, booleans | Who the observed process is. |
| `flags` | array of texts | What was not seen, see below. |
| `protocol` | text | `http`, `http2`, `grpc`, `mysql`, `postgresql`, or a plugin's. |
| `parser` | text | `name@version` of the parser. |

Times are Unix nanoseconds, larger than the integers that a reader with 64-bit floats keeps exactly.

## OTLP

Spans are grouped by resource and by scope; the scope's name and version are those of the parser.
What OTLP has no field for are attributes, see the end of this page. `otlp-json` is the JSON
encoding of the protocol: ids in hexadecimal, enumerations as numbers, 64-bit integers as text.
"#;

const END: &str = r#"
## Classes, and what leaves the node

Each field has a class, and the host redacts by it before anything is published.

| class | by default | with `--unredacted` |
|---|---|---|
| public | kept | kept |
| identifier | kept | kept |
| statement | kept without literals and comments; removed where its dialect is not known | kept |
| payload | removed | kept |
| secret | removed | removed |

The dialect of a statement is that of `db.system.name`: `mysql`, `mariadb`, `postgresql`. Strings,
numbers, `TRUE` and `FALSE` become `?`, so do values of settings (`SET app.key = value`) and passwords
without quotes; comments go, code in `/*! … */` of MySQL stays without its version. A text with
parameters is treated alike: that it has some does not mean that it has no literals. In doubt more is
removed: `"…"` is a string to MySQL, and from where the settings of the session, which are not known,
would decide what is a literal, the rest of the text is one `?`. So is what follows bytes that no
statement has, and what follows a string without an end.

`db.query.summary` has operations and targets only (`INSERT shipping_details SELECT orders`), never
names of users, savepoints, cursors or channels, nor those that `WITH` gives to queries.
`db.operation.name` and `db.collection.name` are not
taken from a text: the conventions advise against it. A `traceparent` that sqlcommenter put into a
comment before or behind the statement is the parent where the protocol brought none; with
`--unredacted`, too, these are there.

Whoever declares them, all texts and the span's name are searched for credentials in URLs:

- `user:password@` becomes `REDACTED:REDACTED@`, a user alone `REDACTED@`; in `server.address` and
  other addresses it is removed.
- The values of these query parameters become `REDACTED`: those of the conventions
  (`X-Amz-Signature`, `X-Amz-Credential`, `X-Amz-Security-Token`, `AWSAccessKeyId`, `Signature`,
  `sig`, `X-Goog-Signature`) and of our own choice `access_token`, `refresh_token`, `id_token`,
  `client_secret`, `password`, `passwd`, `api_key`, `apikey`, `secret`, `token`; more can be
  configured. Names are compared without regard to case and after percent-decoding. In doubt more
  is removed: a value reaches to the next `&` or `#`, and a value that holds an encoded URL with
  credentials is removed whole.

With `--unredacted` URLs are kept as they were sent.
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_document_is_that_of_the_registry() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/span-schema.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, document()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == document(),
            "{} is stale: run UPDATE_DOCS=1 cargo test --release -p wirespan-span",
            path.display()
        );
    }

    #[test]
    fn every_flag_has_a_meaning() {
        for (flag, name) in Flags::NAMES {
            assert!(!meaning(flag).is_empty(), "{name}");
        }
    }

    #[test]
    fn a_foreign_description_does_not_break_the_table() {
        let mut field = Field::clone(&**fields::HOST_NAME);
        field.description = "a | b\nc".into();
        assert_eq!(table([&field].into_iter()).lines().count(), 3);
    }
}
