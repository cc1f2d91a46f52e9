//! Builds packet captures, byte by byte, for tests.

use std::net::{IpAddr, SocketAddr};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// One packet: when, what, and its length on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) nanos: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) len: usize,
}

/// Both ends of a connection that writes down what they send, as IP packets.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) client_next: u32,
    pub(crate) server_next: u32,
    pub(crate) nanos: u64,
    pub(crate) packets: Vec<Packet>,
}

impl Talk {
    pub(crate) fn new(client_initial: u32, server_initial: u32) -> Self {
        Self {
            client: "10.0.0.1:40000".parse().unwrap(),
            server: "10.0.0.2:80".parse().unwrap(),
            client_next: client_initial,
            server_next: server_initial,
            nanos: 1_700_000_000_000_000_000,
            packets: Vec::new(),
        }
    }

    pub(crate) fn handshake(&mut self) -> &mut Self {
        self.client_sends(SYN, b"")
            .server_sends(SYN | ACK, b"")
            .client_sends(ACK, b"")
    }

    pub(crate) fn request(&mut self, data: &[u8]) -> &mut Self {
        self.client_sends(ACK, data)
    }

    pub(crate) fn response(&mut self, data: &[u8]) -> &mut Self {
        self.server_sends(ACK, data)
    }

    pub(crate) fn close(&mut self) -> &mut Self {
        self.client_sends(FIN | ACK, b"")
            .server_sends(FIN | ACK, b"")
            .client_sends(ACK, b"")
    }

    pub(crate) fn client_sends(&mut self, flags: u8, data: &[u8]) -> &mut Self {
        let ack = if flags & ACK == 0 {
            0
        } else {
            self.server_next
        };
        let packet = tcp(self.client, self.server, self.client_next, ack, flags, data);
        self.client_next = self.client_next.wrapping_add(counted(flags, data));
        self.push(packet)
    }

    pub(crate) fn server_sends(&mut self, flags: u8, data: &[u8]) -> &mut Self {
        let ack = if flags & ACK == 0 {
            0
        } else {
            self.client_next
        };
        let packet = tcp(self.server, self.client, self.server_next, ack, flags, data);
        self.server_next = self.server_next.wrapping_add(counted(flags, data));
        self.push(packet)
    }

    /// A packet that changes nothing in the numbers.
    pub(crate) fn push(&mut self, bytes: Vec<u8>) -> &mut Self {
        self.nanos += 1_000_000;
        self.packets.push(Packet {
            nanos: self.nanos,
            len: bytes.len(),
            bytes,
        });
        self
    }

    pub(crate) fn wait(&mut self, millis: u64) -> &mut Self {
        self.nanos += millis * 1_000_000;
        self
    }

    /// Without the packet at `index`.
    pub(crate) fn without(&self, index: usize) -> Self {
        let mut talk = self.clone();
        talk.packets.remove(index);
        talk
    }
}

fn counted(flags: u8, data: &[u8]) -> u32 {
    data.len() as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0)
}

pub(crate) fn tcp(
    source: SocketAddr,
    destination: SocketAddr,
    seq: u32,
    ack: u32,
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    ip(
        source.ip(),
        destination.ip(),
        6,
        &tcp_segment(source.port(), destination.port(), seq, ack, flags, data),
    )
}

pub(crate) fn tcp_segment(
    source: u16,
    destination: u16,
    seq: u32,
    ack: u32,
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source.to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    // Eight bytes of options.
    bytes.extend([
        0x70, flags, 0xff, 0xff, 0xba, 0xad, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
    ]);
    bytes.extend(data);
    bytes
}

pub(crate) fn udp(port: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(50_000_u16.to_be_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.extend((data.len() as u16 + 8).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    bytes
}

pub(crate) fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut bytes = vec![0x45, 0];
            bytes.extend((payload.len() as u16 + 20).to_be_bytes());
            bytes.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend(payload);
            bytes
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut bytes = vec![0x60, 0, 0, 0];
            bytes.extend((payload.len() as u16).to_be_bytes());
            bytes.extend([protocol, 64]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend(payload);
            bytes
        }
        _ => panic!("one family at a time"),
    }
}

/// Around an IP packet, with padding to the shortest frame.
pub(crate) fn ethernet(packet: &[u8]) -> Vec<u8> {
    let ethertype: [u8; 2] = if packet[0] >> 4 == 4 {
        [8, 0]
    } else {
        [0x86, 0xdd]
    };
    let mut bytes = vec![2; 12];
    bytes.extend(ethertype);
    bytes.extend(packet);
    bytes.resize(bytes.len().max(60), 0xee);
    bytes
}

/// A little-endian pcap file with microseconds.
pub(crate) fn pcap(link_type: u32, packets: &[Packet]) -> Vec<u8> {
    classic(0xa1b2_c3d4, false, false, link_type, packets)
}

pub(crate) fn classic(
    magic: u32,
    big: bool,
    nanos: bool,
    link_type: u32,
    packets: &[Packet],
) -> Vec<u8> {
    let number = |n: u32| {
        if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    };
    let mut file = Vec::new();
    file.extend(number(magic));
    file.extend(if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
    for field in [0, 0, 65_535, link_type] {
        file.extend(number(field));
    }
    for packet in packets {
        let fraction = packet.nanos % 1_000_000_000;
        file.extend(number((packet.nanos / 1_000_000_000) as u32));
        file.extend(number(
            if nanos { fraction } else { fraction / 1_000 } as u32
        ));
        file.extend(number(packet.bytes.len() as u32));
        file.extend(number(packet.len as u32));
        if magic == 0xa1b2_cd34 {
            file.extend([0; 8]);
        }
        file.extend(&packet.bytes);
    }
    file
}

/// Writes pcapng blocks.
pub(crate) struct Blocks {
    pub(crate) file: Vec<u8>,
    pub(crate) big: bool,
}

impl Blocks {
    pub(crate) fn new(big: bool) -> Self {
        Self {
            file: Vec::new(),
            big,
        }
    }

    pub(crate) fn u32(&self, n: u32) -> [u8; 4] {
        if self.big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    pub(crate) fn u16(&self, n: u16) -> [u8; 2] {
        if self.big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    pub(crate) fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let padded = body.len().next_multiple_of(4);
        let total = self.u32(padded as u32 + 12);
        self.file.extend(self.u32(kind));
        self.file.extend(total);
        self.file.extend(body);
        self.file.resize(self.file.len() + padded - body.len(), 0);
        self.file.extend(total);
        self
    }

    pub(crate) fn section(&mut self) -> &mut Self {
        let mut body = self.u32(0x1a2b_3c4d).to_vec();
        body.extend(self.u16(1));
        body.extend(self.u16(0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    /// An interface with options: code and value.
    pub(crate) fn interface(&mut self, link_type: u16, options: &[(u16, &[u8])]) -> &mut Self {
        let mut body = self.u16(link_type).to_vec();
        body.extend(self.u16(0));
        body.extend(self.u32(0));
        for (code, value) in options {
            body.extend(self.u16(*code));
            body.extend(self.u16(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body.extend([0; 4]);
        self.block(1, &body)
    }

    pub(crate) fn enhanced(&mut self, interface: u32, time: u64, packet: &Packet) -> &mut Self {
        let mut body = self.u32(interface).to_vec();
        for field in [
            (time >> 32) as u32,
            time as u32,
            packet.bytes.len() as u32,
            packet.len as u32,
        ] {
            body.extend(self.u32(field));
        }
        body.extend(&packet.bytes);
        self.block(6, &body)
    }
}
