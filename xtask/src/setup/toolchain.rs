//! The Rust that builds kernel side and parsers, and the tools built with Rust.
//!
//! Two roads lead there. With rustup: the source of the standard library and the wasm32 target,
//! added to the toolchain that builds the host, so that one pinned version builds everything.
//! Where rustup can fetch nothing: Debian's own Rust for the web browsers, which brings `core`
//! for BPF precompiled and its own source. Either needs `RUSTC_BOOTSTRAP`, because the BPF target
//! has no precompiled `core` in rustup, and `-Zbuild-std` is not stable.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Purpose, apt};
use crate::command;
use crate::terminal::{Mark, Terminal, clock};
use crate::workspace::Workspace;

pub(crate) const NAME: &str = "rust for bpf and wasm32";
pub(crate) const WHY: &str = "builds the kernel side and the parsers";
pub(crate) const RUSTUP_COMMANDS: &str =
    "rustup target add wasm32-unknown-unknown && rustup component add rust-src";
pub(crate) const DEBIAN_PACKAGES: &[&str] = &[
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "libstd-rust-web-dev-bpf",
    "rust-web-llvm",
    "lld-22",
];

/// Decides the road by hand: `rustup` or `debian`.
const CHOICE: &str = "WIRESPAN_TOOLCHAIN";
/// rustup retries for minutes where the network swallows its requests.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// The target of the kernel side.
const BPF_TARGET: &str = "bpfel-unknown-none";
/// The target of the parsers: no WASI, so that a component has nothing to import.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Which Rust builds kernel side and parsers.
pub(crate) enum Route {
    /// The toolchain of the host, with this sysroot.
    Rustup(PathBuf),
    /// Debian's, in /usr.
    Debian,
}

impl Route {
    /// The road that is ready to be taken; rustup's first.
    pub(crate) fn ready(workspace: &Workspace) -> Option<Self> {
        let choice = env::var(CHOICE).unwrap_or_default();
        let rustup = || Self::rustup(workspace).filter(|_| choice != "debian");
        let debian = || Self::debian().filter(|_| choice != "rustup");
        rustup().or_else(debian)
    }

    fn rustup(workspace: &Workspace) -> Option<Self> {
        let sysroot = PathBuf::from(command::answer(
            command::command("rustc")
                .args(["--print", "sysroot"])
                .current_dir(workspace.root()),
        )?);
        let rustlib = sysroot.join("lib/rustlib");
        let is_ready = sysroot != Path::new("/usr")
            && rustlib.join(WASM_TARGET).join("lib").is_dir()
            && rustlib.join("src/rust/library/core/src/lib.rs").is_file();
        is_ready.then_some(Self::Rustup(sysroot))
    }

    fn debian() -> Option<Self> {
        let is_ready = Path::new("/usr/bin/rustc").is_file()
            && Path::new("/usr/bin/cargo").is_file()
            && Path::new("/usr/lib/rustlib").join(BPF_TARGET).is_dir()
            && Path::new("/usr/lib/rustlib/src/rust/library").is_dir();
        is_ready.then_some(Self::Debian)
    }

    /// `cargo <subcommand>` for the kernel side.
    pub(crate) fn bpf(&self, subcommand: &str) -> Command {
        let mut cargo = self.cargo();
        cargo.args([subcommand, "--target", BPF_TARGET]);
        if matches!(self, Self::Rustup(_)) {
            cargo.arg("-Zbuild-std=core");
        }
        cargo
    }

    /// `cargo <subcommand>` for parsers.
    pub(crate) fn wasm(&self, subcommand: &str) -> Command {
        let mut cargo = self.cargo();
        cargo.args([subcommand, "--target", WASM_TARGET]);
        if matches!(self, Self::Debian) {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        cargo
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Rustup(_) => "rustup's Rust",
            Self::Debian => "Debian's Rust",
        }
    }

    fn cargo(&self) -> Command {
        let mut cargo = match self {
            Self::Rustup(_) => command::command("cargo"),
            Self::Debian => {
                let mut cargo = command::command("/usr/bin/cargo");
                cargo
                    .env("RUSTC", "/usr/bin/rustc")
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("CARGO");
                cargo
            }
        };
        cargo
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTFLAGS")
            .env("PATH", path_with_tools());
        // bpf-linker loads LLVM from the compiler it was built with: rustup's.
        let library = match self {
            Self::Rustup(sysroot) => Some(sysroot.join("lib")),
            Self::Debian => command::answer(command::command("rustc").args(["--print", "sysroot"]))
                .map(|sysroot| Path::new(&sysroot).join("lib")),
        };
        if let Some(library) = library {
            cargo.env("LD_LIBRARY_PATH", library);
        }
        cargo
    }
}

/// Takes the road that can be taken: rustup's where it can fetch, else Debian's.
pub(crate) fn install(is_debian: bool, workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    let choice = env::var(CHOICE).unwrap_or_default();
    if choice != "debian" && command::find("rustup").is_some() {
        let fetched = rustup(&["target", "add", WASM_TARGET], workspace, terminal)?
            && rustup(&["component", "add", "rust-src"], workspace, terminal)?;
        if fetched && Route::ready(workspace).is_some() {
            return Ok(());
        }
        if choice == "rustup" {
            bail!(
                "rustup could not fetch what is needed, and {CHOICE}=rustup rules out Debian's: unset it"
            );
        }
    }
    if !is_debian {
        bail!(
            "rustup cannot fetch kernel side and parsers need, and this is not Debian 12, whose packages would do: where rustup can fetch, run `{RUSTUP_COMMANDS}`"
        );
    }
    terminal.note(format!(
        "rustup cannot fetch here: Debian's packages {}",
        DEBIAN_PACKAGES.join(" ")
    ));
    apt::install(DEBIAN_PACKAGES, terminal)?;
    if Route::ready(workspace).is_none() {
        bail!(
            "the packages {} are installed and /usr/lib/rustlib still has no {BPF_TARGET}",
            DEBIAN_PACKAGES.join(" ")
        );
    }
    Ok(())
}

