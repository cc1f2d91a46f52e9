//! The two file formats: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).

use super::bytes::{Order, take};
use super::input::Input;
use crate::event::Nanos;
use crate::synthetic::{APPLICATION, Origin};

/// No packet and no block is longer than this: libpcap's own limit is 256 KiB, other tools wrote
/// up to some MiB. A file that claims more is damaged there.
const BLOCK_LIMIT: usize = 16 << 20;

/// Interfaces of one section that are remembered.
const INTERFACE_LIMIT: usize = 4_096;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Pcap,
    PcapNg,
}

impl Format {
    pub(crate) fn detect(start: &[u8]) -> Option<Self> {
        match *start.first_chunk::<4>()? {
            SECTION => section_order(start).map(|_| Self::PcapNg),
            magic => Classic::from_magic(magic).map(|_| Self::Pcap),
        }
    }
}

const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// One packet as it was captured.
pub(super) struct Packet<'a> {
    pub(super) time: Nanos,
    pub(super) link_type: u16,
    /// At most the snap length.
    pub(super) bytes: &'a [u8],
    /// Length on the wire.
    pub(super) len: usize,
    /// Wirespan made it up.
    pub(super) made: Option<Made>,
}

/// What a packet that Wirespan made up says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) origin: Origin,
    /// The observed end sent it.
    pub(super) outbound: bool,
}

