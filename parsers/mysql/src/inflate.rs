//! Decompression of one frame, a piece at a time, within a budget that all connections share.

use std::cell::Cell;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_IGNORE_ADLER32, TINFL_FLAG_PARSE_ZLIB_HEADER,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use ruzstd::decoding::FrameDecoder;

use crate::limits::{BLOCKS_BYTES, DECODERS_BYTES, ZSTD_WINDOW_BYTES};

/// Zlib looks back this far (RFC 1951).
const ZLIB_WINDOW: usize = 32 << 10;

/// What the state of one zlib decoder takes beside its window.
const ZLIB_STATE: usize = 16 << 10;

/// A block of zstd holds at most this much (RFC 8878 section 3.1.1.2.3).
const ZSTD_BLOCK: usize = 128 << 10;

/// First bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What a call for more came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Something was added.
    Some,
    /// Nothing comes without more input.
    Hungry,
    /// The bytes make no sense, or are beyond a limit.
    Broken,
}

/// What frames may hold that are not over, of all connections together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Budget {
    Decoders,
    /// Beginnings of their blocks.
    Blocks,
}

/// Part of a budget.
#[derive(Debug)]
pub(crate) struct Reserve {
    budget: Budget,
    bytes: usize,
}

thread_local! {
    static DECODERS: Cell<usize> = const { Cell::new(0) };
    static BLOCKS: Cell<usize> = const { Cell::new(0) };
}

impl Budget {
    /// Replaces what is reserved by what `change` makes of it, unless that is nothing or too much.
    fn change(self, change: impl FnOnce(usize) -> Option<usize>) -> Option<()> {
        let (reserved, limit) = match self {
            Self::Decoders => (&DECODERS, DECODERS_BYTES),
            Self::Blocks => (&BLOCKS, BLOCKS_BYTES),
        };
        let bytes = change(reserved.get()).filter(|&bytes| bytes <= limit)?;
        reserved.set(bytes);
        Some(())
    }
}

impl Reserve {
    pub(crate) fn take(budget: Budget, bytes: usize) -> Option<Self> {
        budget.change(|reserved| reserved.checked_add(bytes))?;
        Some(Self { budget, bytes })
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.budget
            .change(|reserved| Some(reserved.saturating_sub(self.bytes)));
    }
}

pub struct Zlib {
    state: DecompressorOxide,
    window: [u8; ZLIB_WINDOW],
    at: usize,
    done: bool,
    _reserve: Reserve,
}

pub struct Zstd {
    decoder: FrameDecoder,
    /// The last block was decoded.
    done: bool,
    _reserve: Reserve,
}

/// How the payload of a frame becomes bytes.
pub enum Decoder {
    Stored,
    /// Not known before its first bytes are there.
    Undecided,
    Zlib(Box<Zlib>),
    Zstd(Box<Zstd>),
    /// What is left of the frame is not understood.
    Broken,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Stored => "Stored",
            Self::Undecided => "Undecided",
            Self::Zlib(_) => "Zlib",
            Self::Zstd(_) => "Zstd",
            Self::Broken => "Broken",
        })
    }
}

impl Decoder {
    /// Decompresses some of `input`, which has more to come unless `last`, and adds about `piece`
    /// bytes to `output`. What was used is taken off `input`.
    pub fn decode(
        &mut self,
        input: &mut Vec<u8>,
        last: bool,
        output: &mut Vec<u8>,
        piece: usize,
    ) -> Outcome {
        if matches!(self, Self::Undecided) {
            if input.len() < ZSTD_MAGIC.len() && !last {
                return Outcome::Hungry;
            }
            *self = if input.starts_with(&ZSTD_MAGIC) {
                match Zstd::begin(input, last) {
                    Ok(Some(zstd)) => Self::Zstd(zstd),
                    Ok(None) => return Outcome::Hungry,
                    Err(()) => Self::Broken,
                }
            } else {
                Zlib::begin().map_or(Self::Broken, Self::Zlib)
            };
        }
        match self {
            Self::Stored => {
                let taken = input.len().min(piece);
                output.extend(input.drain(..taken));
                if taken > 0 {
                    Outcome::Some
                } else {
                    Outcome::Hungry
                }
            }
            Self::Zlib(zlib) => zlib.decode(input, last, output),
            Self::Zstd(zstd) => zstd.decode(input, last, output),
            Self::Broken | Self::Undecided => {
                input.clear();
                Outcome::Broken
            }
        }
    }
}

impl Zlib {
    fn begin() -> Option<Box<Self>> {
        let reserve = Reserve::take(Budget::Decoders, ZLIB_WINDOW + ZLIB_STATE)?;
        Some(Box::new(Self {
            state: DecompressorOxide::new(),
            window: [0; ZLIB_WINDOW],
            at: 0,
            done: false,
            _reserve: reserve,
        }))
    }

