//! Sources of socket events.
//!
//! [`Source`] is the one trait; what lies behind it is the running kernel, a Wirespan recording, or
//! a pcap/pcapng file. After it, the road is the same for all three.

mod bounded;
pub mod cgroup;
pub mod error;
pub mod event;
pub mod file;
pub mod live;
pub mod pcap;
pub mod pcapng;
mod private_file;
pub mod process;
pub mod recording;
pub mod source;
mod synthetic;

pub use error::CaptureError;
pub use event::*;
pub use file::open_any;
pub use pcap::{PcapSource, Perspective};
pub use pcapng::PcapngWriter;
pub use recording::{RecordingSource, RecordingWriter};
pub use source::{Clock, NoVerdicts, Progress, Said, Source, Verdict, Verdicts};
