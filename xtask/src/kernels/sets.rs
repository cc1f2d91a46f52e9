//! The probe sets that the agent did without, and those that it may do without.

use super::plan::LEFT_OUT;

/// A set that a kernel does without, for a reason that is known and accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    /// Version of the kernel, such as 5.10.
    pub(super) version: &'static str,
    pub(super) set: &'static str,
    pub(super) reason: &'static str,
}

/// All of them. What is left out and is not named here makes the run fail: a set that is missing takes away
/// what it sees, and no case but its own would show that.
pub(super) const ACCEPTED: &[Accepted] = &[];

/// A set that the agent did without, and what it said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) set: String,
    pub(super) why: String,
}

/// Those that the agent's log names.
pub(super) fn missing(log: &str) -> Vec<Missing> {
    let [before, after] = LEFT_OUT;
    log.lines()
        .filter_map(|line| line.split_once(before)?.1.split_once(after))
        .map(|(set, why)| Missing {
            set: set.to_owned(),
            why: why.to_owned(),
        })
        .collect()
}

/// Why a set may be missing, if it may.
pub(super) fn accepted<'list>(
    list: &'list [Accepted],
    version: &str,
    missing: &Missing,
) -> Option<&'list str> {
    list.iter()
        .find(|accepted| accepted.version == version && accepted.set == missing.set)
        .map(|accepted| accepted.reason)
}

/// What is wrong with the sets that are missing.
pub(super) fn problem(version: &str, missing: &[Missing]) -> Option<String> {
    let wrong: Vec<String> = missing
        .iter()
        .filter(|missing| accepted(ACCEPTED, version, missing).is_none())
        .map(|missing| format!("probe set {} is left out: {}", missing.set, missing.why))
        .collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026 WARN probe set left out set=\"go\"\n\
        wirespan: warning: probe set go is left out: invalid read; without it, much\n\
        wirespan: watching with 29 probe sets\n";

    #[test]
    fn a_set_that_is_left_out_is_wrong_unless_it_is_named_for_that_kernel() {
        let missing = missing(LOG);
        let [go] = missing.as_slice() else {
            panic!("{missing:?}");
        };
        assert_eq!(go.set, "go");
        assert_eq!(go.why, "invalid read; without it, much");
        let list = [Accepted {
            version: "5.10",
            set: "go",
            reason: "its verifier",
        }];
        assert_eq!(accepted(&list, "5.10", go), Some("its verifier"));
        assert_eq!(accepted(&list, "6.1", go), None);
        assert!(problem("6.1", std::slice::from_ref(go)).is_some());
        assert!(problem("6.1", &[]).is_none());
    }
}
