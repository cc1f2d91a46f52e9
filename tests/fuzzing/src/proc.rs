//! What `/proc` says of processes, and the names of cgroups.

use std::fs;
use std::path::Path;

use wirespan_capture::cgroup;
use wirespan_capture::live::maps;
use wirespan_capture::process::ProcessTable;

/// The process that the files are about.
const PID: u32 = 7;

/// Stands in the environment beside what may be read of it.
const SECRET: &str = "hunter2-correct-horse";

thread_local! {
    /// `/proc` of one process, which every input is written into.
    static ROOT: tempfile::TempDir = {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        fs::create_dir(root.path().join(PID.to_string())).expect("a folder can be made");
        root
    };
}

/// Three files one behind the other, of which the first two bytes tell the lengths.
pub(crate) fn run(input: &[u8]) {
    for line in input.split(|&byte| byte == b'\n') {
        if let Some(mapping) = maps::executable(line) {
            assert!(mapping.path.starts_with(b"/") && mapping.path.len() <= line.len());
        }
    }
    let text = String::from_utf8_lossy(input);
    check_id(cgroup::container_id(&text));
    let found = cgroup::parse(&text);
    assert!(text.contains(&found.path), "a path that is nowhere");
    check_id(found.container_id.as_deref());
    let [stat, groups, environment, rest @ ..] = input else {
        return;
    };
    let (stat, rest) = rest.split_at(usize::from(*stat).min(rest.len()));
    let (groups, rest) = rest.split_at(usize::from(*groups).min(rest.len()));
    let mut variables = rest.to_vec();
    if environment % 2 == 1 {
        variables.extend(format!("\0TOKEN={SECRET}\0").as_bytes());
    }
    ROOT.with(|root| process(root.path(), stat, groups, &variables));
}

fn process(root: &Path, stat: &[u8], groups: &[u8], environment: &[u8]) {
    let folder = root.join(PID.to_string());
    for (name, bytes) in [("stat", stat), ("cgroup", groups), ("environ", environment)] {
        fs::write(folder.join(name), bytes).expect("a file can be written");
    }
    let Some(process) = ProcessTable::new(root.to_owned()).lookup(PID) else {
        return;
    };
    check_id(process.container_id.as_deref());
    if let Some(name) = &process.service_name {
        assert!(
            !name.is_empty() && name.len() <= 255,
            "a name of {} bytes",
            name.len()
        );
        assert!(
            !name.chars().any(char::is_control),
            "a name for nobody to see"
        );
    }
    let inputs_say_so = [stat, groups, environment]
        .iter()
        .filter(|bytes| String::from_utf8_lossy(bytes).contains(SECRET))
        .count()
        > 1;
    assert!(
        inputs_say_so
            || !format!("{process:?}").contains(SECRET)
            || process
                .service_name
                .as_ref()
                .is_some_and(|name| name.contains(SECRET)),
        "a variable that nobody asked for"
    );
}

fn check_id(id: Option<&str>) {
    if let Some(id) = id {
        assert_eq!(id.len(), 64, "an id of another length");
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let id = "3f2a9b0c4d5e6f708192a3b4c5d6e7f80112233445566778899aabbccddeeff0";
    let stat = "7 (my (prog) x) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 2 3";
    let groups = format!("0::/system.slice/docker-{id}.scope\n");
    let environment = "PATH=/bin\0OTEL_SERVICE_NAME=shop\0HOME=/root\0";
    let mut files = vec![stat.len() as u8, groups.len() as u8, 1];
    files.extend(format!("{stat}{groups}{environment}").as_bytes());
    vec![
        files,
        format!("12:pids:/kubepods/burstable/pod6d1f4a3c-0b7e/{id}\n1:name=systemd:/\n0::/\n")
            .into_bytes(),
        format!("0::/kubepods.slice/crio-conmon-{id}.scope").into_bytes(),
        b"7f2c4e435000-7f2c4e48f000 r-xp 0001f000 fe:01 1835    /usr/lib/libssl.so.3\n\
          00400000-00401000 r-xp 00000000 00:2a 7 /a b/libssl.so.3 (deleted)\n"
            .to_vec(),
    ]
}
