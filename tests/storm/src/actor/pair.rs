//! Both ends of a connection, and how it comes about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::path::Path;

use super::half::Half;
use crate::calls;
use crate::content::UNKNOWN_CONTENT;
use crate::journal::{Ending, Journal, Opening, Stretch};
use crate::random::{Random, mix};

/// How two ends come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ipv4,
    Ipv6,
    /// An IPv4 client of an IPv6 socket.
    Mapped,
    UnixPath,
    UnixAbstract,
    UnixPair,
}

impl Kind {
    #[must_use]
    pub fn is_unix(self) -> bool {
        matches!(self, Self::UnixPath | Self::UnixAbstract | Self::UnixPair)
    }
}

/// Sockets that listen, with their addresses.
#[derive(Debug)]
pub struct Listeners {
    all: Vec<(Kind, RawFd, Vec<u8>)>,
}

fn ipv4(port: u16) -> Vec<u8> {
    let mut address = vec![0; 16];
    address[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}

fn ipv6(port: u16, ip: Ipv6Addr) -> Vec<u8> {
    let mut address = vec![0; 28];
    address[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[8..24].copy_from_slice(&ip.octets());
    address
}

fn unix(name: &[u8]) -> Vec<u8> {
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend_from_slice(name);
    address
}

fn port_of(address: &[u8]) -> u16 {
    u16::from_be_bytes([address[2], address[3]])
}

/// As a capture tells it: IPv4 where it is IPv4; of a Unix socket its path, or `@` and its name.
fn text(address: &[u8]) -> String {
    let family = i32::from(u16::from_ne_bytes([address[0], address[1]]));
    if family == libc::AF_UNIX {
        return match &address[2..] {
            [] => "-".to_owned(),
            [0, name @ ..] => format!("@{}", String::from_utf8_lossy(name)),
            path => {
                let end = path
                    .iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(path.len());
                String::from_utf8_lossy(&path[..end]).into_owned()
            }
        };
    }
    let ip: IpAddr = if family == libc::AF_INET {
        Ipv4Addr::new(address[4], address[5], address[6], address[7]).into()
    } else {
        let mut octets = [0; 16];
        octets.copy_from_slice(&address[8..24]);
        IpAddr::V6(octets.into()).to_canonical()
    };
    SocketAddr::new(ip, port_of(address)).to_string()
}

impl Listeners {
    /// `name` makes the names of Unix sockets different from those of others.
    #[must_use]
    pub fn new(directory: &Path, name: &str) -> Self {
        let path = directory.join(format!("{name}.sock"));
        let mut path = path.as_os_str().as_encoded_bytes().to_vec();
        path.push(0);
        let mut hidden = vec![0];
        hidden.extend_from_slice(format!("wirespan-storm-{name}").as_bytes());
        let all = [
            (Kind::Ipv4, libc::AF_INET, ipv4(0)),
            (Kind::Ipv6, libc::AF_INET6, ipv6(0, Ipv6Addr::LOCALHOST)),
            (Kind::Mapped, libc::AF_INET6, ipv6(0, Ipv6Addr::UNSPECIFIED)),
            (Kind::UnixPath, libc::AF_UNIX, unix(&path)),
            (Kind::UnixAbstract, libc::AF_UNIX, unix(&hidden)),
        ]
        .map(|(kind, family, address)| {
            let socket = calls::socket(family, libc::SOCK_CLOEXEC);
            calls::bind(socket, &address).expect("an address of its own");
            if !kind.is_unix() {
                let queue = [256];
                let _ = calls::set_option(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, queue);
            }
            calls::listen(socket).expect("a bound socket listens");
            let mut address = calls::address(libc::SYS_getsockname, socket);
            if kind == Kind::Mapped {
                address = ipv4(port_of(&address));
            }
            (kind, socket, address)
        });
        Self { all: all.into() }
    }

    #[must_use]
    pub fn of(&self, kind: Kind) -> (RawFd, &[u8]) {
        let found = self.all.iter().find(|(known, ..)| *known == kind);
        let (_, socket, address) = found.expect("each kind but pairs has one");
        (*socket, address)
    }
}

/// One end.
#[derive(Debug)]
pub struct End {
    pub inode: u64,
    pub sent: Half,
    pub received: Half,
    pub unwatched: bool,
}

impl End {
    fn new(socket: RawFd, keys: [u64; 2], is_unix: bool) -> Self {
        Self {
            inode: calls::inode(socket),
            sent: Half::new(socket, 0, keys[0], is_unix),
            received: Half::new(socket, 1, keys[1], is_unix),
            unwatched: false,
        }
    }

    #[must_use]
    pub fn socket(&self) -> RawFd {
        self.sent.socket
    }

    /// Goes on with another descriptor of the same socket.
    pub fn use_descriptor(&mut self, socket: RawFd) {
        self.sent.socket = socket;
        self.received.socket = socket;
    }

    /// Says in the journal what became of it. `how` as in [`Ending`].
    pub fn tell(&self, journal: &Journal, how: &str) {
        let mut stretches: Vec<Stretch> = self.sent.stretches.clone();
        stretches.extend_from_slice(&self.received.stretches);
        journal.gone(&Ending {
            inode: self.inode,
            totals: [self.sent.position, self.received.position],
            stretches,
            how: how.to_owned(),
            unwatched: self.unwatched,
        });
    }

    pub fn close(self, journal: &Journal, how: &str) {
        self.tell(journal, how);
        let _ = calls::close(self.socket());
    }
}

/// What makes a pair: listeners, and where it is told.
#[derive(Debug)]
pub struct Maker {
    pub listeners: Listeners,
    pub journal: Journal,
    pub made: u64,
    /// See [`Self::pair_of_unknown`].
    pub unknown: bool,
}

impl Maker {
    /// Two ends, connected, and in the journal. The first one has connected.
    pub fn pair(&mut self, kind: Kind, episode: &str, random: &mut Random) -> [End; 2] {
        if kind == Kind::UnixPair {
            let sockets = calls::socketpair();
            return self.ends(sockets, kind, episode, random);
        }
        let (listener, address) = self.listeners.of(kind);
        let family = i32::from(u16::from_ne_bytes([address[0], address[1]]));
        let client = calls::socket(family, 0);
        if random.once_in(4) && !kind.is_unix() {
            calls::set_blocking(client, false);
            assert_eq!(calls::connect(client, address), Err(libc::EINPROGRESS));
            calls::wait(client, libc::POLLOUT);
            calls::set_blocking(client, true);
        } else {
            calls::connect(client, address).expect("somebody listens");
        }
        let flags = random.once_in(2).then_some(libc::SOCK_CLOEXEC);
        let server = calls::accept(listener, flags);
        self.ends([client, server], kind, episode, random)
    }

    /// The same where the first end's bytes are a secret until they have been received.
    pub fn pair_of_unknown(&mut self, kind: Kind, episode: &str, random: &mut Random) -> [End; 2] {
        self.unknown = true;
        let ends = self.pair(kind, episode, random);
        self.unknown = false;
        ends
    }

    /// Tells of two sockets that are connected.
    pub fn ends(
        &mut self,
        sockets: [RawFd; 2],
        kind: Kind,
        episode: &str,
        random: &mut Random,
    ) -> [End; 2] {
        let keys = self.keys(random);
        let backward = [keys[1], keys[0]];
        let is_unix = kind.is_unix();
        let ends = [
            End::new(sockets[0], keys, is_unix),
            End::new(sockets[1], backward, is_unix),
        ];
        let roles = if kind == Kind::UnixPair {
            ["-", "-"]
        } else {
            ["client", "server"]
        };
        for (end, role) in ends.iter().zip(roles) {
            let local = text(&calls::address(libc::SYS_getsockname, end.socket()));
            let remote = text(&calls::address(libc::SYS_getpeername, end.socket()));
            self.tell(end, kind, [local, remote], role, episode);
        }
        ends
    }

    /// A client that is not connected yet; its keys for the other end.
    pub fn client(&mut self, kind: Kind, episode: &str, random: &mut Random) -> (End, [u64; 2]) {
        let (_, address) = self.listeners.of(kind);
        let family = i32::from(u16::from_ne_bytes([address[0], address[1]]));
        let remote = text(address);
        let keys = self.keys(random);
        let end = End::new(calls::socket(family, 0), keys, kind.is_unix());
        self.tell(&end, kind, ["*".to_owned(), remote], "client", episode);
        (end, [keys[1], keys[0]])
    }

    /// The other end of one.
    pub fn server(&mut self, kind: Kind, keys: [u64; 2], episode: &str) -> End {
        let (listener, _) = self.listeners.of(kind);
        let end = End::new(calls::accept(listener, None), keys, kind.is_unix());
        let local = text(&calls::address(libc::SYS_getsockname, end.socket()));
        let remote = text(&calls::address(libc::SYS_getpeername, end.socket()));
        self.tell(&end, kind, [local, remote], "server", episode);
        end
    }

    fn keys(&mut self, random: &mut Random) -> [u64; 2] {
        self.made += 1;
        let unknown = if self.unknown { UNKNOWN_CONTENT } else { 0 };
        [
            mix(random.number()) >> 1 | unknown,
            mix(random.number()) >> 1,
        ]
    }

    fn tell(&self, end: &End, kind: Kind, addresses: [String; 2], role: &str, episode: &str) {
        let [local, remote] = addresses;
        self.journal.open(&Opening {
            inode: end.inode,
            pid: std::process::id(),
            transport: if kind.is_unix() { "unix" } else { "tcp" }.to_owned(),
            keys: [end.sent.key, end.received.key],
            local,
            remote,
            role: role.to_owned(),
            episode: format!("{episode}-{kind:?}"),
        });
    }
}
