//! What happens in the virtual machines in which other kernels are tried, and what is to come of it:
//! a module of the first process there and of the program that reads its console.

/// What the agent says when it looks at calls by fentry.
pub(crate) const BY_FENTRY: &str = "calls seen by fentry";

/// What it says of each probe set that it does without, before and after the name.
pub(crate) const LEFT_OUT: [&str; 2] = ["warning: probe set ", " is left out: "];

/// Where the program made by Go is.
pub(crate) const GO: &str = "/https";

/// The word on the kernel's command line that has the cost of being watched counted, and no case tried.
pub(crate) const COST: &str = "wirespan.plan=cost";

/// The server whose cost that is, and the maker of its load.
pub(crate) const NGINX: &str = "/usr/sbin/nginx";
pub(crate) const WRK: &str = "/usr/bin/wrk";

/// How nginx was watched while its instructions were counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Road {
    /// Not at all, before the agent was started.
    Before,
    /// As the agent chose by itself.
    Own,
    /// By trace points, where it would have chosen fentry.
    TracePoints,
    /// Not at all, after the agent has gone.
    After,
}

impl Road {
    /// Of its section on the console, after the word "cost".
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Own => "own",
            Self::TracePoints => "tracepoints",
            Self::After => "after",
        }
    }
}

/// The case that is about no exchange, but about what the agent says at its start.
pub(crate) const SETS: &str = "sets";

/// One thing that is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Of its section on the console, and of its test.
    pub(crate) name: &'static str,
    /// At the head of its column.
    pub(crate) title: &'static str,
    /// Each at either end, and nothing flagged.
    pub(crate) spans: &'static [Wanted],
    /// Only fentry sees it: where calls are looked at where system calls begin and end, nothing is told.
    pub(crate) by_fentry: bool,
}

/// A span, by what it is known by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) attribute: &'static str,
    pub(crate) value: &'static str,
    /// What else it must say.
    pub(crate) also: &'static [(&'static str, &'static str)],
}

const fn http(path: &'static str) -> Wanted {
    Wanted {
        attribute: "url.path",
        value: path,
        also: &[
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
        ],
    }
}

const fn statement(text: &'static str, system: &'static [(&'static str, &'static str)]) -> Wanted {
    Wanted {
        attribute: "db.query.text",
        value: text,
        also: system,
    }
}

/// In the order in which they take place.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: SETS,
        title: "probe sets",
        spans: &[],
        by_fentry: false,
    },
    Case {
        name: "http",
        title: "HTTP",
        spans: &[http("/kernel")],
        by_fentry: false,
    },
    Case {
        name: "tls",
        title: "TLS (OpenSSL)",
        spans: &[http("/tls")],
        by_fentry: false,
    },
    Case {
        name: "go",
        title: "TLS (Go)",
        spans: &[http("/go")],
        by_fentry: false,
    },
    Case {
        name: "mysql",
        title: "MySQL",
        spans: &[statement(
            "SELECT id FROM kernel_mysql",
            &[
                ("db.system.name", "mysql"),
                ("db.response.returned_rows", "1"),
            ],
        )],
        by_fentry: false,
    },
    Case {
        name: "postgres",
        title: "PostgreSQL",
        spans: &[statement(
            "SELECT id FROM kernel_postgres",
            &[
                ("db.system.name", "postgresql"),
                ("db.response.returned_rows", "1"),
            ],
        )],
        by_fentry: false,
    },
    Case {
        name: "vectors",
        title: "readv, writev",
        spans: &[http("/vectors")],
        by_fentry: false,
    },
    Case {
        name: "sendfile",
        title: "sendfile",
        spans: &[http("/sendfile"), http("/after-sendfile")],
        by_fentry: false,
    },
    Case {
        name: "peek",
        title: "MSG_PEEK",
        spans: &[http("/peek")],
        by_fentry: false,
    },
    Case {
        name: "half",
        title: "half-close",
        spans: &[http("/half")],
        by_fentry: false,
    },
    Case {
        name: "duplicate",
        title: "dup",
        spans: &[http("/duplicate")],
        by_fentry: false,
    },
    Case {
        name: "ipv6",
        title: "IPv6",
        spans: &[http("/ipv6")],
        by_fentry: false,
    },
    Case {
        name: "uring",
        title: "io_uring",
        spans: &[http("/uring")],
        by_fentry: true,
    },
    Case {
        name: "uring_thread",
        title: "io_uring, by a thread of the kernel",
        spans: &[http("/uring-thread")],
        by_fentry: true,
    },
    Case {
        name: "stop",
        title: "SIGTERM detaches",
        spans: &[],
        by_fentry: false,
    },
    Case {
        name: "kill",
        title: "SIGKILL detaches",
        spans: &[],
        by_fentry: false,
    },
];
