//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Spans of every request on this node, without touching the programs.
///
/// eBPF probes copy what sockets and TLS libraries carry; sandboxed parsers turn it into
/// OpenTelemetry spans; the spans go to NATS, to the terminal, or to standard output.
#[derive(Debug, Parser)]
#[command(
    name = "wirespan",
    version,
    arg_required_else_help = true,
    propagate_version = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Command,

    /// Say more on standard error; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch this node and publish spans until interrupted
    Run(Box<Run>),
    /// Write what the sockets of this node carry into a file
    Record(Record),
    /// Print the spans of a recording, pcap or pcapng; needs no privileges
    Replay(Replay),
    /// Tell what this machine allows, and what its absence turns off
    Doctor(Doctor),
    /// Print the attributes that spans can have
    Schema,
    /// Print a completion script for a shell
    Completions { shell: Shell },
    /// Print the manual page
    Man,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table for people
    Table,
    /// One span a line, in the flat JSON form
    Json,
    /// Nothing on standard output
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileOutput {
    /// A table for people
    Table,
    /// One span a line, in the flat JSON form
    Json,
}

/// Which connections are watched; all of these must fit.
#[derive(Debug, Default, Args)]
pub(crate) struct Narrow {
    /// Only this process; can be given several times
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// Only containers whose id begins with this
    #[arg(long, value_name = "ID")]
    pub container: Vec<String>,
    /// Only connections with this port at either end
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
    /// Do not probe TLS libraries
    #[arg(long)]
    pub no_tls: bool,
    /// Configuration file [default: /etc/wirespan/wirespan.toml if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub narrow: Narrow,
    /// Only spans of this protocol
    #[arg(long, value_name = "NAME")]
    pub protocol: Vec<String>,
    /// Publish to this NATS server
    #[arg(long, value_name = "URL")]
    pub nats: Option<String>,
    /// How spans are encoded on NATS: json, otlp or otlp-json
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<String>,
    /// Name of this cluster in the subjects
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Start even when the NATS server cannot be reached yet
    #[arg(long)]
    pub nats_retry: bool,
    /// What goes to standard output [default: table on a terminal, else json]
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
    /// Load this parser besides the built-in ones
    #[arg(long, value_name = "FILE")]
    pub plugin: Vec<PathBuf>,
    /// Keep statements, queries and paths as they were sent
    #[arg(long)]
    pub unredacted: bool,
    /// Name spans without inferred routes
    #[arg(long)]
    pub no_route_templates: bool,
    /// Serve own metrics here, or `off` [default: 127.0.0.1:9475]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "files", required = true, multiple = true, args = ["output", "pcapng"])]
pub(crate) struct Record {
    /// The recording to write; it will hold plaintext and is readable by its owner only
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write packets for Wireshark, TLS as plaintext; they are made up of what sockets carried
    #[arg(long, value_name = "FILE")]
    pub pcapng: Option<PathBuf>,
    #[command(flatten)]
    pub narrow: Narrow,
    /// Stop after so many seconds [default: when interrupted]
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A recording, pcap or pcapng, gzipped or not
    pub file: PathBuf,
    /// What goes to standard output [default: table on a terminal, else json]
    #[arg(short, long, value_enum)]
    pub output: Option<FileOutput>,
    /// Load this parser besides the built-in ones
    #[arg(long, value_name = "FILE")]
    pub plugin: Vec<PathBuf>,
    /// Only spans of this protocol
    #[arg(long, value_name = "NAME")]
    pub protocol: Vec<String>,
    /// Also write packets for Wireshark, TLS as plaintext; they are made up of what sockets carried
    #[arg(long, value_name = "FILE")]
    pub pcapng: Option<PathBuf>,
    /// From which end the spans of a packet capture are seen
    #[arg(long, value_enum, default_value = "server")]
    pub perspective: Perspective,
    /// Keep statements, queries and paths as they were sent
    #[arg(long)]
    pub unredacted: bool,
    /// Name spans without inferred routes
    #[arg(long)]
    pub no_route_templates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Perspective {
    Server,
    Client,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// List the processes with TCP sockets: the TLS they use, whether its plaintext is seen, and why
    /// not
    #[arg(long)]
    pub processes: bool,
    /// What goes to standard output [default: table]
    #[arg(short, long, value_enum)]
    pub output: Option<FileOutput>,
    /// The same as `--output json`
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
    /// Configuration file [default: /etc/wirespan/wirespan.toml if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
