//! The runtime with components made from text: what is loaded, what a parser is shown, and what it
//! costs when one loops, traps, grows or lies.

mod bench;
mod flow;
mod given_back;
mod hostile;
mod load;
