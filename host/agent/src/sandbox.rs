//! The engine and the parsers that a configuration asks for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wirespan_capture::Clock;
use wirespan_route::Routes;
use wirespan_runtime::{
    Engine, EngineConfig, Limits, Origin, Parser, Parsers, RuntimeCounters, Worker,
};
use wirespan_span::{RedactConfig, Redactor};
use wirespan_stream::Connections;

use crate::artefacts::Artefacts;
use crate::config::Config;
use crate::enrich::Enricher;
use crate::error::AgentError;
use crate::lane::Lane;

/// What every lane shares.
pub struct Sandbox {
    engine: Arc<Engine>,
    parsers: Arc<Parsers>,
    limits: Limits,
    counters: Arc<RuntimeCounters>,
    routes: Arc<Routes>,
}

impl Sandbox {
    /// Loads the built-in parsers, then the plugins.
    ///
    /// # Errors
    /// When a parser cannot be loaded: its name, why, and what to do.
    pub fn new(config: &Config, artefacts: &Artefacts) -> Result<Self, AgentError> {
        let cache = config.parsers.cache.clone().or_else(default_cache);
        let engine = Engine::new(&EngineConfig {
            cache,
            ..EngineConfig::default()
        })
        .map_err(|e| AgentError::Engine(e.to_string()))?;
        let mut parsers = Vec::new();
        for artefact in artefacts.parsers()? {
            parsers.push((
                load(&engine, &artefact.name, &artefact.bytes)?,
                Origin::BuiltIn,
            ));
        }
        for path in &config.parsers.plugins {
            parsers.push((load_plugin(&engine, path)?, Origin::Plugin));
        }
        let chosen = &config.parsers.protocols;
        if !chosen.is_empty() {
            let known: Vec<String> = parsers
                .iter()
                .flat_map(|(p, _)| p.manifest().protocols.clone())
                .collect();
            if let Some(unknown) = chosen.iter().find(|name| !known.contains(name)) {
                return Err(AgentError::Setting {
                    setting: "protocol",
                    value: unknown.clone(),
                    reason: format!("no parser has it; there are {}", known.join(", ")),
                });
            }
            parsers.retain(|(p, _)| {
                p.manifest()
                    .protocols
                    .iter()
                    .any(|name| chosen.contains(name))
            });
        }
        let counters = Arc::new(RuntimeCounters::default());
        Ok(Self {
            engine,
            parsers: Arc::new(Parsers::new(parsers)),
            limits: Limits::default(),
            counters,
            routes: Arc::default(),
        })
    }

    #[must_use]
    pub fn counters(&self) -> &Arc<RuntimeCounters> {
        &self.counters
    }

    /// Names and versions of the parsers, in order of precedence.
    #[must_use]
    pub fn parsers(&self) -> &Parsers {
        &self.parsers
    }

    /// A lane for one thread.
    ///
    /// # Errors
    /// When a parser cannot be instantiated.
    pub fn lane(
        &self,
        clock: Clock,
        host_name: Option<&str>,
        config: &Config,
    ) -> Result<Lane, AgentError> {
        let worker = Worker::new(
            Arc::clone(&self.engine),
            Arc::clone(&self.parsers),
            clock,
            self.limits.clone(),
            Arc::clone(&self.counters),
        );
        let redactor = Redactor::new(RedactConfig {
            parameters: config.spans.redact_parameters.clone(),
            unredacted: config.spans.unredacted,
        });
        Ok(Lane::new(
            Connections::default(),
            worker,
            Enricher::new(host_name),
            config
                .spans
                .route_templates
                .then(|| Arc::clone(&self.routes)),
            redactor,
        )
        .only(&config.parsers.protocols))
    }
}

/// A component is small; what is larger than this is something else.
const MAX_PLUGIN_BYTES: u64 = 64 << 20;

fn load_plugin(engine: &Engine, path: &Path) -> Result<Arc<Parser>, AgentError> {
    let error = |reason: String| {
        AgentError::Parser(format!(
            "cannot load the parser {}: {reason}",
            path.display()
        ))
    };
    let length = fs::metadata(path).map_err(|e| error(e.to_string()))?.len();
    if length > MAX_PLUGIN_BYTES {
        return Err(error(format!(
            "it has {length} bytes; a parser has at most {MAX_PLUGIN_BYTES}"
        )));
    }
    let bytes = fs::read(path).map_err(|e| error(e.to_string()))?;
    load(engine, &path.display().to_string(), &bytes)
}

fn load(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Arc<Parser>, AgentError> {
    engine
        .load(name, bytes)
        .map_err(|e| AgentError::Parser(e.to_string()))
}

/// `$XDG_CACHE_HOME/wirespan`, `~/.cache/wirespan`, or for a service `/var/cache/wirespan`.
fn default_cache() -> Option<PathBuf> {
    let directory = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    directory("CACHE_DIRECTORY")
        .or_else(|| directory("XDG_CACHE_HOME").map(|d| d.join("wirespan")))
        .or_else(|| directory("HOME").map(|d| d.join(".cache/wirespan")))
}
