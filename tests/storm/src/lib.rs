//! A randomised program of system calls, and what a live capture makes of it.
//!
//! The [`actor`] makes connections of every kind in a network namespace of its own and moves bytes
//! through them in every way, by itself knowing what each byte is: a function of the stream and its
//! position ([`content`]). It writes what it did into a [`journal`]. The [`observer`] captures at
//! the same time, puts the streams together, and compares: every byte is what was sent at its
//! position, or lies in a gap that the journal has too.

pub mod actor;
pub mod calls;
pub mod content;
pub mod journal;
pub mod observer;
pub mod pace;
pub mod random;
pub mod run;
