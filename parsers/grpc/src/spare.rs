//! Memory of exchanges that are over, for the next ones of all connections: one needs it while it is
//! in flight, an idle connection needs none.

use std::cell::RefCell;

use crate::call::Call;

/// So many of each are kept.
const KEPT: usize = 64;

/// Room that most requests need for their texts.
const TEXT_ROOM: usize = 192;

/// A buffer that grew beyond this is not kept.
const TEXT_BYTES: usize = 2 << 10;

#[derive(Debug)]
#[expect(clippy::vec_box, reason = "the boxes are what is kept")]
struct Spare {
    calls: Vec<Box<Call>>,
    texts: Vec<Vec<u8>>,
}

thread_local! {
    static SPARE: RefCell<Spare> = const {
        RefCell::new(Spare { calls: Vec::new(), texts: Vec::new() })
    };
}

/// A box with `call` in it.
pub(crate) fn boxed(call: Call) -> Box<Call> {
    match SPARE.with_borrow_mut(|spare| spare.calls.pop()) {
        Some(mut place) => {
            *place = call;
            place
        }
        None => Box::new(call),
    }
}

/// Keeps the box of a call that is over, and its text.
pub(crate) fn keep(mut call: Box<Call>) {
    call.head.recycle();
    SPARE.with_borrow_mut(|spare| {
        if spare.calls.len() < KEPT {
            spare.calls.push(call);
        }
    });
}

/// An empty text with some room.
pub(crate) fn text() -> Vec<u8> {
    SPARE
        .with_borrow_mut(|spare| spare.texts.pop())
        .unwrap_or_else(|| Vec::with_capacity(TEXT_ROOM))
}

pub(crate) fn keep_text(mut text: Vec<u8>) {
    SPARE.with_borrow_mut(|spare| {
        if spare.texts.len() < KEPT && (1..=TEXT_BYTES).contains(&text.capacity()) {
            text.clear();
            spare.texts.push(text);
        }
    });
}

/// Gives the memory back.
pub(crate) fn drop_all() {
    SPARE.with_borrow_mut(|spare| {
        *spare = Spare {
            calls: Vec::new(),
            texts: Vec::new(),
        }
    });
}
