//! Brings a fresh machine to building and testing, and says what it does and why.

mod apt;
mod need;
pub(crate) mod toolchain;

use std::fs;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::command;
use crate::terminal::{Mark, Terminal};
use crate::workspace::Workspace;
pub(crate) use need::Purpose;
use need::{NEEDS, Need};
use toolchain::{Route, Tool};

/// What to set up, beyond what building and testing need.
#[derive(Args)]
pub(crate) struct Options {
    /// Only say what is missing; exit status 1 when something is
    #[arg(long)]
    check: bool,
    /// Also what .ci/run needs: rustfmt, clippy, cargo-deny
    #[arg(long)]
    ci: bool,
    /// Also what `cargo xtask kernels` needs: qemu
    #[arg(long)]
    kernels: bool,
}

/// The whole of `cargo xtask setup`.
pub(crate) fn run(
    options: &Options,
    workspace: &Workspace,
    terminal: &Terminal,
) -> Result<ExitCode> {
    let mut purposes = vec![Purpose::Build, Purpose::Test, Purpose::Bench];
    if options.ci {
        purposes.push(Purpose::Ci);
    }
    if options.kernels {
        purposes.push(Purpose::Kernels);
    }
    terminal.title("setup");
    let missing = Missing::look(&purposes, workspace);
    missing.show_present(&purposes, workspace, terminal);
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if options.check {
        missing.show(terminal);
        terminal.line("");
        terminal.line("`cargo xtask setup` installs what is missing.");
        return Ok(ExitCode::FAILURE);
    }
    install(&missing, workspace, terminal)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that what `purpose` needs is there; silent when it is.
pub(crate) fn ensure(purpose: Purpose, workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    let mut purposes = vec![Purpose::Build];
    if purpose != Purpose::Build {
        purposes.push(purpose);
    }
    let missing = Missing::look(&purposes, workspace);
    if missing.is_empty() {
        return Ok(());
    }
    terminal.title("setup");
    install(&missing, workspace, terminal)
}

/// What is not there.
struct Missing {
    needs: Vec<&'static Need>,
    /// No toolchain for kernel side and parsers.
    toolchain: bool,
    tools: Vec<Tool>,
}

impl Missing {
    fn look(purposes: &[Purpose], workspace: &Workspace) -> Self {
        Self {
            needs: NEEDS
                .iter()
                .filter(|need| need.is_for(purposes) && !need.is_there())
                .collect(),
            toolchain: Route::ready(workspace).is_none(),
            tools: Tool::all(purposes)
                .filter(|tool| !tool.is_there())
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.needs.is_empty() && !self.toolchain && self.tools.is_empty()
    }

    fn show_present(&self, purposes: &[Purpose], workspace: &Workspace, terminal: &Terminal) {
        for need in NEEDS
            .iter()
            .filter(|need| need.is_for(purposes) && need.is_there())
        {
            terminal.done(Mark::Good, need.name, need.why);
        }
        if let Some(route) = Route::ready(workspace) {
            terminal.done(
                Mark::Good,
                format!("{} ({})", toolchain::NAME, route.describe()),
                toolchain::WHY,
            );
        }
        for tool in Tool::all(purposes).filter(|tool| !self.tools.contains(tool)) {
            terminal.done(Mark::Good, tool.name(), tool.why());
        }
    }

    fn show(&self, terminal: &Terminal) {
        for need in &self.needs {
            terminal.done(Mark::Bad, need.name, need.why);
            terminal.note(format!(
                "Debian 12: apt-get install {}",
                need.packages.join(" ")
            ));
        }
        if self.toolchain {
            terminal.done(Mark::Bad, toolchain::NAME, toolchain::WHY);
            terminal.note(format!("rustup: {}", toolchain::RUSTUP_COMMANDS));
            terminal.note(format!(
                "or Debian 12: apt-get install {}",
                toolchain::DEBIAN_PACKAGES.join(" ")
            ));
        }
        for tool in &self.tools {
            terminal.done(Mark::Bad, tool.name(), tool.why());
            terminal.note(tool.how());
        }
    }
}

fn install(missing: &Missing, workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    let is_known = is_debian_12();
    if !is_known && !missing.needs.is_empty() {
        missing.show(terminal);
        bail!(
            "this is not Debian 12, the only system this command can set up: install what is listed above, then try again"
        );
    }
    let packages: Vec<&str> = missing
        .needs
        .iter()
        .flat_map(|need| need.packages.iter().copied())
        .collect();
    if !packages.is_empty() {
        for need in &missing.needs {
            terminal.note(format!(
                "{} ({}): {}",
                need.name,
                need.packages.join(" "),
                need.why
            ));
        }
        terminal.note("servers among them are neither started nor enabled");
        apt::install(&packages, terminal)?;
    }
    if missing.toolchain {
        terminal.note(format!("{}: {}", toolchain::NAME, toolchain::WHY));
        toolchain::install(is_known, workspace, terminal)?;
    }
    for tool in &missing.tools {
        terminal.note(format!("{}: {}", tool.name(), tool.why()));
        tool.install(terminal)?;
    }
    if let Some(need) = missing.needs.iter().find(|need| !need.is_there()) {
        bail!(
            "{} was installed with {} and still does not work: see whether another program of that name comes first in PATH",
            need.name,
            need.packages.join(" ")
        );
    }
    Ok(())
}

fn is_debian_12() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let has = |wanted: &str| release.lines().any(|line| line.replace('"', "") == wanted);
    has("ID=debian") && has("VERSION_ID=12") && command::find("apt-get").is_some()
}
