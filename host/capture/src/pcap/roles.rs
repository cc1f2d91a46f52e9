//! Which end of a connection is the server, and which one is observed.

use std::net::SocketAddr;

/// From which end the connections of a packet capture are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Perspective {
    /// What the client sent is received.
    #[default]
    Server,
    /// What the server sent is received.
    Client,
}

/// One of the two ends, by the order of their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Low,
    High,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

/// Ports that servers listen on though they are not below 1024.
const SERVER_PORTS: [u16; 24] = [
    1433, 1521, 1883, 2181, 2379, 3000, 3128, 3306, 4222, 5000, 5432, 5672, 6379, 6443, 8000, 8080,
    8081, 8443, 8888, 9000, 9090, 9092, 27017, 50051,
];

/// Lowest port that is given to clients by default on any common system.
const FIRST_CLIENT_PORT: u16 = 1024;

/// The end that is probably the server where no handshake says so.
pub(super) fn guess_server(low: SocketAddr, high: SocketAddr) -> Side {
    let rank = |address: SocketAddr| match address.port() {
        port if port < FIRST_CLIENT_PORT => 0,
        port if SERVER_PORTS.contains(&port) => 1,
        _ => 2,
    };
    if (rank(high), high.port()) < (rank(low), low.port()) {
        Side::High
    } else {
        Side::Low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_guessed_by_its_port() {
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        assert_eq!(guess_server(address(80), address(40_000)), Side::Low);
        assert_eq!(guess_server(address(40_000), address(80)), Side::High);
        assert_eq!(guess_server(address(2_000), address(3_306)), Side::High);
        assert_eq!(guess_server(address(50_051), address(33_000)), Side::Low);
        assert_eq!(guess_server(address(33_000), address(33_001)), Side::Low);
    }
}
