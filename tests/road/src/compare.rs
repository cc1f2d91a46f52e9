//! What a change of the bytes did to the spans.

use std::collections::HashMap;
use std::fmt::Write;

use wirespan_capture::Clock;
use wirespan_span::{Span, Value};

use crate::change::{How, Loss};
use crate::road::Told;

/// Exchanges after a loss that may be missing or flagged.
const HARMED_AFTER: usize = 2;

/// Said only where something else is not known.
const INSTEAD: &[&str] = &["wirespan.http2.path_ref"];

/// What a loss cost, in spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Harm {
    pub missing: usize,
    pub flagged: usize,
    /// The same but for what only the lost bytes said: the text of a statement that was prepared in
    /// them, an entry of a header table.
    pub poorer: usize,
    /// Of a response whose request was lost.
    pub orphans: usize,
}

impl Harm {
    pub fn add(&mut self, other: Self) {
        self.missing += other.missing;
        self.flagged += other.flagged;
        self.poorer += other.poorer;
        self.orphans += other.orphans;
    }
}

/// The first spans that are in one and not in the other, in words; `None` when both are the same.
#[must_use]
pub fn differences(expected: &[Told], found: &[Told]) -> Option<String> {
    if expected == found {
        return None;
    }
    let mut text = format!("{} spans, expected {}\n", found.len(), expected.len());
    let only = |of: &[Told], others: &[Told], mark: &str, text: &mut String| {
        for told in of.iter().filter(|told| !others.contains(told)).take(4) {
            let _ = writeln!(text, "  {mark} {}", brief(&told.span));
        }
    };
    only(expected, found, "-", &mut text);
    only(found, expected, "+", &mut text);
    Some(text)
}

/// Whether a loss harmed more than it may.
///
/// # Errors
/// In words, what it harmed.
pub fn judge(clock: Clock, whole: &[Told], damaged: &[Told], loss: &Loss) -> Result<Harm, String> {
    let (from, until) = (clock.unix_nanos(loss.from), clock.unix_nanos(loss.until));
    let before: HashMap<u64, &Told> = whole.iter().map(|told| (told.span.span_id, told)).collect();
    let mut after = HashMap::new();
    for told in damaged {
        if after.insert(told.span.span_id, told).is_some() {
            return Err(format!("told twice: {}", brief(&told.span)));
        }
    }
    let mut harm = Harm::default();
    let mut later = Vec::new();
    for (id, told) in &before {
        let found = after.get(id);
        if found == Some(told) {
            continue;
        }
        let span = &told.span;
        let shown = || match found {
            Some(found) => format!("{}\n  is now {}", brief(span), brief(&found.span)),
            None => format!("{}\n  is missing", brief(span)),
        };
        if told.key != loss.key {
            return Err(format!("of another connection: {}", shown()));
        }
        if span.end_unix_nano < from && !found.is_some_and(|found| is_doubted(&found.span, span)) {
            return Err(format!("over before the loss: {}", shown()));
        }
        match found {
            Some(found) if is_poorer(&found.span, span) || is_later(found, told, loss) => {
                harm.poorer += 1;
                continue;
            }
            Some(_) => harm.flagged += 1,
            // Only a field that the lost bytes put into the header table said what it is.
            None if damaged.iter().any(|found| is_unspecific(found, told)) => {
                harm.poorer += 1;
                continue;
            }
            None => harm.missing += 1,
        }
        if span.start_unix_nano > until {
            later.push((*told, shown()));
        }
    }
    if round_trips(&mut later) > HARMED_AFTER
        && let Some((_, shown)) = later.last()
    {
        return Err(format!("more than two after the loss: {shown}"));
    }
    for told in damaged {
        let span = &told.span;
        let original = before.get(&span.span_id);
        if original == Some(&told) {
            continue;
        }
        match original {
            Some(original) if is_poorer(span, &original.span) || is_later(told, original, loss) => {
            }
            Some(original) => {
                is_honest(span, &original.span).map_err(|what| {
                    format!("{what}: {}\n  was {}", brief(span), brief(&original.span))
                })?;
            }
            None => {
                // A response without its request has the id of the response.
                let begins = [Some(span.start_unix_nano), span.response_start_unix_nano];
                let known = whole.iter().any(|of| {
                    of.key == told.key
                        && of.span.response_start_unix_nano.is_some()
                        && begins.contains(&of.span.response_start_unix_nano)
                        && says_no_more(span, &of.span).is_ok()
                });
                if whole.iter().any(|of| is_unspecific(told, of)) {
                    continue;
                }
                if !known {
                    return Err(format!("was never said: {}", brief(span)));
                }
                harm.orphans += 1;
            }
        }
    }
    Ok(harm)
}

