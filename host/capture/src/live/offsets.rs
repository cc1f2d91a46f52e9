//! What the probes must know of the running kernel: where the members of its structs lie.
//!
//! The values are read from the kernel's BTF and from tracefs and handed to the probes as global
//! variables. A member that a kernel lacks has [`ABSENT`] as its value, for 0 is an offset.

use std::path::Path;

use super::btf::{Absent, Btf};
use super::tracefs::Tracefs;
use crate::error::CaptureError;

/// Value of the global for a member that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// One offset that the probes read.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Name of the global variable (`u32`) in the probes.
    global: &'static str,
    structure: &'static str,
    /// Spellings of the member, newest kernel first.
    members: &'static [&'static str],
    /// What the probes read there; a member of another size is as good as none.
    size_bytes: u32,
    /// Without it there is no capture at all.
    required: bool,
}

const fn required(
    global: &'static str,
    structure: &'static str,
    members: &'static [&'static str],
    size_bytes: u32,
) -> Wanted {
    Wanted {
        global,
        structure,
        members,
        size_bytes,
        required: true,
    }
}

const fn optional(
    global: &'static str,
    structure: &'static str,
    members: &'static [&'static str],
    size_bytes: u32,
) -> Wanted {
    Wanted {
        global,
        structure,
        members,
        size_bytes,
        required: false,
    }
}

const POINTER: u32 = 8;

