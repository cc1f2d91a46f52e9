//! The probe sets: which program goes to which trace point.

/// A program, and the trace point it is attached to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attachment {
    pub(super) program: &'static str,
    pub(super) category: &'static str,
    pub(super) event: &'static str,
}

/// Programs that are of use only together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    /// What cannot be seen without it.
    pub(super) without: &'static str,
    pub(super) attachments: &'static [Attachment],
    /// One of these has to be there.
    pub(super) carries_bytes: bool,
}

impl Set {
    /// Whether it slows every system call, also those that it is not about.
    pub(super) fn is_of_system_calls(&self) -> bool {
        self.attachments
            .iter()
            .any(|attachment| attachment.category == "syscalls")
    }

    /// Whether it only says how Unix sockets end.
    pub(super) fn is_of_unix_sockets(&self) -> bool {
        UNIX_SETS.contains(&self.name)
    }
}

macro_rules! call {
    ($call:literal, $enter:literal) => {
        call!($call, $enter, "exit_call")
    };
    ($call:literal, $enter:literal, $exit:literal) => {
        Set {
            name: $call,
            without: concat!("bytes that pass through ", $call),
            carries_bytes: true,
            attachments: &[
                // The exit first: without it the entries would fill the map of calls.
                Attachment {
                    program: $exit,
                    category: "syscalls",
                    event: concat!("sys_exit_", $call),
                },
                Attachment {
                    program: $enter,
                    category: "syscalls",
                    event: concat!("sys_enter_", $call),
                },
            ],
        }
    };
}

macro_rules! single {
    ($name:literal, $program:literal, $category:literal, $event:literal, $without:literal) => {
        Set {
            name: $name,
            without: $without,
            carries_bytes: false,
            attachments: &[Attachment {
                program: $program,
                category: $category,
                event: $event,
            }],
        }
    };
}

const UNIX_SETS: [&str; 2] = ["close", "shutdown"];

pub(super) const SETS: &[Set] = &[
    // Those that say who connects, and who is to be left out, before those that report.
    single!(
        "inet_sock_set_state",
        "set_state",
        "sock",
        "inet_sock_set_state",
        "the other end of the agent's own connections, and when an end was closed by this side"
    ),
    single!(
        "tcp_destroy_sock",
        "destroy_sock",
        "tcp",
        "tcp_destroy_sock",
        "the end of connections"
    ),
    single!(
        "tcp_receive_reset",
        "receive_reset",
        "tcp",
        "tcp_receive_reset",
        "whether a connection was reset by its peer"
    ),
    single!(
        "tcp_send_reset",
        "send_reset",
        "tcp",
        "tcp_send_reset",
        "whether a connection was reset by this side"
    ),
    single!(
        "sched_process_exit",
        "thread_exit",
        "sched",
        "sched_process_exit",
        "threads that die inside a call, whose entries then stay"
    ),
    single!(
        "sched_process_exec",
        "executed",
        "sched",
        "sched_process_exec",
        "that a process goes on as another program: its open connections keep the name of the one before"
    ),
    single!(
        "accept",
        "exit_accept",
        "syscalls",
        "sys_exit_accept",
        "who opened a connection"
    ),
    single!(
        "accept4",
        "exit_accept",
        "syscalls",
        "sys_exit_accept4",
        "who opened a connection"
    ),
    single!(
        "connect",
        "enter_connect",
        "syscalls",
        "sys_enter_connect",
        "who opened a connection"
    ),
    Set {
        name: "socketpair",
        without: "whether a pair of Unix sockets is new",
        carries_bytes: false,
        attachments: &[
            Attachment {
                program: "exit_socketpair",
                category: "syscalls",
                event: "sys_exit_socketpair",
            },
            Attachment {
                program: "enter_socketpair",
                category: "syscalls",
                event: "sys_enter_socketpair",
            },
        ],
    },
    single!(
        "close",
        "enter_close",
        "syscalls",
        "sys_enter_close",
        "the end of Unix sockets at once; it is found out within seconds"
    ),
    single!(
        "shutdown",
        "enter_shutdown",
        "syscalls",
        "sys_enter_shutdown",
        "that one end of a Unix socket has sent all"
    ),
    call!("read", "enter_read"),
    call!("write", "enter_write"),
    call!("readv", "enter_readv"),
    call!("writev", "enter_writev"),
    // With an offset of -1 they do what those without do; with any other a socket refuses them.
    call!("preadv2", "enter_readv"),
    call!("pwritev2", "enter_writev"),
    call!("sendto", "enter_sendto"),
    call!("recvfrom", "enter_recvfrom"),
    call!("sendmsg", "enter_sendmsg"),
    call!("recvmsg", "enter_recvmsg"),
    call!("sendmmsg", "enter_sendmmsg", "exit_messages"),
    call!("recvmmsg", "enter_recvmmsg", "exit_messages"),
    call!("sendfile64", "enter_sendfile"),
    call!("splice", "enter_splice"),
];

/// The programs at functions of sockets, in place of all sets at system calls.
pub(super) const FUNCTION_SET: &str = "socket functions";

/// The program that is asked whether a socket lives.
pub(super) const QUESTION_SET: &str = "reconciliation";

/// The set of programs that others go on with.
pub(super) const MORE_SET: &str = "long calls";

/// The set of probes on TLS libraries.
pub(super) const TLS_SET: &str = "openssl";

/// Its programs.
pub(super) const TLS_PROGRAMS: &[&str] = &[
    "tls_return",
    "tls_read",
    "tls_read_ex",
    "tls_write",
    "tls_write_ex",
    "tls_write_flags",
    "tls_free",
    "tls_handshake",
    "tls_handshake_return",
    "tls_output",
    "tls_send_file",
    "tls_read_packet",
];

/// The set of probes on crypto/tls of Go.
pub(super) const GO_SET: &str = "go";

/// Its programs.
pub(super) const GO_PROGRAMS: &[&str] = &[
    "go_return",
    "go_returned",
    "go_read",
    "go_write",
    "go_handshake",
];

/// Which of them another goes on with.
pub(super) const GO_GOES_ON: GoesOn = GoesOn {
    program: "go_returned",
    array: "GO_RETURNED",
};

/// A program that is attached to nothing: others go on with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct GoesOn {
    pub(super) program: &'static str,
    /// Where they look for it.
    pub(super) array: &'static str,
}

/// The set of probes on rustls.
pub(super) const RUSTLS_SET: &str = "rustls";

/// Its programs.
pub(super) const RUSTLS_PROGRAMS: &[&str] = &[
    "rustls_seal",
    "rustls_sealed",
    "rustls_open",
    "rustls_opened",
];