    /// As much as fits what is left of the window.
    fn decode(&mut self, input: &mut Vec<u8>, last: bool, output: &mut Vec<u8>) -> Outcome {
        if self.done {
            input.clear();
            return Outcome::Hungry;
        }
        let more = if last { 0 } else { TINFL_FLAG_HAS_MORE_INPUT };
        let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_IGNORE_ADLER32 | more;
        let (status, used, made) =
            decompress(&mut self.state, input, &mut self.window, self.at, flags);
        input.drain(..used.min(input.len()));
        let end = self.at.saturating_add(made);
        output.extend_from_slice(self.window.get(self.at..end).unwrap_or_default());
        self.at = end % ZLIB_WINDOW;
        match status {
            TINFLStatus::Done => self.done = true,
            TINFLStatus::HasMoreOutput | TINFLStatus::NeedsMoreInput => {}
            _ => return Outcome::Broken,
        }
        if made > 0 {
            Outcome::Some
        } else {
            Outcome::Hungry
        }
    }
}

impl Zstd {
    /// Reads the frame's header (RFC 8878 section 3.1.1.1); `None` without all of it.
    fn begin(input: &mut Vec<u8>, last: bool) -> Result<Option<Box<Self>>, ()> {
        let Some(&descriptor) = input.get(ZSTD_MAGIC.len()) else {
            return if last { Err(()) } else { Ok(None) };
        };
        let single = descriptor & 0x20 != 0;
        let dictionary = [0_usize, 1, 2, 4][usize::from(descriptor & 3)];
        let content = match descriptor >> 6 {
            0 => usize::from(single),
            1 => 2,
            2 => 4,
            _ => 8,
        };
        let len = ZSTD_MAGIC.len() + 1 + usize::from(!single) + dictionary + content;
        let Some(mut header) = input.get(..len) else {
            return if last { Err(()) } else { Ok(None) };
        };
        let window = zstd_window(header, single, dictionary)?;
        let reserve = Reserve::take(Budget::Decoders, window).ok_or(())?;
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_BYTES as u64);
        decoder.init(&mut header).map_err(|_| ())?;
        input.drain(..len);
        Ok(Some(Box::new(Self {
            decoder,
            done: false,
            _reserve: reserve,
        })))
    }

    /// One block: a single call could make any number of them out of little.
    fn decode(&mut self, input: &mut Vec<u8>, last: bool, output: &mut Vec<u8>) -> Outcome {
        let before = output.len();
        let mut piece = [0; 4096];
        let hungry = if last {
            Outcome::Broken
        } else {
            Outcome::Hungry
        };
        if self.done {
            input.clear();
            return Outcome::Hungry;
        }
        let Some(&[a, b, c]) = input.first_chunk::<3>() else {
            return hungry;
        };
        let header = u32::from_le_bytes([a, b, c, 0]);
        let size = (header >> 3) as usize;
        let content = if header >> 1 & 3 == 1 { 1 } else { size };
        if size > ZSTD_BLOCK {
            return Outcome::Broken;
        }
        let len = content.saturating_add(3);
        let Some(block) = input.get(..len) else {
            return hungry;
        };
        let mut source = block;
        loop {
            let Ok((_, written)) = self.decoder.decode_from_to(source, &mut piece) else {
                return Outcome::Broken;
            };
            source = &[];
            output.extend_from_slice(piece.get(..written).unwrap_or_default());
            if written == 0 {
                break;
            }
        }
        input.drain(..len);
        self.done = header & 1 != 0;
        if output.len() > before || self.done || !input.is_empty() {
            Outcome::Some
        } else {
            Outcome::Hungry
        }
    }
}

/// What a frame's decoder will hold.
fn zstd_window(header: &[u8], single: bool, dictionary: usize) -> Result<usize, ()> {
    let mut window = [0; 8];
    let bytes = if single {
        let content = header.get(ZSTD_MAGIC.len() + 1 + dictionary..).ok_or(())?;
        for (to, from) in window.iter_mut().zip(content) {
            *to = *from;
        }
        let bias = if content.len() == 2 { 256 } else { 0 };
        u64::from_le_bytes(window).saturating_add(bias)
    } else {
        let descriptor = header.get(ZSTD_MAGIC.len() + 1).copied().ok_or(())?;
        let base = 1_u64 << (10 + (descriptor >> 3));
        base.saturating_add(base / 8 * u64::from(descriptor & 7))
    };
    let bytes = usize::try_from(bytes).map_err(|_| ())?;
    if bytes > ZSTD_WINDOW_BYTES {
        return Err(());
    }
    Ok(bytes.saturating_add(2 * ZSTD_BLOCK))
}
