//! What is told of a connection as a whole: that it is there, and that it is over.

use super::super::roles::{Perspective, Side, guess_server};
use super::super::sequence::MID_STREAM_START;
use super::Conversation;
use crate::event::{
    Close, CloseReason, Confirmed, Direction, End, Layer, Nanos, Open, Role, Secured, SocketEvent,
    Transport,
};
use crate::synthetic::Content;

impl Conversation {
    /// Announces the connection, if that was not done: with its first data, for then the most is
    /// known of it, and one that never carries any is of no interest.
    pub(super) fn open(&mut self, from: Side, now: Nanos, events: &mut Vec<SocketEvent>) -> Side {
        if let Some(observed) = self.observed {
            return observed;
        }
        let server = self.client.map_or_else(
            || guess_server(self.low.address, self.high.address),
            Side::other,
        );
        let observed = match (self.made, self.perspective) {
            (Some((_, observed)), _) => observed,
            (None, Perspective::Server) => server,
            (None, Perspective::Client) => server.other(),
        };
        let role = if observed == server {
            Role::Server
        } else {
            Role::Client
        };
        self.observed = Some(observed);
        let made_up = self.made.is_some_and(|(origin, _)| origin.is_made_up());
        let address = |side: Side| Some(self.sender(side).address).filter(|_| !made_up);
        let start = |side: Side| self.sender(side).initial.map(|_| 0);
        let lacks = |side: Side| self.sender(side).initial.is_none() && self.sender(side).seen;
        events.push(SocketEvent::Open(Box::new(Open {
            key: self.key,
            time: self.since.min(now),
            transport: match self.made.map(|(origin, _)| origin.content) {
                Some(Content::Unix) => Transport::Unix,
                Some(Content::Unknown) => Transport::Unknown,
                Some(Content::Tcp | Content::Plaintext) | None => Transport::Tcp,
            },
            local: address(observed),
            remote: address(observed.other()),
            role: match self.made {
                Some((origin, _)) => origin.end.role(),
                None => self.client.map(|_| role),
            },
            positions: [start(observed), start(observed.other())],
            mid_stream: lacks(Side::Low) || lacks(Side::High),
            process: None,
            cgroup_id: 0,
            network_namespace: 0,
        })));
        if self.layer() == Layer::Plaintext {
            let mid_stream = lacks(Side::Low) || lacks(Side::High);
            let position = |side| start(side).unwrap_or(MID_STREAM_START);
            events.push(SocketEvent::Secured(Secured {
                key: self.key,
                time: self.since.min(now),
                positions: [position(observed), position(observed.other())],
                mid_stream,
            }));
        }
        let direction = |side: Side| {
            if side == observed {
                Direction::Sent
            } else {
                Direction::Received
            }
        };
        // Says that acknowledgements decide what is lost.
        let position = start(from).unwrap_or_default();
        events.push(SocketEvent::Confirmed(Confirmed {
            key: self.key,
            direction: direction(from),
            position,
            time: now,
        }));
        for side in [Side::Low, Side::High] {
            if let Some(position) = self.sender(side).end {
                let end = End {
                    key: self.key,
                    direction: direction(side),
                    time: now,
                    position: Some(position),
                };
                events.push(SocketEvent::End(end));
            }
        }
        observed
    }

    /// Tells the end of the connection, if its beginning was told. `CutOff` stands for one that the
    /// tracker forgets.
    pub(in crate::pcap) fn close(&mut self, events: &mut Vec<SocketEvent>) {
        let told = std::mem::replace(&mut self.told, true);
        if self.observed.is_some() && !told {
            let (time, reason) = self
                .closing
                .unwrap_or((self.last_time, CloseReason::CutOff));
            let time = time.max(self.since);
            events.push(SocketEvent::Close(Close {
                key: self.key,
                time,
                reason,
                positions: [None, None],
            }));
        }
    }
}
