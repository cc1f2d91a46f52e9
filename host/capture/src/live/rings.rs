//! How many rings there are, and how large.

use wirespan_events::config::MAX_RINGS;

use super::config::LiveConfig;

/// Rings unless the configuration says otherwise: more only make a drain longer.
const DEFAULT_MAX_RINGS: usize = 8;
/// A ring must hold a few of the largest records.
const MIN_RING_BYTES: u64 = 256 * 1024;
/// The kernel refuses larger ones on some versions.
const MAX_RING_BYTES: u64 = 64 << 20;

/// CPUs of the node. Not those that this process may use: the programs that it observes run on all of
/// them, however few a control group gives to the agent.
pub(super) fn cpus() -> usize {
    aya::util::online_cpus().map_or_else(
        |_| std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        |online| online.len(),
    )
}

/// How many rings, and of how many bytes each: together not more than the budget, unless that is smaller
/// than the smallest ring.
pub(super) fn sizes(config: &LiveConfig, cpus: usize) -> (u32, u32) {
    let wanted = config.rings.map_or(cpus.min(DEFAULT_MAX_RINGS), |rings| {
        usize::try_from(rings).unwrap_or(MAX_RINGS)
    });
    let fitting = config.rings_bytes.checked_div(MIN_RING_BYTES).unwrap_or(0);
    let count = (wanted.clamp(1, MAX_RINGS) as u64).min(fitting).max(1);
    let share = config.rings_bytes.checked_div(count).unwrap_or(0);
    let share = share.clamp(MIN_RING_BYTES, MAX_RING_BYTES);
    let power = 1u64.checked_shl(share.ilog2()).unwrap_or(MIN_RING_BYTES);
    (
        count as u32,
        u32::try_from(power).unwrap_or(MIN_RING_BYTES as u32),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_stay_within_their_budget_on_few_and_on_many_cpus() {
        for cpus in [1, 2, 3, 8, 64, 128, 1024] {
            for budget in [1 << 10, 1 << 20, 8 << 20, 32 << 20, 100 << 20, 2 << 30] {
                for rings in [None, Some(1), Some(5), Some(128), Some(u32::MAX)] {
                    let mut config = LiveConfig::new(Vec::new());
                    config.rings_bytes = budget;
                    config.rings = rings;
                    let (count, bytes) = super::sizes(&config, cpus);
                    let total = u64::from(count) * u64::from(bytes);
                    assert!(
                        total <= budget.max(MIN_RING_BYTES),
                        "{cpus} CPUs, {rings:?}: {count} rings of {bytes} bytes are more than {budget}"
                    );
                    assert!(count >= 1 && bytes.is_power_of_two());
                    assert!(u64::from(bytes) >= MIN_RING_BYTES);
                    assert!(rings.is_some() || count as usize <= cpus.min(DEFAULT_MAX_RINGS));
                }
            }
        }
        let sizes = |cpus| super::sizes(&LiveConfig::new(Vec::new()), cpus);
        assert_eq!(sizes(2), (2, 16 << 20));
        assert_eq!(sizes(128), (8, 4 << 20));
    }

    #[test]
    fn the_cpus_that_count_are_those_of_the_node() {
        let listed = std::fs::read_to_string("/proc/stat").unwrap();
        let listed = listed.lines().filter(|line| line.starts_with("cpu"));
        assert_eq!(cpus(), listed.count() - 1, "the first line is their sum");
    }

    /// The other test again, in a process that may use one of them.
    #[test]
    fn an_agent_that_may_use_one_cpu_has_rings_for_all_of_the_node() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let allowed = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .unwrap();
        let first = allowed.trim().split([',', '-']).next().unwrap();
        let ran = std::process::Command::new("taskset")
            .args(["-c", first])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "live::rings::tests::the_cpus_that_count_are_those_of_the_node",
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    }
}
