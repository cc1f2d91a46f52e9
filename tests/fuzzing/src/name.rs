//! Names made of what was seen: templates of paths, and subjects of NATS.

use wirespan_route::segment::{PLACEHOLDER, Shape, shape};
use wirespan_route::tree::{MAX_NAME_BYTES, MAX_SEGMENTS, REST};
use wirespan_route::{Outcome, Routes};
use wirespan_span::subject::{SPANS, push_token};

/// Paths of one input.
const PATHS: usize = 400;

/// Paths, one a line; the first byte of a line says the service, and whether the server knew it.
pub(crate) fn routes(input: &[u8]) {
    let routes = Routes::default();
    let text = String::from_utf8_lossy(input);
    for line in text.split('\n').take(PATHS) {
        let mut characters = line.chars();
        let Some(how) = characters.next() else {
            continue;
        };
        let path = characters.as_str();
        let service = if u32::from(how) & 2 == 0 { "a" } else { "b" };
        let outcome = if u32::from(how) & 1 == 0 {
            Outcome::Known
        } else {
            Outcome::Unknown
        };
        let template = routes.template(service, path, outcome);
        if outcome == Outcome::Known {
            assert_eq!(
                template.is_some(),
                path.starts_with('/'),
                "a path has a template, and nothing else: {path:?}"
            );
        }
        if let Some(template) = template {
            check_template(path, &template);
        }
    }
}

/// Each segment is one of the path that could be a name, or stands for one.
fn check_template(path: &str, template: &str) {
    let mut segments = path.split('/');
    let mut places = template.split('/');
    assert_eq!((segments.next(), places.next()), (Some(""), Some("")));
    let mut count = 0;
    for place in places {
        count += 1;
        assert!(count <= MAX_SEGMENTS + 1, "{template}");
        let Some(segment) = segments.next() else {
            panic!("{template} is longer than {path}")
        };
        if place == REST {
            assert_eq!(count, MAX_SEGMENTS + 1, "{template}");
            return;
        }
        let allowed = match shape(segment) {
            Shape::Name => place == segment && place.len() <= MAX_NAME_BYTES,
            Shape::Identifier => false,
            Shape::File(extension) => place == format!("{PLACEHOLDER}.{extension}"),
        };
        assert!(
            allowed || place == PLACEHOLDER,
            "{place} for {segment} of {path}"
        );
    }
    assert_eq!(segments.next(), None, "{template} is shorter than {path}");
}

pub(crate) fn route_seeds() -> Vec<Vec<u8>> {
    let many: String = ('a'..='z')
        .flat_map(|a| ['b', 'c', 'd'].map(|b| format!("0/tags/{a}{b}/x\n")))
        .collect();
    vec![
        b"0/users/7\n1/users/8\n0/img/4711.png\n2*\n0//\n0/a/b/c/d/e/f/g/h/i/j/k/l/m/n\n".to_vec(),
        many.into_bytes(),
        format!("0/{}\n0/{{id}}\n0/{{rest}}\n", "x".repeat(200)).into_bytes(),
    ]
}

/// Four texts divided by line feeds become four tokens.
pub(crate) fn subject(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut subject = String::from(SPANS);
    for part in text.split('\n').take(4) {
        push_token(&mut subject, part);
    }
    let parts = text.split('\n').take(4).count();
    let tokens: Vec<&str> = subject.split('.').collect();
    assert_eq!(tokens.len(), 3 + parts, "{subject}");
    for token in tokens {
        assert!(!token.is_empty() && token.len() <= 128, "{subject}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        assert!(token.bytes().all(plain), "{subject}");
    }
    // What a token became is a token.
    for part in subject.split('.') {
        let mut again = String::new();
        push_token(&mut again, part);
        assert_eq!(again.strip_prefix('.'), Some(part));
    }
}

pub(crate) fn subject_seeds() -> Vec<Vec<u8>> {
    [
        "",
        "eu-1\nshop\nusers-api\nhttp",
        "a.b\n*\n>\n$SYS",
        "é 日\t\r\n\0\n\u{fffd}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
