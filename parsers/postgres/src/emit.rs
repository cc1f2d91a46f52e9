//! An exchange as a span.

use wirespan_parser_sql::Text;
use wirespan_sdk::{Context, Flags, Status};

use crate::fields::{
    AFFECTED_ROWS, ERROR_TYPE, NAMESPACE, OPERATION, PARAMETERISED, QUERY, RETURNED_ROWS,
    STATUS_CODE, SYSTEM,
};
use crate::queue::{Answer, Item, Pending};

const SYSTEM_NAME: &str = "postgresql";

pub(crate) fn exchange(
    namespace: Option<&str>,
    pending: &Pending,
    answer: &Answer,
    text: &Text,
    cx: &mut Context<'_>,
) {
    if answer.reported {
        return;
    }
    let operation = operation(answer, text);
    let usual = operation.and_then(usual);
    let mut span = match (usual, operation) {
        (Some(usual), _) => cx.span_fixed(usual),
        (None, Some(operation)) => cx.span(operation),
        (None, None) => cx.span_fixed(SYSTEM_NAME),
    };
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
        .fixed(SYSTEM, SYSTEM_NAME);
    if let Some(text) = text.bytes() {
        span.text(QUERY, text);
        span.truth(PARAMETERISED, !matches!(pending.item, Item::Query(_)));
    }
    if let Some(usual) = usual {
        span.fixed(OPERATION, usual);
    } else if let Some(operation) = operation {
        span.text(OPERATION, operation);
    }
    if let Some(namespace) = namespace {
        span.text(NAMESPACE, namespace.as_bytes());
    }
    if answer.result && !answer.incomplete {
        span.count(RETURNED_ROWS, answer.rows);
    }
    if let Some(affected) = answer.affected.filter(|_| !answer.incomplete) {
        span.count(AFFECTED_ROWS, affected);
    }
    if answer.error {
        span.status(Status::Error);
        if let Some(code) = &answer.code {
            span.text(STATUS_CODE, code).text(ERROR_TYPE, code);
        } else if answer.flags.bits() & Flags::GAP.bits() == 0 {
            span.text(ERROR_TYPE, b"_OTHER");
        }
    } else if flags.bits() & Flags::RESET.bits() != 0 {
        span.status(Status::Error).text(ERROR_TYPE, b"reset");
    }
    span.emit();
}

/// The name of a usual operation, as this program has it.
fn usual(operation: &[u8]) -> Option<&'static str> {
    const USUAL: [&str; 6] = ["SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT"];
    USUAL.into_iter().find(|name| name.as_bytes() == operation)
}

/// What one command did, where the tag and the statement agree: a tag alone can be that of a
/// command within the command (EXECUTE, CREATE TABLE AS).
fn operation<'a>(answer: &'a Answer, text: &Text) -> Option<&'a [u8]> {
    let command = answer.command.name();
    let fits = |b: &u8| b.is_ascii_uppercase() || *b == b' ';
    if answer.commands != 1 || answer.incomplete || !command.iter().all(fits) {
        return None;
    }
    let text = text.bytes()?.trim_ascii_start();
    let (begin, rest) = text.split_at_checked(command.len())?;
    let ends = rest
        .first()
        .is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'_');
    (ends && !command.is_empty() && begin.eq_ignore_ascii_case(command)).then_some(command)
}
