//! The engine: how guest code is compiled and bounded, shared by all workers.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::component::Component;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, ProfilingStrategy};

use crate::cache::Cache;
use crate::limits::{self, Limits};
use crate::load::{self, LoadError, Parser};
use crate::ticker::Ticker;

/// How to set an engine up.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// Directory for compiled code, made if it is not there. Without one each start compiles anew.
    pub cache: Option<PathBuf>,
    pub limits: Limits,
    /// Write `/tmp/perf-PID.map` with the names of compiled functions, for `perf report`.
    pub perf_map: bool,
}

/// Why there is no engine. The message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "the WebAssembly engine does not start: {0}; check the memory limit (ulimit -v) of this process"
    )]
    Start(String),
    #[error(
        "no thread for the deadlines of parsers: {0}; raise the limit on threads of this process"
    )]
    Thread(#[from] std::io::Error),
}

/// Compiles and instantiates parsers.
pub struct Engine {
    // Before the engine, so that its thread is gone first.
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) engine: wasmtime::Engine,
    pub(crate) limits: Limits,
    /// Linear memory of all instances.
    pub(crate) memory: Arc<AtomicUsize>,
    cache: Option<Cache>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// # Errors
    /// When the address space or a thread for the engine cannot be had. A cache directory that
    /// cannot be used is logged and done without.
    pub fn new(config: &EngineConfig) -> Result<Arc<Self>, EngineError> {
        let mut settings = settings().map_err(start)?;
        if config.perf_map {
            settings.profiler(ProfilingStrategy::PerfMap);
        }
        let engine = wasmtime::Engine::new(&settings).map_err(start)?;
        let ticker = Arc::new(Ticker::start(engine.weak())?);
        let cache = config.cache.as_deref().and_then(|directory| {
            Cache::open(directory, &engine)
                .inspect_err(|e| tracing::warn!("compiled parsers are not kept: {e}"))
                .ok()
        });
        let memory = Arc::new(AtomicUsize::new(0));
        Ok(Arc::new(Self {
            ticker,
            engine,
            limits: config.limits.clone(),
            memory,
            cache,
        }))
    }

    /// Loads a component. `name` stands for it in messages: its file, or the name it is built in under.
    ///
    /// # Errors
    /// When it is not a component that can be this parser; the message names it, why, and what to do.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Arc<Parser>, LoadError> {
        load::load(self, name, bytes)
    }

    /// Linear memory of all instances, in bytes.
    #[must_use]
    pub fn guest_memory_bytes(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    pub(crate) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        match &self.cache {
            Some(cache) => cache.component(&self.engine, bytes),
            None => Component::from_binary(&self.engine, bytes),
        }
    }
}

fn start(error: wasmtime::Error) -> EngineError {
    EngineError::Start(format!("{error:#}"))
}

fn settings() -> wasmtime::Result<Config> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits::INSTANCES)
        .total_core_instances(limits::INSTANCES * 4)
        .total_memories(limits::INSTANCES)
        .total_tables(limits::INSTANCES * 4)
        .max_core_instances_per_component(limits::CORE_INSTANCES)
        .max_memories_per_component(limits::MEMORIES)
        .max_tables_per_component(limits::TABLES)
        .max_memory_size(limits::MEMORY_BYTES)
        .table_elements(limits::TABLE_ELEMENTS)
        // Instances live long; a slot that is given up gives its memory back.
        .max_unused_warm_slots(0);
    let mut config = Config::new();
    config
        .target(concat_target())?
        .wasm_component_model(true)
        // Costs a call 500 ns more, and parsers are synchronous.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(limits::STACK_BYTES)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        // Two parsers side by side must not differ by machine.
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_max_frames(None);
    Ok(config)
}

/// Naming the target, even the host's own, keeps the features of this CPU out of the code, so that
/// a cache on a shared disk or in an image serves every node.
const fn concat_target() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "aarch64-unknown-linux-gnu"
    } else {
        "x86_64-unknown-linux-gnu"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::hash::{DefaultHasher, Hash, Hasher};

    /// What compiled code says of the instructions that it may use: names and values as wasmtime writes
    /// them down, a length before the name, and a 2 for a truth value behind it.
    fn features(settings: &Config) -> BTreeMap<String, bool> {
        let engine = wasmtime::Engine::new(settings).unwrap();
        let wasm = wat::parse_str("(component)").unwrap();
        let code = Component::from_binary(&engine, &wasm).unwrap();
        let code = code.serialize().unwrap();
        let flags = code
            .windows(4)
            .enumerate()
            .filter(|(_, at)| **at == *b"has_");
        let read = |(at, _)| {
            let len = usize::from(*code.get(at - 1)?);
            let name = std::str::from_utf8(code.get(at..at + len)?).ok()?;
            match code.get(at + len..at + len + 2)? {
                [2, value @ (0 | 1)] => Some((name.to_owned(), *value == 1)),
                _ => None,
            }
        };
        flags.filter_map(read).collect()
    }

    fn hash(settings: &Config) -> u64 {
        let engine = wasmtime::Engine::new(settings).unwrap();
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn code_is_compiled_for_every_cpu_of_the_architecture() {
        let ours = features(&settings().unwrap());
        assert!(ours.len() > 3, "no features are found: {ours:?}");
        let used: Vec<_> = ours.iter().filter(|(_, has)| **has).collect();
        assert!(used.is_empty(), "for some CPUs only: {used:?}");
    }

    /// The check above would notice, and entries of the cache would not be mixed up.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn code_for_this_cpu_is_other_code() {
        let mut native = Config::new();
        native.wasm_component_model(true);
        let mut named = native.clone();
        named.target(concat_target()).unwrap();
        let found = features(&native);
        let cpu = [
            ("has_sse41", is_x86_feature_detected!("sse4.1")),
            ("has_avx2", is_x86_feature_detected!("avx2")),
        ];
        for (name, has) in cpu {
            assert_eq!(found.get(name), Some(&has), "{name} in {found:?}");
        }
        if cpu.iter().any(|(_, has)| *has) {
            assert_ne!(hash(&native), hash(&named));
        }
    }
}
