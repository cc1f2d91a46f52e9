//! Packages of Debian 12.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::command;
use crate::terminal::Terminal;

/// Debian starts a server when it installs it, and again when the machine does; of PostgreSQL it
/// makes a cluster. The tests start their own, on free ports and in folders of their own; so none
/// is started, enabled or made of what was not installed before, unless this machine has a policy
/// of its own.
const QUIETLY: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
quietly() {
    DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}
new=
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' ||
        new="$new $package"
    case $package in
    postgresql-*)
        clusters=/etc/postgresql-common/createcluster.conf
        if [ ! -e "$clusters" ]; then
            quietly postgresql-common || exit
            sed -i 's/^#* *create_main_cluster *=.*/create_main_cluster = false/' "$clusters"
        fi
        ;;
    esac
done
quietly "$@" || exit
for package in $new; do
    if [ -e "/lib/systemd/system/$package.service" ]; then
        systemctl disable "$package.service" || true
    fi
done
"#;

/// Installs packages; refreshes the package lists only when it cannot be done without.
pub(crate) fn install(packages: &[&str], terminal: &Terminal) -> Result<()> {
    let what = format!("apt-get install ({} packages)", packages.len());
    let known = packages.iter().all(|package| {
        command::succeeds(Command::new("apt-cache").args(["show", "--no-all-versions", package]))
    });
    if known {
        let mut first = privileged("sh", packages)?;
        let finished = command::capture(
            &what,
            install_arguments(&mut first, packages),
            None,
            terminal,
        )?;
        if finished.status.success() {
            terminal.done(crate::terminal::Mark::Good, &what, packages.join(" "));
            return Ok(());
        }
    }
    let mut update = privileged("apt-get", packages)?;
    command::step("apt-get update", update.arg("update"), terminal)?;
    let mut second = privileged("sh", packages)?;
    command::step(&what, install_arguments(&mut second, packages), terminal)?;
    Ok(())
}

fn install_arguments<'a>(command: &'a mut Command, packages: &[&str]) -> &'a mut Command {
    command.args(["-c", QUIETLY, "sh"]).args(packages)
}

/// A command with the rights to install: as root, else through sudo, which may ask for a password.
fn privileged(program: &str, packages: &[&str]) -> Result<Command> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if is_root {
        return Ok(command::command(program));
    }
    if command::find("sudo").is_none() {
        bail!(
            "installing packages needs root, and there is no sudo: as root, run `apt-get install {}`, then try again",
            packages.join(" ")
        );
    }
    let mut sudo = command::command("sudo");
    sudo.arg(program).stdin(Stdio::inherit());
    Ok(sudo)
}
