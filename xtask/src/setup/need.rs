//! What a machine must have, why, and how to see whether it has it.

use std::process::Command;

use crate::command;

/// What somebody wants to do; each later one needs what `Build` needs too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Build,
    Test,
    Bench,
    Kernels,
    Databases,
    Ci,
}

/// One thing to have, and where Debian 12 has it.
pub(crate) struct Need {
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
    pub(crate) packages: &'static [&'static str],
    purposes: &'static [Purpose],
    check: Check,
}

enum Check {
    Program(&'static str),
    /// A program that must also succeed with these arguments.
    Works(&'static str, &'static [&'static str]),
}

impl Need {
    pub(crate) fn is_for(&self, purposes: &[Purpose]) -> bool {
        self.purposes
            .iter()
            .any(|purpose| purposes.contains(purpose))
    }

    pub(crate) fn is_there(&self) -> bool {
        match self.check {
            Check::Program(program) => command::find(program).is_some(),
            Check::Works(program, arguments) => command::find(program)
                .is_some_and(|path| command::succeeds(Command::new(path).args(arguments))),
        }
    }
}

/// What comes from the distribution, the kernel and wasm toolchains apart.
pub(crate) const NEEDS: &[Need] = &[
    Need {
        name: "a C compiler and linker",
        why: "links every program, compiles the C parts of ring and zstd, and of what tests watch",
        packages: &["gcc", "libc6-dev"],
        purposes: &[Purpose::Build],
        check: Check::Program("cc"),
    },
    Need {
        name: "nginx",
        why: "a real server that tests and the demo watch, plain and over TLS",
        packages: &["nginx"],
        purposes: &[Purpose::Test, Purpose::Bench, Purpose::Kernels],
        check: Check::Program("nginx"),
    },
    Need {
        name: "nats-server",
        why: "the spans of tests and the demo arrive there",
        packages: &["nats-server"],
        purposes: &[Purpose::Test, Purpose::Bench],
        check: Check::Program("nats-server"),
    },
    Need {
        name: "curl",
        why: "the client of tests and the demo",
        packages: &["curl", "ca-certificates"],
        purposes: &[Purpose::Test, Purpose::Bench],
        check: Check::Works("curl", &["--version"]),
    },
    Need {
        name: "openssl",
        why: "makes the certificates of the TLS tests, and talks TLS on other kernels",
        packages: &["openssl"],
        purposes: &[Purpose::Test, Purpose::Bench, Purpose::Kernels],
        check: Check::Works("openssl", &["version"]),
    },
    Need {
        name: "python3 with ssl",
        why: "a second TLS server and client, with another TLS loop than nginx",
        packages: &["python3"],
        purposes: &[Purpose::Test, Purpose::Bench],
        // The system's own: what a version manager puts before it is a shell script at first.
        check: Check::Works("/usr/bin/python3", &["-c", "import ssl, http.server"]),
    },
    Need {
        name: "python3 with grpc",
        why: "a gRPC server and client, those of the C core",
        packages: &["python3-grpcio"],
        purposes: &[Purpose::Test],
        check: Check::Works("/usr/bin/python3", &["-c", "import grpc"]),
    },
    Need {
        name: "nghttp",
        why: "an HTTP/2 client that shows every feature of the protocol",
        packages: &["nghttp2-client"],
        purposes: &[Purpose::Test],
        check: Check::Program("nghttp"),
    },
    Need {
        name: "nghttpd",
        why: "an HTTP/2 server that pushes and pads",
        packages: &["nghttp2-server"],
        purposes: &[Purpose::Test],
        check: Check::Program("nghttpd"),
    },
    Need {
        name: "nghttpx",
        why: "a server that upgrades connections to HTTP/2",
        packages: &["nghttp2-proxy"],
        purposes: &[Purpose::Test],
        check: Check::Program("nghttpx"),
    },
    Need {
        name: "node with http2",
        why: "another HTTP/2 server and client, with TLS over memory BIOs",
        packages: &["nodejs"],
        purposes: &[Purpose::Test],
        check: Check::Works("node", &["-e", "require('http2')"]),
    },
    Need {
        name: "aiohttp",
        why: "an HTTPS server and client over memory BIOs, many connections in one thread",
        packages: &["python3-aiohttp"],
        purposes: &[Purpose::Test],
        check: Check::Works("/usr/bin/python3", &["-c", "import aiohttp.web"]),
    },
    Need {
        name: "gnutls-serv",
        why: "a server with GnuTLS",
        packages: &["gnutls-bin"],
        purposes: &[Purpose::Test],
        check: Check::Program("gnutls-serv"),
    },
    Need {
        name: "bssl-tool",
        why: "a server and a client with BoringSSL",
        packages: &["android-boringssl"],
        purposes: &[Purpose::Test],
        check: Check::Program("bssl-tool"),
    },
    Need {
        name: "wget",
        why: "a client with GnuTLS",
        packages: &["wget"],
        purposes: &[Purpose::Test],
        check: Check::Works("wget", &["--version"]),
    },
    Need {
        name: "Java",
        why: "HTTP and HTTPS servers and a client whose TLS cannot be observed",
        packages: &["default-jdk-headless"],
        purposes: &[Purpose::Test],
        // With its compiler: the program is one source file.
        check: Check::Works(
            "java",
            &[
                "--add-modules",
                "jdk.compiler,jdk.httpserver,java.net.http",
                "--version",
            ],
        ),
    },
    Need {
        name: "Redis",
        why: "a server of a protocol that no parser knows",
        packages: &["redis-server", "redis-tools"],
        purposes: &[Purpose::Test],
        check: Check::Works("redis-server", &["--version"]),
    },
    Need {
        name: "nft",
        why: "translates addresses in a network namespace of a test's own",
        packages: &["nftables"],
        purposes: &[Purpose::Test],
        check: Check::Works("nft", &["--version"]),
    },
    Need {
        name: "ip",
        why: "makes that network namespace",
        packages: &["iproute2"],
        purposes: &[Purpose::Test],
        check: Check::Works("ip", &["-V"]),
    },
    Need {
        name: "tshark",
        why: "reads the packets that recordings are turned into, as Wireshark does",
        packages: &["tshark"],
        purposes: &[Purpose::Test],
        check: Check::Works("tshark", &["--version"]),
    },
    Need {
        name: "Go",
        why: "programs with a TLS library of their own, on stacks that move",
        packages: &["golang-go"],
        purposes: &[Purpose::Test, Purpose::Kernels],
        check: Check::Works("go", &["version"]),
    },
    Need {
        name: "wrk",
        why: "makes the load of the benchmarks and of one test",
        packages: &["wrk"],
        purposes: &[Purpose::Test, Purpose::Bench, Purpose::Kernels],
        check: Check::Program("wrk"),
    },
    Need {
        name: "bpftrace",
        why: "makes the probes that do nothing beside which the agent is measured",
        packages: &["bpftrace"],
        purposes: &[Purpose::Bench],
        check: Check::Program("bpftrace"),
    },
    Need {
        name: "PostgreSQL",
        why: "a real database that tests watch, with psql and pgbench",
        packages: &["postgresql-15"],
        purposes: &[Purpose::Test],
        check: Check::Works("/usr/lib/postgresql/15/bin/postgres", &["--version"]),
    },
    Need {
        name: "pgbouncer",
        why: "reuses a connection to PostgreSQL for many clients",
        packages: &["pgbouncer"],
        purposes: &[Purpose::Test],
        check: Check::Program("pgbouncer"),
    },
    Need {
        name: "MariaDB",
        why: "a real database that tests watch, with its own client",
        // Without the service that mariadb-server would add.
        packages: &["mariadb-server-core"],
        purposes: &[Purpose::Test],
        check: Check::Works("mariadbd", &["--version"]),
    },
    Need {
        name: "mariadb",
        why: "the client of MariaDB",
        packages: &["mariadb-client-core"],
        purposes: &[Purpose::Test],
        check: Check::Works("mariadb", &["--version"]),
    },
    Need {
        name: "Python's drivers of databases",
        why: "psycopg sends in pipelines, asyncpg runs portals in parts, PyMySQL speaks by itself",
        packages: &["python3-psycopg", "python3-asyncpg", "python3-pymysql"],
        purposes: &[Purpose::Test],
        check: Check::Works(
            "/usr/bin/python3",
            &["-c", "import psycopg, asyncpg, pymysql"],
        ),
    },
    Need {
        name: "Perl's DBD::MariaDB",
        why: "prepares statements on the server, and compresses",
        packages: &["perl", "libdbd-mariadb-perl"],
        purposes: &[Purpose::Test],
        check: Check::Works("/usr/bin/perl", &["-MDBD::MariaDB", "-e", "1"]),
    },
    Need {
        name: "pip",
        why: "fetches drivers of databases that bring their own TLS, and newer ones than Debian 12's",
        packages: &["python3-pip"],
        purposes: &[Purpose::Test, Purpose::Databases],
        check: Check::Works("/usr/bin/python3", &["-m", "pip", "--version"]),
    },
    Need {
        name: "qemu-system-x86_64",
        why: "boots other kernels",
        packages: &["qemu-system-x86"],
        purposes: &[Purpose::Kernels],
        check: Check::Program("qemu-system-x86_64"),
    },
];
