//! The counts that a machine printed.

use crate::kernels::plan::{BY_FENTRY, Road};
use crate::kernels::result::section;

/// How far the counts without the agent, before it and after it, may be apart, in parts of the former.
pub(super) const AGREEMENT: f64 = 0.02;

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    Http,
    Https,
}

impl Protocol {
    pub(super) const ALL: [Self; 2] = [Self::Http, Self::Https];

    /// As the machine calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }
}

/// One run of the load.
#[derive(Clone, Copy, Debug)]
struct Run {
    protocol: Protocol,
    requests: u64,
    instructions: u64,
}

impl Run {
    /// `http 27611 1158978123`
    fn read(line: &str) -> Result<Self, String> {
        let wrong = || format!("a line is not a count: {line}");
        let mut words = line.split_whitespace();
        let name = words.next().ok_or_else(wrong)?;
        let protocol = Protocol::ALL
            .into_iter()
            .find(|protocol| protocol.name() == name)
            .ok_or_else(wrong)?;
        let mut number = || words.next().and_then(|word| word.parse().ok());
        let (requests, instructions) = number().zip(number()).ok_or_else(wrong)?;
        if requests == 0 || words.next().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            protocol,
            requests,
            instructions,
        })
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a few seconds are far below 2^52"
    )]
    fn per_request(self) -> f64 {
        self.instructions as f64 / self.requests as f64
    }
}

/// The runs of one road.
#[derive(Debug)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    fn read(console: &str, road: Road) -> Result<Option<Self>, String> {
        let Some(lines) = section(console, &format!("cost {}", road.name())) else {
            return Ok(None);
        };
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        let runs = Self(lines.map(Run::read).collect::<Result<_, _>>()?);
        for protocol in Protocol::ALL {
            if runs.counted(protocol).is_empty() {
                let (road, protocol) = (road.name(), protocol.name());
                return Err(format!("too few runs of {protocol} ({road})"));
            }
        }
        Ok(Some(runs))
    }

    /// Instructions a request of each run, the first left out: caches of the kernel and of nginx are filled in
    /// it, connections of the agent become known.
    fn counted(&self, protocol: Protocol) -> Vec<f64> {
        self.0
            .iter()
            .filter(|run| run.protocol == protocol)
            .skip(1)
            .map(|run| run.per_request())
            .collect()
    }

    /// Instructions a request, the mean of the runs.
    pub(super) fn mean(&self, protocol: Protocol) -> f64 {
        mean(&self.counted(protocol))
    }

    /// How far the runs lie apart, in parts of their mean.
    fn spread(&self, protocol: Protocol) -> f64 {
        let counted = self.counted(protocol);
        let least = counted.iter().copied().fold(f64::INFINITY, f64::min);
        let most = counted.iter().copied().fold(0.0, f64::max);
        (most - least) / self.mean(protocol)
    }

    /// In all runs.
    fn requests(&self) -> u64 {
        self.0.iter().map(|run| run.requests).sum()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are as many numbers as there are runs"
)]
fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// One way of watching.
#[derive(Debug)]
pub(super) struct Watched {
    /// Where calls are looked at.
    pub(super) road: &'static str,
    pub(super) runs: Runs,
    /// Told by the agent at its end, if it came so far.
    pub(super) spans: Option<u64>,
}

impl Watched {
    fn read(console: &str, road: Road, log: &str, by_fentry: bool) -> Result<Option<Self>, String> {
        let log = section(console, log).unwrap_or_default();
        let spans = log
            .lines()
            .find_map(|line| line.split_once("stopped; ")?.1.split_once(" spans"))
            .and_then(|(spans, _)| spans.parse().ok());
        Ok(Runs::read(console, road)?.map(|runs| Self {
            road: if by_fentry { "fentry" } else { "trace points" },
            runs,
            spans,
        }))
    }

    /// Requests of which there is no span, where that is known: what is not captured is cheap.
    pub(super) fn missed(&self) -> Option<u64> {
        self.spans
            .map(|spans| self.runs.requests().saturating_sub(spans))
    }

    pub(super) fn requests(&self) -> u64 {
        self.runs.requests()
    }
}

/// What was counted on one kernel.
#[derive(Debug)]
pub(super) struct Counts {
    before: Runs,
    pub(super) watched: Vec<Watched>,
    after: Runs,
}

impl Counts {
    /// Reads the sections that the guest marks on the console.
    pub(super) fn read(console: &str) -> Result<Self, String> {
        if section(console, "end").is_none() {
            return Err("the machine died or hung before it was through".to_owned());
        }
        if let Some(error) = section(console, "error") {
            return Err(error.trim().to_owned());
        }
        let missing = |road: Road| format!("nothing was counted ({})", road.name());
        let alone = |road| Runs::read(console, road)?.ok_or_else(|| missing(road));
        let by_fentry = section(console, "log").is_some_and(|log| log.contains(BY_FENTRY));
        let own = Watched::read(console, Road::Own, "log", by_fentry)?
            .ok_or_else(|| missing(Road::Own))?;
        let trace_points = Watched::read(console, Road::TracePoints, "again log", false)?;
        if by_fentry && trace_points.is_none() {
            return Err(missing(Road::TracePoints));
        }
        Ok(Self {
            before: alone(Road::Before)?,
            watched: std::iter::once(own).chain(trace_points).collect(),
            after: alone(Road::After)?,
        })
    }

