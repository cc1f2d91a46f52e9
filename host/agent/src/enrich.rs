//! Adds who the observed process is, and the addresses of both ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use wirespan_capture::{ProcessKey, Transport};
use wirespan_runtime::ParsedSpan;
use wirespan_span::{Attribute, FieldRef, Kind, Resource, Span, Text, Value, fields};
use wirespan_stream::{ConnectionInfo, Process};

/// Resources kept: one for each process with connections, some 1 KiB each. The map is emptied when it is
/// full, for nothing tells that a process has ended; what is still alive comes back with its next span.
const MAX_RESOURCES: usize = 1_024;

/// Connections whose identity is at hand, by the end of their number; some 100 bytes each. Others
/// are described anew with each span.
const AT_HAND: usize = 1_024;

/// What a process is described as, and the program that it was then: it can become another one.
type Described = (Option<Arc<Process>>, Arc<Resource>);

/// One for each worker.
#[derive(Debug)]
pub struct Enricher {
    host_name: Option<Box<str>>,
    resources: HashMap<Option<ProcessKey>, Described>,
    at_hand: Vec<Option<Identity>>,
}

/// Who the ends of a connection are.
#[derive(Clone, Debug)]
struct Identity {
    /// Of the connection.
    id: u64,
    process: Option<Arc<Process>>,
    resource: Arc<Resource>,
    transport: Transport,
    local: Option<End>,
    remote: Option<End>,
}

#[derive(Clone, Debug)]
struct End {
    /// Of a Unix socket its name.
    address: Text,
    /// A Unix socket has none.
    port: Option<u16>,
}

impl End {
    fn of(address: SocketAddr) -> Self {
        Self {
            // IPv4-mapped IPv6 addresses in their IPv4 form: a dual-stack listener sees the same
            // clients.
            address: address.ip().to_canonical().to_string().into(),
            port: Some(address.port()),
        }
    }

    fn named(name: &str) -> Self {
        Self {
            address: name.into(),
            port: None,
        }
    }

    fn put(&self, span: &mut Span, address: &FieldRef, port: &FieldRef) {
        span.add(address, self.address.clone());
        if let Some(number) = self.port {
            span.add(port, number);
        }
    }

    /// Whether the server that the bytes name is another one: a name, or the address of a load balancer
    /// or of a service, which something on the way has replaced.
    fn differs(&self, span: &Span) -> bool {
        let address = span.value(fields::SERVER_ADDRESS.name());
        let port = span.value(fields::SERVER_PORT.name());
        address.and_then(Value::as_text) != Some(&*self.address)
            || port.is_some_and(|port| port.as_integer() != self.port.map(i64::from))
    }
}

impl Enricher {
    /// `host_name` is that of the node the bytes were seen on; `None` for packet captures.
    #[must_use]
    pub fn new(host_name: Option<&str>) -> Self {
        Self {
            host_name: host_name.map(Into::into),
            resources: HashMap::new(),
            at_hand: (0..AT_HAND).map(|_| None).collect(),
        }
    }

    pub fn enrich(&mut self, parsed: ParsedSpan) -> Span {
        let ParsedSpan {
            mut span,
            connection,
        } = parsed;
        let place = usize::try_from(connection.id).unwrap_or(0) % AT_HAND;
        let known = self.at_hand.get(place).and_then(Option::as_ref);
        if let Some(identity) = known.filter(|identity| identity.is_of(&connection)) {
            identity.put(&mut span);
            return span;
        }
        let identity = self.identify(&connection);
        identity.put(&mut span);
        if let Some(place) = self.at_hand.get_mut(place) {
            *place = Some(identity);
        }
        span
    }

