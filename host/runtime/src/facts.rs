//! What a parser is told about a connection.

use std::fmt::Write;

use wirespan_contract::fact;
use wirespan_stream::Transport;

use crate::bindings::{Fact, Slice};
use crate::connection::Connection;

/// Facts, their texts beside them.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) list: Vec<Fact>,
    pub(crate) texts: Vec<u8>,
    scratch: String,
}

impl Facts {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.texts.clear();
    }

    fn number(&mut self, key: u16, number: u64) {
        self.list.push(Fact {
            key,
            number,
            text: Slice { start: 0, len: 0 },
        });
    }

    fn text(&mut self, key: u16, text: &[u8]) {
        let start = self.texts.len();
        self.texts.extend_from_slice(text);
        let slice = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.list.push(Fact {
            key,
            number: 0,
            text: Slice {
                start: slice(start),
                len: slice(text.len()),
            },
        });
    }

    fn written(&mut self, key: u16, text: impl std::fmt::Display) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        // Writing to a String does not fail.
        let _ = write!(scratch, "{text}");
        self.text(key, scratch.as_bytes());
        self.scratch = scratch;
    }

    /// Adds the facts of a connection. `joined`: what is shown of it is not its beginning, also where
    /// its beginning was seen. Returns where they begin and how many there are.
    pub(crate) fn add(&mut self, connection: &Connection, joined: bool) -> (u64, u64) {
        let first = self.list.len();
        let info = &connection.info;
        self.number(fact::OBSERVED_CLIENT, connection.observed_client().into());
        self.number(fact::SIDES_CERTAIN, connection.sides_certain.into());
        if connection.mid_stream || joined {
            self.number(fact::MID_STREAM, 1);
        }
        if connection.tls {
            self.number(fact::TLS, 1);
            if let Some(hello) = &connection.hello {
                for (key, text) in [
                    (fact::TLS_ALPN, &hello.protocols),
                    (fact::TLS_SERVER_NAME, &hello.server_name),
                ] {
                    if !text.is_empty() {
                        self.text(key, text.as_bytes());
                    }
                }
            }
        }
        if info.transport == Transport::Unix {
            self.number(fact::UNIX_SOCKET, 1);
        }
        let (client, server) = if connection.observed_client() {
            (info.local, info.remote)
        } else {
            (info.remote, info.local)
        };
        for (address, ip, port) in [
            (client, fact::CLIENT_ADDRESS, fact::CLIENT_PORT),
            (server, fact::SERVER_ADDRESS, fact::SERVER_PORT),
        ] {
            if let Some(address) = address {
                self.written(ip, address.ip().to_canonical());
                self.number(port, address.port().into());
            }
        }
        if let Some(process) = &info.process {
            self.number(fact::PROCESS_ID, process.pid.into());
            self.text(fact::PROCESS_COMMAND, process.command.as_bytes());
        }
        if let Some(handover) = &connection.handover {
            self.text(fact::HANDOVER, handover);
        }
        (first as u64, self.list.len().saturating_sub(first) as u64)
    }
}