/// Why there are no more packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    End,
    CutOff,
    Damaged(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Classic {
    order: Order,
    nanos: bool,
    /// Alexey Kuznetsov's variant: eight more bytes before each packet.
    modified: bool,
}

impl Classic {
    fn from_magic(magic: [u8; 4]) -> Option<Self> {
        let (order, nanos, modified) = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, false, false),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, false, false),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, true, false),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, true, false),
            [0x34, 0xcd, 0xb2, 0xa1] => (Order::Little, false, true),
            [0xa1, 0xb2, 0xcd, 0x34] => (Order::Big, false, true),
            _ => return None,
        };
        Some(Self {
            order,
            nanos,
            modified,
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    /// One of those of a file that Wirespan wrote.
    origin: Option<Origin>,
    link_type: u16,
    snap_len: usize,
    /// Units of a timestamp in a second.
    units: u128,
    offset_seconds: i64,
}

enum State {
    Start,
    Classic(Classic, u16),
    Ng(Section),
}

struct Section {
    order: Order,
    interfaces: Vec<Interface>,
    /// Wirespan wrote it.
    is_own: bool,
}

impl Section {
    fn new(order: Order) -> Self {
        Self {
            order,
            interfaces: Vec::new(),
            is_own: false,
        }
    }
}

/// Reads packets one after the other.
pub(super) struct PacketFile {
    input: Input,
    state: State,
    last_time: Nanos,
    /// Bytes of the current packet's record, consumed when the next one is asked for.
    held: usize,
}

impl PacketFile {
    pub(super) fn new(input: Input) -> Self {
        Self {
            input,
            state: State::Start,
            last_time: 0,
            held: 0,
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.input.offset
    }

    pub(super) fn failure(&self) -> Option<&std::io::Error> {
        self.input.failure.as_ref()
    }

    /// The next packet. `Ok(None)` stands for a block that is none.
    pub(super) fn next(&mut self) -> Result<Option<Packet<'_>>, Stop> {
        self.input.consume(self.held);
        self.held = 0;
        match self.state {
            State::Start => {
                self.start()?;
                Ok(None)
            }
            State::Classic(classic, link_type) => self.classic(classic, link_type).map(Some),
            State::Ng(Section { order, .. }) => self.block(order),
        }
    }

    /// A last block may lack its trailer, after all of the packet.
    fn at_end(&self) -> Stop {
        if self.input.overdrawn {
            Stop::CutOff
        } else {
            Stop::End
        }
    }

    fn start(&mut self) -> Result<(), Stop> {
        let mut bytes = self.input.want(24);
        if bytes.starts_with(&SECTION) {
            self.state = State::Ng(Section::new(Order::Little));
            return Ok(());
        }
        let Some(magic) = bytes.first_chunk::<4>().copied() else {
            return Err(Stop::CutOff);
        };
        let classic = Classic::from_magic(magic).ok_or(Stop::Damaged("it is no capture"))?;
        let link_type = (|| {
            take(&mut bytes, 20)?;
            classic.order.u32(&mut bytes)
        })();
        // The upper half says how long the frame check sequence is; lengths of IP tell that better.
        let link_type = link_type.ok_or(Stop::CutOff)? & 0xffff;
        self.state = State::Classic(classic, u16::try_from(link_type).unwrap_or_default());
        self.input.consume(24);
        Ok(())
    }

    fn classic(&mut self, classic: Classic, link_type: u16) -> Result<Packet<'_>, Stop> {
        let head = if classic.modified { 24 } else { 16 };
        let mut bytes = self.input.want(head);
        if bytes.is_empty() {
            return Err(self.at_end());
        }
        let mut number = || classic.order.u32(&mut bytes);
        let fields = number().zip(number()).zip(number().zip(number()));
        let Some(((seconds, fraction), (captured, len))) = fields else {
            return Err(Stop::CutOff);
        };
        let captured = usize::try_from(captured).unwrap_or(usize::MAX);
        if captured > BLOCK_LIMIT {
            return Err(Stop::Damaged("a packet claims an impossible length"));
        }
        let total = head.saturating_add(captured);
        self.held = total;
        let fraction = if classic.nanos {
            u64::from(fraction)
        } else {
            u64::from(fraction).saturating_mul(1_000)
        };
        let time = u64::from(seconds)
            .saturating_mul(1_000_000_000)
            .saturating_add(fraction);
        self.last_time = time;
        let bytes = self
            .input
            .want(total)
            .get(head..total)
            .ok_or(Stop::CutOff)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX).max(captured);
        Ok(Packet {
            time,
            link_type,
            bytes,
            len,
            made: None,
        })
    }

    fn block(&mut self, order: Order) -> Result<Option<Packet<'_>>, Stop> {
        let start = self.input.want(12);
        if start.is_empty() {
            return Err(self.at_end());
        }
        let order = if start.starts_with(&SECTION) {
            if start.len() < 12 {
                return Err(Stop::CutOff);
            }
            let order = section_order(start).ok_or(Stop::Damaged("a section has no byte order"))?;
            self.state = State::Ng(Section::new(order));
            order
        } else {
            order
        };
        let mut start = self.input.want(12);
        let Some((kind, total)) = order.u32(&mut start).zip(order.u32(&mut start)) else {
            return Err(Stop::CutOff);
        };
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        if !(12..=BLOCK_LIMIT).contains(&total) {
            return Err(Stop::Damaged("a block claims an impossible length"));
        }
        self.held = total.next_multiple_of(4);
        let all = self.input.want(self.held);
        let body = all.get(8..total.saturating_sub(4)).ok_or(Stop::CutOff)?;
        let State::Ng(section) = &mut self.state else {
            return Ok(None);
        };
        if kind == u32::from_be_bytes(SECTION) {
            section.is_own = is_own(order, body);
            return Ok(None);
        }
        if kind == 1 {
            if let Some(mut interface) = interface(order, body)
                && section.interfaces.len() < INTERFACE_LIMIT
            {
                interface.origin = interface.origin.filter(|_| section.is_own);
                section.interfaces.push(interface);
            }
            return Ok(None);
        }
        let Some(found) = packet(order, kind, body, &section.interfaces) else {
            return Ok(None);
        };
        let time = found.time.unwrap_or(self.last_time);
        self.last_time = time;
        Ok(Some(Packet {
            time,
            link_type: found.link_type,
            bytes: found.bytes,
            len: found.len,
            made: found.made,
        }))
    }
}

fn section_order(start: &[u8]) -> Option<Order> {
    match start.get(8..12)? {
        [0x4d, 0x3c, 0x2b, 0x1a] => Some(Order::Little),
        [0x1a, 0x2b, 0x3c, 0x4d] => Some(Order::Big),
        _ => None,
    }
}

