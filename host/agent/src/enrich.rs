//! Adds who the observed process is, and the addresses of both ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use wirespan_capture::{ProcessKey, Transport};
use wirespan_runtime::ParsedSpan;
use wirespan_span::{Attribute, FieldRef, Kind, Resource, Span, Text, fields};
use wirespan_stream::{ConnectionInfo, Process};

/// Resources kept: one for each process with connections. The map is emptied when it is full;
/// what is still alive comes back with its next span.
const MAX_RESOURCES: usize = 16_384;

/// Connections whose identity is at hand, by the end of their number; some 100 bytes each. Others
/// are described anew with each span.
const AT_HAND: usize = 1_024;

/// One for each worker.
#[derive(Debug)]
pub struct Enricher {
    host_name: Option<Box<str>>,
    resources: HashMap<Option<ProcessKey>, Arc<Resource>>,
    at_hand: Vec<Option<Identity>>,
}

/// Who the ends of a connection are.
#[derive(Clone, Debug)]
struct Identity {
    /// Of the connection.
    id: u64,
    resource: Arc<Resource>,
    local: Option<End>,
    remote: Option<End>,
}

#[derive(Clone, Debug)]
struct End {
    address: Text,
    port: u16,
}

impl End {
    fn of(address: SocketAddr) -> Self {
        Self {
            // IPv4-mapped IPv6 addresses in their IPv4 form: a dual-stack listener sees the same
            // clients.
            address: address.ip().to_canonical().to_string().into(),
            port: address.port(),
        }
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
        if let Some(identity) = known.filter(|identity| identity.id == connection.id) {
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
        let end = |address: Option<SocketAddr>| {
            address
                .filter(|_| connection.transport == Transport::Tcp)
                .map(End::of)
        };
        Identity {
            id: connection.id,
            resource: self.resource(connection.process.as_ref()),
            local: end(connection.local),
            remote: end(connection.remote),
        }
    }

    fn resource(&mut self, process: Option<&Arc<Process>>) -> Arc<Resource> {
        let key = process.map(|p| ProcessKey {
            pid: p.pid,
            started: p.started,
        });
        if let Some(resource) = self.resources.get(&key) {
            return Arc::clone(resource);
        }
        if self.resources.len() >= MAX_RESOURCES {
            self.resources.clear();
        }
        let resource = Arc::new(self.describe(process.map(Arc::as_ref)));
        self.resources.insert(key, Arc::clone(&resource));
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
    fn put(&self, span: &mut Span) {
        span.resource = Arc::clone(&self.resource);
        if let Some(remote) = &self.remote {
            span.add(&fields::NETWORK_PEER_ADDRESS, remote.address.clone());
            span.add(&fields::NETWORK_PEER_PORT, remote.port);
            if span.kind == Kind::Server {
                span.add(&fields::CLIENT_ADDRESS, remote.address.clone());
            }
        }
        let server = match span.kind {
            Kind::Client => self.remote.as_ref(),
            Kind::Server => self.local.as_ref(),
            Kind::Producer | Kind::Consumer | Kind::Internal => None,
        };
        // The name that the client used is better than an address; with it comes its port, or none.
        if let Some(server) = server
            && span.value(fields::SERVER_ADDRESS.name()).is_none()
        {
            span.add(&fields::SERVER_ADDRESS, server.address.clone());
            span.add(&fields::SERVER_PORT, server.port);
        }
    }
}
