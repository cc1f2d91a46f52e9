//! What must not leave the node is removed here, between enrichment and the sinks.
//!
//! Two rules. By class: what a parser declared `secret` or `payload` is removed; of a `statement`
//! the literals are replaced, and one whose dialect is not known is removed (fail closed). By
//! content: credentials in URLs are removed from every text and from the span's name, whatever the
//! parser declared. A parser is never trusted to redact.

mod known;
mod statement;
mod url;

use std::borrow::Cow;

use crate::field::Class;
use crate::model::{Attribute, Span, Value};
use known::Known;
use url::{Place, Scrubber};

/// Query parameters whose values are credentials: the list of the HTTP semantic conventions
/// (`url.query`), and the names under which credentials are most often found elsewhere (RFC 6750
/// §2.3, RFC 6749, usage). Compared without regard to case.
pub const SECRET_PARAMETERS: [&str; 17] = [
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "awsaccesskeyid",
    "signature",
    "sig",
    "x-goog-signature",
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "password",
    "passwd",
    "api_key",
    "apikey",
    "secret",
    "token",
];

/// How a [`Redactor`] behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactConfig {
    /// Names of query parameters whose values are removed, besides [`SECRET_PARAMETERS`].
    pub parameters: Vec<String>,
    /// Keeps statements, payload and URLs as they were sent (what a statement is about is told all
    /// the same). Fields of class `secret` are removed
    /// all the same.
    pub unredacted: bool,
}

impl From<&[String]> for RedactConfig {
    fn from(parameters: &[String]) -> Self {
        Self {
            parameters: parameters.to_vec(),
            unredacted: false,
        }
    }
}

impl From<&Vec<String>> for RedactConfig {
    fn from(parameters: &Vec<String>) -> Self {
        parameters.as_slice().into()
    }
}

/// How many values were removed or changed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedactCounts {
    pub secrets: u64,
    pub payloads: u64,
    /// Statements that were removed, or in which something was replaced.
    pub statements: u64,
    /// Texts in which a credential of a URL was replaced.
    pub urls: u64,
}

/// Belongs to one thread.
#[derive(Debug)]
pub struct Redactor {
    unredacted: bool,
    scrubber: Scrubber,
    known: Known,
    counts: RedactCounts,
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new(RedactConfig::default())
    }
}

impl Redactor {
    /// From a [`RedactConfig`], or from the extra parameter names alone.
    #[must_use]
    pub fn new(config: impl Into<RedactConfig>) -> Self {
        let config = config.into();
        let known = SECRET_PARAMETERS.into_iter().map(str::to_owned);
        let extra = config
            .parameters
            .iter()
            .map(|name| name.to_ascii_lowercase());
        Self {
            unredacted: config.unredacted,
            scrubber: Scrubber::new(known.chain(extra).collect()),
            known: Known::default(),
            counts: RedactCounts::default(),
        }
    }

    /// Says what the span's statement is about, and removes what must not leave the node.
    pub fn apply(&mut self, span: &mut Span) {
        let Self {
            unredacted,
            scrubber,
            known,
            counts,
        } = self;
        let statements = statement::read_all(span, known, *unredacted);
        counts.statements += statements.changed;
        span.attributes
            .retain(|attribute| keeps(attribute, *unredacted, statements.dialect_known, counts));
        if *unredacted {
            return;
        }
        if let Cow::Owned(name) = scrubber.scrub(&span.name, Place::Text) {
            span.name = name.into();
            counts.urls += 1;
        }
        for attribute in &mut span.attributes {
            // Its literals are gone, and its operators look like those of URLs.
            if attribute.field.class == Class::Statement {
                continue;
            }
            let Value::Text(text) = &mut attribute.value else {
                continue;
            };
            let place = Place::of(&attribute.field.name);
            if let Cow::Owned(scrubbed) = scrubber.scrub(text, place) {
                *text = scrubbed.into();
                counts.urls += 1;
            }
        }
    }

    #[must_use]
    pub fn counts(&self) -> RedactCounts {
        self.counts
    }
}

fn keeps(
    attribute: &Attribute,
    unredacted: bool,
    dialect_known: bool,
    counts: &mut RedactCounts,
) -> bool {
    let counter = match attribute.field.class {
        Class::Public | Class::Identifier => return true,
        Class::Secret => &mut counts.secrets,
        Class::Statement | Class::Payload if unredacted => return true,
        Class::Statement if dialect_known => return true,
        Class::Statement => &mut counts.statements,
        Class::Payload => &mut counts.payloads,
    };
    *counter += 1;
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    fn span() -> Span {
        let mut span = example::span();
        span.name = "GET http://u:p@h/".into();
        span.attributes = vec![
            example::text("a", Class::Public, "1"),
            example::text("b", Class::Identifier, "2"),
            example::text("db.query.text", Class::Statement, "SELECT 'secret'"),
            example::text("c", Class::Payload, "4"),
            example::text("authorization", Class::Secret, "5"),
            example::text("url.query", Class::Secret, "sig=1"),
            example::text("url.query", Class::Public, "sig=1&a=b"),
            example::integer("n", 7),
        ];
        span
    }

    fn names(span: &Span) -> Vec<&str> {
        span.attributes
            .iter()
            .map(|attribute| &*attribute.field.name)
            .collect()
    }

    #[test]
    fn classes_decide_what_is_kept() {
        let mut redactor = Redactor::default();
        let mut span = span();
        redactor.apply(&mut span);
        assert_eq!(names(&span), ["a", "b", "url.query", "n"]);
        assert_eq!(&*span.name, "GET http://REDACTED:REDACTED@h/");
        assert_eq!(
            span.attribute("url.query"),
            Some(&Value::from("sig=REDACTED&a=b"))
        );
        assert_eq!(
            redactor.counts(),
            RedactCounts {
                secrets: 2,
                payloads: 1,
                statements: 1,
                urls: 2
            }
        );
    }

    #[test]
    fn a_statement_of_a_known_dialect_is_kept_without_its_literals() {
        let mut redactor = Redactor::default();
        let mut span = span();
        let system = example::text("db.system.name", Class::Public, "postgresql");
        span.attributes.push(system);
        redactor.apply(&mut span);
        assert_eq!(
            span.attribute("db.query.text"),
            Some(&Value::from("SELECT ?"))
        );
        assert_eq!(redactor.counts().statements, 1);
    }

    #[test]
    fn unredacted_keeps_all_but_secrets() {
        let mut redactor = Redactor::new(RedactConfig {
            unredacted: true,
            ..RedactConfig::default()
        });
        let mut span = span();
        redactor.apply(&mut span);
        assert_eq!(
            names(&span),
            ["a", "b", "db.query.text", "c", "url.query", "n"]
        );
        assert_eq!(&*span.name, "GET http://u:p@h/");
        assert_eq!(span.attribute("url.query"), Some(&Value::from("sig=1&a=b")));
    }

    #[test]
    fn what_is_redacted_stays_as_it_is() {
        let mut redactor = Redactor::default();
        let mut once = span();
        redactor.apply(&mut once);
        let mut twice = once.clone();
        redactor.apply(&mut twice);
        assert_eq!(once, twice);
    }
}
