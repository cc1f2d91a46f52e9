//! What of each process's encrypted traffic can be seen, and why not: `wirespan doctor --processes`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::capability::{self, Effective};
use super::deny::DenyList;
use super::elf::{self, ElfError, Image};
use super::library::{self, OpenError, TlsFlavour};
use super::maps::{self, Mapping};
use crate::{bounded, cgroup};

/// 65,530 mappings, the kernel's default limit, of 100 bytes.
const MAX_MAPS_BYTES: u64 = 8 << 20;
/// Some 50,000 sockets of one network namespace.
const MAX_SOCKETS_BYTES: u64 = 8 << 20;
const MAX_LINE_BYTES: u64 = 64 << 10;
/// Descriptors of one process that are looked at.
const MAX_DESCRIPTORS: usize = 65_536;

/// Libraries that cannot be observed, by the beginning of their names.
const OTHERS: [(&str, &str, &str); 5] = [
    (
        "libjvm.so",
        "Java (JSSE)",
        "Java compiles its TLS while it runs: there is no function in a file that could be probed",
    ),
    (
        "libssl3.so",
        "NSS",
        "the functions of NSS are not known here",
    ),
    (
        "libmbedtls.so",
        "Mbed TLS",
        "the functions of Mbed TLS are not known here",
    ),
    (
        "libwolfssl.so",
        "wolfSSL",
        "the functions of wolfSSL are not known here",
    ),
    (
        "libs2n.so",
        "s2n",
        "the functions of s2n are not known here",
    ),
];

/// Text that TLS libraries leave in programs they are linked into: names of their source files. In
/// capitals here, or this program would have them too.
const MARKS: [(&[u8], &str, &str); 2] = [
    (
        b"SSL/SSL_LIB.C",
        "OpenSSL or BoringSSL, linked statically",
        "the program has no symbols that name its functions, and where they are is not guessed",
    ),
    (
        b"/RUSTLS-0.",
        "rustls",
        "the program has no symbols that name what seals and opens its records, and where that is is not guessed",
    ),
];

/// Whether plaintext is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Plaintext {
    /// Of all TLS that was found.
    Seen,
    /// Of one library, and not of another.
    Partly,
    NotSeen,
    /// No TLS was found: what it sends is plain, or encrypted by something unknown.
    NoTls,
}

/// A process with TCP sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessRow {
    pub pid: u32,
    pub command: String,
    pub executable: String,
    pub container: Option<String>,
    /// TCP sockets, listening ones too.
    pub sockets: usize,
    /// TLS libraries, and where they are.
    pub tls: Vec<String>,
    pub plaintext: Plaintext,
    /// Why it is not seen, or not of all.
    pub reason: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    pub processes: Vec<ProcessRow>,
    /// Processes of which not even the sockets could be listed.
    pub unreadable: usize,
    /// What is missing for that, if it is known.
    pub remedy: Option<String>,
}

/// Looks at every process in `root`. `without_tls`: why no TLS library is probed at all, if so.
#[must_use]
pub fn processes(root: &Path, deny: &DenyList, without_tls: Option<&str>) -> Survey {
    let mut survey = Survey::default();
    let mut surveyor = Surveyor {
        root,
        deny,
        without_tls,
        sockets: HashMap::new(),
        files: HashMap::new(),
    };
    let mut pids: Vec<u32> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        match surveyor.process(pid) {
            Ok(Some(row)) => survey.processes.push(row),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                survey.unreadable = survey.unreadable.saturating_add(1);
            }
            // It has ended.
            Err(_) => {}
        }
    }
    if survey.unreadable > 0 {
        survey.remedy = Some(privilege());
    }
    survey
}

/// Which privilege is missing to look into processes of others.
fn privilege() -> String {
    let effective = Effective::of_this_process();
    let missing: Vec<&str> = capability::ALL
        .iter()
        .filter(|one| {
            ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"].contains(&one.name) && !effective.has(**one)
        })
        .map(|one| one.name)
        .collect();
    if missing.is_empty() {
        "a sandbox keeps them to itself".to_owned()
    } else {
        format!("run as root, or grant {}", missing.join(" and "))
    }
}

/// What was found in a file: the name of its TLS, and why it is not observable, if so.
#[derive(Clone, Debug)]
struct Finding {
    tls: String,
    refused: Option<String>,
}

