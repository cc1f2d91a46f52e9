//! The same capture cut at other places, or with a piece of it lost.

use bytes::Bytes;
use wirespan_capture::{ConnectionKey, Data, Direction, Missing, Nanos, SocketEvent};
use wirespan_stream::{GapCause, StreamEvent};
use wirespan_traffic::Random;

use crate::capture::{Capture, Item};
use crate::road::Step;

/// Pieces of one event; the rest of it stays whole, or long bodies in single bytes only take long.
const PIECES_AN_EVENT: usize = 2_000;

/// What was lost.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    pub key: ConnectionKey,
    pub direction: Direction,
    pub position: u64,
    pub len: u64,
    /// It happened no earlier than this,
    pub from: Nanos,
    /// and no later. A silent loss shows only when something comes behind it.
    pub until: Nanos,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The capture says that it was not copied.
    Told,
    /// Nothing says so but the positions of what follows.
    Silent,
    /// Even its length is unknown.
    Unknown,
}

/// Every event in pieces of at most `longest` bytes, at the same times.
#[must_use]
pub fn cut(capture: &Capture, longest: usize, random: &mut Random) -> Capture {
    let mut items = Vec::new();
    for item in &capture.items {
        match item {
            Item::Event(SocketEvent::Data(data)) => {
                pieces(data.clone(), longest, random, &mut items);
            }
            other => items.push(other.clone()),
        }
    }
    Capture {
        items,
        clock: capture.clock,
    }
}

fn pieces(mut rest: Data, longest: usize, random: &mut Random, items: &mut Vec<Item>) {
    for _ in 1..PIECES_AN_EVENT {
        let size = random.between(1, longest);
        if size >= rest.bytes.len() {
            break;
        }
        let bytes = rest.bytes.split_to(size);
        let len = bytes.len() as u64;
        items.push(Item::Event(SocketEvent::Data(Data {
            bytes,
            len,
            missing: Missing::default(),
            ..rest.clone()
        })));
        rest.position += len;
        rest.len = rest.len.saturating_sub(len);
    }
    // The last piece keeps what was not copied.
    items.push(Item::Event(SocketEvent::Data(rest)));
}

/// The capture without one event's bytes, and which; `None` when there are none.
#[must_use]
pub fn lose(capture: &Capture, silently: bool, random: &mut Random) -> Option<(Capture, Loss)> {
    let is_data = |item: &Item| matches!(item, Item::Event(SocketEvent::Data(data)) if !data.bytes.is_empty());
    let places: Vec<usize> = (0..capture.items.len())
        .filter(|&at| is_data(&capture.items[at]))
        .collect();
    let at = *places.get(random.below(places.len()))?;
    let mut damaged = capture.clone();
    let Some(Item::Event(SocketEvent::Data(data))) = damaged.items.get_mut(at) else {
        return None;
    };
    let mut loss = Loss {
        key: data.key,
        direction: data.direction,
        position: data.position,
        len: data.len,
        from: data.time(),
        until: data.time(),
        how: if silently { How::Silent } else { How::Told },
    };
    if silently {
        loss.until = shown_at(&capture.items[at + 1..], &loss);
        damaged.items.remove(at);
    } else {
        data.bytes = Bytes::new();
        data.missing = Missing::Ring;
    }
    Some((damaged, loss))
}

/// When the stream shows that something is missing: with what comes behind it, or at the end.
fn shown_at(rest: &[Item], loss: &Loss) -> Nanos {
    let shows = |item: &Item| match item {
        Item::Event(SocketEvent::Data(data)) => {
            (data.key == loss.key && data.direction == loss.direction).then(|| data.time())
        }
        Item::Event(SocketEvent::Confirmed(confirmed)) => (confirmed.key == loss.key
            && confirmed.direction == loss.direction)
            .then_some(confirmed.time),
        _ => None,
    };
    rest.iter().find_map(shows).unwrap_or(Nanos::MAX)
}

/// The streams with one stretch turned into a gap whose length nobody knows.
pub(crate) fn lose_length(steps: &[Step], random: &mut Random) -> Option<(Vec<Step>, Loss)> {
    let places: Vec<usize> = (0..steps.len())
        .filter(|&at| matches!(steps[at], Step::Event(StreamEvent::Data { .. })))
        .collect();
    let at = *places.get(random.below(places.len()))?;
    let mut damaged = steps.to_vec();
    let Step::Event(StreamEvent::Data {
        id,
        direction,
        position,
        bytes,
        time,
        ..
    }) = &steps[at]
    else {
        return None;
    };
    let key = steps.iter().find_map(|step| match step {
        Step::Event(StreamEvent::Open { info, .. }) if info.id == *id => Some(info.key),
        _ => None,
    })?;
    damaged[at] = Step::Event(StreamEvent::Gap {
        id: *id,
        direction: *direction,
        position: *position,
        len: None,
        cause: GapCause::Unknown,
        time: *time,
    });
    let loss = Loss {
        key,
        direction: *direction,
        position: *position,
        len: bytes.len() as u64,
        from: *time,
        until: *time,
        how: How::Unknown,
    };
    Some((damaged, loss))
}
