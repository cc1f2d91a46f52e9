//! A span with everything in it, for the tests of this crate.

use std::sync::Arc;

use crate::field::{Cardinality, Class, Field, FieldRef, FieldType};
use crate::model::{Attribute, Flags, Kind, Resource, Span, Status, Value};

pub(crate) fn field(name: &str, field_type: FieldType, class: Class) -> FieldRef {
    FieldRef::own(Field {
        name: name.into(),
        field_type,
        description: "".into(),
        example: "".into(),
        cardinality: Cardinality::Unbounded,
        class,
    })
}

pub(crate) fn text(name: &str, class: Class, value: &str) -> Attribute {
    Attribute {
        field: field(name, FieldType::Text, class),
        value: Value::from(value),
    }
}

pub(crate) fn integer(name: &str, value: i64) -> Attribute {
    Attribute {
        field: field(name, FieldType::Integer, Class::Public),
        value: Value::from(value),
    }
}

pub(crate) fn span() -> Span {
    Span {
        trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        span_id: 0x00f0_67aa_0ba9_02b7,
        parent_span_id: Some(0xb7ad_6b71_6920_3331),
        trace_flags: 1,
        name: "GET /users/{id}".into(),
        kind: Kind::Server,
        start_unix_nano: 1_763_769_600_000_000_000,
        request_end_unix_nano: Some(1_763_769_600_000_100_000),
        response_start_unix_nano: Some(1_763_769_600_001_000_000),
        end_unix_nano: 1_763_769_600_001_200_000,
        status: Status::Unset,
        attributes: vec![
            text("http.request.method", Class::Public, "GET"),
            text("url.path", Class::Identifier, "/users/7"),
            integer("http.response.status_code", 200),
        ],
        resource: Arc::new(Resource {
            service_name: "users".into(),
            attributes: vec![integer("process.pid", 4711)],
            namespace: None,
            workload: None,
        }),
        flags: Flags::MID_STREAM,
        protocol: "http".into(),
        parser: "http@0.1.0".into(),
    }
}
