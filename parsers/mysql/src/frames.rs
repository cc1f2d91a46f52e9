//! Compressed frames (`CLIENT_COMPRESS`, `CLIENT_ZSTD_COMPRESSION_ALGORITHM`). Packets have nothing
//! to do with their borders, so what frames hold is read like a stream of its own, with positions
//! of its own.

use wirespan_parser_sql::{Step, Trust, since};
use wirespan_sdk::{Context, Flags, Gap, Input, Side};

use crate::connection::{Mysql, Phase};
use crate::exchange::Kind;
use crate::inflate::{Budget, Decoder, Outcome, Reserve};
use crate::limits::{FRAME_BLOCK_BYTES, PIECE_BYTES};
use crate::view::{Stretch, View};
use crate::wire::{self, FULL};

/// Bytes of a frame's header: length, sequence, and length without compression.
const FRAME_HEADER: u64 = 7;

/// The frames of one side.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Where frames begin is not known.
    seek: bool,
    /// On the wire: up to where it is read, and up to where it was shown.
    raw: u64,
    seen: u64,
    /// The one at hand; an idle connection has none.
    frame: Option<Box<Frame>>,
    /// Of the last frame, since frames were found.
    sequence: Option<u8>,
    /// Position of the first byte of `bytes`.
    position: u64,
    /// What was decompressed and is not consumed.
    bytes: Vec<u8>,
    stretches: Vec<Stretch>,
}

#[derive(Debug)]
struct Frame {
    /// Where its payload begins and ends on the wire.
    start: u64,
    end: u64,
    /// Position of its first byte without compression, how many such bytes it has, and how many
    /// are still to come.
    first: u64,
    plain: u64,
    left: u64,
    decoder: Decoder,
    /// What was read of it and is not decompressed, and when it passed.
    input: Vec<u8>,
    begins: u64,
    ends: u64,
    /// The block of it that is not here whole.
    block: Option<Block>,
}

/// The beginning of a block. It is kept here so that nothing of it is shown twice, however small the
/// pieces are in which it comes, and what the other side says meanwhile is seen in its place.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    _reserve: Reserve,
}

impl Frames {
    pub(crate) fn new(raw: u64) -> Box<Self> {
        Box::new(Self {
            seek: false,
            raw,
            seen: raw,
            frame: None,
            sequence: None,
            position: raw,
            bytes: Vec::new(),
            stretches: Vec::new(),
        })
    }

    /// A frame begins here.
    fn restart(&mut self, raw: u64) {
        self.seek = false;
        self.raw = raw;
        self.forget();
    }

    /// Drops what is at hand.
    fn forget(&mut self) {
        self.position = self.end();
        self.frame = None;
        self.sequence = None;
        self.bytes = Vec::new();
        self.stretches = Vec::new();
    }

    fn end(&self) -> u64 {
        self.position.saturating_add(self.bytes.len() as u64)
    }

    fn consume(&mut self, position: u64) {
        let done = position.saturating_sub(self.position);
        let done = usize::try_from(done)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        self.bytes.drain(..done);
        self.position = self.position.saturating_add(done as u64);
        let passed = self
            .stretches
            .partition_point(|stretch| stretch.position <= self.position);
        self.stretches.drain(..passed.saturating_sub(1));
    }

    /// Decompresses some more. `false`: it takes more bytes of the wire. An error says how many bytes
    /// are lost, and when the last of those passed that they should have come from.
    fn produce(&mut self) -> Result<bool, (u64, u64)> {
        let position = self.end();
        let Some(frame) = &mut self.frame else {
            return Ok(false);
        };
        let before = self.bytes.len();
        let last = self.raw >= frame.end;
        let outcome = frame
            .decoder
            .decode(&mut frame.input, last, &mut self.bytes, PIECE_BYTES);
        let made = self.bytes.len().saturating_sub(before) as u64;
        let over = made > frame.left || last && outcome == Outcome::Hungry && frame.left > 0;
        if outcome == Outcome::Broken || over {
            self.bytes.truncate(before);
            frame.decoder = Decoder::Broken;
            let (lost, time) = (std::mem::take(&mut frame.left), frame.ends);
            if last {
                self.frame = None;
            }
            return if lost > 0 {
                Err((lost, time))
            } else {
                Ok(false)
            };
        }
        frame.left = frame.left.saturating_sub(made);
        if made > 0 {
            self.stretches.push(Stretch {
                position,
                begins: frame.begins,
                ends: frame.ends,
                first: frame.first,
                wire: frame.start,
                scale: (frame.end.saturating_sub(frame.start), frame.plain),
            });
        }
        if last && frame.left == 0 && frame.input.is_empty() {
            self.frame = None;
        }
        Ok(outcome == Outcome::Some)
    }

