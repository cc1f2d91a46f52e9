//! Adds who the observed process is, and the addresses of both ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use wirespan_capture::{ProcessKey, Transport};
use wirespan_runtime::ParsedSpan;
use wirespan_span::{Attribute, Field, Kind, Resource, Span, Value, fields};
use wirespan_stream::{ConnectionInfo, Process};

/// Resources kept: one for each process with connections. The map is emptied when it is full;
/// what is still alive comes back with its next span.
const MAX_RESOURCES: usize = 16_384;

/// One for each worker.
#[derive(Debug)]
pub struct Enricher {
    host_name: Option<Box<str>>,
    resources: HashMap<Option<ProcessKey>, Arc<Resource>>,
}

impl Enricher {
    /// `host_name` is that of the node the bytes were seen on; `None` for packet captures.
    #[must_use]
    pub fn new(host_name: Option<&str>) -> Self {
        Self {
            host_name: host_name.map(Into::into),
            resources: HashMap::new(),
        }
    }

    pub fn enrich(&mut self, parsed: ParsedSpan) -> Span {
        let ParsedSpan {
            mut span,
            connection,
        } = parsed;
        span.resource = self.resource(connection.process.as_ref());
        add_addresses(&mut span, &connection);
        span
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
        let mut text = |field: &Arc<Field>, value: &str| {
            if !value.is_empty() {
                attributes.push(Attribute {
                    field: Arc::clone(field),
                    value: Value::Text(value.into()),
                });
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
        attributes.push(Attribute {
            field: Arc::clone(&fields::PROCESS_PID),
            value: Value::Integer(process.pid.into()),
        });
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

fn add_addresses(span: &mut Span, connection: &ConnectionInfo) {
    if connection.transport != Transport::Tcp {
        return;
    }
    if let Some(remote) = connection.remote {
        add_text(span, &fields::NETWORK_PEER_ADDRESS, &address(remote.ip()));
        add_integer(span, &fields::NETWORK_PEER_PORT, remote.port().into());
        if span.kind == Kind::Server {
            add_text(span, &fields::CLIENT_ADDRESS, &address(remote.ip()));
        }
    }
    let server = match span.kind {
        Kind::Client => connection.remote,
        Kind::Server => connection.local,
        Kind::Producer | Kind::Consumer | Kind::Internal => None,
    };
    // The name that the client used is better than an address; with it comes its port, or none.
    if let Some(server) = server
        && span.attribute("server.address").is_none()
    {
        add_text(span, &fields::SERVER_ADDRESS, &address(server.ip()));
        add_integer(span, &fields::SERVER_PORT, server.port().into());
    }
}

/// IPv4-mapped IPv6 addresses in their IPv4 form: a dual-stack listener sees the same clients.
fn address(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

fn add_text(span: &mut Span, field: &Arc<Field>, value: &str) {
    if span.attribute(&field.name).is_none() {
        span.attributes.push(Attribute {
            field: Arc::clone(field),
            value: Value::Text(value.into()),
        });
    }
}

fn add_integer(span: &mut Span, field: &Arc<Field>, value: i64) {
    if span.attribute(&field.name).is_none() {
        span.attributes.push(Attribute {
            field: Arc::clone(field),
            value: Value::Integer(value),
        });
    }
}
