//! Packets that Wirespan made up itself, of what sockets carried: how a file says so, for people and
//! for the reader of packet captures.

use crate::event::Role;

/// What a section that Wirespan wrote says of the program that wrote it.
pub(crate) const APPLICATION: &str = "wirespan";

/// What the bytes of a packet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Content {
    /// What a TCP socket carried.
    Tcp,
    /// The plaintext of its TLS.
    Plaintext,
    /// What a Unix socket carried; the addresses are made up.
    Unix,
    /// Plaintext of TLS over a socket that is not known; the addresses are made up.
    Unknown,
}

/// At which end of the connection it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Client,
    Server,
    /// Who opened it is not known; its address is the lower one of both.
    Lower,
    Higher,
}

/// Where a made-up packet is from: an interface of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) content: Content,
    pub(crate) end: End,
}

const CONTENTS: [(Content, &str, &str); 4] = [
    (Content::Tcp, "tcp", "what TCP sockets carried"),
    (Content::Plaintext, "tls", "plaintext of TLS"),
    (
        Content::Unix,
        "unix",
        "what Unix sockets carried; the addresses are made up",
    ),
    (
        Content::Unknown,
        "tls-unknown",
        "plaintext of TLS whose socket is not known; the addresses are made up",
    ),
];

const ENDS: [(End, &str); 4] = [
    (End::Client, "client"),
    (End::Server, "server"),
    (End::Lower, "lower"),
    (End::Higher, "higher"),
];

impl Origin {
    /// All there are, in the order of their interfaces.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        CONTENTS
            .into_iter()
            .flat_map(|(content, _, _)| ENDS.into_iter().map(move |(end, _)| Self { content, end }))
    }

    /// Number of its interface.
    pub(crate) fn interface(self) -> u32 {
        Self::all()
            .zip(0..)
            .find_map(|(origin, number)| (origin == self).then_some(number))
            .unwrap_or(0)
    }

    pub(crate) fn name(self) -> String {
        let (content, _) = self.words();
        let end = ENDS
            .iter()
            .find_map(|(end, name)| (*end == self.end).then_some(*name));
        format!("{content}:{}", end.unwrap_or_default())
    }

    /// For people.
    pub(crate) fn description(self) -> String {
        let (_, content) = self.words();
        let end = match self.end {
            End::Client => "seen at the client's end",
            End::Server => "seen at the server's end",
            End::Lower => "seen at the end with the lower address",
            End::Higher => "seen at the end with the higher address",
        };
        format!(
            "{content}, {end}; packets, headers and sequence numbers are synthetic, times are real"
        )
    }

    fn words(self) -> (&'static str, &'static str) {
        CONTENTS
            .iter()
            .find_map(|(content, name, text)| (*content == self.content).then_some((*name, *text)))
            .unwrap_or_default()
    }

    /// Reads [`Self::name`] back.
    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Self::all().find(|origin| origin.name().as_bytes() == name)
    }

    pub(crate) fn is_made_up(self) -> bool {
        matches!(self.content, Content::Unix | Content::Unknown)
    }
}

impl End {
    pub(crate) fn of(role: Option<Role>, is_lower: bool) -> Self {
        match (role, is_lower) {
            (Some(Role::Client), _) => Self::Client,
            (Some(Role::Server), _) => Self::Server,
            (None, true) => Self::Lower,
            (None, false) => Self::Higher,
        }
    }

    pub(crate) fn role(self) -> Option<Role> {
        match self {
            Self::Client => Some(Role::Client),
            Self::Server => Some(Role::Server),
            Self::Lower | Self::Higher => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_is_known_by_its_name_and_has_an_interface() {
        for (number, origin) in Origin::all().enumerate() {
            assert_eq!(Origin::from_name(origin.name().as_bytes()), Some(origin));
            assert_eq!(origin.interface() as usize, number);
        }
        assert_eq!(Origin::from_name(b"eth0"), None);
    }
}
