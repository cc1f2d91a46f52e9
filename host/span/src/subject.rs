//! NATS subjects of spans.

use crate::model::Span;

/// Prefix of all span subjects; the version is that of subjects and payload.
pub const SPANS: &str = "wirespan.spans.v1";

/// What stands for a token that is not known.
const UNKNOWN: &str = "_";

/// Longest token: the longest name of Kubernetes is 253, of a DNS label 63. With four tokens a
/// subject stays far below the 4 KiB that a NATS server accepts as one control line.
const MAX_TOKEN: usize = 128;

/// Appends `.` and `text` as one token: ASCII letters, digits, `-` and `_` stay, each other
/// character becomes `_`, what is longer is cut, nothing becomes `_`.
pub fn push_token(subject: &mut String, text: &str) {
    subject.push('.');
    if text.is_empty() {
        subject.push_str(UNKNOWN);
    }
    subject.extend(text.chars().take(MAX_TOKEN).map(|character| {
        if character.is_ascii_alphanumeric() || character == '-' {
            character
        } else {
            '_'
        }
    }));
}

/// Appends `wirespan.spans.v1.<cluster>.<namespace>.<workload>.<protocol>`. Where no workload is
/// known it is the service.
pub fn push_subject(subject: &mut String, cluster: &str, span: &Span) {
    let resource = &span.resource;
    subject.push_str(SPANS);
    push_token(subject, cluster);
    push_token(subject, resource.namespace.as_deref().unwrap_or_default());
    push_token(
        subject,
        resource
            .workload
            .as_deref()
            .unwrap_or(&resource.service_name),
    );
    push_token(subject, &span.protocol);
}

#[must_use]
pub fn subject(cluster: &str, span: &Span) -> String {
    let mut subject = String::with_capacity(96);
    push_subject(&mut subject, cluster, span);
    subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::model::Resource;
    use std::sync::Arc;

    #[test]
    fn outside_kubernetes_the_workload_is_the_service() {
        let span = example::span();
        assert_eq!(subject("", &span), "wirespan.spans.v1._._.users.http");
        assert_eq!(
            subject("eu-1", &span),
            "wirespan.spans.v1.eu-1._.users.http"
        );
    }

    #[test]
    fn in_kubernetes_it_is_the_owner() {
        let mut span = example::span();
        span.resource = Arc::new(Resource {
            namespace: Some("shop".into()),
            workload: Some("users-api".into()),
            ..Resource::default()
        });
        assert_eq!(
            subject("eu", &span),
            "wirespan.spans.v1.eu.shop.users-api.http"
        );
    }

    #[test]
    fn a_token_holds_nothing_that_nats_gives_a_meaning() {
        for (text, token) in [
            ("a.b", "a_b"),
            ("*", "_"),
            (">", "_"),
            ("a b\t\r\n", "a_b___"),
            ("$SYS", "_SYS"),
            ("é-日", "_-_"),
            ("\0", "_"),
            ("Nginx_1-2", "Nginx_1-2"),
        ] {
            let mut subject = String::new();
            push_token(&mut subject, text);
            assert_eq!(subject, format!(".{token}"));
        }
        let mut subject = String::new();
        push_token(&mut subject, &"x".repeat(10_000));
        assert_eq!(subject.len(), 1 + MAX_TOKEN);
    }
}
