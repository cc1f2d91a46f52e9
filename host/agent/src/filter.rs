//! Which connections are watched. The kernel side filters what it can; here is the rest, and the
//! agent's own metrics endpoint.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use wirespan_capture::{ConnectionKey, Open, Process, ProcessKey, SocketEvent};

use crate::config::CaptureSection;

/// Keys and processes remembered; beyond it the oldest knowledge is dropped, which only lets a
/// filtered connection through as one of an unknown process.
const MAX_REMEMBERED: usize = 262_144;

#[derive(Debug, Default)]
pub(crate) struct Filter {
    pids: HashSet<u32>,
    ports: HashSet<u16>,
    containers: Vec<String>,
    /// Where the agent itself listens: whoever asks it is not part of the picture.
    own: Option<SocketAddr>,
    processes: HashMap<ProcessKey, Arc<Process>>,
    left_out: HashSet<ConnectionKey>,
}

impl Filter {
    #[must_use]
    pub(crate) fn new(capture: &CaptureSection, own: Option<SocketAddr>) -> Self {
        Self {
            pids: capture.pids.iter().copied().collect(),
            ports: capture.ports.iter().copied().collect(),
            containers: capture.containers.clone(),
            own,
            ..Self::default()
        }
    }

    /// Whether `event` goes on. Remembers what was decided when the connection opened; `ignored`
    /// is called with connections whose bytes need not be copied at all.
    pub(crate) fn admits(
        &mut self,
        event: &SocketEvent,
        ignored: impl FnOnce(ConnectionKey),
    ) -> bool {
        match event {
            SocketEvent::Process(process) => {
                self.remember(process);
                true
            }
            SocketEvent::Executed(executed) => {
                self.remember(&executed.process);
                true
            }
            SocketEvent::Open(open) => {
                let admitted = self.wants(open);
                if !admitted {
                    if self.left_out.len() >= MAX_REMEMBERED {
                        self.left_out.clear();
                    }
                    self.left_out.insert(open.key);
                    ignored(open.key);
                }
                admitted
            }
            // They belong to what follows.
            SocketEvent::Unix(_) => true,
            SocketEvent::Close(close) => !self.left_out.remove(&close.key),
            SocketEvent::Data(_)
            | SocketEvent::Held(_)
            | SocketEvent::Secured(_)
            | SocketEvent::Confirmed(_)
            | SocketEvent::End(_) => {
                self.left_out.is_empty()
                    || event.key().is_none_or(|key| !self.left_out.contains(&key))
            }
        }
    }

    fn remember(&mut self, process: &Arc<Process>) {
        if self.containers.is_empty() {
            return;
        }
        if self.processes.len() >= MAX_REMEMBERED {
            self.processes.clear();
        }
        let key = ProcessKey {
            pid: process.pid,
            started: process.started,
        };
        self.processes.insert(key, Arc::clone(process));
    }

    fn wants(&self, open: &Open) -> bool {
        if let (Some(own), Some(remote)) = (self.own, open.remote)
            && own.port() == remote.port()
            && (own.ip() == remote.ip().to_canonical() || own.ip().is_unspecified())
        {
            return false;
        }
        let pid = self.pids.is_empty() || open.process.is_some_and(|p| self.pids.contains(&p.pid));
        let has_port =
            |address: Option<SocketAddr>| address.is_some_and(|a| self.ports.contains(&a.port()));
        let port = self.ports.is_empty() || has_port(open.local) || has_port(open.remote);
        pid && port && self.wants_container(open)
    }

    fn wants_container(&self, open: &Open) -> bool {
        if self.containers.is_empty() {
            return true;
        }
        let process = open.process.and_then(|key| self.processes.get(&key));
        let Some(id) = process.and_then(|p| p.container_id.as_deref()) else {
            return false;
        };
        self.containers
            .iter()
            .any(|prefix| id.starts_with(prefix.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirespan_capture::{Close, CloseReason, Transport};

    fn open(socket: u64, local: &str, remote: &str, pid: u32) -> SocketEvent {
        SocketEvent::Open(Box::new(Open {
            key: ConnectionKey {
                socket,
                generation: 1,
            },
            time: 1,
            transport: Transport::Tcp,
            local: Some(local.parse().unwrap()),
            remote: Some(remote.parse().unwrap()),
            role: None,
            positions: [Some(0), Some(0)],
            mid_stream: false,
            process: Some(ProcessKey { pid, started: 1 }),
            cgroup_id: 0,
            network_namespace: 0,
        }))
    }

    #[test]
    fn without_settings_everything_is_watched() {
        let mut filter = Filter::default();
        assert!(
            filter.admits(&open(1, "127.0.0.1:80", "127.0.0.1:999", 7), |_| panic!(
                "not ignored"
            ))
        );
    }

    #[test]
    fn a_connection_left_out_stays_out_until_it_closes() {
        let capture = CaptureSection {
            ports: vec![80],
            ..CaptureSection::default()
        };
        let mut filter = Filter::new(&capture, None);
        let mut ignored = None;
        assert!(
            !filter.admits(&open(1, "127.0.0.1:81", "127.0.0.1:999", 7), |key| {
                ignored = Some(key)
            })
        );
        let key = ConnectionKey {
            socket: 1,
            generation: 1,
        };
        assert_eq!(ignored, Some(key));
        let close = Close {
            key,
            time: 2,
            reason: CloseReason::Finished,
            positions: [None, None],
        };
        assert!(!filter.admits(&SocketEvent::Close(close), |_| {}));
        assert!(
            filter.admits(&SocketEvent::Close(close), |_| {}),
            "forgotten after its close"
        );
        assert!(filter.admits(&open(2, "127.0.0.1:999", "127.0.0.1:80", 7), |_| {}));
    }

    #[test]
    fn processes_are_chosen_by_id_and_containers_by_prefix() {
        let capture = CaptureSection {
            pids: vec![7],
            containers: vec!["abc".into()],
            ..CaptureSection::default()
        };
        let mut filter = Filter::new(&capture, None);
        let process = Process {
            pid: 7,
            started: 1,
            container_id: Some("abcdef".into()),
            ..Process::default()
        };
        assert!(filter.admits(&SocketEvent::Process(Arc::new(process)), |_| {}));
        assert!(filter.admits(&open(1, "127.0.0.1:1", "127.0.0.1:2", 7), |_| {}));
        assert!(!filter.admits(&open(2, "127.0.0.1:1", "127.0.0.1:2", 8), |_| {}));
    }

    #[test]
    fn who_asks_for_the_metrics_is_left_out() {
        let mut filter = Filter::new(
            &CaptureSection::default(),
            Some("127.0.0.1:9475".parse().unwrap()),
        );
        assert!(!filter.admits(&open(1, "127.0.0.1:5000", "127.0.0.1:9475", 7), |_| {}));
        assert!(
            filter.admits(&open(2, "127.0.0.1:9475", "127.0.0.1:5000", 7), |_| {}),
            "not a client of it"
        );
    }
}