    fn identify(&mut self, connection: &ConnectionInfo) -> Identity {
        let names = connection.names.as_deref();
        let end = |address: Option<SocketAddr>, name: Option<&String>| match connection.transport {
            Transport::Tcp => address.map(End::of),
            // An address of one, in a file of packets, is made up.
            Transport::Unix => name.map(|name| End::named(name)),
            Transport::Unknown => None,
        };
        Identity {
            id: connection.id,
            process: connection.process.clone(),
            resource: self.resource(connection.process.as_ref()),
            transport: connection.transport,
            local: end(
                connection.local,
                names.and_then(|names| names.local.as_ref()),
            ),
            remote: end(
                connection.remote,
                names.and_then(|names| names.remote.as_ref()),
            ),
        }
    }

    fn resource(&mut self, process: Option<&Arc<Process>>) -> Arc<Resource> {
        let key = process.map(|p| ProcessKey {
            pid: p.pid,
            started: p.started,
        });
        if let Some((known, resource)) = self.resources.get(&key)
            && known.as_ref() == process
        {
            return Arc::clone(resource);
        }
        if self.resources.len() >= MAX_RESOURCES {
            self.resources.clear();
        }
        let resource = Arc::new(self.describe(process.map(Arc::as_ref)));
        let known = (process.cloned(), Arc::clone(&resource));
        self.resources.insert(key, known);
        resource
    }

    fn describe(&self, process: Option<&Process>) -> Resource {
        let mut attributes = Vec::new();
        let mut text = |field: &FieldRef, value: &str| {
            if !value.is_empty() {
                attributes.push(Attribute::new(field, value));
            }
        };
        if let Some(name) = &self.host_name {
            text(&fields::HOST_NAME, name);
        }
        let Some(process) = process else {
            return Resource {
                attributes,
                ..Resource::default()
            };
        };
        let executable = Path::new(&process.executable)
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        text(&fields::PROCESS_EXECUTABLE_NAME, executable);
        text(&fields::PROCESS_COMMAND, &process.command);
        if let Some(id) = &process.container_id {
            text(&fields::CONTAINER_ID, id);
        }
        attributes.push(Attribute::new(&fields::PROCESS_PID, process.pid));
        let service: Box<str> = match &process.service_name {
            Some(name) if !name.is_empty() => name.as_str().into(),
            _ => process.command.as_str().into(),
        };
        Resource {
            workload: Some(service.clone()),
            service_name: service,
            attributes,
            namespace: None,
        }
    }
}

