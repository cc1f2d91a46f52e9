use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::super::library::{TlsFlavour, TlsFunction};
use super::super::placement;
use super::super::watched::{CHECK, EARLY_PAUSES};
use super::*;

/// A Python that does what it is told, line by line, and says when it is done.
struct Python {
    child: Child,
    answers: BufReader<ChildStdout>,
}

const OBEY: &str = "import sys
for line in sys.stdin:
    exec(line)
    print('done', flush=True)";

impl Python {
    fn start() -> Self {
        Self::wrapped(Command::new("python3"))
    }

    /// `command` runs what follows it, Python itself or a program that ends in it.
    fn wrapped(mut command: Command) -> Self {
        let mut child = command
            .args(["-c", OBEY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 can be started");
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn run(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "{line}");
    }

    fn load(&mut self, path: &Path) {
        self.run(&format!(
            "import ctypes; ctypes.CDLL({:?})",
            path.to_str().unwrap()
        ));
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `/proc` with only the processes of one test.
struct Proc(tempfile::TempDir);

impl Proc {
    fn of(children: &[&Python]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let proc = Self(root);
        for child in children {
            proc.add(child);
        }
        proc
    }

    fn add(&self, child: &Python) {
        let pid = child.pid().to_string();
        std::os::unix::fs::symlink(Path::new("/proc").join(&pid), self.0.path().join(&pid))
            .unwrap();
    }

    fn scanner(&self) -> TlsScanner {
        TlsScanner::new(self.0.path().to_owned(), DenyList::default())
    }
}

/// Without the `libcrypto` that every `libssl` brings along.
fn without_crypto(mut added: Vec<TlsLibrary>) -> Vec<TlsLibrary> {
    added.retain(|library| library.flavour != TlsFlavour::Crypto);
    added
}

/// The libssl of this system, as its Python has it mapped.
fn system_libssl() -> PathBuf {
    let mut python = Python::start();
    python.run("import ssl");
    let changes = Proc::of(&[&python]).scanner().scan();
    without_crypto(changes.added)
        .first()
        .expect("python3 uses a shared libssl")
        .display_path
        .clone()
}

fn copy_to(directory: &Path, name: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::copy(system_libssl(), &path).unwrap();
    path
}

#[test]
fn a_mapped_library_is_found_once_with_its_functions() {
    let mut first = Python::start();
    let mut second = Python::start();
    first.run("import ssl");
    second.run("import ssl");
    let proc = Proc::of(&[&first, &second]);
    let mut scanner = proc.scanner();
    let added = scanner.scan().added;
    let crypto = added
        .iter()
        .find(|library| library.flavour == TlsFlavour::Crypto)
        .expect("Python's ssl module needs it");
    let [(TlsFunction::Output, _)] = crypto.functions[..] else {
        panic!("{crypto:?}")
    };
    let added = without_crypto(added);
    let [library] = &added[..] else {
        panic!("{added:?}")
    };
    assert_eq!(library.flavour, TlsFlavour::OpenSsl3);
    let functions: Vec<_> = library
        .functions
        .iter()
        .map(|&(function, _)| function)
        .collect();
    // Of an OpenSSL as distributions build it, reading and writing are probed where it is cheap.
    let reading = [TlsFunction::Read, TlsFunction::ReadEx].as_slice();
    let writing = [TlsFunction::Write, TlsFunction::WriteEx].as_slice();
    let has = |wanted: &[TlsFunction]| wanted.iter().all(|one| functions.contains(one));
    assert!(
        has(&[TlsFunction::Free, TlsFunction::Handshake]),
        "{functions:?}"
    );
    assert!(
        has(reading) ^ has(&[TlsFunction::ReadInner]),
        "{functions:?}"
    );
    assert!(
        has(writing) ^ has(&[TlsFunction::WriteInner]) ^ has(&[TlsFunction::WriteInnerFlags]),
        "{functions:?}"
    );
    assert!([first.pid(), second.pid()].contains(&library.first_pid));
    assert_eq!(
        std::fs::read(&library.path).unwrap(),
        std::fs::read(&library.display_path).unwrap()
    );
    let again = scanner.scan();
    assert!(again.added.is_empty() && again.gone.is_empty() && again.refused.is_empty());
    assert_eq!(scanner.counters().libraries, 2);
}

/// An instruction under single step costs ten times one that the kernel runs itself.
#[test]
fn the_nodes_own_openssl_is_probed_where_it_is_cheap() {
    let path = system_libssl();
    let crypto = path.to_string_lossy().replace("libssl", "libcrypto");
    let ssl = library::open_installed(&path).unwrap();
    let crypto = library::open_installed(Path::new(&crypto)).unwrap();
    for (library, wanted) in [
        (
            &ssl,
            &[
                TlsFunction::ReadInner,
                TlsFunction::WriteInner,
                TlsFunction::Free,
            ][..],
        ),
        (&crypto, &[TlsFunction::Output]),
    ] {
        for function in wanted {
            let place = library.functions.iter().find(|(name, _)| name == function);
            let (_, offset) = place.unwrap_or_else(|| panic!("{function:?}: {library:?}"));
            // Such a place is the first of its kind from itself on.
            assert_eq!(
                placement::cheap_entry(&library.file, *offset),
                Some(*offset),
                "{function:?}"
            );
        }
    }
}

#[test]
fn a_library_loaded_later_is_found_at_the_next_check() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy_to(directory.path(), "libssl-0a1b2c3d.so.3");
    let mut python = Python::start();
    python.run("import ctypes");
    let proc = Proc::of(&[&python]);
    let mut scanner = proc.scanner();
    let mut now = Instant::now();
    // Past its first seconds.
    for _ in 0..=EARLY_PAUSES.len() {
        assert!(scanner.scan_at(now).added.is_empty());
        now += Duration::from_secs(5);
    }
    let looks = scanner.counters().looks;
    now += CHECK;
    assert!(scanner.scan_at(now).added.is_empty());
    assert_eq!(scanner.counters().looks, looks, "nothing had changed");
    python.load(&path);
    now += CHECK;
    let added = without_crypto(scanner.scan_at(now).added);
    assert_eq!(
        added
            .iter()
            .map(|library| &library.display_path)
            .collect::<Vec<_>>(),
        [&path]
    );
}

/// As wheels of Python, Node as a library, and programs that bring their own do.
#[test]
fn tls_is_found_in_files_of_any_name_and_only_so_many_are_opened_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy_to(directory.path(), "_driver.abi3.so");
    let mut python = Python::start();
    python.run("import ctypes");
    // Libraries of other things, as many as there may be in a process.
    let libc = std::fs::read(system_libssl().with_file_name("libz.so.1")).unwrap();
    for number in 0..2 * MAX_UNNAMED {
        let other = directory.path().join(format!("_other{number}.so"));
        std::fs::write(&other, &libc).unwrap();
        python.load(&other);
    }
    python.load(&path);
    let proc = Proc::of(&[&python]);
    let mut scanner = proc.scanner();
    let mut now = Instant::now();
    let mut found = Vec::new();
    for scan in 0..8 {
        let known = scanner.files.len();
        found.extend(without_crypto(scanner.scan_at(now).added));
        let named = 4;
        assert!(scanner.files.len() <= known + MAX_UNNAMED + named, "{scan}");
        now += Duration::from_millis(250);
    }
    let paths: Vec<_> = found.iter().map(|library| &library.display_path).collect();
    assert_eq!(paths, [&path]);
}

#[test]
fn a_library_without_users_is_gone_after_a_grace() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy_to(directory.path(), "libssl.so.3");
    let mut python = Python::start();
    python.load(&path);
    let proc = Proc::of(&[&python]);
    let mut scanner = proc.scanner();
    let now = Instant::now();
    let added = without_crypto(scanner.scan_at(now).added);
    let id = added.first().expect("it is mapped").id;
    drop(python);
    assert_eq!(scanner.scan_at(now + GRACE).gone, []);
    // Another process takes it over within the grace.
    let mut next = Python::start();
    next.load(&path);
    proc.add(&next);
    let changes = scanner.scan_at(now + GRACE + Duration::from_secs(1));
    assert!(changes.added.is_empty() && changes.gone.is_empty());
    drop(next);
    assert_eq!(scanner.scan_at(now + 2 * GRACE).gone, []);
    assert!(scanner.scan_at(now + 3 * GRACE).gone.contains(&id));
    assert!(
        scanner.processes.is_empty() && scanner.files.is_empty() && scanner.libraries.is_empty()
    );
}

#[test]
fn a_library_replaced_on_disk_is_two_libraries() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy_to(directory.path(), "libssl.so.3");
    let mut old = Python::start();
    old.load(&path);
    std::fs::remove_file(&path).unwrap();
    let path = copy_to(directory.path(), "libssl.so.3");
    let mut new = Python::start();
    new.load(&path);
    let mut added = without_crypto(Proc::of(&[&old, &new]).scanner().scan().added);
    added.sort_by_key(|library| library.first_pid != old.pid());
    let [of_old, of_new] = &added[..] else {
        panic!("{added:?}")
    };
    assert_ne!(of_old.id, of_new.id);
    assert_eq!((&of_old.display_path, &of_new.display_path), (&path, &path));
    assert_eq!(of_old.functions, of_new.functions);
}