struct Surveyor<'a> {
    root: &'a Path,
    deny: &'a DenyList,
    without_tls: Option<&'a str>,
    /// Inodes of TCP sockets, by network namespace.
    sockets: HashMap<PathBuf, HashSet<u64>>,
    /// By device and inode as in `maps`.
    files: HashMap<(u64, u64), Option<Finding>>,
}

impl Surveyor<'_> {
    fn process(&mut self, pid: u32) -> std::io::Result<Option<ProcessRow>> {
        let directory = self.root.join(pid.to_string());
        let sockets = self.tcp_sockets(&directory)?;
        if sockets == 0 {
            return Ok(None);
        }
        let command = bounded::read(&directory.join("comm"), MAX_LINE_BYTES)?;
        let command = command.trim_ascii_end();
        let executable = library::program(&directory).unwrap_or_default();
        let groups = bounded::read(&directory.join("cgroup"), MAX_LINE_BYTES).unwrap_or_default();
        let maps = bounded::read(&directory.join("maps"), MAX_MAPS_BYTES)?;
        let mut found: Vec<Finding> = Vec::new();
        for mapping in maps
            .split(|&byte| byte == b'\n')
            .filter_map(maps::executable)
        {
            let Some(finding) = self.file(pid, &mapping, mapping.path == executable) else {
                continue;
            };
            if !found.iter().any(|known| known.tls == finding.tls) {
                found.push(finding);
            }
        }
        let everything = self.without_tls.map(str::to_owned).or_else(|| {
            let pattern = self.deny.process(command, &executable)?;
            Some(format!("tls.deny_processes has {pattern}"))
        });
        let refused: Vec<String> = found
            .iter()
            .filter_map(|one| everything.clone().or_else(|| one.refused.clone()))
            .collect();
        let plaintext = match (found.len(), refused.len()) {
            (0, _) => Plaintext::NoTls,
            (_, 0) => Plaintext::Seen,
            (all, some) if all == some => Plaintext::NotSeen,
            _ => Plaintext::Partly,
        };
        let mut reasons: Vec<String> = Vec::new();
        for reason in refused {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        Ok(Some(ProcessRow {
            pid,
            command: String::from_utf8_lossy(command).into_owned(),
            executable: String::from_utf8_lossy(&executable).into_owned(),
            container: cgroup::parse(&String::from_utf8_lossy(&groups)).container_id,
            sockets,
            tls: found.into_iter().map(|one| one.tls).collect(),
            plaintext,
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        }))
    }

    /// How many of the process's descriptors are TCP sockets.
    fn tcp_sockets(&mut self, directory: &Path) -> std::io::Result<usize> {
        let inodes: HashSet<u64> = std::fs::read_dir(directory.join("fd"))?
            .flatten()
            .take(MAX_DESCRIPTORS)
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter_map(|target| {
                let inode = target.to_str()?.strip_prefix("socket:[")?;
                inode.strip_suffix(']')?.parse().ok()
            })
            .collect();
        if inodes.is_empty() {
            return Ok(0);
        }
        let namespace = std::fs::read_link(directory.join("ns/net"))?;
        let tcp = self
            .sockets
            .entry(namespace)
            .or_insert_with(|| tcp_inodes(directory));
        Ok(inodes.intersection(tcp).count())
    }

    fn file(&mut self, pid: u32, mapping: &Mapping<'_>, is_program: bool) -> Option<Finding> {
        let known = (mapping.device, mapping.inode);
        if let Some(finding) = self.files.get(&known) {
            return finding.clone();
        }
        let finding = self.examine(pid, mapping, is_program);
        self.files.insert(known, finding.clone());
        finding
    }

    fn examine(&self, pid: u32, mapping: &Mapping<'_>, is_program: bool) -> Option<Finding> {
        let path = library::path_of(mapping);
        let at = |tls: &str| format!("{tls} ({})", path.display());
        let file = path.file_name()?.to_str()?;
        let other = OTHERS.iter().find(|(begin, ..)| file.starts_with(begin));
        if other.is_none() || is_program {
            let has_name = library::is_tls_name(mapping.path);
            return match library::open(self.root, pid, mapping, is_program) {
                // It encrypts, but is no TLS.
                Ok(library) if library.flavour == TlsFlavour::Crypto => None,
                Ok(library) => Some(Finding {
                    tls: at(name(library.flavour)),
                    refused: None,
                }),
                Err(OpenError::Refused(_)) if !has_name && !is_program => None,
                Err(OpenError::Refused(why)) => Some(Finding {
                    tls: at("a TLS library"),
                    refused: Some(why),
                }),
                Err(OpenError::Unreadable(error)) if has_name => Some(Finding {
                    tls: at("a TLS library"),
                    refused: Some(format!("cannot be opened ({error}): {}", privilege())),
                }),
                Err(OpenError::Unreadable(_)) => None,
                Err(OpenError::WithoutTls) => {
                    let file = library::open_mapped(self.root, pid, mapping).ok()?;
                    let (tls, why) = marked(&file)?;
                    Some(Finding {
                        tls: at(tls),
                        refused: Some(why.to_owned()),
                    })
                }
            };
        }
        let (_, tls, why) = other?;
        Some(Finding {
            tls: at(tls),
            refused: Some((*why).to_owned()),
        })
    }
}

