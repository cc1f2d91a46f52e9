//! Container ids out of cgroup paths.
//!
//! No two runtimes name a container's cgroup alike; what they have in common is the id, 64
//! hexadecimal digits, in the innermost group that is the container's own. Written by hand because
//! the rules are few and each comes from a path that a real runtime makes (see the tests).

/// What `/proc/<pid>/cgroup` says of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Path of the group that names the container; without a container the unified hierarchy's path,
    /// or the longest of the others.
    pub path: String,
    pub container_id: Option<String>,
}

const ID_LEN: usize = 64;

/// Reads the lines of `/proc/<pid>/cgroup`: `hierarchy:controllers:path`. Version 1 has a line for
/// each hierarchy, version 2 one line that begins with `0::`, a mixed system both.
#[must_use]
pub fn parse(text: &str) -> Cgroup {
    let paths = || text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    // On mixed systems one hierarchy may name the container while others stay at the root.
    if let Some((path, id)) = paths().find_map(|path| container_id(path).map(|id| (path, id))) {
        return Cgroup {
            path: path.to_owned(),
            container_id: Some(id.to_owned()),
        };
    }
    let unified = text
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .filter(|path| path.len() > 1);
    let path = unified
        .or_else(|| paths().max_by_key(|path| path.len()))
        .unwrap_or_default();
    Cgroup {
        path: path.to_owned(),
        container_id: None,
    }
}

/// Id of the innermost container in a cgroup path.
#[must_use]
pub fn container_id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(component_id)
}

