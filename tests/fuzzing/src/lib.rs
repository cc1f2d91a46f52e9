//! What the fuzz targets do with their input: each takes any bytes, and panics when something that
//! must hold does not.
//!
//! `fuzz/` gives them to libFuzzer; `tests/cases.rs` runs what was found, and some more, with every
//! test run.

mod capture;
mod component;
mod hpack;
mod memory;
mod seeds;
mod sql;

use wirespan_parser_grpc::Http2;
use wirespan_parser_http::Http;
use wirespan_parser_mysql::Mysql;
use wirespan_parser_postgres::Postgres;
use wirespan_traffic::Protocol;

/// One thing that is fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// What it is held against, for people.
    pub about: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// Runs one input within the bound on memory.
    ///
    /// # Panics
    /// When something that must hold does not.
    pub fn run(&self, input: &[u8]) {
        memory::within_bounds(input.len(), || (self.run)(input));
    }

    /// Inputs to start from.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }

    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let found = TARGETS.iter().find(|target| target.name == name);
        *found.unwrap_or_else(|| panic!("no target {name}"))
    }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "http_raw",
        about: "the HTTP/1 parser, any bytes of both sides",
        run: component::raw::<Http>,
        seeds: || seeds::raw(Protocol::Http),
    },
    Target {
        name: "http2_raw",
        about: "the HTTP/2 parser, any bytes of both sides",
        run: component::raw::<Http2>,
        seeds: || seeds::raw(Protocol::Http2),
    },
    Target {
        name: "mysql_raw",
        about: "the MySQL parser, any bytes of both sides",
        run: component::raw::<Mysql>,
        seeds: || seeds::raw(Protocol::MySql),
    },
    Target {
        name: "postgres_raw",
        about: "the PostgreSQL parser, any bytes of both sides",
        run: component::raw::<Postgres>,
        seeds: || seeds::raw(Protocol::Postgres),
    },
    Target {
        name: "mysql_compressed",
        about: "the MySQL parser behind a login with compression, any frames",
        run: component::compressed,
        seeds: seeds::compressed,
    },
    Target {
        name: "http_structured",
        about: "HTTP/1 conversations, changed, with losses and ends; any cut gives the same",
        run: |input| component::structured::<Http>(Protocol::Http, input),
        seeds: seeds::structured,
    },
    Target {
        name: "http2_structured",
        about: "HTTP/2 and gRPC conversations, changed, with losses and ends; any cut gives the same",
        run: |input| component::structured::<Http2>(Protocol::Http2, input),
        seeds: seeds::structured,
    },
    Target {
        name: "mysql_structured",
        about: "MySQL conversations, changed, with losses and ends; any cut gives the same",
        run: |input| component::structured::<Mysql>(Protocol::MySql, input),
        seeds: seeds::structured,
    },
    Target {
        name: "postgres_structured",
        about: "PostgreSQL conversations, changed, with losses and ends; any cut gives the same",
        run: |input| component::structured::<Postgres>(Protocol::Postgres, input),
        seeds: seeds::structured,
    },
    Target {
        name: "recognise",
        about: "what all four parsers say of any beginning",
        run: component::recognise,
        seeds: seeds::beginnings,
    },
    Target {
        name: "hpack",
        about: "header blocks, against another decoder",
        run: hpack::run,
        seeds: hpack::seeds,
    },
    Target {
        name: "sql",
        about: "statements in both dialects, whole and cut off",
        run: sql::run,
        seeds: sql::seeds,
    },
    Target {
        name: "pcap",
        about: "packet captures, through the streams",
        run: capture::pcap,
        seeds: capture::pcap_seeds,
    },
    Target {
        name: "recording",
        about: "recordings, through the streams",
        run: capture::recording,
        seeds: capture::recording_seeds,
    },
    Target {
        name: "kernel_record",
        about: "records of the kernel side",
        run: capture::kernel_record,
        seeds: capture::kernel_record_seeds,
    },
];
