//! The program that is watched.

pub mod half;
pub mod pair;
pub mod receive;
pub mod send;
pub mod special;
pub mod streams;
pub mod turns;
pub mod worker;