/// `<id>`, `docker-<id>.scope`, `cri-containerd-<id>.scope`, `kubepods-…:cri-containerd:<id>`.
fn component_id(component: &str) -> Option<&str> {
    let name = component
        .strip_suffix(".scope")
        .or_else(|| component.strip_suffix(".service"))
        .unwrap_or(component);
    let cut = name.len().checked_sub(ID_LEN)?;
    let (runtime, id) = (name.get(..cut)?, name.get(cut..)?);
    if !id
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    // conmon watches a container from outside of it.
    let joined = runtime.is_empty() || runtime.ends_with(['-', ':']);
    (joined && !runtime.contains("conmon")).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3f2a9b0c4d5e6f708192a3b4c5d6e7f80112233445566778899aabbccddeeff0";
    const B: &str = "00112233445566778899aabbccddeeff3f2a9b0c4d5e6f708192a3b4c5d6e7f8";

    #[test]
    fn each_runtime_names_its_containers_in_a_way_that_is_known() {
        let pod = "pod6d1f4a3c_0b7e_4c55_9d1e_1d2f3a4b5c6d";
        for (what, path, id) in [
            ("docker, cgroupfs driver", format!("/docker/{A}"), Some(A)),
            (
                "docker, systemd driver",
                format!("/system.slice/docker-{A}.scope"),
                Some(A),
            ),
            (
                "docker, parent given",
                format!("/my.slice/docker-{A}.scope"),
                Some(A),
            ),
            (
                "docker rootless",
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope"
                ),
                Some(A),
            ),
            (
                "containerd, kubelet with cgroupfs",
                format!("/kubepods/burstable/pod6d1f4a3c-0b7e-4c55-9d1e-1d2f3a4b5c6d/{A}"),
                Some(A),
            ),
            (
                "containerd, guaranteed pod",
                format!("/kubepods/pod6d1f4a3c-0b7e-4c55-9d1e-1d2f3a4b5c6d/{A}"),
                Some(A),
            ),
            (
                "containerd, kubelet with systemd",
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{pod}.slice/cri-containerd-{A}.scope"
                ),
                Some(A),
            ),
            (
                "containerd without SystemdCgroup under a systemd kubelet",
                format!(
                    "/system.slice/containerd.service/kubepods-besteffort-{pod}.slice:cri-containerd:{A}"
                ),
                Some(A),
            ),
            (
                "cri-o, systemd",
                format!("/kubepods.slice/kubepods-{pod}.slice/crio-{A}.scope"),
                Some(A),
            ),
            (
                "cri-o, a group of the container's own below",
                format!("/kubepods.slice/kubepods-{pod}.slice/crio-{A}.scope/container"),
                Some(A),
            ),
            (
                "cri-o, cgroupfs",
                format!("/kubepods/besteffort/{pod}/crio-{A}"),
                Some(A),
            ),
            (
                "cri-o's monitor",
                format!("/kubepods.slice/kubepods-{pod}.slice/crio-conmon-{A}.scope"),
                None,
            ),
            (
                "cri-dockerd",
                format!("/kubepods.slice/kubepods-{pod}.slice/docker-{A}.scope"),
                Some(A),
            ),
            (
                "podman",
                format!("/machine.slice/libpod-{A}.scope"),
                Some(A),
            ),
            (
                "podman 4 and later",
                format!("/machine.slice/libpod-{A}.scope/container"),
                Some(A),
            ),
            (
                "podman, cgroupfs",
                format!("/libpod_parent/libpod-{A}"),
                Some(A),
            ),
            (
                "podman, split groups",
                format!("/system.slice/web.service/libpod-payload-{A}"),
                Some(A),
            ),
            (
                "podman rootless",
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope"
                ),
                Some(A),
            ),
            (
                "podman's monitor",
                format!("/machine.slice/libpod-conmon-{A}.scope"),
                None,
            ),
            (
                "podman in a unit of quadlet",
                "/system.slice/web.service/libpod-payload".to_owned(),
                None,
            ),
            (
                "nerdctl",
                format!("/system.slice/nerdctl-{A}.scope"),
                Some(A),
            ),
            (
                "containerd's own namespace",
                format!("/default/{A}"),
                Some(A),
            ),
            ("Amazon ECS", format!("/ecs/0f8d1e9a/{A}"), Some(A)),
            (
                "kind: a pod's container in a node that is a container",
                format!("/docker/{B}/kubelet/kubepods/burstable/{pod}/{A}"),
                Some(A),
            ),
            (
                "kind with systemd",
                format!(
                    "/system.slice/docker-{B}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-{pod}.slice/cri-containerd-{A}.scope"
                ),
                Some(A),
            ),
            (
                "systemd inside a container",
                format!("/docker/{A}/system.slice/nginx.service"),
                Some(A),
            ),
            (
                "seen from another cgroup namespace",
                format!("/../../kubepods-burstable-{pod}.slice/cri-containerd-{A}.scope"),
                Some(A),
            ),
            (
                "seen from the container's sibling",
                format!("/../{A}"),
                Some(A),
            ),
            ("a service", "/system.slice/nginx.service".to_owned(), None),
            (
                "a login",
                "/user.slice/user-1000.slice/session-2.scope".to_owned(),
                None,
            ),
            ("the root", "/".to_owned(), None),
            (
                "LXC",
                "/lxc.payload.web/system.slice/nginx.service".to_owned(),
                None,
            ),
            (
                "systemd-nspawn",
                "/machine.slice/machine-web.scope".to_owned(),
                None,
            ),
            (
                "a mount of docker's",
                format!("/system.slice/var-lib-docker-overlay2-{A}-merged.mount"),
                None,
            ),
            ("63 digits", format!("/docker/{}", &A[1..]), None),
            ("65 digits", format!("/docker/0{A}"), None),
            ("upper case", format!("/docker/{}", A.to_uppercase()), None),
            ("not ASCII", format!("/docker/é{}", &A[1..]), None),
            ("nothing", String::new(), None),
        ] {
            assert_eq!(container_id(&path), id, "{what}: {path}");
        }
    }

    #[test]
    fn both_versions_of_cgroups_and_mixtures_are_read() {
        let v2 = format!("0::/system.slice/docker-{A}.scope\n");
        assert_eq!(
            parse(&v2),
            Cgroup {
                path: format!("/system.slice/docker-{A}.scope"),
                container_id: Some(A.to_owned())
            }
        );

        let v1 = format!(
            "12:pids:/docker/{A}\n11:cpu,cpuacct:/docker/{A}\n1:name=systemd:/docker/{A}\n"
        );
        assert_eq!(parse(&v1).container_id.as_deref(), Some(A));

        let mixed = format!("4:memory:/docker/{A}\n1:name=systemd:/\n0::/\n");
        assert_eq!(
            parse(&mixed),
            Cgroup {
                path: format!("/docker/{A}"),
                container_id: Some(A.to_owned())
            }
        );

        let plain = "4:memory:/user.slice/session-1.scope/long\n1:name=systemd:/a\n0::/user.slice/session-1.scope\n";
        assert_eq!(
            parse(plain),
            Cgroup {
                path: "/user.slice/session-1.scope".to_owned(),
                container_id: None
            }
        );

        let only_v1 = "4:memory:/group/of/memory\n1:name=systemd:/\n0::/\n";
        assert_eq!(parse(only_v1).path, "/group/of/memory");

        // A path may contain colons.
        let colons = format!(
            "0::/system.slice/containerd.service/kubepods-besteffort-podx.slice:cri-containerd:{A}\n"
        );
        assert_eq!(parse(&colons).container_id.as_deref(), Some(A));
        assert_eq!(parse(""), Cgroup::default());
        assert_eq!(parse("nonsense\n:\n::"), Cgroup::default());
    }
}
