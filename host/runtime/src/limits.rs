//! What a parser may use and what is kept for it. Each default has its reason beside it; a counter
//! tells when one bites.

use std::time::Duration;

/// A component is a few hundred KiB; one made from an interpreted language has ten or more MiB.
pub const COMPONENT_BYTES: usize = 64 << 20;

/// Linear memory of one instance: HTTP needs 2 MiB, an interpreter 30 MiB.
pub const MEMORY_BYTES: usize = 64 << 20;

/// Linear memory of all instances of an engine together.
pub const TOTAL_MEMORY_BYTES: usize = 1 << 30;

/// Entries of one table: function pointers of one module.
pub const TABLE_ELEMENTS: usize = 64 << 10;

/// Core modules, memories and tables that one component may be made of. Components composed of
/// several, or adapted from an interpreter, have up to a dozen.
pub const CORE_INSTANCES: u32 = 32;
pub const MEMORIES: u32 = 4;
pub const TABLES: u32 = 16;

/// Instances of all parsers and workers: 32 parsers, 4 workers and one instance for recognition
/// beside the one that parses.
pub const INSTANCES: u32 = 256;

/// Stack of guest code. Worker threads have the 2 MiB of Rust's default, of which the host side
/// needs little.
pub const STACK_BYTES: usize = 512 << 10;

/// What one call may hand to the host, by wasmtime's measure of the memory it allocates: the
/// largest output that is within [`wirespan_contract::limit`] stays below it.
pub const HOSTCALL_FUEL: usize = 16 << 20;

/// Parsers of one set: the candidates of a connection are bits of a word.
pub const PARSERS: usize = 64;

/// Settings with a default for each.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory of one instance.
    pub memory_bytes: usize,
    /// CPU time of `process` for a batch. A batch of HTTP takes 0.1 ms; the budget is what a worker
    /// may lose to one call without falling behind the ring.
    pub process_budget: Duration,
    /// CPU time of one `recognise`.
    pub recognise_budget: Duration,
    /// CPU time of instantiation and of `describe`.
    pub start_budget: Duration,
    /// Events after which a batch is handed over without waiting for `run`. Larger ones cost no
    /// less an event, and a fault costs the batch.
    pub batch_events: usize,
    /// Bytes after which a batch is handed over.
    pub batch_bytes: usize,
    /// Bytes of one side that are kept for a parser that has not consumed them. Above every header
    /// limit in use (nginx 32 KiB, Node 16 KiB, Envoy 60 KiB; Java servers up to 256 KiB), below a
    /// header of 1 MiB, which is then a gap.
    pub retained_bytes: usize,
    /// The same for all connections of a worker.
    pub retained_total_bytes: usize,
    /// Marks of arrival kept for one side; beyond it, neighbours are joined and have the earlier time.
    pub chunk_marks: usize,
    /// Bytes of one side by which a connection must be recognised. Live capture copies as much of an
    /// unknown connection.
    pub recognise_bytes: usize,
    /// Calls of the parsers for one beginning: a byte at a time, most protocols show in 24 bytes.
    pub recognise_attempts: u32,
    /// Beginnings tried on a connection that was joined in the middle, where each chunk may begin a
    /// message.
    pub recognise_beginnings: u32,
    /// Instances of one parser in a worker. With two, a fault costs half of the connections.
    pub instances: usize,
    /// Connections of a worker; those beyond are counted and left.
    pub connections: usize,
    /// Faults, less one for each [`Self::forgiven_after`] calls without, after which a parser is
    /// suspended.
    pub faults: u32,
    /// Calls without a fault that make up for one.
    pub forgiven_after: u32,
    /// First suspension; each further one is twice as long.
    pub suspension: Duration,
    /// Suspensions after which a parser is disabled.
    pub suspensions: u32,
    /// Different reasons of a parser for giving a connection up that are counted apart.
    pub reasons: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES,
            process_budget: Duration::from_millis(50),
            recognise_budget: Duration::from_millis(20),
            start_budget: Duration::from_millis(500),
            batch_events: 512,
            batch_bytes: 1 << 20,
            retained_bytes: 256 << 10,
            retained_total_bytes: 128 << 20,
            chunk_marks: 64,
            recognise_bytes: 64 << 10,
            recognise_attempts: 48,
            recognise_beginnings: 256,
            instances: 2,
            connections: 200_000,
            faults: 8,
            forgiven_after: 1000,
            suspension: Duration::from_secs(1),
            suspensions: 6,
            reasons: 32,
        }
    }
}
