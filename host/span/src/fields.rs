//! The registry of the host's own attributes: what is put on spans besides a parser's fields.
//!
//! `docs/span-schema.md` is written from this table.

use std::sync::LazyLock;

use crate::field::{Cardinality, Class, Field, FieldRef, FieldType, Name};

/// What carries an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// A span's attributes.
    Span,
    /// The resource that the spans of a process share.
    Resource,
    /// Only the OTLP encodings: the flat form has a key of its own for it.
    Otlp,
}

macro_rules! fields {
    ($($name:ident = $carrier:ident $label:literal, $field_type:ident, $cardinality:ident, $class:ident,
        $description:literal, $example:literal;)+) => {
        $(
            #[doc = concat!("`", $label, "`: ", $description)]
            pub static $name: LazyLock<FieldRef> = LazyLock::new(|| FieldRef::own(Field {
                name: $label.into(),
                field_type: FieldType::$field_type,
                description: $description.into(),
                example: $example.into(),
                cardinality: Cardinality::$cardinality,
                class: Class::$class,
            }));
        )+

        /// Every registered attribute, in the order of the documentation.
        #[must_use]
        pub fn registry() -> Vec<(Carrier, FieldRef)> {
            vec![$((Carrier::$carrier, *$name)),+]
        }
    };
}

fields! {
    NETWORK_PEER_ADDRESS = Span "network.peer.address", Text, Unbounded, Identifier,
        "Address of the other end of the connection; of a Unix socket its name, where it has one: a path, or `@` and an abstract name.",
        "10.1.2.3";
    NETWORK_PEER_PORT = Span "network.peer.port", Integer, Unbounded, Public,
        "Port of the other end of a TCP connection.", "49152";
    NETWORK_LOCAL_ADDRESS = Span "network.local.address", Text, Unbounded, Identifier,
        "On server spans, where the bytes name another server: address, or name of a Unix socket, at which the connection has arrived. Behind address translation (a service's address in Kubernetes) this is the translated one.",
        "10.1.2.4";
    NETWORK_LOCAL_PORT = Span "network.local.port", Integer, Unbounded, Public,
        "The port that belongs to `network.local.address`.", "8080";
    NETWORK_TRANSPORT = Span "network.transport", Text, Bounded, Public,
        "`unix` on a Unix socket; absent on TCP.", "unix";
    CLIENT_ADDRESS = Span "client.address", Text, Unbounded, Identifier,
        "On server spans: address of the client's end of the connection. What a proxy says of the client behind it is not believed.",
        "10.1.2.3";
    SERVER_ADDRESS = Span "server.address", Text, Unbounded, Identifier,
        "Where the bytes name no server: address of the server's end of the connection, or name of its Unix socket. The client's end of a translated connection knows the address that it has asked for.",
        "10.1.2.4";
    SERVER_PORT = Span "server.port", Integer, Unbounded, Public,
        "Where the bytes name no port: port of the server's end of the connection.", "8080";
    URL_TEMPLATE = Span "url.template", Text, Bounded, Identifier,
        "On HTTP spans: the template of `url.path` as it was inferred from the paths seen. Absent with `--no-route-templates`, and for paths that the server did not know.",
        "/users/{id}";
    DB_QUERY_SUMMARY = Span "db.query.summary", Text, Bounded, Public,
        "Operations of the statement and their targets, in the order of the text and as they are written there; at most 255 characters. Also the span's name.",
        "SELECT orders customers";
    DB_STORED_PROCEDURE_NAME = Span "db.stored_procedure.name", Text, Bounded, Public,
        "The procedure, where the statement is one `CALL`.", "shop.restock";
    SERVICE_NAME = Resource "service.name", Text, Bounded, Public,
        "`OTEL_SERVICE_NAME` of the observed process, else its workload, else its command.", "users";
    PROCESS_PID = Resource "process.pid", Integer, Unbounded, Public,
        "Process id in the agent's namespace.", "4711";
    PROCESS_COMMAND = Resource "process.command", Text, Bounded, Public,
        "Command name as the kernel has it: at most 15 bytes, without arguments.", "nginx";
    PROCESS_EXECUTABLE_NAME = Resource "process.executable.name", Text, Bounded, Public,
        "Name of the executable file, without its path.", "nginx";
    CONTAINER_ID = Resource "container.id", Text, Unbounded, Public,
        "Container id from the path of the cgroup.",
        "3f4c6a1b9d0e4c5f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f";
    HOST_NAME = Resource "host.name", Text, Bounded, Public,
        "Name of the node.", "node-7";
    WIRESPAN_TLS = Span "wirespan.tls", Boolean, Bounded, Public,
        "The bytes were read as the plaintext of a TLS connection.", "true";
    WIRESPAN_REQUEST_SIZE = Span "wirespan.request.size", Integer, Unbounded, Public,
        "Bytes of the request on the wire, headers included, as far as they were seen or counted.", "512";
    WIRESPAN_RESPONSE_SIZE = Span "wirespan.response.size", Integer, Unbounded, Public,
        "Bytes of the response on the wire, headers included, as far as they were seen or counted.", "16384";
    WIRESPAN_FLAGS = Otlp "wirespan.flags", Text, Bounded, Public,
        "`flags` of the flat form, an array of strings: what was not seen of the exchange.", "mid_stream";
    WIRESPAN_PROTOCOL = Otlp "wirespan.protocol", Text, Bounded, Public,
        "`protocol` of the flat form.", "http";
    WIRESPAN_REQUEST_END_UNIX_NANO = Otlp "wirespan.request_end_unix_nano", Integer, Unbounded, Public,
        "When the last byte of the request passed, in Unix nanoseconds.", "1763769600000100000";
    WIRESPAN_RESPONSE_START_UNIX_NANO = Otlp "wirespan.response_start_unix_nano", Integer, Unbounded, Public,
        "When the first byte of the response passed, in Unix nanoseconds.", "1763769600001000000";
}

macro_rules! names {
    ($($name:ident = $text:literal;)+) => {
        $(
            #[doc = concat!("`", $text, "`, as parsers declare it.")]
            pub static $name: LazyLock<Name> = LazyLock::new(|| Name::of($text));
        )+
    };
}

// Attributes of parsers that mean something to the host.
names! {
    DB_SYSTEM_NAME = "db.system.name";
    DB_QUERY_TEXT = "db.query.text";
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code";
    HTTP_ROUTE = "http.route";
    RPC_METHOD = "rpc.method";
    URL_PATH = "url.path";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_each_field_is_described() {
        let registry = registry();
        let names: HashSet<_> = registry.iter().map(|(_, field)| &field.name).collect();
        assert_eq!(names.len(), registry.len());
        for (_, field) in registry {
            assert!(field.description.ends_with('.'), "{}", field.name);
            assert!(!field.example.is_empty(), "{}", field.name);
            if field.field_type == FieldType::Integer {
                assert!(field.example.parse::<i64>().is_ok(), "{}", field.name);
            }
        }
    }
}