/// Without the field that tells it, a call is an exchange of HTTP/2 like any other, and says so.
fn is_unspecific(told: &Told, of: &Told) -> bool {
    let (span, call) = (&told.span, &of.span);
    let text = |span: &Span, name| {
        let value = span.attribute(name).and_then(Value::as_text);
        value.map(ToOwned::to_owned)
    };
    let path = text(span, "url.path");
    told.key == of.key
        && (&*span.protocol, &*call.protocol) == ("http2", "grpc")
        && !span.flags.is_empty()
        && span.start_unix_nano == call.start_unix_nano
        && (path.is_none() || path == text(call, "rpc.method").map(|method| format!("/{method}")))
}

/// The first exchange of HTTP/1 since requests may have passed unseen: what follows shows whether the
/// response is its own, and where that is a response whose request is lost, it has none.
fn is_doubted(span: &Span, of: &Span) -> bool {
    &*of.protocol == "http"
        && !of.flags.is_empty()
        && span.flags == of.flags
        && span.response_start_unix_nano.is_none()
        && span.attribute("http.response.status_code").is_none()
        && says_no_more(span, of).is_ok()
}

/// How many exchanges these are, where what was in flight together in a pipeline of PostgreSQL counts
/// once: the server answers it in one go, and a place to go on from is only behind it.
fn round_trips(later: &mut [(&Told, String)]) -> usize {
    later.sort_by_key(|(told, _)| told.span.start_unix_nano);
    let (mut count, mut until) = (0, 0);
    for (told, _) in later {
        let span = &told.span;
        let together = &*span.protocol == "postgresql" && span.start_unix_nano <= until;
        count += usize::from(!together);
        until = until.max(span.end_unix_nano);
    }
    count
}

/// Everything that it says was said, at the same times, and only attributes are missing.
fn is_poorer(span: &Span, of: &Span) -> bool {
    let same_times = span.start_unix_nano == of.start_unix_nano
        && span.request_end_unix_nano == of.request_end_unix_nano
        && span.response_start_unix_nano == of.response_start_unix_nano
        && span.end_unix_nano == of.end_unix_nano;
    same_times && span.protocol == of.protocol && says_no_more(span, of).is_ok()
}

/// The same but for when a side of it ended: what was lost without a word is known to have passed
/// when something behind it came.
fn is_later(told: &Told, of: &Told, loss: &Loss) -> bool {
    let (mut span, of) = (told.span.clone(), &of.span);
    let later = span.end_unix_nano >= of.end_unix_nano
        && span.request_end_unix_nano >= of.request_end_unix_nano;
    span.end_unix_nano = of.end_unix_nano;
    span.request_end_unix_nano = of.request_end_unix_nano;
    loss.how == How::Silent && told.key == loss.key && later && span == *of
}

fn is_honest(span: &Span, of: &Span) -> Result<(), String> {
    if span.flags.is_empty() {
        return Err("changed without a flag".into());
    }
    says_no_more(span, of)
}

/// Each of its attributes is one of `of`, with the same value.
fn says_no_more(span: &Span, of: &Span) -> Result<(), String> {
    for attribute in &span.attributes {
        let name = &*attribute.field.name;
        let mut said = of.attribute(name) == Some(&attribute.value);
        // Bytes on the wire, as far as they are known.
        said |= matches!(name, "wirespan.request.size" | "wirespan.response.size");
        // Of a request that was not seen to end, those that were seen.
        said |= span.request_end_unix_nano.is_none()
            && matches!(
                name,
                "wirespan.grpc.request.messages" | "wirespan.grpc.request.message_bytes"
            )
            && is_fewer(&attribute.value, of.attribute(name));
        // Only its greeting tells MariaDB from MySQL.
        said |= name == "db.system.name"
            && attribute.value.as_text() == Some("mysql")
            && of.attribute(name).and_then(Value::as_text) == Some("mariadb");
        if !said && !INSTEAD.contains(&name) {
            return Err(format!("{name} is {:?}, which was not so", attribute.value));
        }
    }
    Ok(())
}

fn is_fewer(value: &Value, than: Option<&Value>) -> bool {
    matches!((value, than), (Value::Integer(value), Some(Value::Integer(than))) if value < than)
}

/// A span in a line.
pub(crate) fn brief(span: &Span) -> String {
    let mut text = format!("{:016x} {} {:?}", span.span_id, span.protocol, span.name);
    let times = [
        Some(span.start_unix_nano),
        span.request_end_unix_nano,
        span.response_start_unix_nano,
        Some(span.end_unix_nano),
    ];
    for time in times {
        match time {
            Some(time) => {
                let _ = write!(text, " {time}");
            }
            None => text.push_str(" -"),
        }
    }
    let flags: Vec<_> = span.flags.names().collect();
    let _ = write!(text, " {:?} {flags:?}", span.status);
    for attribute in &span.attributes {
        let name = &attribute.field.name;
        let _ = match &attribute.value {
            Value::Text(value) => write!(text, " {name}={}", shortened(value)),
            Value::Integer(value) => write!(text, " {name}={value}"),
            Value::Boolean(value) => write!(text, " {name}={value}"),
        };
    }
    text
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
