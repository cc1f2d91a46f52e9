//! The addresses that packets are given.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::event::Open;

/// Pairs of addresses whose earlier connections are remembered.
const REMEMBERED: usize = 65_536;

/// Connections whose addresses are made up have one of these for each of their port and network.
const FIRST_PORT: u16 = 1_024;

/// Hands out what tells connections apart.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// How many connections there were between two addresses, seen at the first.
    earlier: HashMap<(SocketAddr, SocketAddr), u32>,
    made_up: u32,
    /// Grows when what was earlier is forgotten.
    base: u32,
}

impl Addresses {
    /// Local and remote address; true when they are made up.
    pub(super) fn of(&mut self, open: &Open) -> ((SocketAddr, SocketAddr), bool) {
        if let (Some(local), Some(remote)) = (open.local, open.remote) {
            return ((canonical(local), canonical(remote)), false);
        }
        let number = self.made_up;
        self.made_up = self.made_up.wrapping_add(1);
        // 127.64.0.0/10 is as good as any of loopback's; the local end ends in .1, the remote in .2.
        let [_, network, third, port] = number.to_be_bytes();
        let network = 64 | network & 63;
        let port = FIRST_PORT.saturating_add(u16::from(port));
        let address = |last| SocketAddr::from((Ipv4Addr::new(127, network, third, last), port));
        ((address(1), address(2)), true)
    }

    /// How many connections there were between these before this one.
    pub(super) fn generation(&mut self, ends: (SocketAddr, SocketAddr)) -> u32 {
        if self.earlier.len() >= REMEMBERED && !self.earlier.contains_key(&ends) {
            self.earlier.clear();
            self.base = self.base.wrapping_add(REMEMBERED as u32);
        }
        let base = self.base;
        let next = self.earlier.entry(ends).or_insert(base);
        let generation = *next;
        *next = next.wrapping_add(1);
        generation
    }
}

/// IPv4 addresses in IPv6 as what they are.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}
