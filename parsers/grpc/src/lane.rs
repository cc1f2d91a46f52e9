//! One direction of a connection.

use wirespan_sdk::Flags;

use crate::frame::{DEFAULT_FRAME_BYTES, Header, Kind, LARGEST_FRAME_BYTES};
use crate::hpack::Decoder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The client's first bytes.
    Preface,
    /// Where the next frame begins is not known.
    Seek,
    /// At the header of a frame.
    Frame,
    /// Before the payload of a frame, which is needed whole.
    Payload,
    /// In a frame of DATA.
    Data,
    /// In a frame that is of no interest.
    Skip,
}

/// The frame being read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    /// Position of its header, and when that passed.
    pub(crate) start: u64,
    pub(crate) start_time: u64,
    /// The order of its first byte relative to the other side is unknown.
    pub(crate) unordered: bool,
    /// Where its payload begins.
    pub(crate) payload: u64,
    /// In DATA: where the padding begins.
    pub(crate) data_end: u64,
    /// Where it ends.
    pub(crate) end: u64,
    /// In DATA: messages are counted.
    pub(crate) counting: bool,
}

impl Frame {
    /// Bytes on the wire.
    pub(crate) fn wire(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// A header block that goes on in CONTINUATION frames.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) opening: Opening,
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: u32,
    /// A part of it was lost: it is not decoded.
    pub(crate) damaged: bool,
}

/// Where and how a header block began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) stream: u32,
    /// Of PUSH_PROMISE: the stream that will carry the response.
    pub(crate) promised: Option<u32>,
    pub(crate) end_stream: bool,
    pub(crate) start: u64,
    pub(crate) start_time: u64,
    pub(crate) unordered: bool,
    /// Bytes of its frames.
    pub(crate) wire: u64,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) state: State,
    /// Up to where it is read, and when the last byte passed that was.
    pub(crate) position: u64,
    pub(crate) time: u64,
    pub(crate) frame: Frame,
    /// What came of a payload that is needed whole.
    pub(crate) partial: Vec<u8>,
    pub(crate) block: Option<Box<Block>>,
    pub(crate) decoder: Decoder,
    /// Why fields of this direction may be unknown.
    pub(crate) lost: Flags,
    /// How many times the header table was lost.
    pub(crate) epoch: u32,
    /// Largest frame that may come here.
    pub(crate) largest: u32,
    /// Bytes came.
    pub(crate) touched: bool,
    /// The first frame was read.
    pub(crate) begun: bool,
    /// The place was found by looking for frames, not known from the beginning.
    pub(crate) found: bool,
    /// Bytes were passed over, read or lost: what comes is not the beginning of the side.
    pub(crate) sought: bool,
    pub(crate) false_starts: u8,
}

impl Lane {
    /// Of a connection that is seen from its beginning.
    pub(crate) fn new(state: State) -> Self {
        Self {
            state,
            position: 0,
            time: 0,
            frame: Frame::default(),
            partial: Vec::new(),
            block: None,
            decoder: Decoder::new(),
            lost: Flags::empty(),
            epoch: 0,
            largest: DEFAULT_FRAME_BYTES,
            touched: false,
            begun: false,
            found: false,
            sought: false,
            false_starts: 0,
        }
    }

    /// Of a connection joined in the middle.
    pub(crate) fn joined(why: Flags) -> Self {
        Self {
            decoder: Decoder::joined(),
            lost: why,
            largest: LARGEST_FRAME_BYTES,
            begun: true,
            ..Self::new(State::Seek)
        }
    }

    /// Header blocks have passed unseen.
    pub(crate) fn rejoin(&mut self, why: Flags) {
        self.decoder.rejoin();
        self.lost = self.lost | why;
        self.epoch = self.epoch.saturating_add(1);
    }

    /// Whether the frame being read is one of a header block.
    pub(crate) fn in_block(&self) -> bool {
        matches!(
            self.frame.header.kind,
            Kind::Headers | Kind::PushPromise | Kind::Continuation
        )
    }
}
