//! The first process of a virtual machine that holds nothing but a kernel, the agent and this.
//!
//! It starts the agent, has each case take place in processes of their own, stops the agent, prints
//! what came of it between marks on the serial console, and turns the machine off. Where the kernel's
//! command line says so, it counts what being watched costs nginx instead.

mod cases;
mod cost;
mod exchange;
mod machine;
mod marks;
#[expect(
    dead_code,
    reason = "what is to come of a case is for the reader of the console"
)]
mod plan;

use std::env;
use std::process;

fn main() {
    let role = env::args().nth(1);
    let result = match role.as_deref() {
        Some("serve") => exchange::serve(),
        Some("fetch") => exchange::fetch(),
        Some("case") => cases::run(&env::args().nth(2).unwrap_or_default()),
        _ if process::id() == 1 => machine::run(),
        _ => Err(anyhow::anyhow!(
            "this is the first process of a virtual machine: see `cargo xtask kernels`"
        )),
    };
    if let Err(error) = result {
        eprintln!("guest: {error:#}");
        process::exit(1);
    }
}