impl Identity {
    /// Whether it is that of the connection, and of the program that held it.
    fn is_of(&self, connection: &ConnectionInfo) -> bool {
        let same = match (&self.process, &connection.process) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now),
            (known, now) => known.is_none() && now.is_none(),
        };
        same && self.id == connection.id
    }

    fn put(&self, span: &mut Span) {
        span.resource = Arc::clone(&self.resource);
        if self.transport == Transport::Unix {
            span.add(&fields::NETWORK_TRANSPORT, "unix");
        }
        if let Some(remote) = &self.remote {
            remote.put(
                span,
                &fields::NETWORK_PEER_ADDRESS,
                &fields::NETWORK_PEER_PORT,
            );
            if span.kind == Kind::Server {
                span.add(&fields::CLIENT_ADDRESS, remote.address.clone());
            }
        }
        let server = match span.kind {
            Kind::Client => self.remote.as_ref(),
            Kind::Server => self.local.as_ref(),
            Kind::Producer | Kind::Consumer | Kind::Internal => None,
        };
        let Some(server) = server else { return };
        if span.value(fields::SERVER_ADDRESS.name()).is_none() {
            server.put(span, &fields::SERVER_ADDRESS, &fields::SERVER_PORT);
        } else if span.kind == Kind::Server && server.differs(span) {
            // The name that the client used is better than an address; with it comes its port, or none.
            server.put(
                span,
                &fields::NETWORK_LOCAL_ADDRESS,
                &fields::NETWORK_LOCAL_PORT,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wirespan_capture::{ConnectionKey, UnixNames};
    use wirespan_route::Routes;
    use wirespan_span::fields::Carrier;
    use wirespan_span::{Cardinality, Class, Field, FieldType, Flags, Redactor, Status};

    use super::*;
    use crate::route;

    const GIVEN: [(&str, Class, &str); 3] = [
        ("url.path", Class::Identifier, "/users/7"),
        ("db.system.name", Class::Public, "mysql"),
        ("db.query.text", Class::Statement, "CALL restock(1)"),
    ];

    /// What the runtime adds to a span, and its tests show.
    const OF_RUNTIME: [&str; 3] = [
        "wirespan.request.size",
        "wirespan.response.size",
        "wirespan.tls",
    ];

    fn span(kind: Kind) -> Span {
        let attribute = |(name, class, value): (&str, _, &str)| {
            let field = Field {
                name: name.into(),
                field_type: FieldType::Text,
                description: "".into(),
                example: "".into(),
                cardinality: Cardinality::Bounded,
                class,
            };
            Attribute::new(&FieldRef::keep(field).unwrap(), value)
        };
        let mut attributes: Vec<_> = GIVEN.map(attribute).into();
        let status = FieldRef::keep(Field {
            name: "http.response.status_code".into(),
            field_type: FieldType::Integer,
            ..Field::clone(&attributes[0].field)
        });
        attributes.push(Attribute::new(&status.unwrap(), 200_u16));
        Span {
            trace_id: 1,
            span_id: 1,
            parent_span_id: None,
            trace_flags: 0,
            name: "GET".into(),
            kind,
            start_unix_nano: 1,
            request_end_unix_nano: None,
            response_start_unix_nano: None,
            end_unix_nano: 2,
            status: Status::Unset,
            attributes,
            resource: Arc::default(),
            flags: Flags::default(),
            protocol: "http".into(),
            parser: "http@0.1.0".into(),
        }
    }

    fn connection(id: u64, transport: Transport) -> Arc<ConnectionInfo> {
        let address = |text: &str| (transport == Transport::Tcp).then(|| text.parse().unwrap());
        Arc::new(ConnectionInfo {
            key: ConnectionKey {
                socket: id,
                generation: 1,
            },
            id,
            opened: 1,
            transport,
            local: address("[::ffff:10.0.0.1]:80"),
            remote: address("10.0.0.2:40000"),
            role: None,
            names: (transport == Transport::Unix).then(|| {
                Arc::new(UnixNames {
                    key: ConnectionKey {
                        socket: 2,
                        generation: 1,
                    },
                    time: 1,
                    local: Some("/run/shop.sock".into()),
                    remote: Some("@till".into()),
                    peer: 2,
                })
            }),
            process: Some(Arc::new(Process {
                pid: 7,
                started: 1,
                command: "shop".into(),
                executable: "/usr/bin/shop".into(),
                container_id: Some("abc".into()),
                ..Process::default()
            })),
            cgroup_id: 0,
            network_namespace: 0,
            before: None,
        })
    }

    #[test]
    fn each_attribute_that_the_schema_lists_is_set_and_no_other() {
        let mut enricher = Enricher::new(Some("node-7"));
        let (routes, mut redactor) = (Routes::default(), Redactor::default());
        let (mut of_span, mut of_resource) = (BTreeSet::new(), BTreeSet::new());
        of_span.extend(OF_RUNTIME.map(str::to_owned));
        for (id, transport) in [(1, Transport::Tcp), (2, Transport::Unix)] {
            for kind in [Kind::Server, Kind::Client, Kind::Server] {
                let mut span = span(kind);
                // Once the host has named the server, let the bytes name another one.
                if of_span.contains("server.address") {
                    span.add(&fields::SERVER_ADDRESS, "shop.example");
                }
                let parsed = ParsedSpan {
                    span,
                    connection: connection(id, transport),
                };
                let mut done = enricher.enrich(parsed);
                route::add_template(&routes, &mut done);
                redactor.apply(&mut done);
                let names = done.attributes.iter().map(|a| a.field.name.to_string());
                of_span.extend(names);
                let resource = &done.resource;
                of_resource.extend(resource.attributes.iter().map(|a| a.field.name.to_string()));
                assert_eq!(&*resource.service_name, "shop");
                of_resource.insert("service.name".to_owned());
            }
        }
        for (name, ..) in GIVEN {
            of_span.remove(name);
        }
        of_span.remove("http.response.status_code");
        let listed = |carrier| -> BTreeSet<String> {
            let registry = fields::registry().into_iter();
            registry
                .filter(|(of, _)| *of == carrier)
                .map(|(_, field)| field.name.to_string())
                .collect()
        };
        assert_eq!(of_span, listed(Carrier::Span));
        assert_eq!(of_resource, listed(Carrier::Resource));
    }

    #[test]
    fn both_ends_have_the_addresses_of_theirs() {
        let mut enricher = Enricher::new(None);
        for round in 0..2 {
            for (kind, server, port) in [
                (Kind::Server, "10.0.0.1", 80),
                (Kind::Client, "10.0.0.2", 40_000),
            ] {
                let done = enricher.enrich(ParsedSpan {
                    span: span(kind),
                    connection: connection(1, Transport::Tcp),
                });
                let text = |name| done.attribute(name).and_then(|value| value.as_text());
                assert_eq!(text("server.address"), Some(server), "{round}");
                assert_eq!(text("network.peer.address"), Some("10.0.0.2"));
                assert_eq!(text("network.local.address"), None);
                let number = |name| done.attribute(name).and_then(|value| value.as_integer());
                assert_eq!(number("server.port"), Some(port));
                assert_eq!(text("client.address").is_some(), kind == Kind::Server);
            }
        }
    }

    #[test]
    fn the_server_that_the_client_named_and_the_one_that_answered_are_both_told() {
        let mut enricher = Enricher::new(None);
        for (named, port, local) in [
            ("10.0.0.1", Some(80_u16), None),
            ("10.0.0.1", None, None),
            ("10.0.0.1", Some(8080), Some(("10.0.0.1", 80))),
            ("10.96.0.10", None, Some(("10.0.0.1", 80))),
            ("shop.example", Some(80), Some(("10.0.0.1", 80))),
        ] {
            for kind in [Kind::Server, Kind::Client] {
                let mut span = span(kind);
                span.add(&fields::SERVER_ADDRESS, named);
                if let Some(port) = port {
                    span.add(&fields::SERVER_PORT, port);
                }
                let done = enricher.enrich(ParsedSpan {
                    span,
                    connection: connection(1, Transport::Tcp),
                });
                let text = |name| done.attribute(name).and_then(|value| value.as_text());
                let number = |name| done.attribute(name).and_then(|value| value.as_integer());
                assert_eq!(text("server.address"), Some(named));
                let told = text("network.local.address").zip(number("network.local.port"));
                // The client's end knows no other than the one that it has asked for.
                let expected = local.filter(|_| kind == Kind::Server);
                assert_eq!(told, expected, "{kind:?} {named} {port:?}");
            }
        }
    }

    #[test]
    fn unix_sockets_have_names_in_the_place_of_addresses() {
        let mut enricher = Enricher::new(None);
        for (kind, named, server, local) in [
            (Kind::Client, None, "@till", None),
            (Kind::Server, None, "/run/shop.sock", None),
            (Kind::Client, Some("shop"), "shop", None),
            (Kind::Server, Some("shop"), "shop", Some("/run/shop.sock")),
        ] {
            let mut span = span(kind);
            if let Some(named) = named {
                span.add(&fields::SERVER_ADDRESS, named);
            }
            let done = enricher.enrich(ParsedSpan {
                span,
                connection: connection(2, Transport::Unix),
            });
            let text = |name| done.attribute(name).and_then(|value| value.as_text());
            assert_eq!(text("network.transport"), Some("unix"));
            assert_eq!(text("network.peer.address"), Some("@till"));
            assert_eq!(text("server.address"), Some(server));
            assert_eq!(text("network.local.address"), local);
            assert!(done.attribute("server.port").is_none());
            assert!(done.attribute("network.local.port").is_none());
        }
    }
}