fn rustup(arguments: &[&str], workspace: &Workspace, terminal: &Terminal) -> Result<bool> {
    let what = format!("rustup {}", arguments.join(" "));
    let mut rustup = command::command("rustup");
    // In the workspace, rustup changes the toolchain that is in use there.
    rustup.args(arguments).current_dir(workspace.root());
    let finished = command::capture(&what, &mut rustup, Some(RUSTUP_LIMIT), terminal)?;
    let (mark, result) = if finished.status.success() {
        (Mark::Good, clock(finished.elapsed))
    } else if finished.timed_out {
        (Mark::Skipped, "gave no answer in time".to_owned())
    } else {
        let last = finished
            .output
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        (Mark::Skipped, cause(last))
    };
    terminal.done(mark, &what, result);
    Ok(finished.status.success())
}

/// The last, innermost cause of one of rustup's long lines.
fn cause(line: &str) -> String {
    let parts: Vec<&str> = line.split(": ").collect();
    let last = parts
        .get(parts.len().saturating_sub(2)..)
        .unwrap_or_default();
    last.join(": ").trim().to_owned()
}

/// These programs run for seconds and are compiled for minutes: their own profiles ask for the
/// opposite (one unit, optimised as a whole).
const QUICKLY_BUILT: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
];

/// A tool that cargo or rustup installs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    BpfLinker,
    Rustfmt,
    Clippy,
    CargoDeny,
}

/// The line whose LLVM is that of Rust 1.95.
const BPF_LINKER_VERSION: &str = "0.10.3";
/// Builds with Rust 1.95.
const CARGO_DENY_VERSION: &str = "0.20.2";

impl Tool {
    /// The tools that these purposes need.
    pub(crate) fn all(purposes: &[Purpose]) -> impl Iterator<Item = Self> + use<> {
        let is_ci = purposes.contains(&Purpose::Ci);
        [
            Self::BpfLinker,
            Self::Rustfmt,
            Self::Clippy,
            Self::CargoDeny,
        ]
        .into_iter()
        .filter(move |tool| is_ci || *tool == Self::BpfLinker)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BpfLinker => "bpf-linker",
            Self::Rustfmt => "rustfmt",
            Self::Clippy => "clippy",
            Self::CargoDeny => "cargo-deny",
        }
    }

    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::BpfLinker => "links the kernel side (a minute or two to build)",
            Self::Rustfmt => "checks the form of the code",
            Self::Clippy => "checks the code",
            Self::CargoDeny => {
                "checks licences and origin of dependencies (one to three minutes to build)"
            }
        }
    }

    pub(crate) fn how(self) -> String {
        self.command().1
    }

    pub(crate) fn is_there(self) -> bool {
        let path = path_with_tools();
        match self {
            Self::BpfLinker => command::answer(
                command::command("bpf-linker")
                    .arg("--version")
                    .env("PATH", &path)
                    .envs(toolchain_libraries()),
            )
            .is_some_and(|version| version.ends_with(BPF_LINKER_VERSION)),
            Self::Rustfmt => {
                command::succeeds(command::command("cargo").args(["fmt", "--version"]))
            }
            Self::Clippy => {
                command::succeeds(command::command("cargo").args(["clippy", "--version"]))
            }
            Self::CargoDeny => command::succeeds(
                command::command("cargo-deny")
                    .arg("--version")
                    .env("PATH", &path),
            ),
        }
    }

    pub(crate) fn install(self, terminal: &Terminal) -> Result<()> {
        let (mut command, what) = self.command();
        command::step(&what, &mut command, terminal)?;
        Ok(())
    }

    fn command(self) -> (Command, String) {
        let (program, arguments): (&str, &[&str]) = match self {
            Self::BpfLinker => (
                "cargo",
                &[
                    "install",
                    "bpf-linker",
                    "--locked",
                    "--version",
                    BPF_LINKER_VERSION,
                ],
            ),
            Self::CargoDeny => (
                "cargo",
                &[
                    "install",
                    "cargo-deny",
                    "--locked",
                    "--version",
                    CARGO_DENY_VERSION,
                ],
            ),
            Self::Rustfmt => ("rustup", &["component", "add", "rustfmt"]),
            Self::Clippy => ("rustup", &["component", "add", "clippy"]),
        };
        let mut command = command::command(program);
        // A target directory of its own: sharing ours would rebuild what both use with other features.
        command.args(arguments).env_remove("CARGO_TARGET_DIR");
        command.envs(QUICKLY_BUILT);
        (command, format!("{program} {}", arguments.join(" ")))
    }
}

/// PATH, and where cargo installs programs, which need not be in it.
pub(crate) fn path_with_tools() -> std::ffi::OsString {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(home.map(|home| home.join("bin")));
    env::join_paths(directories).unwrap_or(path)
}

fn toolchain_libraries() -> Option<(&'static str, PathBuf)> {
    let sysroot = command::answer(command::command("rustc").args(["--print", "sysroot"]))?;
    Some(("LD_LIBRARY_PATH", Path::new(&sysroot).join("lib")))
}
