//! From bytes to a parser that can be instantiated.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use wasmparser::{Encoding, Payload};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};
use wirespan_contract::{VERSION, VERSION_SECTION};

use crate::bindings::ParserPre;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::instance::{Guest, Instance};
use crate::limits::COMPONENT_BYTES;
use crate::manifest::{Manifest, ManifestError};
use crate::pattern::Pattern;

/// Why a component is not loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot load the parser {name}: {reason}")]
pub struct LoadError {
    /// The file, or the name the parser is built in under.
    pub name: String,
    pub reason: LoadReason,
}

/// Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadReason {
    #[error(
        "it has {0} bytes, the limit is {COMPONENT_BYTES}: build it in release mode and strip it"
    )]
    Size(usize),
    #[error(
        "it is not WebAssembly ({0}): give a component, the .wasm file that the parser's build makes"
    )]
    Foreign(String),
    #[error(
        "it is a core module, not a component: build it with the parser template, or convert it with `wasm-tools component new`"
    )]
    Module,
    #[error(
        "it does not say for which contract version it was built (custom section `{VERSION_SECTION}`): build it with the Wirespan SDK"
    )]
    Unstamped,
    #[error(
        "it was built for contract version {0:?}, this program knows {VERSION:?}: use a parser built for that version, or another wirespan"
    )]
    Version(String),
    #[error(
        "it imports {0}, and a parser may import nothing: leave WASI and host functions out (target wasm32-unknown-unknown)"
    )]
    Import(String),
    #[error("it does not compile: {0}; build it again")]
    Compile(String),
    #[error(
        "it is not a parser of contract version {VERSION}: {0}; build it with the Wirespan SDK"
    )]
    Exports(String),
    #[error(
        "it fails when it is asked what it is: {0}; this is a defect of the parser, tell its author"
    )]
    Describe(String),
    #[error("its manifest is not valid: {0}; this is a defect of the parser, tell its author")]
    Manifest(#[from] ManifestError),
}

/// A loaded parser; what runs are its instances.
pub struct Parser {
    manifest: Manifest,
    pub(crate) pre: ParserPre<Guest>,
    pub(crate) patterns: Vec<Pattern>,
    /// `name@version`.
    pub(crate) label: Arc<str>,
    pub(crate) protocols: Vec<Arc<str>>,
    /// Set for good, and for every worker, after too many faults.
    pub(crate) disabled: AtomicBool,
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl Parser {
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// `name@version`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

pub(crate) fn load(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Arc<Parser>, LoadError> {
    examine(engine, bytes)
        .map(Arc::new)
        .map_err(|reason| LoadError {
            name: name.to_owned(),
            reason,
        })
}

fn examine(engine: &Engine, bytes: &[u8]) -> Result<Parser, LoadReason> {
    if bytes.len() > COMPONENT_BYTES {
        return Err(LoadReason::Size(bytes.len()));
    }
    check_version(bytes)?;
    let component = engine
        .compile(bytes)
        .map_err(|e| LoadReason::Compile(format!("{e:#}")))?;
    check_imports(engine, &component)?;
    let exports = |e: wasmtime::Error| LoadReason::Exports(format!("{e:#}"));
    let pre = Linker::new(&engine.engine)
        .instantiate_pre(&component)
        .and_then(ParserPre::new)
        .map_err(exports)?;
    let described =
        Instance::start(engine, &pre, &engine.limits).and_then(|mut instance| instance.describe());
    let described = described.map_err(|fault| LoadReason::Describe(describe_fault(&fault)))?;
    let manifest = Manifest::new(described)?;
    let patterns = manifest.patterns.clone();
    let label = format!("{}@{}", manifest.name, manifest.version).into();
    let protocols = manifest
        .protocols
        .iter()
        .map(|name| Arc::from(name.as_str()))
        .collect();
    Ok(Parser {
        manifest,
        pre,
        patterns,
        label,
        protocols,
        disabled: AtomicBool::new(false),
    })
}

fn describe_fault(fault: &Fault) -> String {
    fault.to_string()
}

/// Reads the version stamp before anything is compiled. It may stand in a core module inside the
/// component, where a linker puts it.
fn check_version(bytes: &[u8]) -> Result<(), LoadReason> {
    let mut stamp: Option<&[u8]> = None;
    for (index, payload) in wasmparser::Parser::new(0).parse_all(bytes).enumerate() {
        match payload.map_err(|e| LoadReason::Foreign(first_line(e.message())))? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if index == 0 => return Err(LoadReason::Module),
            Payload::CustomSection(section) if section.name() == VERSION_SECTION => {
                // A component composed of several has several stamps; they must agree.
                let data = section.data();
                match stamp {
                    Some(earlier) if earlier != data => return Err(unknown(data)),
                    _ => stamp = Some(data),
                }
            }
            _ => {}
        }
    }
    match stamp {
        None => Err(LoadReason::Unstamped),
        Some(stamp) if stamp == VERSION.as_bytes() => Ok(()),
        Some(stamp) => Err(unknown(stamp)),
    }
}

fn unknown(stamp: &[u8]) -> LoadReason {
    let shown = stamp.get(..32).unwrap_or(stamp);
    LoadReason::Version(String::from_utf8_lossy(shown).into_owned())
}

/// Only the contract's own types may be imported: they are no code and need nothing from the host.
fn check_imports(engine: &Engine, component: &Component) -> Result<(), LoadReason> {
    for (name, item) in component.component_type().imports(&engine.engine) {
        let types_only = match &item.ty {
            ComponentItem::ComponentInstance(instance) => instance
                .exports(&engine.engine)
                .all(|(_, item)| matches!(item.ty, ComponentItem::Type(_))),
            ComponentItem::Type(_) => true,
            _ => false,
        };
        if !types_only {
            return Err(LoadReason::Import(name.to_owned()));
        }
    }
    Ok(())
}
/// What follows it is the bytes in question.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.split(':').next().unwrap_or_default().to_owned()
}