#[test]
fn what_only_has_the_name_of_a_library_is_refused_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("libssl.so.1");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(4 << 30).unwrap();
    let mut python = Python::start();
    python.run(&format!("import mmap; f = open({:?}, 'rb'); m = mmap.mmap(f.fileno(), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ|mmap.PROT_EXEC)", path.to_str().unwrap()));
    let proc = Proc::of(&[&python]);
    let mut scanner = proc.scanner();
    let changes = scanner.scan();
    assert!(changes.added.is_empty());
    assert_eq!(changes.refused, [(path, "not an ELF file".to_owned())]);
    scanner.look_again(python.pid());
    assert!(scanner.scan().refused.is_empty());
    assert_eq!(scanner.counters().refused, 1);
    assert_eq!(scanner.counters().looks, 2);
}

#[test]
fn libraries_in_other_mount_namespaces_are_found_and_one_beneath_two_overlays_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let lower = directory.path().join("lower");
    std::fs::create_dir(&lower).unwrap();
    copy_to(&lower, "libssl.so.3");
    let mut children = Vec::new();
    for name in ["a", "b"] {
        let place = |part: &str| directory.path().join(name).join(part);
        for part in ["upper", "work", "merged"] {
            std::fs::create_dir_all(place(part)).unwrap();
        }
        let (upper, work, merged) = (place("upper"), place("work"), place("merged"));
        let script = format!(
            "mount -t overlay overlay -o lowerdir={},upperdir={},workdir={} {} && exec python3 \"$@\"",
            lower.display(),
            upper.display(),
            work.display(),
            merged.display()
        );
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            &script,
            "sh",
        ]);
        let mut python = Python::wrapped(command);
        python.load(&merged.join("libssl.so.3"));
        assert!(
            !merged.join("libssl.so.3").exists(),
            "not to be seen from here"
        );
        children.push(python);
    }
    let children: Vec<&Python> = children.iter().collect();
    let proc = Proc::of(&children);
    let mut scanner = proc.scanner();
    let added = without_crypto(scanner.scan().added);
    let [library] = &added[..] else {
        panic!("{added:?}")
    };
    let functions = library.functions.iter().map(|&(function, _)| function);
    assert_eq!(functions.filter(|one| *one == TlsFunction::Free).count(), 1);
    // The kernel gives each its own identity in `maps` from 6.8 on.
    let names = |path: &Path| path.ends_with("libssl.so.3");
    assert!(names(&library.display_path));
    // With their libcrypto, which is the node's own.
    let with_tls = scanner.files.values().filter(|one| one.library.is_some());
    assert!(with_tls.count() <= 3 && scanner.libraries.len() == 2);
}