fn interface(order: Order, mut body: &[u8]) -> Option<Interface> {
    let link_type = order.u16(&mut body)?;
    order.u16(&mut body)?;
    let snap_len = order.u32(&mut body)?;
    let snap_len = if snap_len == 0 {
        usize::MAX
    } else {
        usize::try_from(snap_len).unwrap_or(usize::MAX)
    };
    let mut interface = Interface {
        origin: None,
        link_type,
        snap_len,
        units: 1_000_000,
        offset_seconds: 0,
    };
    options(order, body, |code, mut value| match code {
        // if_name
        2 => interface.origin = Origin::from_name(value),
        // if_tsresol: a power of ten, or of two when the highest bit is set.
        9 => {
            if let Some(resolution) = value.first() {
                let exponent = u32::from(resolution & 0x7f);
                let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
                interface.units = base.checked_pow(exponent).unwrap_or(u128::MAX).max(1);
            }
        }
        // if_tsoffset
        14 => interface.offset_seconds = order.i64(&mut value).unwrap_or_default(),
        _ => {}
    });
    Some(interface)
}

/// Gives each option of a block to `act`: its code and its value.
fn options<'a>(order: Order, mut body: &'a [u8], mut act: impl FnMut(u16, &'a [u8])) {
    while let Some((code, len)) = order.u16(&mut body).zip(order.u16(&mut body)) {
        let len = usize::from(len);
        let Some(value) = take(&mut body, len) else {
            break;
        };
        if code == 0 {
            break;
        }
        act(code, value);
        let padding = len.next_multiple_of(4).saturating_sub(len);
        if take(&mut body, padding).is_none() {
            break;
        }
    }
}

/// Whether the program that wrote a section says that it is this one.
fn is_own(order: Order, body: &[u8]) -> bool {
    let mut own = false;
    // Byte order, version and length of the section come first.
    options(order, body.get(16..).unwrap_or_default(), |code, value| {
        own |= code == 4 && value.starts_with(APPLICATION.as_bytes());
    });
    own
}

struct Found<'a> {
    time: Option<Nanos>,
    link_type: u16,
    bytes: &'a [u8],
    len: usize,
    made: Option<Made>,
}

/// The packet in a block: enhanced (6), simple (3) or the obsolete one (2).
fn packet<'a>(
    order: Order,
    kind: u32,
    mut body: &'a [u8],
    interfaces: &[Interface],
) -> Option<Found<'a>> {
    let number = match kind {
        6 => order.u32(&mut body)?,
        2 => {
            let number = order.u16(&mut body)?;
            order.u16(&mut body)?;
            u32::from(number)
        }
        3 => 0,
        _ => return None,
    };
    let interface = interfaces.get(usize::try_from(number).ok()?)?;
    if kind == 3 {
        let len = usize::try_from(order.u32(&mut body)?).ok()?;
        let bytes = body.get(..len.min(interface.snap_len).min(body.len()))?;
        return Some(Found {
            time: None,
            link_type: interface.link_type,
            bytes,
            len,
            made: None,
        });
    }
    let time = u128::from(order.u32(&mut body)?) << 32 | u128::from(order.u32(&mut body)?);
    let captured = usize::try_from(order.u32(&mut body)?).ok()?;
    let len = usize::try_from(order.u32(&mut body)?).ok()?;
    let bytes = body.get(..captured.min(body.len()))?;
    let nanos = u64::try_from(
        time.saturating_mul(NANOS_PER_SECOND)
            .checked_div(interface.units)?,
    )
    .unwrap_or(u64::MAX);
    let made = interface.origin.map(|origin| {
        let mut outbound = false;
        let rest = body.get(captured.next_multiple_of(4)..).unwrap_or_default();
        // epb_flags: the lowest bits are the direction.
        options(order, rest, |code, mut value| {
            outbound |= code == 2 && order.u32(&mut value).is_some_and(|flags| flags & 3 == 2);
        });
        Made { origin, outbound }
    });
    let nanos = nanos.saturating_add_signed(interface.offset_seconds.saturating_mul(1_000_000_000));
    Some(Found {
        time: Some(nanos),
        link_type: interface.link_type,
        bytes,
        len: len.max(bytes.len()),
        made,
    })
}
