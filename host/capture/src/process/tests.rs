use std::process::{Child, Command, Stdio};

use std::io::Read;
use std::path::Path;

use super::reading::{MAX_SERVICE_NAME_BYTES, parse_stat, service_name};
use super::*;
use crate::event::ProcessKey;

/// A child that is ended when the test is.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("the program can be started"),
        )
    }

    fn until(&self, mut holds: impl FnMut() -> bool) {
        for _ in 0..500 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not reached within 5 s by process {}", self.0.id());
    }

    /// Until it is remembered, and no longer in the middle of its own exec: it is started when the
    /// kernel has begun with that.
    fn until_read(&self, table: &mut ProcessTable) {
        let pid = self.0.id();
        self.until(|| {
            table.lookup(pid);
            let entry = table.recent.get(&pid);
            entry.is_some_and(|entry| {
                entry.image != 0 && entry.doubtful == 0 && !entry.process.executable.is_empty()
            })
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn table() -> ProcessTable {
    ProcessTable::new(PathBuf::from("/proc"))
}

#[test]
fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
    let rest = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1000 1 18446744073709551615 \
                93900000000000 93900000100000 140727000000000 0 0";
    for name in ["nginx", "tmux: server", "a) S 1 (b", ") ", "("] {
        let stat = format!("77 ({name}) {rest}\n");
        let parsed = parse_stat(stat.as_bytes()).unwrap();
        assert_eq!(parsed.started, 123_450_000_000, "{name}");
        assert_eq!(parsed.command, name.as_bytes());
        assert_eq!(parsed.image, 140_727_000_000_000);
        for end in 0..stat.len() {
            let _ = parse_stat(&stat.as_bytes()[..end]);
        }
    }
    assert_eq!(
        parse_stat(b"77 (x) S 1 1 1 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 99999999999999999999 1"),
        None
    );
    // Cut off, or nothing of it may be known.
    let stat = b"77 (x) S 1 1 1 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 7";
    assert_eq!(parse_stat(stat).unwrap().image, 0);
}

#[test]
fn the_service_name_is_found_however_the_environment_is_cut() {
    /// Gives `1` byte more with every read.
    struct Dribble<'a>(&'a [u8], usize);
    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = self.1.min(self.0.len()).min(buffer.len());
            buffer[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }
    let long = "x".repeat(MAX_SERVICE_NAME_BYTES);
    let too_long = "x".repeat(MAX_SERVICE_NAME_BYTES + 1);
    for (environment, expected) in [
        (
            "A=1\0OTEL_SERVICE_NAME=users\0B=2\0".to_owned(),
            Some("users"),
        ),
        ("OTEL_SERVICE_NAME=users".to_owned(), Some("users")),
        ("OTEL_SERVICE_NAME= users \0".to_owned(), Some("users")),
        ("OTEL_SERVICE_NAME=\0".to_owned(), None),
        ("X_OTEL_SERVICE_NAME=users\0".to_owned(), None),
        ("A=OTEL_SERVICE_NAME=users\0".to_owned(), None),
        ("OTEL_SERVICE_NAMES=users\0".to_owned(), None),
        ("OTEL_SERVICE_NAME=a\nb\0".to_owned(), None),
        (format!("OTEL_SERVICE_NAME={long}\0"), Some(long.as_str())),
        (format!("OTEL_SERVICE_NAME={too_long}\0"), None),
        (
            format!("A={}\0OTEL_SERVICE_NAME=users\0", "y".repeat(10_000)),
            Some("users"),
        ),
        (String::new(), None),
    ] {
        for step in [1, 2, 3, 7, 4096] {
            assert_eq!(
                service_name(Dribble(environment.as_bytes(), step)).as_deref(),
                expected,
                "{environment:.60} by {step}"
            );
        }
    }
}

#[test]
fn a_running_process_is_described() {
    let child = Running::start(Command::new("/bin/cat").env("OTEL_SERVICE_NAME", "pets"));
    let pid = child.0.id();
    let mut table = table();
    // The name is there before the environment is.
    child.until(|| {
        table
            .lookup(pid)
            .is_some_and(|process| process.service_name.as_deref() == Some("pets"))
    });
    let process = table.lookup(pid).unwrap();
    assert_eq!(process.command, "cat");
    assert!(
        process.executable.ends_with("/cat"),
        "{}",
        process.executable
    );
    assert!(process.cgroup_path.starts_with('/'));
    // It was started within the last minute, on the clock that the kernel's records use.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = u64::try_from(now.tv_sec).unwrap() * 1_000_000_000;
    assert!(process.started > now - 60_000_000_000 && process.started < now + 1_000_000_000);
    assert_eq!(
        started(Path::new("/proc"), pid),
        Some(ProcessKey {
            pid,
            started: process.started
        })
    );
}

#[test]
fn a_process_in_the_middle_of_its_exec_is_known() {
    for _ in 0..200 {
        let child = Running::start(&mut Command::new("/bin/cat"));
        assert!(table().lookup(child.0.id()).is_some());
    }
}

#[test]
fn a_process_that_has_vanished_is_none_unless_it_was_known_by_its_start() {
    let child = Running::start(&mut Command::new("/bin/cat"));
    let pid = child.0.id();
    let mut table = table();
    child.until_read(&mut table);
    let process = table.lookup(pid).unwrap();
    drop(child);
    assert_eq!(table.lookup(pid), None);
    let hint = ProcessHint {
        started: Some(process.started + 3),
        command: Some(b"another"),
        image: None,
    };
    assert_eq!(
        table.lookup_hinted(pid, hint).map(|found| found.started),
        Some(process.started)
    );
    let other = ProcessHint {
        started: Some(process.started + TICK_NANOS),
        command: None,
        image: None,
    };
    assert_eq!(table.lookup_hinted(pid, other), None);
    assert_eq!(table.lookup_executed(pid, hint), None);
}

#[test]
fn an_exec_is_noticed_by_its_name_at_once_and_a_threads_name_is_not_read_twice() {
    let mut child =
        Running::start(Command::new("/bin/sh").args(["-c", "read line; exec /bin/cat"]));
    let pid = child.0.id();
    let mut table = table();
    child.until(|| {
        let named = table
            .lookup(pid)
            .is_some_and(|process| process.command == "sh");
        // Not in the middle of its own exec.
        named
            && table
                .recent
                .get(&pid)
                .is_some_and(|entry| entry.doubtful == 0)
    });
    let before = table.lookup(pid).unwrap();
    let known = ProcessHint {
        started: Some(before.started),
        command: Some(b"sh"),
        image: None,
    };
    assert!(Arc::ptr_eq(
        &before,
        &table.lookup_hinted(pid, known).unwrap()
    ));
    let thread = ProcessHint {
        command: Some(b"worker"),
        ..known
    };
    assert!(Arc::ptr_eq(
        &before,
        &table.lookup_hinted(pid, thread).unwrap()
    ));

    std::io::Write::write_all(child.0.stdin.as_mut().unwrap(), b"\n").unwrap();
    child.until(|| started_command(pid) == b"cat");
    // The name of a thread that was seen already does not make it read again.
    assert!(Arc::ptr_eq(
        &before,
        &table.lookup_hinted(pid, thread).unwrap()
    ));
    let after = table
        .lookup_hinted(
            pid,
            ProcessHint {
                command: Some(b"cat"),
                ..known
            },
        )
        .unwrap();
    assert_eq!(
        (after.command.as_str(), after.started),
        ("cat", before.started)
    );
    assert!(after.executable.ends_with("/cat"));
}

#[test]
fn a_record_of_a_program_that_is_gone_is_not_told_as_the_one_after_it() {
    let script = "read line; exec /bin/sh -c 'read line'";
    let mut child = Running::start(
        Command::new("/bin/sh")
            .args(["-c", script])
            .env("OTEL_SERVICE_NAME", "pets"),
    );
    let pid = child.0.id();
    let image = || read_stat(Path::new("/proc"), pid).map_or(0, |stat| stat.image);
    let arguments = || std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let script = b"\0read line; exec /bin/sh -c 'read line'\0";
    // The arguments are there before the place of the stack is.
    child.until(|| arguments().ends_with(script) && image() != 0);
    let mut table = table();
    let old = table.lookup(pid).unwrap();
    let of = |image| ProcessHint {
        started: Some(old.started),
        command: Some(b"sh"),
        image: Some(image),
    };
    let first = image();
    assert_ne!(first, 0);
    assert!(Arc::ptr_eq(
        &old,
        &table.lookup_hinted(pid, of(first)).unwrap()
    ));

    std::io::Write::write_all(child.0.stdin.as_mut().unwrap(), b"\n").unwrap();
    child.until(|| arguments().ends_with(b"\0-c\0read line\0") && image() != 0);
    let second = image();
    assert_ne!(first, second, "each program has a stack of its own");
    // The name is the same: nothing but the image tells.
    assert!(Arc::ptr_eq(
        &old,
        &table.lookup_hinted(pid, of(first)).unwrap()
    ));
    let new = table.lookup_hinted(pid, of(second)).unwrap();
    assert_eq!(new.service_name.as_deref(), Some("pets"));
    // The old one is forgotten now: its name is all that a late record of it tells.
    let late = table.lookup_hinted(pid, of(first)).unwrap();
    assert_eq!((&*late.executable, &late.service_name), ("", &None));
    assert_eq!(
        (late.pid, late.started, &*late.command),
        (pid, old.started, "sh")
    );
    assert!(Arc::ptr_eq(
        &new,
        &table.lookup_hinted(pid, of(second)).unwrap()
    ));
    // The same when the process has ended.
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let late = table.lookup_hinted(pid, of(first)).unwrap();
    assert_eq!(&*late.executable, "");
    assert!(Arc::ptr_eq(
        &new,
        &table.lookup_hinted(pid, of(second)).unwrap()
    ));
}

#[test]
fn a_fork_that_ended_before_it_could_be_read_is_the_program_of_its_parent() {
    let parent = Running::start(Command::new("/bin/cat").env("OTEL_SERVICE_NAME", "pets"));
    let pid = parent.0.id();
    let mut table = table();
    parent.until(|| {
        table
            .lookup(pid)
            .is_some_and(|process| process.command == "cat" && process.service_name.is_some())
    });
    let before = table.lookup(pid).unwrap();
    let image = read_stat(Path::new("/proc"), pid).unwrap().image;
    // No process has an id this large.
    let gone = u32::MAX;
    let hint = |image, command| ProcessHint {
        started: Some(before.started + TICK_NANOS + 1),
        command: Some(command),
        image: Some(image),
    };
    assert!(
        table
            .lookup_hinted(gone, hint(image + 16, b"cat"))
            .is_none()
    );
    assert!(table.lookup_hinted(gone, hint(image, b"dog")).is_none());
    let fork = table.lookup_hinted(gone, hint(image, b"cat")).unwrap();
    let expected = Process {
        pid: gone,
        started: before.started + TICK_NANOS,
        ..Process::clone(&before)
    };
    assert_eq!(*fork, expected);
    // Remembered as any other.
    let again = table.lookup_hinted(gone, hint(image, b"cat")).unwrap();
    assert!(Arc::ptr_eq(&fork, &again));
    assert_eq!(table.lookup(pid).as_ref(), Some(&before));
}

#[test]
fn an_ended_process_that_nobody_waited_for_keeps_what_was_known() {
    let mut child = Running::start(&mut Command::new("/bin/cat"));
    let pid = child.0.id();
    let mut table = table();
    child.until(|| {
        table
            .lookup(pid)
            .is_some_and(|process| process.command == "cat")
    });
    let before = table.lookup(pid).unwrap();
    child.0.kill().unwrap();
    child.until(|| std::fs::read_link(format!("/proc/{pid}/exe")).is_err());
    let hint = ProcessHint {
        started: Some(before.started),
        command: Some(b"unseen"),
        image: None,
    };
    let after = table.lookup_hinted(pid, hint).unwrap();
    assert_eq!(after.executable, before.executable);
}

#[test]
fn a_process_without_an_environment_is_not_read_for_ever() {
    let child = Running::start(Command::new("/bin/cat").env_clear());
    let pid = child.0.id();
    let mut table = table();
    child.until(|| {
        table
            .lookup(pid)
            .is_some_and(|process| process.command == "cat")
    });
    child.until(|| {
        table.lookup(pid);
        table
            .recent
            .get(&pid)
            .is_some_and(|entry| entry.doubtful == 0)
    });
}

fn started_command(pid: u32) -> Vec<u8> {
    read_stat(Path::new("/proc"), pid)
        .map(|stat| stat.command)
        .unwrap_or_default()
}

#[test]
fn the_table_stays_within_its_limit() {
    let root = tempfile::tempdir().unwrap();
    let mut table = ProcessTable {
        limit: 8,
        ..ProcessTable::new(root.path().to_owned())
    };
    for pid in 1..=100u32 {
        let directory = root.path().join(pid.to_string());
        std::fs::create_dir(&directory).unwrap();
        let stat = format!("{pid} (p{pid}) S 1 1 1 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 {pid} 0\n");
        std::fs::write(directory.join("stat"), stat).unwrap();
        assert_eq!(table.lookup(pid).unwrap().command, format!("p{pid}"));
        // One that is used all the time stays.
        assert!(table.lookup(1).is_some());
        assert!(table.len() <= 8);
    }
    assert!(table.recent.contains_key(&1) || table.older.contains_key(&1));
}