#[test]
fn what_a_denied_process_has_mapped_is_left_alone_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy_to(directory.path(), "libssl.so.3");
    let mut python = Python::start();
    python.load(&path);
    let proc = Proc::of(&[&python]);
    let deny = DenyList {
        processes: vec!["precious*".to_owned()],
        ..DenyList::default()
    };
    let mut scanner = TlsScanner::new(proc.0.path().to_owned(), deny);
    let now = Instant::now();
    let changes = scanner.scan_at(now);
    let of_test = |library: &&TlsLibrary| library.display_path == path;
    let added = changes.added.iter().find(of_test);
    let id = added.expect("it is not denied yet").id;
    let mut precious = Python::start();
    precious.run("open('/proc/self/comm', 'w').write('precious-1')");
    precious.load(&path);
    proc.add(&precious);
    assert!(scanner.scan_at(now).gone.contains(&id));
    // Nor for anybody who comes later.
    let mut third = Python::start();
    third.load(&path);
    proc.add(&third);
    let later = now + Duration::from_secs(70);
    let changes = scanner.scan_at(later);
    assert!(changes.added.is_empty() && changes.gone.is_empty());
    drop(precious);
    // In a real `/proc` it is gone at once; here its end is noticed when it is looked at again, which
    // may be after the others were.
    let mut added = Vec::new();
    for seconds in [70, 140] {
        added.extend(scanner.scan_at(later + Duration::from_secs(seconds)).added);
    }
    assert!(added.iter().any(|library| library.id == id));
}

