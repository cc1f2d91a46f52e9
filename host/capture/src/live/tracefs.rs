//! tracefs: where the kernel describes its tracepoints.

use std::path::{Path, PathBuf};

use crate::bounded;
use crate::error::CaptureError;

/// Where tracefs is found, in this order: its own mount point, and the one inside debugfs.
const MOUNT_POINTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The longest format descriptions (of events with many symbolic names) have some 20 KiB.
const MAX_FORMAT_BYTES: u64 = 256 << 10;

/// A mounted tracefs.
#[derive(Clone, Debug)]
pub struct Tracefs {
    root: PathBuf,
}

/// Where a field lies in a tracepoint's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceField {
    pub offset_bytes: u32,
    pub size_bytes: u32,
}

/// One tracepoint as its `format` file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// Number that `perf_event_open` wants.
    pub id: u64,
    fields: Vec<(String, TraceField)>,
}

impl Tracefs {
    /// Finds a mounted tracefs; mounts it at its usual place if there is none.
    ///
    /// # Errors
    /// There is none and it could not be mounted.
    pub fn find_or_mount() -> Result<Self, CaptureError> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        let [usual, _] = MOUNT_POINTS;
        let flags = rustix::mount::MountFlags::NOSUID
            | rustix::mount::MountFlags::NODEV
            | rustix::mount::MountFlags::NOEXEC;
        let mounted = rustix::mount::mount("tracefs", usual, "tracefs", flags, None);
        Self::find().ok_or_else(|| CaptureError::Kernel {
            what: "tracefs, where the kernel lists its tracepoints, is not mounted".to_owned(),
            reason: match mounted {
                Ok(()) => format!("{usual} has no events after mounting it"),
                Err(error) => format!("mounting it at {usual} failed: {error}"),
            },
            remedy: format!("as root run `mount -t tracefs tracefs {usual}`, or mount that directory of the host into the container"),
        })
    }

    /// Finds a mounted tracefs and mounts nothing.
    #[must_use]
    pub fn find() -> Option<Self> {
        MOUNT_POINTS
            .iter()
            .map(Path::new)
            .find(|root| root.join("events").is_dir())
            .map(|root| Self {
                root: root.to_owned(),
            })
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this kernel has the tracepoint `category:name`.
    #[must_use]
    pub fn has_event(&self, category: &str, name: &str) -> bool {
        self.root
            .join("events")
            .join(category)
            .join(name)
            .join("id")
            .exists()
    }

    /// Describes a tracepoint; `None` if this kernel does not have it or does not let it be read.
    #[must_use]
    pub fn event(&self, category: &str, name: &str) -> Option<TraceEvent> {
        let path = self
            .root
            .join("events")
            .join(category)
            .join(name)
            .join("format");
        let text = bounded::read(&path, MAX_FORMAT_BYTES).ok()?;
        TraceEvent::parse(&String::from_utf8_lossy(&text))
    }
}

impl TraceEvent {
    /// Reads a `format` file. Lines that are not understood are left out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = text
            .lines()
            .find_map(|line| line.strip_prefix("ID:"))?
            .trim()
            .parse()
            .ok()?;
        Some(Self {
            id,
            fields: text.lines().filter_map(field).collect(),
        })
    }

    #[must_use]
    pub fn field(&self, name: &str) -> Option<TraceField> {
        self.fields
            .iter()
            .find(|(found, _)| found == name)
            .map(|&(_, field)| field)
    }
}

/// `field:const void * skaddr; offset:8; size:8; signed:0;`
fn field(line: &str) -> Option<(String, TraceField)> {
    let mut parts = line.trim().split(';').map(str::trim);
    let declaration = parts.next()?.strip_prefix("field:")?;
    let (mut offset_bytes, mut size_bytes) = (None, None);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", value)) => offset_bytes = value.parse().ok(),
            Some(("size", value)) => size_bytes = value.parse().ok(),
            _ => {}
        }
    }
    let name = declaration.rsplit([' ', '*']).next()?;
    let name = name.split('[').next()?;
    Some((
        name.to_owned(),
        TraceField {
            offset_bytes: offset_bytes?,
            size_bytes: size_bytes?,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "name: inet_sock_set_state
ID: 1403
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:int oldstate;\toffset:16;\tsize:4;\tsigned:1;
\tfield:__u8 saddr[4];\toffset:32;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] name;\toffset:40;\tsize:4;\tsigned:0;
\tfield:const char *ptr;\toffset:48;\tsize:8;\tsigned:0;
\tfield:broken

print fmt: \"family=%s field:%s; offset:1; size:2;\", 0
";

    #[test]
    fn fields_of_every_declaration_style_are_found() {
        let event = TraceEvent::parse(FORMAT).unwrap();
        assert_eq!(event.id, 1403);
        for (name, offset_bytes, size_bytes) in [
            ("common_type", 0, 2),
            ("skaddr", 8, 8),
            ("oldstate", 16, 4),
            ("saddr", 32, 4),
            ("name", 40, 4),
            ("ptr", 48, 8),
        ] {
            assert_eq!(
                event.field(name),
                Some(TraceField {
                    offset_bytes,
                    size_bytes
                }),
                "{name}"
            );
        }
        assert_eq!(event.field("nothing"), None);
        assert_eq!(event.fields.len(), 7);
    }

    #[test]
    fn a_text_cut_off_anywhere_is_read_without_panic() {
        for end in 0..FORMAT.len() {
            let _ = TraceEvent::parse(&FORMAT[..end]);
        }
    }

    #[test]
    fn the_running_kernel_describes_its_state_changes() {
        let tracefs = Tracefs::find_or_mount().unwrap();
        let event = tracefs.event("sock", "inet_sock_set_state").unwrap();
        assert_eq!(event.field("skaddr").map(|field| field.size_bytes), Some(8));
        assert!(tracefs.has_event("syscalls", "sys_enter_read"));
        assert!(!tracefs.has_event("sock", "no_such_event"));
        assert_eq!(tracefs.event("sock", "no_such_event"), None);
    }
}