const MEMBERS: &[Wanted] = &[
    // From a task to the file behind a descriptor.
    required("OFF_TASK_FILES", "task_struct", &["files"], POINTER),
    required(
        "OFF_TASK_GROUP_LEADER",
        "task_struct",
        &["group_leader"],
        POINTER,
    ),
    required("OFF_TASK_TGID", "task_struct", &["tgid"], 4),
    // Nanoseconds of the boot clock; `real_start_time` before 5.5.
    required(
        "OFF_TASK_START",
        "task_struct",
        &["start_boottime", "real_start_time"],
        8,
    ),
    // Which goroutine a thread runs is told by its local storage.
    optional("OFF_TASK_MM", "task_struct", &["mm"], POINTER),
    // Which program it is that a process has become by `exec`.
    optional("OFF_MM_START_STACK", "mm_struct", &["start_stack"], 8),
    optional("OFF_TASK_FSBASE", "task_struct", &["thread.fsbase"], 8),
    required("OFF_FILES_FDT", "files_struct", &["fdt"], POINTER),
    required("OFF_FDT_FD", "fdtable", &["fd"], POINTER),
    required("OFF_FDT_MAX_FDS", "fdtable", &["max_fds"], 4),
    required("OFF_FILE_INODE", "file", &["f_inode"], POINTER),
    required("OFF_FILE_PRIVATE", "file", &["private_data"], POINTER),
    // The second since 6.13, where it counts from 0. Without either, the end of a Unix socket is
    // found out a little later.
    optional("OFF_FILE_COUNT", "file", &["f_count"], 8),
    optional("OFF_FILE_REF", "file", &["f_ref"], 8),
    required("OFF_INODE_INO", "inode", &["i_ino"], 8),
    // From the file to the socket, and back from the socket.
    required("OFF_SOCKET_SK", "socket", &["sk"], POINTER),
    required("OFF_SOCKET_TYPE", "socket", &["type"], 2),
    required("OFF_SOCKET_FILE", "socket", &["file"], POINTER),
    required("OFF_SOCK_SOCKET", "sock", &["sk_socket"], POINTER),
    // Who the socket talks to.
    required("OFF_SOCK_FAMILY", "sock", &["__sk_common.skc_family"], 2),
    required("OFF_SOCK_STATE", "sock", &["__sk_common.skc_state"], 1),
    required("OFF_SOCK_DADDR", "sock", &["__sk_common.skc_daddr"], 4),
    required(
        "OFF_SOCK_RCV_SADDR",
        "sock",
        &["__sk_common.skc_rcv_saddr"],
        4,
    ),
    required("OFF_SOCK_DPORT", "sock", &["__sk_common.skc_dport"], 2),
    required("OFF_INET_SPORT", "inet_sock", &["inet_sport"], 2),
    // Absent from kernels without IPv6 or network namespaces.
    optional(
        "OFF_SOCK_V6_DADDR",
        "sock",
        &["__sk_common.skc_v6_daddr"],
        16,
    ),
    optional(
        "OFF_SOCK_V6_RCV_SADDR",
        "sock",
        &["__sk_common.skc_v6_rcv_saddr"],
        16,
    ),
    optional(
        "OFF_SOCK_NET",
        "sock",
        &["__sk_common.skc_net.net"],
        POINTER,
    ),
    optional("OFF_NET_INUM", "net", &["ns.inum"], 4),
    // Bit fields before 5.6.
    required("OFF_SOCK_TYPE", "sock", &["sk_type"], 2),
    required("OFF_SOCK_PROTOCOL", "sock", &["sk_protocol"], 2),
    required("OFF_SOCK_FLAGS", "sock", &["__sk_common.skc_flags"], 8),
    // Without it the end of what a peer sends is not seen.
    optional("OFF_SOCK_SHUTDOWN", "sock", &["sk_shutdown"], 1),
    // TCP's own positions.
    required("OFF_TCP_WRITE_SEQ", "tcp_sock", &["write_seq"], 4),
    required("OFF_TCP_COPIED_SEQ", "tcp_sock", &["copied_seq"], 4),
    required("OFF_TCP_SND_NXT", "tcp_sock", &["snd_nxt"], 4),
    required("OFF_TCP_RCV_NXT", "tcp_sock", &["rcv_nxt"], 4),
    optional("OFF_TCP_BYTES_RECEIVED", "tcp_sock", &["bytes_received"], 8),
    optional("OFF_TCP_BYTES_SENT", "tcp_sock", &["bytes_sent"], 8),
    optional("OFF_TCP_BYTES_RETRANS", "tcp_sock", &["bytes_retrans"], 8),
    // Whether the kernel encrypts what is sent.
    optional(
        "OFF_ICSK_ULP_OPS",
        "inet_connection_sock",
        &["icsk_ulp_ops"],
        POINTER,
    ),
    optional("OFF_ULP_NAME", "tcp_ulp_ops", &["name"], 16),
    // Without it what is read behind a byte out of band is a gap.
    optional("OFF_TCP_URG_SEQ", "tcp_sock", &["urg_seq"], 4),
    // Without these the memory of a call is only known where a system call names it. `type` before 5.14,
    // `iov` before 6.4.
    optional("OFF_ITER_TYPE", "msghdr", &["msg_iter.iter_type"], 1),
    optional("OFF_ITER_OFFSET", "msghdr", &["msg_iter.iov_offset"], 8),
    optional(
        "OFF_ITER_PIECES",
        "msghdr",
        &["msg_iter.__iov", "msg_iter.iov"],
        POINTER,
    ),
    optional("OFF_ITER_COUNT", "msghdr", &["msg_iter.nr_segs"], 8),
    // Without these Unix sockets have no names.
    optional("OFF_UNIX_PEER", "unix_sock", &["peer"], POINTER),
    optional("OFF_UNIX_ADDR", "unix_sock", &["addr"], POINTER),
    optional("OFF_UNIX_ADDRESS_LEN", "unix_address", &["len"], 4),
    optional("OFF_UNIX_ADDRESS_NAME", "unix_address", &["name"], 0),
];

/// Of these every kernel has one.
const EITHER: [&str; 2] = ["OFF_FILE_COUNT", "OFF_FILE_REF"];

/// A struct's member found by another's: the inode lies beside the socket in `struct socket_alloc`.
const SOCKET_TO_INODE: &str = "OFF_SOCKET_TO_INODE";

/// Values of `iter_type`: their numbers have changed, and before 6.0 there was no such thing as one buffer.
const ITER_TYPES: [(&str, &str); 2] = [
    ("ITER_IS_BUFFER", "ITER_UBUF"),
    ("ITER_IS_PIECES", "ITER_IOVEC"),
];

/// One field of a tracepoint's record: global, category, event, field, size.
type WantedField = (&'static str, &'static str, &'static str, &'static str, u32);

