//! What the command says when it cannot do what it is asked to. No kernel needed.

use anyhow::Result;
use wirespan_tests::agent::wirespan;
use wirespan_tests::process::Finished;
use wirespan_tests::{process, tools};

/// Status, and words that the message on standard error must have.
fn assert_says(finished: &Finished, status: i32, words: &[&str]) {
    assert_eq!(finished.status.code(), Some(status), "{}", finished.errors);
    for word in words {
        assert!(
            finished.errors.contains(word),
            "{word:?} is not in: {}",
            finished.errors
        );
    }
    assert!(!finished.errors.contains("panicked"), "{}", finished.errors);
    if status != 0 {
        assert!(
            finished.output.is_empty(),
            "on standard output: {}",
            finished.output
        );
    }
}

#[test]
fn wrong_usage_is_status_2() -> Result<()> {
    assert_says(
        &wirespan(["run", "--no-such-option"])?,
        2,
        &["--no-such-option"],
    );
    assert_says(&wirespan(["no-such-command"])?, 2, &["no-such-command"]);
    assert_says(&wirespan(["replay"])?, 2, &["FILE"]);
    assert_says(
        &wirespan(["run", "--port", "http"])?,
        2,
        &["http", "--port"],
    );
    assert_says(&wirespan(["run", "--output", "xml"])?, 2, &["xml", "json"]);
    Ok(())
}

#[test]
fn help_and_version_are_status_0() -> Result<()> {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["man"],
        &["completions", "bash"],
        &["schema"],
    ] {
        let finished = wirespan(arguments.iter().copied())?;
        assert_says(&finished, 0, &[]);
        assert!(!finished.output.is_empty(), "{arguments:?} prints nothing");
    }
    Ok(())
}

#[test]
fn a_file_that_is_not_there_is_named() -> Result<()> {
    assert_says(
        &wirespan(["replay", "/nonexistent/traffic.wsrec"])?,
        1,
        &["/nonexistent/traffic.wsrec"],
    );
    assert_says(
        &wirespan(["run", "--config", "/nonexistent.toml"])?,
        1,
        &["/nonexistent.toml"],
    );
    Ok(())
}

#[test]
fn a_foreign_file_is_named_with_what_to_give_instead() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("foreign.wsrec");
    std::fs::write(
        &file,
        "\u{7f}ELF and something that is no recording at all".repeat(10),
    )?;
    let name = file.to_string_lossy().into_owned();
    assert_says(
        &wirespan(["replay", &name])?,
        1,
        &[&name, "wirespan record"],
    );
    Ok(())
}

#[test]
fn a_component_that_does_not_load_is_named_with_the_reason() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let capture = empty_pcap(folder.path())?;
    // A core module, a component of nothing, and no WebAssembly at all.
    let module = b"\0asm\x01\0\0\0";
    let component = b"\0asm\x0d\0\x01\0";
    for (name, content) in [
        ("module.wasm", &module[..]),
        ("component.wasm", &component[..]),
        ("text.wasm", b"(component)"),
        ("empty.wasm", b""),
    ] {
        let plugin = folder.path().join(name);
        std::fs::write(&plugin, content)?;
        let plugin = plugin.to_string_lossy();
        assert_says(
            &wirespan(["replay", &capture, "--plugin", &plugin])?,
            1,
            &[&plugin],
        );
    }
    assert_says(
        &wirespan(["replay", &capture, "--plugin", "/nonexistent.wasm"])?,
        1,
        &["/nonexistent.wasm"],
    );
    Ok(())
}

#[test]
fn a_component_for_another_version_of_the_contract_is_refused_by_its_version() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let capture = empty_pcap(folder.path())?;
    let plugin = folder.path().join("future.wasm");
    // Preamble of a component, and the custom section that carries the version.
    let (name, version) = (b"wirespan:parser", b"9.7");
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend([
        0,
        u8::try_from(1 + name.len() + version.len())?,
        u8::try_from(name.len())?,
    ]);
    bytes.extend(name);
    bytes.extend(version);
    std::fs::write(&plugin, bytes)?;
    let plugin = plugin.to_string_lossy();
    assert_says(
        &wirespan(["replay", &capture, "--plugin", &plugin])?,
        1,
        &[&plugin, "9.7", "0.1"],
    );
    Ok(())
}

#[test]
fn missing_privileges_are_named() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    // Nobody may not be able to read where the binary was built.
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let binary = folder.path().join("wirespan");
    std::fs::copy(tools::wirespan()?, &binary)?;
    let user = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
    ]
    .map(String::from);
    let arguments = user.into_iter().chain([
        binary.to_string_lossy().into_owned(),
        "run".into(),
        "--metrics".into(),
        "off".into(),
    ]);
    let finished = process::run(
        folder.path(),
        &tools::program("setpriv")?,
        arguments,
        std::time::Duration::from_secs(30),
    )?;
    assert_says(&finished, 1, &["CAP_BPF"]);
    Ok(())
}

#[test]
fn reading_a_capture_needs_no_privileges() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(()); // Then every other test of a replay has shown it.
    }
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let binary = folder.path().join("wirespan");
    std::fs::copy(tools::wirespan()?, &binary)?;
    let capture = empty_pcap(folder.path())?;
    let user = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
    ]
    .map(String::from);
    let arguments = user.into_iter().chain([
        binary.to_string_lossy().into_owned(),
        "replay".into(),
        capture,
    ]);
    let finished = process::run(
        folder.path(),
        &tools::program("setpriv")?,
        arguments,
        std::time::Duration::from_secs(60),
    )?;
    assert_says(&finished, 0, &[]);
    Ok(())
}

/// A packet capture without a packet.
fn empty_pcap(folder: &std::path::Path) -> Result<String> {
    let mut header = Vec::new();
    header.extend(0xa1b2_c3d4_u32.to_le_bytes());
    header.extend(2_u16.to_le_bytes());
    header.extend(4_u16.to_le_bytes());
    header.extend([0; 8]);
    header.extend(65_535_u32.to_le_bytes());
    header.extend(1_u32.to_le_bytes()); // Ethernet
    let path = folder.join("empty.pcap");
    std::fs::write(&path, header)?;
    Ok(path.to_string_lossy().into_owned())
}
