//! Builds the kernel side, the parsers, and the host programs that embed both.

mod artefact;
mod component;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::setup::toolchain::{Route, WASM_TARGET};
use crate::terminal::{Mark, Terminal, clock};
use crate::workspace::Workspace;
use artefact::{Artefact, size};

/// A call costs more in a component than natively: each function begins with a look at the stack and at
/// the time that is left. Inlining six times as much as usual takes up to 7 % off a call of a parser.
const INLINE_MORE: &str = "llvm-args=-inline-threshold=1500";

/// Everything that `cargo xtask build` makes.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    terminal.title("build");
    artefacts(workspace, terminal)?;
    // All of the workspace, here and for the tests: with another choice of packages cargo chooses other
    // features for what they share, and compiles wasmtime once more.
    let mut cargo = host("build", workspace);
    command::step("host programs", cargo.arg("--workspace"), terminal)?;
    let program = workspace.programs().join("wirespan");
    if let Ok(metadata) = program.metadata() {
        terminal.note(format!("{} ({})", program.display(), size(metadata.len())));
    }
    Ok(())
}

/// `cargo <subcommand> --release` for the host, in the one profile and target directory that is
/// used for everything, so that wasmtime is compiled once.
pub(crate) fn host(subcommand: &str, workspace: &Workspace) -> Command {
    let mut cargo = command::command("cargo");
    cargo
        .args([subcommand, "--release"])
        .current_dir(workspace.root());
    if workspace.target() != workspace.root().join("target") {
        cargo.env("WIRESPAN_ARTEFACTS", workspace.artefacts());
    }
    cargo
}

fn artefacts(workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    let Some(route) = Route::ready(workspace) else {
        bail!("no Rust for the kernel side and the parsers is installed: run `cargo xtask setup`");
    };
    let directory = workspace.artefacts();
    fs::create_dir_all(&directory)
        .with_context(|| format!("{} cannot be made", directory.display()))?;
    let mut made = vec![probes(&route, workspace, terminal)?];
    for parser in workspace.parsers()? {
        made.push(parser_component(&parser, &route, workspace, terminal)?);
    }
    artefact::remove_others(&directory, &made)
}

fn probes(route: &Route, workspace: &Workspace, terminal: &Terminal) -> Result<PathBuf> {
    let target = workspace.target().join("bpf");
    let mut cargo = route.bpf("build");
    cargo
        .args(["--release", "--locked"])
        .current_dir(workspace.root().join("bpf/probes"))
        .env("CARGO_TARGET_DIR", &target);
    let what = "bpf/probes → probes.o";
    let finished = build(what, &mut cargo, route, terminal)?;
    let object = target.join("bpfel-unknown-none/release/probes");
    let bytes = fs::read(&object).with_context(|| format!("{} was not made", object.display()))?;
    Artefact::new(workspace.artefacts().join("probes.o"), bytes).store(what, finished, terminal)
}

fn parser_component(
    name: &str,
    route: &Route,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<PathBuf> {
    let target = workspace.target().join("wasm");
    let crate_name = format!("wirespan-parser-{name}");
    // Only the last step compiles to machine code, of all crates together: the flags count there alone.
    let mut cargo = route.wasm("rustc");
    cargo
        .args(["--profile", "parser", "--lib", "--package", &crate_name])
        .args(["--", "-C", INLINE_MORE])
        .current_dir(workspace.root())
        .env("CARGO_TARGET_DIR", &target);
    let what = format!("parsers/{name} → {name}.wasm");
    let finished = build(&what, &mut cargo, route, terminal)?;
    let module = target
        .join(WASM_TARGET)
        .join("parser")
        .join(format!("{}.wasm", crate_name.replace('-', "_")));
    let module = fs::read(&module).with_context(|| format!("{} was not made", module.display()))?;
    let component =
        component::encode(&module).with_context(|| format!("parsers/{name} is not a parser"))?;
    Artefact::new(
        workspace.artefacts().join(format!("{name}.wasm")),
        component,
    )
    .store(&what, finished, terminal)
}

fn build(what: &str, cargo: &mut Command, route: &Route, terminal: &Terminal) -> Result<String> {
    let finished = command::capture(what, cargo, None, terminal)?;
    if finished.status.success() {
        return Ok(clock(finished.elapsed));
    }
    terminal.done(Mark::Bad, what, finished.status);
    command::show_output(&finished, terminal);
    bail!("{what} could not be built with {}", route.describe())
}