    /// Instructions a request without the agent: the mean of before and after.
    pub(super) fn none(&self, protocol: Protocol) -> f64 {
        mean(&[self.before.mean(protocol), self.after.mean(protocol)])
    }

    /// How far these two are apart, in parts of the former.
    pub(super) fn drift(&self, protocol: Protocol) -> f64 {
        (self.after.mean(protocol) / self.before.mean(protocol) - 1.0).abs()
    }

    /// The furthest that two runs of the same lie apart, in parts of their mean.
    pub(super) fn spread(&self) -> f64 {
        let watched = self.watched.iter().map(|watched| &watched.runs);
        [&self.before, &self.after]
            .into_iter()
            .chain(watched)
            .flat_map(|runs| Protocol::ALL.map(|protocol| runs.spread(protocol)))
            .fold(0.0, f64::max)
    }

    /// For the terminal.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for protocol in Protocol::ALL {
            let none = self.none(protocol);
            for watched in &self.watched {
                let with = watched.runs.mean(protocol);
                lines.push(format!(
                    "{} by {}: {with:.0} instructions a request, {:.2} of {none:.0} for none",
                    protocol.title(),
                    watched.road,
                    with / none
                ));
            }
            if self.drift(protocol) > AGREEMENT {
                lines.push(format!(
                    "{}: none before and after are {:.1} % apart",
                    protocol.title(),
                    self.drift(protocol) * 100.0
                ));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Protocol, Run};

    fn told(name: &str, text: &str) -> String {
        format!("\n<<<wirespan {name}\n{text}>>>wirespan {name}\n")
    }

    /// Runs of which each first one is far from the others.
    fn runs(http: u64, https: u64) -> String {
        let mut text = String::new();
        for (name, each) in [("http", http), ("https", https)] {
            for each in [each * 9, each - 10, each + 10] {
                text.push_str(&format!("{name} 100 {}\n", each * 100));
            }
        }
        text
    }

    fn console(after: u64) -> String {
        [
            "SeaBIOS\n".to_owned(),
            told("cost before", &runs(40_000, 60_000)),
            told("cost own", &runs(50_000, 90_000)),
            told("cost tracepoints", &runs(60_000, 120_000)),
            told("cost after", &runs(after, 60_000)),
            told(
                "log",
                "wirespan: watching with 10 probe sets, calls seen by fentry\nwirespan: stopped; 590 spans\n",
            ),
            told("again log", "wirespan: watching with 30 probe sets\n"),
            told("end", ""),
        ]
        .concat()
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn the_mean_of_the_runs_after_the_first_is_told() {
        let counts = Counts::read(&console(40_400)).unwrap();
        assert!(close(counts.none(Protocol::Http), 40_200.0));
        assert!(close(counts.none(Protocol::Https), 60_000.0));
        assert!(close(counts.drift(Protocol::Http), 0.01));
        let [own, points] = counts.watched.as_slice() else {
            panic!("{counts:?}");
        };
        assert_eq!((own.road, points.road), ("fentry", "trace points"));
        assert!(close(own.runs.mean(Protocol::Http), 50_000.0));
        assert!(close(points.runs.mean(Protocol::Https), 120_000.0));
        assert_eq!((own.missed(), points.missed()), (Some(10), None));
        assert!(close(counts.spread(), 20.0 / 40_000.0));
        assert!(!counts.lines().concat().contains("apart"));
    }

    #[test]
    fn counts_that_moved_by_themselves_are_said_to_have() {
        let counts = Counts::read(&console(41_000)).unwrap();
        assert!(counts.lines().concat().contains("2.5 % apart"));
    }

    #[test]
    fn a_kernel_without_fentry_has_one_road() {
        let console = console(40_000)
            .replace(", calls seen by fentry", "")
            .replace("cost tracepoints", "something else");
        let counts = Counts::read(&console).unwrap();
        assert_eq!(counts.watched.len(), 1);
        assert_eq!(counts.watched[0].road, "trace points");
    }

    #[test]
    fn a_machine_that_was_not_through_counts_for_nothing() {
        let whole = console(40_000);
        for part in [
            "end",
            "cost before",
            "cost own",
            "cost tracepoints",
            "cost after",
        ] {
            let without = whole.replace(&format!("<<<wirespan {part}\n"), "");
            assert!(Counts::read(&without).is_err(), "{part}");
        }
        let error = told("error", "nginx ended\n");
        assert_eq!(Counts::read(&(whole + &error)).unwrap_err(), "nginx ended");
    }

    #[test]
    fn a_line_is_a_protocol_and_two_numbers() {
        assert!(close(Run::read("https 4 10").unwrap().per_request(), 2.5));
        for bad in [
            "",
            "http",
            "http 1",
            "http 0 1",
            "http 1 x",
            "http 1 2 3",
            "ftp 1 2",
        ] {
            assert!(Run::read(bad).is_err(), "{bad}");
        }
    }
}
