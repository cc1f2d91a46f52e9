//! Statements of a span: without literals, with a summary, with the context that came in a comment.

use wirespan_sql::Dialect;

use super::known::{Known, Reading};
use crate::field::Class;
use crate::fields::{DB_QUERY_SUMMARY, DB_QUERY_TEXT, DB_STORED_PROCEDURE_NAME, DB_SYSTEM_NAME};
use crate::model::{Attribute, Flags, Span, Value};

/// A text of so many bytes was cut, whether or not the parser says so: the host takes no longer
/// values, and a character of up to four bytes may be missing at the end.
const CUT_BYTES: usize = (64 << 10) - 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The statements were read; otherwise nothing is known of them, and they cannot be kept.
    pub(super) dialect_known: bool,
    /// How many were changed.
    pub(super) changed: u64,
}

/// Reads each attribute of class [`Class::Statement`] in the dialect that `db.system.name` says.
/// Parameterised texts are no exception: that a text has parameters does not mean that it has no
/// literals, and that it has any is the parser's word only.
pub(super) fn read_all(span: &mut Span, known: &mut Known, keep_text: bool) -> Outcome {
    let is_statement = |a: &Attribute| a.field.class == Class::Statement;
    if !span.attributes.iter().any(is_statement) {
        return Outcome::default();
    }
    let system = span.value(*DB_SYSTEM_NAME).and_then(Value::as_text);
    let Some(dialect) = system.and_then(Dialect::of_system) else {
        return Outcome::default();
    };
    let whole = !span.flags.contains(Flags::REQUEST_TRUNCATED) && !span.flags.contains(Flags::GAP);
    let mut changed = 0;
    let mut query = None;
    for attribute in span.attributes.iter_mut().filter(|a| is_statement(a)) {
        let Value::Text(text) = &mut attribute.value else {
            continue;
        };
        let reading = known.read(text, dialect, whole && text.len() < CUT_BYTES);
        if !keep_text && reading.text != *text {
            *text = reading.text.clone();
            changed += 1;
        }
        // A summary, a name and a context are taken from this one.
        if attribute.field.name() == *DB_QUERY_TEXT && query.is_none() {
            query = Some(reading);
        }
    }
    if let Some(query) = query {
        put(query, span);
    }
    Outcome {
        dialect_known: true,
        changed,
    }
}

/// What a statement says beside its text.
fn put(query: Reading, span: &mut Span) {
    if !query.summary.is_empty() && span.value(DB_QUERY_SUMMARY.name()).is_none() {
        span.name = query.summary.clone();
        span.add(&DB_QUERY_SUMMARY, query.summary);
    }
    if let Some(procedure) = query.procedure {
        span.add(&DB_STORED_PROCEDURE_NAME, procedure);
    }
    // A context that came with the protocol is the nearer one.
    if let (Some(parent), None) = (query.parent, span.parent_span_id) {
        span.trace_id = parent.trace_id;
        span.parent_span_id = Some(parent.parent_id);
        span.trace_flags = parent.flags;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    fn read_all(span: &mut Span, keep_text: bool) -> Outcome {
        super::read_all(span, &mut Known::default(), keep_text)
    }

    const QUERY_TEXT: &str = "db.query.text";
    const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203332-01";

    fn span(system: &str, text: &str) -> Span {
        let mut span = example::span();
        span.name = "postgresql".into();
        span.parent_span_id = None;
        span.attributes = vec![
            example::text("db.system.name", Class::Public, system),
            example::text(QUERY_TEXT, Class::Statement, text),
        ];
        span
    }

    fn text<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
        span.attribute(name).and_then(Value::as_text)
    }

    #[test]
    fn the_summary_is_the_name() {
        for system in ["mysql", "mariadb", "postgresql"] {
            let mut span = span(system, "SELECT a FROM t WHERE b = 'c'");
            let outcome = read_all(&mut span, false);
            assert_eq!((outcome.dialect_known, outcome.changed), (true, 1));
            assert_eq!(text(&span, QUERY_TEXT), Some("SELECT a FROM t WHERE b = ?"));
            assert_eq!(text(&span, "db.query.summary"), Some("SELECT t"));
            assert_eq!(&*span.name, "SELECT t");
            let once = span.clone();
            assert_eq!(read_all(&mut span, false).changed, 0);
            assert_eq!(span, once);
        }
    }

    #[test]
    fn without_a_summary_the_name_stays() {
        let mut span = span("postgresql", "selec 'a'");
        read_all(&mut span, false);
        assert_eq!(&*span.name, "postgresql");
        assert_eq!(text(&span, "db.query.summary"), None);
        assert_eq!(text(&span, QUERY_TEXT), Some("selec ?"));
    }

    #[test]
    fn what_was_sent_can_be_kept() {
        let sent = format!("CALL p('a') /*traceparent='{CONTEXT}'*/");
        let mut span = span("mysql", &sent);
        let outcome = read_all(&mut span, true);
        assert_eq!((outcome.dialect_known, outcome.changed), (true, 0));
        assert_eq!(text(&span, QUERY_TEXT), Some(&*sent));
        assert_eq!(text(&span, "db.stored_procedure.name"), Some("p"));
        assert_eq!(&*span.name, "CALL p");
        assert_eq!(span.parent_span_id, Some(0xb7ad_6b71_6920_3332));
    }

    #[test]
    fn an_unknown_dialect_is_not_read() {
        let mut unknown = span("oracle.db", "SELECT 'a'");
        assert_eq!(read_all(&mut unknown, false), Outcome::default());
        let mut none = span("mysql", "SELECT 'a'");
        none.attributes.remove(0);
        assert_eq!(read_all(&mut none, false), Outcome::default());
    }

    #[test]
    fn a_comment_gives_the_parent_where_nothing_else_does() {
        let sent = format!("SELECT 1 /*traceparent='{CONTEXT}'*/");
        let mut with = span("postgresql", &sent);
        read_all(&mut with, false);
        assert_eq!(with.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319d);
        assert_eq!(with.parent_span_id, Some(0xb7ad_6b71_6920_3332));
        assert_eq!(with.trace_flags, 1);
        assert_eq!(text(&with, QUERY_TEXT), Some("SELECT ?"));
        let mut other = span("postgresql", &sent);
        other.parent_span_id = Some(7);
        let trace = other.trace_id;
        read_all(&mut other, false);
        assert_eq!((other.trace_id, other.parent_span_id), (trace, Some(7)));
    }

    #[test]
    fn a_text_that_was_cut_is_read_as_such() {
        let sent = r"SELECT 'it\'s', a";
        for (flags, expected) in [
            (Flags::default(), "SELECT ?, a"),
            (Flags::REQUEST_TRUNCATED, "SELECT ?"),
            (Flags::GAP, "SELECT ?"),
        ] {
            let mut span = span("mysql", sent);
            span.flags = flags;
            read_all(&mut span, false);
            assert_eq!(text(&span, QUERY_TEXT), Some(expected));
        }
        let long = format!("{sent}, '{}'", "x".repeat(CUT_BYTES));
        let mut span = span("mysql", &long);
        read_all(&mut span, false);
        assert_eq!(text(&span, QUERY_TEXT), Some("SELECT ?"));
    }
}