    /// Up to where the wire was shown.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    pub(crate) fn is_between(&self) -> bool {
        !self.seek && self.frame.is_none() && self.bytes.is_empty()
    }
}

/// Whether a client's first bytes are a frame: `None` before that can be told.
pub(crate) fn is_frame(bytes: &[u8]) -> Option<bool> {
    let (&[a, b, c, sequence], rest) = bytes.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes([a, b, c, 0]);
    if sequence != 0 || len < 5 {
        return Some(false);
    }
    let (&[a, b, c], payload) = rest.split_first_chunk::<3>()?;
    let plain = u32::from_le_bytes([a, b, c, 0]);
    let &[first, second] = payload.first_chunk::<2>()?;
    if plain == 0 {
        let header = wire::header(payload)?;
        let code = *payload.get(wire::HEADER as usize)?;
        let fits = header.sequence == 0 && wire::command_fits(code, header.len);
        return Some(fits && header.len <= len.saturating_sub(4));
    }
    let zlib = first & 0x0f == 8 && u16::from_be_bytes([first, second]) % 31 == 0;
    let zstd = [first, second] == [0x28, 0xb5];
    // No code can shorten more than a thousandfold.
    Some((zlib || zstd) && plain / 1040 <= len && plain <= FULL)
}

/// What the first frame holds, as far as it is here; `None`: it makes no sense.
pub(crate) fn first_frame(bytes: &[u8]) -> Option<Vec<u8>> {
    const LOOK: usize = 4 << 10;
    let Some(&[a, b, c, _, d, e, f]) = bytes.first_chunk::<{ FRAME_HEADER as usize }>() else {
        return Some(Vec::new());
    };
    let len = u32::from_le_bytes([a, b, c, 0]) as usize;
    let payload = bytes.get(FRAME_HEADER as usize..)?;
    let last = payload.len() >= len && len <= LOOK;
    let mut input = payload.get(..len.min(LOOK)).unwrap_or(payload).to_vec();
    let mut output = Vec::new();
    let mut decoder = if [d, e, f] == [0; 3] {
        Decoder::Stored
    } else {
        Decoder::Undecided
    };
    while output.len() < LOOK {
        match decoder.decode(&mut input, last, &mut output, LOOK) {
            Outcome::Some => {}
            Outcome::Hungry => break,
            Outcome::Broken => return None,
        }
    }
    Some(output)
}

impl Mysql {
    /// From here on both sides are compressed.
    pub(crate) fn compress(&mut self, client: u64, server: u64) {
        for (side, raw) in [(Side::Client, client), (Side::Server, server)] {
            let lane = self.lane(side);
            lane.compressed = true;
            lane.frames = Some(Frames::new(raw));
            lane.position = raw;
            lane.seen = raw;
            lane.body_end = 0;
        }
    }

    /// Bytes of a side that is compressed, from `at` on.
    pub(crate) fn frames(&mut self, side: Side, input: &Input<'_>, at: u64, cx: &mut Context<'_>) {
        let Some(mut frames) = self.lane(side).frames.take() else {
            return;
        };
        frames.raw = frames.raw.max(at);
        let before = frames.position;
        if input.end() > frames.seen {
            let seen = frames.seen.max(input.position());
            let begins = since(self.heard, seen, input.end(), |at| input.time_at(at));
            frames.seen = input.end();
            let turned = self.speaks(side, input.time_at(input.end().saturating_sub(1)));
            if side == Side::Server && self.found != 0 && frames.is_between() {
                frames.raw = since(self.found, frames.raw, input.end(), |at| input.time_at(at));
                if frames.raw < input.end() {
                    self.found = 0;
                }
            }
            if turned && self.phase == Phase::Commands {
                let found = input.time_at(begins);
                self.frames_turn(side, &mut frames, begins, found, cx);
            }
            let lane = self.lane(side);
            if !lane.compressed {
                // A wrong guess was taken back: both sides are looked for anew, behind this.
                lane.seen = input.end();
                lane.position = input.end();
                cx.consumed(side, input.end());
                return;
            }
        }
        let step = self.read_frames(side, &mut frames, input, cx);
        if step == Step::Done {
            return;
        }
        match step {
            Step::Hold => {
                // What was decompressed is kept here: a byte of the wire stands for it, so that it is
                // shown again.
                cx.consumed(side, frames.raw.saturating_sub(1));
                cx.hold(side);
                if frames.position > before {
                    cx.progress(side);
                }
            }
            // Nothing is waited for unseen: what the other side says meanwhile can have both sides be
            // looked for anew.
            _ => cx.consumed(side, frames.raw),
        }
        if frames.bytes.is_empty() {
            frames.bytes = Vec::new();
            frames.stretches = Vec::new();
        }
        let lane = self.lane(side);
        if lane.compressed {
            lane.frames = Some(frames);
        } else {
            // A wrong guess was taken back.
            lane.seen = frames.seen;
        }
    }

