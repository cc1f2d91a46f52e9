//! What is not a parser is refused with its name, the reason and what to do.

use std::fs;

use crate::bench::{Guest, add_section, encode};
use wirespan_runtime::{Engine, EngineConfig};

#[test]
fn a_component_is_loaded_and_its_code_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let bytes = Guest::default().component();
    for _ in 0..2 {
        let engine = Engine::new(&EngineConfig {
            cache: Some(cache.clone()),
            ..EngineConfig::default()
        })
        .unwrap();
        let parser = engine.load("test.wasm", &bytes).unwrap();
        assert_eq!(parser.label(), "test@1.0.0");
        assert_eq!(parser.manifest().protocols, ["test"]);
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
    }
}

#[test]
fn what_is_not_a_parser_is_refused_with_its_name_the_reason_and_what_to_do() {
    let stamped = |wat: &str| {
        let mut bytes = wat::parse_str(wat).unwrap();
        add_section(&mut bytes, "wirespan:parser", b"0.1");
        bytes
    };
    let importing =
        r#"(component (import "wasi:cli/stdout@0.2.0" (instance (export "get" (func)))))"#;
    let guest = |describe, start, name| {
        Guest {
            describe,
            start,
            name,
            ..Guest::default()
        }
        .component()
    };
    let table: [(Vec<u8>, &str, &str); 12] = [
        (
            b"#!/bin/sh\n".to_vec(),
            "not WebAssembly",
            "give a component",
        ),
        (Vec::new(), "not WebAssembly", "give a component"),
        (
            wat::parse_str("(module)").unwrap(),
            "a core module",
            "wasm-tools component new",
        ),
        (
            Guest {
                stamp: None,
                ..Guest::default()
            }
            .component(),
            "does not say",
            "Wirespan SDK",
        ),
        (
            Guest {
                stamp: Some("9.7"),
                ..Guest::default()
            }
            .component(),
            "\"9.7\"",
            "another wirespan",
        ),
        (
            stamped(importing),
            "imports wasi:cli/stdout@0.2.0",
            "leave WASI",
        ),
        (
            stamped("(component)"),
            "not a parser of contract version",
            "Wirespan SDK",
        ),
        (
            guest("unreachable", "", "test"),
            "it trapped",
            "tell its author",
        ),
        (
            guest("(loop $x (br $x))", "", "test"),
            "more CPU time",
            "tell its author",
        ),
        (
            guest("", "unreachable", "test"),
            "it trapped",
            "tell its author",
        ),
        (
            guest("", "(loop $x (br $x))", "test"),
            "more CPU time",
            "tell its author",
        ),
        (guest("", "", "Test"), "name \"Test\"", "tell its author"),
    ];
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    for (bytes, reason, remedy) in table {
        let error = engine
            .load("plugins/some.wasm", &bytes)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot load the parser plugins/some.wasm: "),
            "{error}"
        );
        assert!(
            error.contains(reason) && error.contains(remedy),
            "{reason:?}, {remedy:?}: {error}"
        );
    }
}

#[test]
fn every_prefix_of_a_component_is_refused() {
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    let bytes = Guest::default().component();
    for length in (0..bytes.len()).step_by(97) {
        assert!(
            engine.load("cut.wasm", &bytes[..length]).is_err(),
            "{length}"
        );
    }
}

#[test]
fn a_stamp_inside_a_core_module_counts() {
    let text = crate::bench::GUEST
        .replace("$NAME_LEN", "4")
        .replace("$NAME", "test")
        .replace("$DESCRIBE", "")
        .replace("$START", "")
        .replace(
            "(memory (export",
            "(@custom \"wirespan:parser\" \"0.1\") (memory (export",
        );
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    assert!(engine.load("inner.wasm", &encode(&text)).is_ok());
}
