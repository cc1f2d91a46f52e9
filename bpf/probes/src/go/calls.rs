//! The map of calls, by goroutine.

use core::ptr;

use aya_ebpf::bindings::BPF_ANY;

use crate::maps::{GO_IN_FLIGHT, GoCall, GoCallWords, GoKey};

/// The call that a goroutine is in.
#[inline(always)]
pub(super) fn find(key: &GoKey) -> Option<*mut GoCall> {
    Some(GO_IN_FLIGHT.get(0)?.get_ptr_mut(key)?.cast())
}

/// False where there is no room.
#[inline(always)]
pub(super) fn insert(key: &GoKey, entered: &GoCall) -> bool {
    // SAFETY: the same size, and nothing of it is uninitialised.
    let words: &GoCallWords = unsafe { &*ptr::from_ref(entered).cast() };
    GO_IN_FLIGHT
        .get(0)
        .is_some_and(|calls| calls.insert(key, words, BPF_ANY.into()).is_ok())
}

#[inline(always)]
pub(super) fn remove(key: &GoKey) {
    if let Some(calls) = GO_IN_FLIGHT.get(0) {
        let _ = calls.remove(key);
    }
}
