//! Capabilities of this process, and what each is needed for.

use std::path::Path;

use crate::bounded;

/// A capability that some part of the capture needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    pub name: &'static str,
    /// Bit number (`include/uapi/linux/capability.h`).
    pub bit: u32,
    /// `CAP_SYS_ADMIN` stands for it.
    pub part_of_admin: bool,
    /// There is no capture without it.
    pub required: bool,
    /// What its absence turns off.
    pub lost: &'static str,
}

const fn needs(
    name: &'static str,
    bit: u32,
    part_of_admin: bool,
    required: bool,
    lost: &'static str,
) -> Capability {
    Capability {
        name,
        bit,
        part_of_admin,
        required,
        lost,
    }
}

const ADMIN: u32 = 21;

pub const ALL: [Capability; 7] = [
    needs(
        "CAP_BPF",
        39,
        true,
        true,
        "no program can be loaded into the kernel: nothing is captured",
    ),
    needs(
        "CAP_PERFMON",
        38,
        true,
        true,
        "no program can be attached to tracepoints and functions: nothing is captured",
    ),
    needs(
        "CAP_SYS_PTRACE",
        19,
        false,
        false,
        "TLS libraries, executables and service names of other users' processes stay unknown",
    ),
    needs(
        "CAP_DAC_READ_SEARCH",
        2,
        false,
        false,
        "TLS libraries and tracepoints that only their owner may read are left out",
    ),
    needs(
        "CAP_CHECKPOINT_RESTORE",
        40,
        true,
        false,
        "TLS libraries that were deleted or replaced while in use are left out",
    ),
    needs(
        "CAP_SYS_ADMIN",
        ADMIN,
        true,
        false,
        "tracefs cannot be mounted if it is not, and some kernels refuse to attach TLS probes",
    ),
    needs(
        "CAP_SYS_RESOURCE",
        24,
        false,
        false,
        "kernels before 5.11 may refuse the memory for rings and maps",
    ),
];

/// Effective capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effective(u64);

impl Effective {
    /// Those of this process; none if they cannot be read.
    #[must_use]
    pub fn of_this_process() -> Self {
        /// The file has some 1.5 KiB.
        const MAX_STATUS_BYTES: u64 = 64 << 10;
        let status =
            bounded::read(Path::new("/proc/self/status"), MAX_STATUS_BYTES).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&status)).unwrap_or_default()
    }

    fn parse(status: &str) -> Option<Self> {
        let digits = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(digits.trim(), 16).ok().map(Self)
    }

    /// Whether this process may do what the capability allows.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.bit(capability.bit) || (capability.part_of_admin && self.bit(ADMIN))
    }

    /// Names of the required ones that are missing.
    #[must_use]
    pub fn missing_required(self) -> Vec<&'static str> {
        ALL.iter()
            .filter(|capability| capability.required && !self.has(**capability))
            .map(|capability| capability.name)
            .collect()
    }

    fn bit(self, bit: u32) -> bool {
        self.0.checked_shr(bit).unwrap_or(0) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_capabilities_are_read_and_admin_stands_for_its_parts() {
        let status = |mask: u64| {
            format!(
                "Name:\tx\nCapInh:\tffffffffffffffff\nCapPrm:\tffffffffffffffff\nCapEff:\t{mask:016x}\nCapBnd:\tffffffffffffffff\n"
            )
        };
        let with = |mask| Effective::parse(&status(mask)).unwrap();
        assert_eq!(with(0).missing_required(), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(with(1 << 39).missing_required(), ["CAP_PERFMON"]);
        assert_eq!(with(1 << 39 | 1 << 38).missing_required(), [] as [&str; 0]);
        assert_eq!(with(1 << ADMIN).missing_required(), [] as [&str; 0]);
        let [.., resource] = ALL;
        assert!(!with(1 << ADMIN).has(resource) && with(1 << 24).has(resource));
        assert_eq!(Effective::parse("CapEff:\tnothing"), None);
        assert_eq!(Effective::parse(""), None);
    }
}
