//! The first process of a virtual machine that holds nothing but a kernel, the agent and this.
//!
//! It starts the agent, has one HTTP exchange take place between two more processes, stops the
//! agent, prints what came of it between marks on the serial console, and turns the machine off.

mod exchange;
mod machine;
mod marks;

use std::env;
use std::process;

fn main() {
    let role = env::args().nth(1);
    let result = match role.as_deref() {
        Some("serve") => exchange::serve(),
        Some("fetch") => exchange::fetch(),
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
