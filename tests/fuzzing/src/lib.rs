//! What the fuzz targets do with their input: each takes any bytes, and panics when something that
//! must hold does not.
//!
//! `fuzz/` gives them to libFuzzer; `tests/cases.rs` runs what was found, and some more, with every
//! test run.

mod capture;
mod component;
mod elf;
mod hpack;
mod memory;
mod name;
mod proc;
mod record;
mod seeds;
mod sql;
mod stream;
mod wire;

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
    /// Memory that an input may take whatever its length.
    mebibytes: usize,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// Runs one input within the bound on memory.
    ///
    /// # Panics
    /// When something that must hold does not.
    pub fn run(&self, input: &[u8]) {
        memory::within_bounds(self.mebibytes, input.len(), || (self.run)(input));
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
        mebibytes: 48,
        run: component::raw::<Http>,
        seeds: || seeds::raw(Protocol::Http),
    },
    Target {
        name: "http2_raw",
        about: "the HTTP/2 parser, any bytes of both sides",
        mebibytes: 48,
        run: component::raw::<Http2>,
        seeds: || seeds::raw(Protocol::Http2),
    },
    Target {
        name: "mysql_raw",
        about: "the MySQL parser, any bytes of both sides",
        mebibytes: 48,
        run: component::raw::<Mysql>,
        seeds: || seeds::raw(Protocol::MySql),
    },
    Target {
        name: "postgres_raw",
        about: "the PostgreSQL parser, any bytes of both sides",
        mebibytes: 48,
        run: component::raw::<Postgres>,
        seeds: || seeds::raw(Protocol::Postgres),
    },
    Target {
        name: "mysql_compressed",
        about: "the MySQL parser behind a login with compression, any frames",
        mebibytes: 48,
        run: component::compressed,
        seeds: seeds::compressed,
    },
    Target {
        name: "http_structured",
        about: "HTTP/1 conversations, changed, with losses and ends; any cut gives the same",
        mebibytes: 48,
        run: |input| component::structured::<Http>(Protocol::Http, input),
        seeds: seeds::structured,
    },
    Target {
        name: "http2_structured",
        about: "HTTP/2 and gRPC conversations, changed, with losses and ends; any cut gives the same",
        mebibytes: 48,
        run: |input| component::structured::<Http2>(Protocol::Http2, input),
        seeds: seeds::structured,
    },
    Target {
        name: "mysql_structured",
        about: "MySQL conversations, changed, with losses and ends; any cut gives the same",
        mebibytes: 48,
        run: |input| component::structured::<Mysql>(Protocol::MySql, input),
        seeds: seeds::structured,
    },
    Target {
        name: "postgres_structured",
        about: "PostgreSQL conversations, changed, with losses and ends; any cut gives the same",
        mebibytes: 48,
        run: |input| component::structured::<Postgres>(Protocol::Postgres, input),
        seeds: seeds::structured,
    },
    Target {
        name: "recognise",
        about: "what all four parsers say of any beginning",
        mebibytes: 4,
        run: component::recognise,
        seeds: seeds::beginnings,
    },
    Target {
        name: "hpack",
        about: "header blocks, against another decoder",
        mebibytes: 4,
        run: hpack::run,
        seeds: hpack::seeds,
    },
    Target {
        name: "sql",
        about: "statements in both dialects, whole and cut off",
        mebibytes: 4,
        run: sql::run,
        seeds: sql::seeds,
    },
    Target {
        name: "sql_strings",
        about: "what is left of statements, against another lexer",
        mebibytes: 4,
        run: sql::against_another,
        seeds: sql::seeds,
    },
    Target {
        name: "pcap",
        about: "packet captures, through the streams",
        mebibytes: 48,
        run: capture::pcap,
        seeds: capture::pcap_seeds,
    },
    Target {
        name: "recording",
        about: "recordings, through the streams",
        mebibytes: 48,
        run: capture::recording,
        seeds: capture::recording_seeds,
    },
    Target {
        name: "kernel_record",
        about: "records of the kernel side, as they become events",
        mebibytes: 16,
        run: record::run,
        seeds: record::seeds,
    },
    Target {
        name: "stream",
        about: "events in any order through the streams, against a model by position",
        mebibytes: 4,
        run: stream::run,
        seeds: stream::seeds,
    },
    Target {
        name: "elf",
        about: "programs of observed processes, and their code",
        mebibytes: 72,
        run: elf::run,
        seeds: elf::seeds,
    },
    Target {
        name: "proc",
        about: "what /proc says of processes",
        mebibytes: 4,
        run: proc::run,
        seeds: proc::seeds,
    },
    Target {
        name: "http_wire",
        about: "lines, heads and bodies of HTTP/1, cut anywhere",
        mebibytes: 1,
        run: wire::http::run,
        seeds: wire::http::seeds,
    },
    Target {
        name: "http2_wire",
        about: "frames of HTTP/2, messages of gRPC cut anywhere",
        mebibytes: 1,
        run: wire::http2::run,
        seeds: wire::http2::seeds,
    },
    Target {
        name: "mysql_wire",
        about: "packets of MySQL",
        mebibytes: 1,
        run: wire::mysql::run,
        seeds: wire::mysql::seeds,
    },
    Target {
        name: "mysql_frames",
        about: "compressed frames of MySQL cut anywhere, against other decompressors",
        mebibytes: 24,
        run: wire::frames::run,
        seeds: wire::frames::seeds,
    },
    Target {
        name: "postgres_wire",
        about: "messages of PostgreSQL",
        mebibytes: 1,
        run: wire::postgres::run,
        seeds: wire::postgres::seeds,
    },
    Target {
        name: "routes",
        about: "templates of paths",
        mebibytes: 8,
        run: name::routes,
        seeds: name::route_seeds,
    },
    Target {
        name: "subject",
        about: "subjects of NATS",
        mebibytes: 1,
        run: name::subject,
        seeds: name::subject_seeds,
    },
];
