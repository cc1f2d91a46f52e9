//! The running kernel as a source, with real traffic over loopback. Needs root and the kernel side
//! (`cargo xtask build`); `WIRESPAN_SKIP_KERNEL=1` leaves these tests out, by name and on purpose.

mod bytes;
mod ends;
mod filters;
mod go;
mod kernel_tls;
mod libraries;
mod memory;
mod nested;
mod others;
mod own;
mod process_links;
mod processes;
mod rustls;
mod script;
mod support;
mod tls;
mod verdicts;
