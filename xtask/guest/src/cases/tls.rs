//! HTTP over TLS: between OpenSSL's own programs, which are linked to its library, and between programs made
//! by Go, which have one of their own.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

use crate::exchange::wait_for;
use crate::plan::GO;

const OPENSSL: &str = "/usr/bin/openssl";
const ADDRESS: &str = "127.0.0.1:8443";
const CONFIGURATION: &str = "/tmp/openssl.cnf";
pub(crate) const KEY: &str = "/tmp/key.pem";
pub(crate) const CERTIFICATE: &str = "/tmp/certificate.pem";

/// Makes [`CERTIFICATE`], which signs itself, and its [`KEY`].
pub(crate) fn make_certificate() -> Result<()> {
    fs::write(
        CONFIGURATION,
        "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = localhost\n",
    )?;
    let made = openssl(&[
        "req",
        "-x509",
        "-config",
        CONFIGURATION,
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        KEY,
        "-out",
        CERTIFICATE,
    ])
    .stderr(Stdio::piped())
    .output()?;
    ensure!(made.status.success(), "no certificate: {}", said(&made));
    Ok(())
}

pub(super) fn run() -> Result<()> {
    make_certificate()?;
    let mut server = openssl(&[
        "s_server",
        "-accept",
        ADDRESS,
        "-cert",
        CERTIFICATE,
        "-key",
        KEY,
        "-www",
        "-quiet",
    ])
    .spawn()?;
    let asked = wait_for(ADDRESS).and_then(|()| ask());
    server.kill()?;
    server.wait()?;
    asked
}

fn ask() -> Result<()> {
    let mut client = openssl(&["s_client", "-connect", ADDRESS, "-quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Kept open: its end would end the client before the answer is there.
    let mut input = client.stdin.take().context("a pipe")?;
    input.write_all(b"GET /tls HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let answer = client.wait_with_output()?;
    drop(input);
    let text = String::from_utf8_lossy(&answer.stdout);
    ensure!(
        text.starts_with("HTTP/1.0 200"),
        "the server answered {text:?}; {}",
        said(&answer)
    );
    Ok(())
}

/// The server runs already.
pub(super) fn go() -> Result<()> {
    let client = Command::new(GO).arg("fetch").output()?;
    ensure!(
        client.status.success(),
        "the client ended with {}: {}",
        client.status,
        said(&client)
    );
    Ok(())
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new(OPENSSL);
    command
        .args(arguments)
        .env("OPENSSL_CONF", CONFIGURATION)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