    /// As [`Mysql::turn`], on the wire.
    fn frames_turn(
        &mut self,
        side: Side,
        frames: &mut Frames,
        begins: u64,
        found: u64,
        cx: &mut Context<'_>,
    ) {
        if side == Side::Server {
            let between = self.client.is_at_boundary()
                && self.client.frames.as_ref().is_some_and(|f| f.is_between());
            if self.trust == Trust::Trial && !self.confirmed && !between {
                self.fall_out(cx);
            }
            return;
        }
        let astray = self.trust == Trust::Lost
            || self
                .queue
                .front()
                .is_some_and(|front| front.kind == Kind::Lost)
            || self.client.seek
            || frames.seek;
        if astray && (frames.seek || self.client.seek || frames.is_between()) {
            frames.restart(begins);
            self.client.credit = 0;
            self.server.credit = 0;
            if let Some(frames) = &mut self.server.frames {
                let seen = frames.seen;
                frames.restart(seen);
                self.server.seen = frames.position;
            }
            self.client.position = frames.position;
            self.client.seen = frames.position;
            self.recover(found, cx);
        }
    }

    fn read_frames(
        &mut self,
        side: Side,
        frames: &mut Frames,
        input: &Input<'_>,
        cx: &mut Context<'_>,
    ) -> Step {
        loop {
            if frames.seek {
                frames.raw = input.end();
                return Step::On;
            }
            if !frames.bytes.is_empty() {
                let view = View::frames(frames.position, &frames.bytes, &frames.stretches);
                let from = frames.position;
                let mut at = from;
                self.lane(side).seen = view.end();
                let step = self.read(side, &view, &mut at, cx);
                frames.consume(at);
                if matches!(step, Step::Done | Step::Hold) {
                    return step;
                }
                if !self.lane(side).compressed {
                    frames.raw = input.end();
                    return Step::On;
                }
                if at > from && self.lane(side.other()).holds {
                    return Step::Hold;
                }
            }
            match frames.produce() {
                Ok(true) => continue,
                Ok(false) => {}
                Err((lost, time)) => {
                    self.frames_gap(side, frames, lost, time, cx);
                    if self.lane(side.other()).holds {
                        return Step::Hold;
                    }
                    continue;
                }
            }
            let step = self.next_block(side, frames, input, cx);
            if step != Step::On {
                return step;
            }
        }
    }