#[test]
fn a_process_that_ends_between_discovery_and_attachment_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy_to(directory.path(), "libssl.so.3");
    let mut python = Python::start();
    python.load(&path);
    let pid = python.pid();
    let text = std::fs::read(format!("/proc/{pid}/maps")).unwrap();
    let mut mappings = text
        .split(|&byte| byte == b'\n')
        .filter_map(maps::executable);
    let mapping = mappings
        .find(|mapping| mapping.path == path.as_os_str().as_encoded_bytes())
        .unwrap();
    let proc = Proc::of(&[&python]);
    let mut scanner = proc.scanner();
    let mut changes = scanner.scan();
    drop(python);
    // Before it was opened: no error but that, and nothing is remembered.
    assert!(matches!(
        library::open(Path::new("/proc"), pid, &mapping, false),
        Err(OpenError::Unreadable(_))
    ));
    // After that: the file is held, so the probes find it all the same, and are taken off later.
    changes.added.retain(|library| library.display_path == path);
    std::fs::remove_file(&path).unwrap();
    assert!(std::fs::read(&changes.added[0].path).is_ok());
    let later = scanner.scan_at(Instant::now() + GRACE + Duration::from_secs(1));
    let last = scanner.scan_at(Instant::now() + 3 * GRACE);
    assert!(
        [later.gone, last.gone]
            .concat()
            .contains(&changes.added[0].id)
    );
    assert!(scanner.processes.is_empty() && scanner.files.is_empty());
}

#[test]
fn names_of_libraries_are_told_from_others() {
    for (name, expected) in [
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3", true),
        ("/usr/lib/libssl.so.1.1", true),
        ("libssl.so", true),
        ("/app/psycopg_binary.libs/libssl-28bef1ac.so.1.1", true),
        ("/usr/lib/libssl3.so", false),
        ("/usr/lib/libssl-data.txt", false),
        ("/usr/lib/libssl.so.d/other", false),
        ("/usr/lib/libcrypto.so.3", true),
        ("/usr/lib/x86_64-linux-gnu/libgnutls.so.30", true),
        ("/usr/lib/libgnutlsxx.so.30", false),
        ("/", false),
        ("", false),
    ] {
        assert_eq!(library::is_tls_name(name.as_bytes()), expected, "{name}");
    }
}

