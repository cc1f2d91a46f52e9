//! One record of the kernel as the event that it stands for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use wirespan_events::{direction, flag, layer, missing};

use crate::event::{
    Close, CloseReason, ConnectionKey, Data, Direction, End, Layer, Missing, Secured, UnixNames,
};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

pub(super) fn key(header: &wirespan_events::Header) -> ConnectionKey {
    ConnectionKey {
        socket: header.sk,
        generation: header.inode,
    }
}

pub(super) fn address(family: u16, bytes: &[u8; 16], port: u16) -> Option<SocketAddr> {
    let ip = match family {
        AF_INET => {
            let (four, _) = bytes.split_first_chunk::<4>()?;
            IpAddr::V4(Ipv4Addr::from(*four))
        }
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical(),
        _ => return None,
    };
    // No end of a connection has port 0: it is not known (any more).
    (port != 0).then(|| SocketAddr::new(ip, port))
}

fn way(direction: u8) -> Option<Direction> {
    match direction {
        direction::SENT => Some(Direction::Sent),
        direction::RECEIVED => Some(Direction::Received),
        _ => None,
    }
}

pub(super) fn data(data: &wirespan_events::Data, payload: &[u8]) -> Option<Data> {
    Some(Data {
        key: key(&data.header),
        direction: way(data.direction)?,
        layer: match data.layer {
            layer::SOCKET => Layer::Socket,
            layer::PLAINTEXT => Layer::Plaintext,
            _ => return None,
        },
        position: data.position,
        len: data.bytes,
        bytes: Bytes::copy_from_slice(payload),
        entry: data.entry,
        exit: data.header.time,
        missing: match data.missing {
            missing::UNWANTED => Missing::Unwanted,
            missing::LIMIT => Missing::Limit,
            missing::FAULT => Missing::Fault,
            missing::RING => Missing::Ring,
            missing::UNOBSERVED => Missing::Unobserved,
            _ => return None,
        },
    })
}

pub(super) fn secured(secured: &wirespan_events::Secured) -> Secured {
    Secured {
        key: key(&secured.header),
        time: secured.header.time,
        positions: secured.positions,
        mid_stream: secured.flags & flag::MID_STREAM != 0,
    }
}

pub(super) fn unix(unix: &wirespan_events::Unix) -> UnixNames {
    let [local, remote] = [0, 1].map(|end| {
        let len = *unix.lens.get(end)?;
        unix_name(unix.names.get(end)?.get(..usize::try_from(len).ok()?)?)
    });
    UnixNames {
        key: key(&unix.header),
        time: unix.header.time,
        local,
        remote,
        peer: unix.peer_inode,
    }
}

/// As `ss` and others write it: `@` stands for the zero byte before an abstract name.
fn unix_name(bytes: &[u8]) -> Option<String> {
    match bytes {
        [] => None,
        [0, name @ ..] => Some(format!("@{}", String::from_utf8_lossy(name))),
        path => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            Some(String::from_utf8_lossy(path).into_owned())
        }
    }
}

pub(super) fn end(end: &wirespan_events::End) -> End {
    End {
        key: key(&end.header),
        direction: way(end.direction).unwrap_or(Direction::Received),
        time: end.header.time,
        position: Some(end.position),
    }
}

pub(super) fn close(close: &wirespan_events::Close) -> Close {
    let known = close.flags & flag::POSITIONS != 0;
    Close {
        key: key(&close.header),
        time: close.header.time,
        reason: match close.reason {
            wirespan_events::close::RESET => CloseReason::Reset,
            wirespan_events::close::UNOBSERVED => CloseReason::CutOff,
            _ => CloseReason::Finished,
        },
        positions: if known {
            close.positions.map(Some)
        } else {
            [None; 2]
        },
    }
}
