//! An exchange as a span.

use std::io::Write as _;

use wirespan_parser_sql::Text;
use wirespan_sdk::{Context, Flags, Status};

use crate::exchange::{Answer, Kind, Pending};
use crate::fields::{
    AFFECTED_ROWS, ERROR_TYPE, NAMESPACE, PARAMETERISED, QUERY, RETURNED_ROWS, SQL_STATE,
    STATUS_CODE, SYSTEM,
};

pub(crate) fn exchange(
    system: &'static str,
    namespace: Option<&[u8]>,
    pending: &Pending,
    text: &Text,
    answer: &Answer,
    cx: &mut Context<'_>,
) {
    let mut span = cx.span_fixed(system);
    let mut flags = pending.flags | answer.flags;
    if text.is_truncated() {
        flags = flags | Flags::REQUEST_TRUNCATED;
    }
    span.starts(pending.position, pending.start)
        .request_ends(pending.end)
        .response_starts(answer.start)
        .ends(answer.end.max(pending.end))
        .sizes(pending.bytes, answer.bytes)
        .flags(flags)
        .fixed(SYSTEM, system);
    if let Some(text) = text.bytes() {
        span.text(QUERY, text);
        span.truth(PARAMETERISED, pending.kind != Kind::Query);
    }
    if let Some(namespace) = namespace {
        span.text(NAMESPACE, namespace);
    }
    if let Some(traceparent) = &pending.traceparent {
        span.trace(traceparent);
    }
    if answer.result && !answer.rows_unknown {
        span.count(RETURNED_ROWS, answer.rows);
    }
    if let Some(affected) = answer.affected {
        span.count(AFFECTED_ROWS, affected);
    }
    if let Some(failure) = answer.failure {
        let mut digits = [0; 5];
        let number = decimal(&mut digits, failure.number);
        span.status(Status::Error)
            .text(STATUS_CODE, number)
            .text(ERROR_TYPE, number);
        if let Some(state) = failure.state {
            span.text(SQL_STATE, &state);
        }
    } else if flags.bits() & Flags::RESET.bits() != 0 {
        span.status(Status::Error).text(ERROR_TYPE, b"reset");
    }
    span.emit();
}

fn decimal(digits: &mut [u8; 5], number: u16) -> &[u8] {
    let mut rest = &mut digits[..];
    // Five digits are enough for any.
    let _ = write!(rest, "{number}");
    let unused = rest.len();
    digits
        .get(..digits.len().saturating_sub(unused))
        .unwrap_or_default()
}