/// What shows one half of each conversation would be told as such, again and again.
#[test]
fn a_library_with_half_of_the_functions_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let whole = std::fs::read(system_libssl()).unwrap();
    for (names, reason) in [
        (
            ["SSL_read", "SSL_read_ex"],
            "it has no symbol of a function that reads",
        ),
        (
            ["SSL_write", "SSL_write_ex"],
            "it has no symbol of a function that writes",
        ),
        (
            ["SSL_free", "SSL_free"],
            "it has no symbol of the function that ends a TLS object",
        ),
    ] {
        let mut half = whole.clone();
        for name in names {
            let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
            let at = half.windows(wanted.len()).position(|part| part == wanted);
            if let Some(at) = at {
                half[at + 1] = b'X';
            }
        }
        let path = directory.path().join("libssl.so.3");
        std::fs::write(&path, half).unwrap();
        match library::open_installed(&path) {
            Err(library::OpenError::Refused(why)) => assert_eq!(why, reason),
            other => panic!("{other:?}"),
        }
    }
}

/// A Python that has a copy of the system's libcrypto and nothing that shows what it does with it.
fn with_crypto(directory: &Path) -> (Python, PathBuf) {
    let path = directory.join("libcrypto.so.3");
    if !path.exists() {
        let system = system_libssl().with_file_name("libcrypto.so.3");
        std::fs::copy(system, &path).unwrap();
    }
    let mut python = Python::start();
    python.load(&path);
    (python, path)
}

#[test]
fn what_a_library_puts_out_is_probed_when_a_process_may_use_memory_bios() {
    let directory = tempfile::tempdir().unwrap();
    let (first, path) = with_crypto(directory.path());
    let (mut second, _) = with_crypto(directory.path());
    let proc = Proc::of(&[&first, &second]);
    let mut scanner = proc.scanner();
    let changes = scanner.scan();
    let is_copy = |library: &&TlsLibrary| library.display_path == path;
    let id = changes.added.iter().find(is_copy).unwrap().id;
    assert_eq!(changes.outputs, []);
    assert!(scanner.withholds(&id) && scanner.withholds_any());
    // Whoever is started has little time.
    assert_eq!(scanner.look_at_start(second.pid()).outputs, []);
    second.run("import _ssl");
    let changes = scanner.look_at_start(second.pid());
    assert!(changes.outputs.contains(&id), "{changes:?}");
    assert!(!scanner.withholds(&id));
    // From then on it stays.
    drop(second);
    let changes = scanner.scan();
    assert!(changes.outputs.is_empty() && !scanner.withholds(&id));
    assert_eq!(scanner.uses_memory_bios(first.pid()), []);
}

#[test]
fn a_process_that_is_not_observed_brings_no_probe_and_one_that_shows_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let (first, path) = with_crypto(directory.path());
    let (mut second, _) = with_crypto(directory.path());
    second.run("import _ssl");
    let proc = Proc::of(&[&first, &second]);
    let mut scanner = proc.scanner().memory_bios_of(&[first.pid()]);
    let changes = scanner.scan();
    let is_copy = |library: &&TlsLibrary| library.display_path == path;
    let id = changes.added.iter().find(is_copy).unwrap().id;
    assert!(changes.outputs.is_empty() && scanner.withholds(&id));
    assert_eq!(scanner.uses_memory_bios(first.pid()), [id]);
    assert!(!scanner.withholds(&id));
}

#[test]
fn programs_that_give_their_tls_objects_a_descriptor_show_no_memory_bios() {
    let mut evidence = super::super::evidence::Evidence::default();
    let mut of = |path: &str| Some(evidence.of(&std::fs::File::open(path).ok()?).unwrap());
    for path in [
        "/usr/sbin/nginx",
        "/usr/bin/redis-server",
        "/usr/sbin/mariadbd",
    ] {
        assert_ne!(of(path), Some(true), "{path}");
    }
    let mut python = Python::start();
    python.run("import _ssl");
    let maps = std::fs::read(format!("/proc/{}/maps", python.pid())).unwrap();
    let module = maps
        .split(|&byte| byte == b'\n')
        .filter_map(maps::executable)
        .find(|mapping| String::from_utf8_lossy(mapping.path).contains("/_ssl."))
        .expect("it is a library of its own");
    assert_eq!(of(&String::from_utf8_lossy(module.path)), Some(true));
}
