//! What a thread is in: a call, and a function of a TLS library around it.
//!
//! A thread's entry is made when it first calls and stays until the thread ends. To put it in at each
//! entry and take it out at each exit cost more than all other maps that a call is looked up in.

use aya_ebpf::bindings::BPF_NOEXIST;
use wirespan_events::Counter;

use crate::maps::{Call, IDLE_THREAD, THREADS, Thread, TlsCall, count};

/// Stages of [`Call::stage`].
pub mod stage {
    /// The thread is in no call that counts.
    pub const IDLE: u8 = 0;
    /// It has entered one.
    pub const ENTERED: u8 = 1;
    /// The same, of a TLS object whose plaintext is told: of this one only the length counts.
    pub const CIPHERTEXT: u8 = 2;
}

/// What is known of a thread; `None` where it has not called yet.
#[inline(always)]
pub fn known(thread: u64) -> Option<*mut Thread> {
    THREADS.get_ptr_mut(thread)
}

/// The same, made when there is none. `None` when there are too many.
#[inline(always)]
pub fn current(thread: u64) -> Option<*mut Thread> {
    if let Some(known) = known(thread) {
        return Some(known);
    }
    let idle = IDLE_THREAD.get_ptr(0)?;
    // SAFETY: a value of an array map, which nobody writes to.
    if THREADS
        .insert(thread, unsafe { &*idle }, BPF_NOEXIST.into())
        .is_err()
    {
        count(Counter::InFlightFull, 1);
        return None;
    }
    known(thread)
}

/// The call that a thread has entered and not left.
#[inline(always)]
pub fn call_of(thread: u64) -> Option<*mut Call> {
    let thread = known(thread)?;
    // SAFETY: a value of the map of threads.
    unsafe {
        let call = &raw mut (*thread).call;
        if (*call).stage == stage::IDLE {
            None
        } else {
            Some(call)
        }
    }
}

/// The function of a TLS library that a thread is in.
#[inline(always)]
pub fn tls_call_of(thread: u64) -> Option<*mut TlsCall> {
    // SAFETY: a value of the map of threads.
    unsafe { within(known(thread)?) }
}

/// The same of the thread that makes a call.
///
/// # Safety
/// `call` is that of a value of the map of threads.
#[inline(always)]
pub unsafe fn around(call: *mut Call) -> Option<*mut TlsCall> {
    // SAFETY: as the caller promises: a thread begins with its call.
    unsafe { within(call.cast::<Thread>()) }
}

/// The function of a TLS library that this thread is in.
///
/// # Safety
/// `thread` is a value of the map of threads.
#[inline(always)]
pub unsafe fn within(thread: *mut Thread) -> Option<*mut TlsCall> {
    // SAFETY: as the caller promises.
    unsafe {
        let tls = &raw mut (*thread).tls;
        if (*tls).inside == 0 { None } else { Some(tls) }
    }
}
