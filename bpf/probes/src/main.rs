//! The programs that observe sockets, one file per probe set.
//!
//! They load on kernels from 5.10 on: bounded loops, ring buffers and arrays of maps, nothing newer.
//! Nothing is kept per CPU, for a program can be preempted by another on the same CPU: records are
//! written into their ring reservation, and what does not fit the stack lives in the entry of the
//! thread's own call in flight.
#![no_std]
#![no_main]
// Inline assembly for this target: there is no other way to add atomically.
#![feature(asm_experimental_arch)]

mod binding;
mod call;
mod copy;
mod function;
mod globals;
mod go;
mod hand_over;
mod life;
mod maps;
mod opening;
mod output;
mod position;
mod records;
mod report;
mod role;
mod socket;
mod syscall;
mod thread;
mod tls;
mod walk;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could get here.
    loop {}
}

/// Helpers such as `bpf_probe_read_kernel` are open to programs under this licence only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
