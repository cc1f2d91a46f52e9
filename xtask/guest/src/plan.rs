//! What happens in the virtual machines in which other kernels are tried, and what is to come of it:
//! a module of the first process there and of the program that reads its console.

/// One thing that is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Of its section on the console, and of its test.
    pub(crate) name: &'static str,
    /// At the head of its column.
    pub(crate) title: &'static str,
    /// Each at either end, and nothing flagged.
    pub(crate) spans: &'static [Wanted],
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
        name: "http",
        title: "HTTP",
        spans: &[http("/kernel")],
    },
    Case {
        name: "tls",
        title: "TLS (OpenSSL)",
        spans: &[http("/tls")],
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
    },
    Case {
        name: "vectors",
        title: "readv, writev",
        spans: &[http("/vectors")],
    },
    Case {
        name: "sendfile",
        title: "sendfile",
        spans: &[http("/sendfile"), http("/after-sendfile")],
    },
    Case {
        name: "peek",
        title: "MSG_PEEK",
        spans: &[http("/peek")],
    },
    Case {
        name: "half",
        title: "half-close",
        spans: &[http("/half")],
    },
    Case {
        name: "duplicate",
        title: "dup",
        spans: &[http("/duplicate")],
    },
    Case {
        name: "ipv6",
        title: "IPv6",
        spans: &[http("/ipv6")],
    },
    Case {
        name: "stop",
        title: "SIGTERM detaches",
        spans: &[],
    },
    Case {
        name: "kill",
        title: "SIGKILL detaches",
        spans: &[],
    },
];
