//! What this kernel and these privileges allow, found out by trying it, never by version:
//! distributions carry features back, and containers take them away.

use std::io;

use serde::Serialize;

use super::btf::Btf;
use super::capability::Effective;
use super::config::CallPlaces;
use super::deny::DenyList;
use super::functions;
use super::offsets::Offsets;
use super::tracefs::Tracefs;
use super::trials;
use crate::error::CaptureError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureState {
    Ok,
    /// Something works less well or is left out.
    Degraded,
    /// There is no capture.
    Missing,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureRow {
    /// Stable name: `ring buffer`, `CAP_BPF`, `tracepoint tcp:tcp_destroy_sock`.
    pub name: String,
    pub state: FeatureState,
    /// What was found, and what it costs.
    pub detail: String,
    /// What to do about it; nothing if all is well.
    pub remedy: Option<String>,
}

/// Everything that was tried, in the order in which it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FeatureReport {
    pub rows: Vec<FeatureRow>,
}

impl FeatureReport {
    /// Whether `wirespan run` can capture anything here.
    #[must_use]
    pub fn can_capture(&self) -> bool {
        self.rows
            .iter()
            .all(|row| row.state != FeatureState::Missing)
    }

    #[must_use]
    pub fn row(&self, name: &str) -> Option<&FeatureRow> {
        self.rows.iter().find(|row| row.name == name)
    }

    pub(super) fn ok(&mut self, name: impl Into<String>, detail: impl Into<String>) {
        self.rows.push(FeatureRow {
            name: name.into(),
            state: FeatureState::Ok,
            detail: detail.into(),
            remedy: None,
        });
    }

    pub(super) fn lacks(
        &mut self,
        name: impl Into<String>,
        required: bool,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let state = if required {
            FeatureState::Missing
        } else {
            FeatureState::Degraded
        };
        self.rows.push(FeatureRow {
            name: name.into(),
            state,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        });
    }

    /// Notes the outcome of a trial. `lost`: what a failure costs.
    pub(super) fn tried<T>(
        &mut self,
        name: &str,
        required: bool,
        worked: &str,
        lost: &str,
        result: io::Result<T>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.ok(name, worked);
                Some(value)
            }
            Err(error) => {
                self.lacks(
                    name,
                    required,
                    format!("{error}: {lost}"),
                    remedy_for(&error),
                );
                None
            }
        }
    }
}

/// Tries everything. Loads and attaches small programs for a moment; changes nothing but mounting
/// tracefs where it is not.
#[must_use]
pub fn probe() -> FeatureReport {
    let mut report = FeatureReport::default();
    trials::capabilities(&mut report);
    let btf = trials::type_information(&mut report);
    let tracefs = trials::tracepoints(&mut report);
    trials::programs(&mut report, btf.as_ref(), tracefs.as_ref());
    trials::settings(&mut report);
    report
}

/// Adds where calls will be looked at. `wanted`: as the configuration says.
pub fn calls(report: &mut FeatureReport, wanted: CallPlaces) {
    const NAME: &str = "calls";
    const INSTEAD: &str = "they are looked at where system calls begin and end, which every system call of the node pays for, and io_uring shows up only as gaps";
    let allowed = if wanted == CallPlaces::SystemCalls {
        Err("turned off (capture.calls)".to_owned())
    } else {
        functions_allowed(wanted)
    };
    match allowed {
        Ok(()) => report.ok(
            NAME,
            "looked at where functions of sockets begin and return (fentry): io_uring is seen, and a system call that is about no socket pays nothing",
        ),
        Err(why) if wanted == CallPlaces::Functions => report.lacks(
            NAME,
            true,
            format!("{why}; capture.calls says `fentry`"),
            "set capture.calls to `auto` or `tracepoints`",
        ),
        Err(why) => report.lacks(
            NAME,
            false,
            format!("{why}: {INSTEAD}"),
            "nothing, where the kernel refuses it; else set capture.calls to `auto`",
        ),
    }
}

/// Whether programs can be put on functions of sockets; else why not.
fn functions_allowed(wanted: CallPlaces) -> Result<(), String> {
    let btf = Btf::load(None).map_err(|error| error.to_string())?;
    let offsets = Offsets::from_btf(&btf).map_err(|error| error.to_string())?;
    functions::allowed(&btf, &offsets, wanted)
}

