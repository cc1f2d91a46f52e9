//! What happened, in numbers that many threads add to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fault::Fault;
use crate::ledger::{Fate, Ledger};

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        if count > 0 {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Of all parsers together.
#[derive(Debug, Default)]
pub struct RuntimeCounters {
    /// Connections that were offered to parsers.
    pub connections: Counter,
    /// Connections that no parser recognised, and that were left.
    pub unknown: Counter,
    /// Connections that turned out to carry TLS and were set aside until plaintext came.
    pub encrypted: Counter,
    /// Connections beyond the limit of a worker.
    pub refused_connections: Counter,
    /// Bytes handed to parsers, presented again included.
    pub presented_bytes: Counter,
    /// Bytes handed in.
    pub received_bytes: Counter,
    /// Bytes that are gone, by [`Fate`].
    gone_bytes: [Counter; Fate::NAMES.len()],
    parsers: Mutex<BTreeMap<Box<str>, Arc<ParserCounters>>>,
}

/// Of one parser, by `name@version`.
#[derive(Debug, Default)]
pub struct ParserCounters {
    /// Connections it took.
    pub recognised: Counter,
    pub spans: Counter,
    pub calls: Counter,
    /// Instances thrown away, by cause; see [`Self::faults`].
    faults: [Counter; Fault::CAUSES.len()],
    /// Connections dropped because they made it fail twice, by the same causes.
    dropped: [Counter; Fault::CAUSES.len()],
    /// Connections that lost their state because a neighbour made the instance fail.
    pub restarted: Counter,
    /// Connections let go because the parser was suspended or disabled.
    pub let_go: Counter,
    pub suspensions: Counter,
    /// 1 once it is disabled for good.
    pub disabled: Counter,
    /// Instances given up because they had grown and were empty.
    pub retired: Counter,
    /// Sides of which more was retained than the limit; the parser got a gap.
    pub retained_limit: Counter,
    /// Connections it took and gave back.
    pub not_mine: Counter,
    pub upgrades: Counter,
    /// Spans left out: times that cannot be.
    pub impossible_times: Counter,
    /// Texts that were not UTF-8 and were made so.
    pub invalid_text: Counter,
    /// Names or values longer than their limit, or given twice, and left out.
    pub invalid_values: Counter,
    /// Requests that came too late to mean anything.
    pub late_requests: Counter,
    ignored: Mutex<BTreeMap<Box<str>, u64>>,
}

impl RuntimeCounters {
    /// The counters of a parser; made when first asked for.
    #[must_use]
    pub fn parser(&self, label: &str) -> Arc<ParserCounters> {
        let mut parsers = self.parsers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(parsers.entry(label.into()).or_default())
    }

    /// Bytes of all workers that have met this fate.
    #[must_use]
    pub fn gone(&self, fate: Fate) -> u64 {
        self.gone_bytes.get(fate as usize).map_or(0, Counter::get)
    }

    pub(crate) fn bytes(&self, more: &Ledger) {
        self.received_bytes.add(more.received);
        for ((fate, _), counter) in Fate::NAMES.into_iter().zip(&self.gone_bytes) {
            counter.add(more.of(fate));
        }
    }

    /// Calls `each` with the name of a metric, its labels and its value.
    pub fn each(&self, mut each: impl FnMut(&str, &[(&str, &str)], u64)) {
        for (name, counter) in [
            ("connections", &self.connections),
            ("connections_unknown", &self.unknown),
            ("connections_encrypted", &self.encrypted),
            ("connections_refused", &self.refused_connections),
            ("presented_bytes", &self.presented_bytes),
            ("received_bytes", &self.received_bytes),
        ] {
            each(name, &[], counter.get());
        }
        for (fate, name) in Fate::NAMES {
            each("gone_bytes", &[("fate", name)], self.gone(fate));
        }
        let parsers = self
            .parsers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for (label, counters) in &parsers {
            counters.each(label, &mut each);
        }
    }
}

impl ParserCounters {
    /// Instances thrown away, by cause: `deadline`, `memory`, `stack`, `trap`, `nonsense`,
    /// `unavailable`.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Fault::CAUSES
            .into_iter()
            .zip(self.faults.iter().map(Counter::get))
    }

    /// Connections dropped, by the same causes.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Fault::CAUSES
            .into_iter()
            .zip(self.dropped.iter().map(Counter::get))
    }

    /// Connections given up by the parser, by its reason.
    #[must_use]
    pub fn ignored(&self) -> Vec<(String, u64)> {
        let ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        ignored
            .iter()
            .map(|(reason, count)| (reason.to_string(), *count))
            .collect()
    }

    pub(crate) fn fault(&self, fault: &Fault) {
        if let Some(counter) = self.faults.get(fault.cause()) {
            counter.one();
        }
    }

    pub(crate) fn drop_for(&self, fault: &Fault) {
        if let Some(counter) = self.dropped.get(fault.cause()) {
            counter.one();
        }
    }

    /// Counts a reason given by a guest: cut, cleaned, and `other` beyond `limit` different ones.
    pub(crate) fn ignore(&self, reason: &[u8], limit: usize) {
        /// A reason is a few fixed words.
        const REASON_BYTES: usize = 48;
        let allowed = |b: &u8| {
            if b.is_ascii_alphanumeric() || b" -_/.".contains(b) {
                char::from(*b)
            } else {
                '_'
            }
        };
        let reason: Box<str> = reason.iter().take(REASON_BYTES).map(allowed).collect();
        let mut ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = if ignored.contains_key(&reason) || ignored.len() < limit {
            reason
        } else {
            "other".into()
        };
        let count = ignored.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    fn each(&self, label: &str, each: &mut impl FnMut(&str, &[(&str, &str)], u64)) {
        let parser = ("parser", label);
        for (name, counter) in [
            ("parser_recognised", &self.recognised),
            ("parser_spans", &self.spans),
            ("parser_calls", &self.calls),
            ("parser_restarted", &self.restarted),
            ("parser_let_go", &self.let_go),
            ("parser_suspensions", &self.suspensions),
            ("parser_disabled", &self.disabled),
            ("parser_retired", &self.retired),
            ("parser_retained_limit", &self.retained_limit),
            ("parser_not_mine", &self.not_mine),
            ("parser_upgrades", &self.upgrades),
            ("parser_impossible_times", &self.impossible_times),
            ("parser_invalid_text", &self.invalid_text),
            ("parser_invalid_values", &self.invalid_values),
            ("parser_late_requests", &self.late_requests),
        ] {
            each(name, &[parser], counter.get());
        }
        for (cause, count) in self.faults() {
            each("parser_faults", &[parser, ("cause", cause)], count);
        }
        for (cause, count) in self.dropped() {
            each("parser_dropped", &[parser, ("cause", cause)], count);
        }
        for (reason, count) in self.ignored() {
            each("parser_ignored", &[parser, ("reason", &reason)], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_a_hostile_guest_stay_few_short_and_clean() {
        let counters = ParserCounters::default();
        for number in 0..100 {
            counters.ignore(format!("reason {number}").as_bytes(), 4);
        }
        counters.ignore(b"reason 1", 4);
        let ignored = counters.ignored();
        assert_eq!(ignored.len(), 5);
        assert!(ignored.contains(&("other".into(), 96)));
        assert!(ignored.contains(&("reason 1".into(), 2)));
        let other = ParserCounters::default();
        other.ignore(&[b'\n'; 1000], 4);
        assert_eq!(other.ignored(), [("_".repeat(48), 1)]);
    }

    #[test]
    fn every_number_of_a_parser_carries_its_label() {
        let counters = RuntimeCounters::default();
        counters.parser("http@1.0.0").spans.add(3);
        let mut seen = Vec::new();
        counters.each(|name, labels, value| seen.push((name.to_owned(), labels.len(), value)));
        assert!(seen.contains(&("parser_spans".to_owned(), 1, 3)));
        assert!(seen.contains(&("parser_faults".to_owned(), 2, 0)));
        assert!(seen.contains(&("connections".to_owned(), 0, 0)));
    }
}
