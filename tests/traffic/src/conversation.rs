//! What two ends say to each other.

use crate::random::Random;
use crate::{http, http2, kafka, mysql, others, postgres, redis, smtp, ssh, tls};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Http,
    Http2,
    MySql,
    Postgres,
    Tls,
    Ssh,
    Redis,
    Kafka,
    Smtp,
    /// NATS, MongoDB, AMQP, MQTT, memcached, frames of lengths and noise.
    Other,
    Noise,
}

impl Protocol {
    pub const ALL: [Self; 11] = [
        Self::Http,
        Self::Http2,
        Self::MySql,
        Self::Postgres,
        Self::Tls,
        Self::Ssh,
        Self::Redis,
        Self::Kafka,
        Self::Smtp,
        Self::Other,
        Self::Noise,
    ];

    /// Those that a built-in parser knows.
    pub const PARSED: [Self; 4] = [Self::Http, Self::Http2, Self::MySql, Self::Postgres];

    /// Name of the built-in parser that knows it.
    #[must_use]
    pub fn parser(self) -> Option<&'static str> {
        match self {
            Self::Http => Some("http"),
            Self::Http2 => Some("grpc"),
            Self::MySql => Some("mysql"),
            Self::Postgres => Some("postgres"),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    Client,
    Server,
}

impl Speaker {
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What one end says before the other one speaks, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub speaker: Speaker,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub protocol: Protocol,
    pub turns: Vec<Turn>,
    /// Turns up to the end of the first exchange: with them the protocol has to be recognised.
    pub first_exchange: usize,
}

impl Conversation {
    /// A conversation of this protocol, as `random` wants it.
    #[must_use]
    pub fn generate(protocol: Protocol, random: &mut Random) -> Self {
        match protocol {
            Protocol::Http => http::conversation(random),
            Protocol::Http2 => http2::conversation(random),
            Protocol::MySql => mysql::conversation(random),
            Protocol::Postgres => postgres::conversation(random),
            Protocol::Tls => tls::conversation(random),
            Protocol::Ssh => ssh::conversation(random),
            Protocol::Redis => redis::conversation(random),
            Protocol::Kafka => kafka::conversation(random),
            Protocol::Smtp => smtp::conversation(random),
            Protocol::Other => others::conversation(random),
            Protocol::Noise => others::noise(random),
        }
    }

    /// Without a turn yet.
    #[must_use]
    pub fn empty(protocol: Protocol) -> Self {
        Self {
            protocol,
            turns: Vec::new(),
            first_exchange: 0,
        }
    }

    pub fn say(&mut self, speaker: Speaker, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref().to_vec();
        if !bytes.is_empty() {
            self.turns.push(Turn { speaker, bytes });
        }
    }

    pub fn client(&mut self, bytes: impl AsRef<[u8]>) {
        self.say(Speaker::Client, bytes);
    }

    pub fn server(&mut self, bytes: impl AsRef<[u8]>) {
        self.say(Speaker::Server, bytes);
    }

    /// An exchange is complete here; the first one counts.
    pub(crate) fn exchanged(&mut self) {
        if self.first_exchange == 0 {
            self.first_exchange = self.turns.len();
        }
    }

    /// Bytes of both sides.
    #[must_use]
    pub fn len(&self) -> usize {
        self.turns.iter().map(|turn| turn.bytes.len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `len` bytes of both sides, in the order in which they were said.
    #[must_use]
    pub fn prefix(&self, len: usize) -> Self {
        let mut rest = len;
        let mut prefix = Self {
            turns: Vec::new(),
            ..*self
        };
        for turn in &self.turns {
            let taken = rest.min(turn.bytes.len());
            prefix.say(turn.speaker, &turn.bytes[..taken]);
            rest -= taken;
        }
        prefix
    }

    /// The first bytes that each side says, whatever the order.
    #[must_use]
    pub fn corner(&self, client: usize, server: usize) -> Self {
        let mut rest = [client, server];
        let mut corner = Self {
            turns: Vec::new(),
            ..*self
        };
        for turn in &self.turns {
            let rest = match turn.speaker {
                Speaker::Client => &mut rest[0],
                Speaker::Server => &mut rest[1],
            };
            let taken = turn.bytes.len().min(*rest);
            *rest -= taken;
            corner.say(turn.speaker, &turn.bytes[..taken]);
        }
        corner
    }

    /// Without the first `len` bytes: the connection was joined in the middle.
    #[must_use]
    pub fn joined_after(&self, len: usize) -> Self {
        let mut rest = len;
        let mut joined = Self {
            turns: Vec::new(),
            ..*self
        };
        for turn in &self.turns {
            let missed = rest.min(turn.bytes.len());
            joined.say(turn.speaker, &turn.bytes[missed..]);
            rest -= missed;
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_conversation() {
        for protocol in Protocol::ALL {
            for seed in 0..20 {
                let once = Conversation::generate(protocol, &mut Random::new(seed));
                let again = Conversation::generate(protocol, &mut Random::new(seed));
                assert_eq!(once, again);
                assert!(!once.is_empty());
                assert!(once.first_exchange <= once.turns.len());
                assert_eq!(once.prefix(once.len()).turns, once.turns);
                assert_eq!(once.joined_after(0).turns, once.turns);
                assert!(once.prefix(0).is_empty());
            }
        }
    }
}