const fn name(flavour: TlsFlavour) -> &'static str {
    match flavour {
        TlsFlavour::OpenSsl3 => "OpenSSL 3",
        TlsFlavour::OpenSsl1 => "OpenSSL 1.1.1",
        TlsFlavour::OpenSslLike => "like OpenSSL",
        TlsFlavour::GnuTls => "GnuTLS",
        TlsFlavour::Crypto => "libcrypto",
        TlsFlavour::Go => "Go crypto/tls",
        TlsFlavour::Rustls => "rustls",
    }
}

/// The TLS library that a program without symbols shows by its texts.
fn marked(file: &File) -> Option<(&'static str, &'static str)> {
    let look = |image: &Image<'_>| -> Result<_, ElfError> {
        let texts = image.section(b".rodata")?.unwrap_or_default();
        Ok(MARKS
            .iter()
            .find(|(mark, ..)| contains(texts, &mark.to_ascii_lowercase()))
            .map(|(_, tls, why)| (*tls, *why)))
    };
    elf::examine(file, look).ok().flatten()
}

fn contains(texts: &[u8], mark: &[u8]) -> bool {
    let Some(first) = mark.first() else {
        return false;
    };
    let mut rest = texts;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(mark) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

/// Inodes of the TCP sockets in the network namespace of a process: the tenth column.
fn tcp_inodes(directory: &Path) -> HashSet<u64> {
    ["net/tcp", "net/tcp6"]
        .iter()
        .filter_map(|file| bounded::read(&directory.join(file), MAX_SOCKETS_BYTES).ok())
        .flat_map(|text| {
            String::from_utf8_lossy(&text)
                .lines()
                .filter_map(|line| line.split_ascii_whitespace().nth(9)?.parse().ok())
                .collect::<Vec<u64>>()
        })
        .filter(|inode| *inode != 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn own(survey: &Survey) -> &ProcessRow {
        let pid = std::process::id();
        let row = survey.processes.iter().find(|row| row.pid == pid);
        row.unwrap_or_else(|| panic!("this process has a socket: {survey:?}"))
    }

    #[test]
    fn a_process_without_tls_is_told_as_such() {
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let survey = processes(Path::new("/proc"), &DenyList::default(), None);
        let row = own(&survey);
        assert_eq!((row.plaintext, &row.reason), (Plaintext::NoTls, &None));
        assert!(row.sockets >= 1 && row.executable.contains("wirespan_capture"));
    }

    #[test]
    fn a_static_library_without_symbols_is_told_by_its_texts() {
        let mark = MARKS[0].0.to_ascii_lowercase();
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(marked(&File::open("/proc/self/exe").unwrap()), None);
        // The same program with that text among its constants.
        let begin = elf::examine(&File::open("/proc/self/exe").unwrap(), |image| {
            image
                .section(b".rodata")
                .map(|texts| texts.unwrap()[..4096].to_vec())
        })
        .unwrap();
        let at = own
            .windows(begin.len())
            .position(|part| part == begin)
            .unwrap();
        let mut changed = own;
        changed[at + 100..at + 100 + mark.len()].copy_from_slice(&mark);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, &changed).unwrap();
        let (tls, _) = marked(file.as_file()).unwrap();
        assert!(tls.contains("statically"), "{tls}");
    }

    #[test]
    fn texts_are_found_wherever_they_are() {
        for (text, expected) in [
            (&b"xx ab/ab_c yy"[..], true),
            (b"ab/ab_c", true),
            (b"abab/ab_c", true),
            (b"ab/ab_", false),
            (b"", false),
        ] {
            assert_eq!(contains(text, b"ab/ab_c"), expected);
        }
    }
}