    /// Takes a frame's header, or a block of its payload: always the same blocks, wherever the
    /// bytes were cut.
    fn next_block(
        &mut self,
        side: Side,
        frames: &mut Frames,
        input: &Input<'_>,
        cx: &mut Context<'_>,
    ) -> Step {
        let Some(frame) = &mut frames.frame else {
            let Some(&[a, b, c, sequence, d, e, f]) = input
                .from(frames.raw)
                .first_chunk::<{ FRAME_HEADER as usize }>()
            else {
                return Step::More(frames.raw.saturating_add(FRAME_HEADER));
            };
            let len = u32::from_le_bytes([a, b, c, 0]);
            let plain = u32::from_le_bytes([d, e, f, 0]);
            let trial = self.trust == Trust::Trial && !self.confirmed;
            let fits = match frames.sequence {
                _ if len == 0 => false,
                None if side == Side::Client && trial => match is_frame(input.from(frames.raw)) {
                    Some(fits) => fits,
                    None => return Step::More(frames.raw.saturating_add(FRAME_HEADER + 5)),
                },
                Some(last) if trial => sequence == 0 || sequence == last.wrapping_add(1),
                _ => true,
            };
            if !fits {
                frames.seek = true;
                frames.forget();
                return self.fall_out(cx);
            }
            frames.sequence = Some(sequence);
            let start = frames.raw.saturating_add(FRAME_HEADER);
            let bytes = FRAME_HEADER.saturating_add(u64::from(len));
            let total = u64::from(if plain == 0 { len } else { plain });
            frames.frame = Some(Box::new(Frame {
                start,
                end: start.saturating_add(u64::from(len)),
                first: frames.position.saturating_add(frames.bytes.len() as u64),
                plain: total,
                left: total,
                decoder: if plain == 0 {
                    Decoder::Stored
                } else {
                    Decoder::Undecided
                },
                input: Vec::new(),
                begins: input.time_at(frames.raw),
                ends: 0,
                block: None,
            }));
            frames.raw = start;
            let lane = self.lane(side);
            lane.credit = lane.credit.saturating_add(bytes);
            return Step::On;
        };
        let done = frames.raw.saturating_sub(frame.start) / FRAME_BLOCK_BYTES;
        let to = done
            .saturating_add(1)
            .saturating_mul(FRAME_BLOCK_BYTES)
            .saturating_add(frame.start)
            .min(frame.end);
        let kept = frame.block.as_ref().map_or(0, |block| block.bytes.len());
        if kept == 0 && frames.raw > frame.start {
            frame.begins = input.time_at(frames.raw);
        }
        let here = input.from(frames.raw);
        let missing = usize::try_from(to.saturating_sub(frames.raw)).unwrap_or(usize::MAX);
        let Some(rest) = here.get(..missing) else {
            let size = kept.saturating_add(missing);
            if frame.block.is_none() {
                // Without room it stays with the host, and is shown again with what follows.
                frame.block = Reserve::take(Budget::Blocks, size).map(|reserve| Block {
                    bytes: Vec::with_capacity(size),
                    _reserve: reserve,
                });
            }
            if let Some(block) = &mut frame.block {
                block.bytes.extend_from_slice(here);
                frames.raw = input.end();
            }
            return Step::More(to);
        };
        if let Some(mut block) = frame.block.take() {
            if frame.input.is_empty() {
                std::mem::swap(&mut frame.input, &mut block.bytes);
            }
            frame.input.append(&mut block.bytes);
        }
        frame.input.extend_from_slice(rest);
        frame.ends = input.time_at(to.saturating_sub(1));
        frames.raw = to;
        Step::On
    }

    /// So many bytes without compression are not known.
    fn frames_gap(
        &mut self,
        side: Side,
        frames: &mut Frames,
        lost: u64,
        time: u64,
        cx: &mut Context<'_>,
    ) {
        let end = frames.end().saturating_add(lost);
        let position = frames.position;
        frames.bytes.clear();
        frames.stretches.clear();
        frames.position = end;
        let gap = Gap {
            position,
            len: Some(end.saturating_sub(position)),
            cause: wirespan_sdk::Cause::Lost,
            time,
        };
        self.lost(side, gap, cx);
    }

    /// Bytes of the wire that will never come.
    pub(crate) fn frames_lost(&mut self, side: Side, gap: Gap, cx: &mut Context<'_>) {
        let Some(mut frames) = self.lane(side).frames.take() else {
            return;
        };
        let end = gap.end();
        if side == Side::Server {
            self.speaks(side, gap.time);
        }
        frames.seen = frames.seen.max(end.unwrap_or(0));
        match (end, &mut frames.frame) {
            (Some(end), Some(frame)) if end <= frame.end => {
                let block = frame.block.take().map_or(0, |block| block.bytes.len());
                let lost = if matches!(frame.decoder, Decoder::Stored) {
                    let lost = end
                        .saturating_sub(frames.raw)
                        .saturating_add(block as u64)
                        .saturating_add(frame.input.len() as u64);
                    frame.left = frame.left.saturating_sub(lost);
                    lost
                } else {
                    frame.decoder = Decoder::Broken;
                    std::mem::take(&mut frame.left)
                };
                frame.input.clear();
                let over = end == frame.end;
                frames.raw = end;
                if over {
                    frames.frame = None;
                }
                self.frames_gap(side, &mut frames, lost, gap.time, cx);
            }
            _ => {
                frames.seek = true;
                frames.forget();
                frames.raw = end.unwrap_or(0);
                if end.is_none() {
                    frames.seen = 0;
                }
                self.missed = self.missed | Flags::GAP;
                self.lose(side, frames.position, gap.time);
            }
        }
        if self.lane(side).compressed {
            self.lane(side).frames = Some(frames);
        }
    }

    /// Whether the client is compressed, where that was not agreed on in sight.
    pub(crate) fn guess_compression(&mut self, view: &View<'_>, at: u64) -> Option<bool> {
        let bytes = view.from(at);
        // A packet that is shorter than what tells is none.
        let short = wire::header(bytes).is_some_and(|header| {
            header.len < 5 && bytes.len() as u64 >= wire::HEADER + u64::from(header.len)
        });
        if short { Some(false) } else { is_frame(bytes) }
    }
}