/// All optional: a kernel without such a tracepoint lacks that probe set, not the capture.
const FIELDS: &[WantedField] = &[
    (
        "OFF_EVENT_STATE_SKADDR",
        "sock",
        "inet_sock_set_state",
        "skaddr",
        POINTER,
    ),
    (
        "OFF_EVENT_STATE_OLD",
        "sock",
        "inet_sock_set_state",
        "oldstate",
        4,
    ),
    (
        "OFF_EVENT_STATE_NEW",
        "sock",
        "inet_sock_set_state",
        "newstate",
        4,
    ),
    (
        "OFF_EVENT_STATE_PROTOCOL",
        "sock",
        "inet_sock_set_state",
        "protocol",
        2,
    ),
    (
        "OFF_EVENT_DESTROY_SKADDR",
        "tcp",
        "tcp_destroy_sock",
        "skaddr",
        POINTER,
    ),
    (
        "OFF_EVENT_RECEIVE_RESET_SKADDR",
        "tcp",
        "tcp_receive_reset",
        "skaddr",
        POINTER,
    ),
    (
        "OFF_EVENT_SEND_RESET_SKADDR",
        "tcp",
        "tcp_send_reset",
        "skaddr",
        POINTER,
    ),
];

/// Values for the global variables of the probes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Name of the global and its value, every one in the table: those that are missing are
    /// [`ABSENT`].
    pub values: Vec<(&'static str, u32)>,
    /// Optional ones that this kernel lacks.
    pub missing: Vec<MissingOffset>,
}

/// An offset that could not be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingOffset {
    pub global: &'static str,
    /// Struct and member, or event and field, and why it cannot be used.
    pub reason: String,
}

impl Offsets {
    /// Reads every offset from the BTF at `btf` (that of the running kernel if `None`) and the
    /// tracepoints in `tracefs`.
    ///
    /// # Errors
    /// No BTF, or a required member is not in it.
    pub fn load(btf: Option<&Path>, tracefs: Option<&Tracefs>) -> Result<Self, CaptureError> {
        Self::of(&Btf::load(btf)?, tracefs)
    }

    /// The same of BTF that has been read.
    ///
    /// # Errors
    /// A required member is missing.
    pub fn of(btf: &Btf, tracefs: Option<&Tracefs>) -> Result<Self, CaptureError> {
        let mut offsets = Self::from_btf(btf)?;
        offsets.add_events(tracefs);
        Ok(offsets)
    }

    /// # Errors
    /// A required member is missing.
    pub fn from_btf(btf: &Btf) -> Result<Self, CaptureError> {
        let mut offsets = Self::default();
        for wanted in MEMBERS {
            let found = lookup(btf, wanted);
            match found {
                Err(reason) if wanted.required => return Err(unobservable(reason)),
                found => offsets.push(wanted.global, found),
            }
        }
        // By this a socket is told from any other file.
        let inode = socket_to_inode(btf).map_err(unobservable)?;
        offsets.push(SOCKET_TO_INODE, Ok(inode));
        for (global, name) in ITER_TYPES {
            let value = btf
                .enumerator(name)
                .ok_or_else(|| format!("its BTF has no {name}"));
            offsets.push(global, value);
        }
        if EITHER.iter().any(|name| offsets.get(name).is_some()) {
            offsets
                .missing
                .retain(|missing| !EITHER.contains(&missing.global));
        }
        Ok(offsets)
    }

    fn add_events(&mut self, tracefs: Option<&Tracefs>) {
        for &(global, category, name, field, size_bytes) in FIELDS {
            let found = tracefs
                .and_then(|tracefs| tracefs.event(category, name))
                .ok_or_else(|| format!("there is no tracepoint {category}:{name}"))
                .and_then(|event| {
                    event
                        .field(field)
                        .ok_or_else(|| format!("{category}:{name} has no field {field}"))
                })
                .and_then(|found| {
                    check_size(found.size_bytes, size_bytes)
                        .map_err(|reason| format!("{category}:{name}.{field} {reason}"))?;
                    Ok(found.offset_bytes)
                });
            self.push(global, found);
        }
    }

    fn push(&mut self, global: &'static str, found: Result<u32, String>) {
        match found {
            Ok(value) => self.values.push((global, value)),
            Err(reason) => {
                self.values.push((global, ABSENT));
                self.missing.push(MissingOffset { global, reason });
            }
        }
    }

    /// Value of one global; `None` if it is absent from this kernel or not in the table.
    #[must_use]
    pub fn get(&self, global: &str) -> Option<u32> {
        self.values
            .iter()
            .find(|&&(name, _)| name == global)
            .map(|&(_, value)| value)
            .filter(|&value| value != ABSENT)
    }
}