/// Adds what the configuration says of TLS. `left_out`: why no TLS library is probed, if so.
pub fn tls(report: &mut FeatureReport, left_out: Option<&str>, deny: &DenyList) {
    const NAME: &str = "TLS libraries";
    let list = |patterns: &[String]| {
        if patterns.is_empty() {
            "none".to_owned()
        } else {
            patterns.join(", ")
        }
    };
    match left_out {
        None => report.ok(
            NAME,
            format!(
                "probed, but not on kernels {}, nor what processes {} have mapped",
                list(&deny.kernels),
                list(&deny.processes)
            ),
        ),
        Some(why) => report.lacks(
            NAME,
            false,
            format!("not probed: {why}; encrypted connections are counted and left"),
            "change [tls] in the configuration, if this is not wanted",
        ),
    }
}

/// Fails with the first thing without which there is no capture: for `run` and `record`, before
/// anything else is set up.
///
/// # Errors
/// [`CaptureError::Kernel`] that names the privilege or feature.
pub fn require() -> Result<(), CaptureError> {
    let missing = Effective::of_this_process().missing_required();
    if !missing.is_empty() {
        let (names, verb) = (
            missing.join(" and "),
            if missing.len() == 1 { "is" } else { "are" },
        );
        return Err(CaptureError::Kernel {
            what: "cannot load eBPF programs".to_owned(),
            reason: format!("{names} {verb} missing"),
            remedy: format!(
                "run as root, or grant {names} (`wirespan doctor` lists what each privilege is for)"
            ),
        });
    }
    let (_btf, _tracefs) = (Btf::load(None)?, Tracefs::find_or_mount()?);
    let mut report = FeatureReport::default();
    // Nothing is attached here: letting go of it again takes the kernel some tenths of a second.
    trials::essentials(&mut report);
    match report
        .rows
        .into_iter()
        .find(|row| row.state == FeatureState::Missing)
    {
        None => Ok(()),
        Some(row) => Err(CaptureError::Kernel {
            what: format!("this kernel refuses: {}", row.name),
            reason: row.detail,
            remedy: row.remedy.unwrap_or_default(),
        }),
    }
}

fn remedy_for(error: &io::Error) -> String {
    let missing = Effective::of_this_process().missing_required();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if !missing.is_empty() => format!("run as root, or grant {}", missing.join(" and ")),
        Some(libc::EPERM | libc::EACCES) => {
            "the kernel forbids it in spite of the privileges: look at lockdown, seccomp and the container's security profile".to_owned()
        }
        Some(libc::ENOMEM) => "raise the limit of locked memory (`ulimit -l unlimited`) or the container's memory limit".to_owned(),
        _ => "use a newer kernel, or one with this feature built in".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_capture_and_says_what_it_lacks() {
        let report = probe();
        for row in &report.rows {
            println!(
                "{:<36} {:?} {} {}",
                row.name,
                row.state,
                row.detail,
                row.remedy.as_deref().unwrap_or_default()
            );
            assert_eq!(
                row.remedy.is_none(),
                row.state == FeatureState::Ok,
                "{row:?}"
            );
            assert!(!row.detail.is_empty());
        }
        assert!(report.can_capture());
        for name in [
            "CAP_BPF",
            "BTF",
            "tracefs",
            "ring buffer",
            "tracepoint program",
            "tracepoint attachment",
            "uprobe",
        ] {
            assert_eq!(
                report.row(name).map(|row| row.state),
                Some(FeatureState::Ok),
                "{name}"
            );
        }
        require().unwrap();
    }

    #[test]
    fn what_fails_for_want_of_a_feature_is_told_from_what_is_forbidden() {
        let mut report = FeatureReport::default();
        report.tried::<()>(
            "a",
            false,
            "",
            "less is seen",
            Err(io::Error::from_raw_os_error(libc::EINVAL)),
        );
        report.tried::<()>(
            "b",
            true,
            "",
            "nothing is captured",
            Err(io::Error::from_raw_os_error(libc::ENOMEM)),
        );
        let (a, b) = (report.row("a").unwrap(), report.row("b").unwrap());
        assert_eq!(
            (a.state, b.state),
            (FeatureState::Degraded, FeatureState::Missing)
        );
        assert!(
            a.detail.ends_with("less is seen")
                && a.remedy.as_ref().unwrap().contains("newer kernel")
        );
        assert!(b.remedy.as_ref().unwrap().contains("ulimit"));
        assert!(!report.can_capture());
    }

    #[test]
    fn a_report_is_readable_as_json() {
        let mut report = FeatureReport::default();
        report.ok("BTF", "/sys/kernel/btf/vmlinux");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rows"][0]["state"], "ok");
        assert_eq!(json["rows"][0]["remedy"], serde_json::Value::Null);
    }
}