fn lookup(btf: &Btf, wanted: &Wanted) -> Result<u32, String> {
    let Wanted {
        structure, members, ..
    } = *wanted;
    let mut why = String::new();
    for member in members {
        match btf.member(structure, member) {
            Ok(place) => {
                check_size(place.size_bytes, wanted.size_bytes)
                    .map_err(|reason| format!("member {member} of struct {structure} {reason}"))?;
                return Ok(place.offset_bytes);
            }
            Err(Absent::Struct) => why = format!("its BTF has no struct {structure}"),
            Err(Absent::Member) => {
                why = format!(
                    "its struct {structure} has no member {}",
                    members.join(" or ")
                )
            }
            Err(Absent::BitField) => {
                why = format!("member {member} of its struct {structure} is a bit field")
            }
        }
    }
    Err(why)
}

fn check_size(found: u32, expected: u32) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("has {found} bytes, not {expected}"))
    }
}

fn unobservable(reason: String) -> CaptureError {
    CaptureError::Kernel {
        what: "this kernel cannot be observed".to_owned(),
        reason,
        remedy: "report it with the output of `uname -r`; if a BTF file was given, check that it belongs to \
                 the running kernel"
            .to_owned(),
    }
}

/// Distance from a `struct socket` to its inode.
fn socket_to_inode(btf: &Btf) -> Result<u32, String> {
    let place = |member| {
        btf.member("socket_alloc", member)
            .map_err(|_| format!("its struct socket_alloc has no member {member}"))
    };
    let (socket, inode) = (place("socket")?, place("vfs_inode")?);
    inode
        .offset_bytes
        .checked_sub(socket.offset_bytes)
        .ok_or_else(|| "its struct socket_alloc has the inode before the socket".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_running_kernel_has_every_offset() {
        let tracefs = Tracefs::find_or_mount().unwrap();
        let offsets = Offsets::load(None, Some(&tracefs)).unwrap();
        assert_eq!(offsets.missing, []);
        assert_eq!(
            offsets.values.len(),
            MEMBERS.len() + FIELDS.len() + ITER_TYPES.len() + 1
        );
        assert_eq!(offsets.get("OFF_SOCK_DADDR"), Some(0));
        assert_eq!(offsets.get("OFF_SOCK_FAMILY"), Some(16));
        assert_eq!(offsets.get("OFF_EVENT_STATE_SKADDR"), Some(8));
        assert_eq!(offsets.get("OFF_NOTHING"), None);
        let plausible = |&(name, value): &(&str, u32)| value < 64 << 10 || EITHER.contains(&name);
        let plausible = offsets.values.iter().all(plausible);
        assert!(plausible, "{:?}", offsets.values);
    }

    #[test]
    fn each_global_has_a_name_of_its_own() {
        let names: Vec<_> = MEMBERS
            .iter()
            .map(|wanted| wanted.global)
            .chain(FIELDS.iter().map(|field| field.0))
            .collect();
        let distinct: HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn without_tracefs_the_fields_are_absent_and_named() {
        let offsets = Offsets::load(None, None).unwrap();
        assert_eq!(offsets.get("OFF_EVENT_STATE_SKADDR"), None);
        assert!(offsets.values.contains(&("OFF_EVENT_STATE_SKADDR", ABSENT)));
        assert!(
            offsets
                .missing
                .iter()
                .any(|missing| missing.reason.contains("sock:inet_sock_set_state"))
        );
    }

    #[test]
    fn what_a_kernel_lacks_is_named() {
        let btf = Btf::load(None).unwrap();
        let absent = |structure, members, size_bytes| {
            lookup(&btf, &required("OFF_X", structure, members, size_bytes)).unwrap_err()
        };
        assert_eq!(
            absent("no_struct", &["x"], 4),
            "its BTF has no struct no_struct"
        );
        assert_eq!(
            absent("sock", &["x", "y"], 4),
            "its struct sock has no member x or y"
        );
        assert_eq!(
            absent("tcp_sock", &["nonagle"], 1),
            "member nonagle of its struct tcp_sock is a bit field"
        );
        assert_eq!(
            absent("inode", &["i_mode"], 4),
            "member i_mode of struct inode has 2 bytes, not 4"
        );
        assert_eq!(
            lookup(
                &btf,
                &required("OFF_X", "task_struct", &["no_such", "pid"], 4)
            )
            .ok(),
            btf.member("task_struct", "pid")
                .ok()
                .map(|found| found.offset_bytes)
        );
    }
}
