//! What a parser says of itself, checked.

use wirespan_span::{Cardinality, Class, Field, FieldRef, FieldType};

use crate::bindings;
use crate::pattern::{Pattern, PatternSide};

/// Index of a protocol is a byte; a parser speaks one to three.
const PROTOCOLS: usize = 16;
const PATTERNS: usize = 64;
/// The longest magic is HTTP/2's preface, 24 bytes.
const PATTERN_BYTES: usize = 64;
/// Patterns lie in the first bytes of a stream.
const PATTERN_OFFSET: u16 = 1024;
const PORTS: usize = 64;
/// Duplicates of a span's values are found with a bit for each field.
pub(crate) const FIELDS: usize = 256;
const NAME_BYTES: usize = 32;
const VERSION_BYTES: usize = 64;
const FIELD_NAME_BYTES: usize = 128;
const FIELD_TEXT_BYTES: usize = 1024;

/// A manifest that is within its limits.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    /// Values of a span's `protocol`.
    pub protocols: Vec<String>,
    pub patterns: Vec<Pattern>,
    pub ports: Vec<u16>,
    pub fields: Vec<FieldRef>,
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("{what} {name:?} is not of the form [a-z][a-z0-9-]{{0,31}}")]
    Name { what: &'static str, name: String },
    #[error("version {0:?} is not a semantic version")]
    Version(String),
    #[error("it has {count} {what}, the limit is {limit}")]
    Count {
        what: &'static str,
        count: usize,
        limit: usize,
    },
    #[error("it has no protocol")]
    NoProtocol,
    #[error("pattern {index} {reason}")]
    Pattern { index: usize, reason: &'static str },
    #[error("field {name:?} {reason}")]
    Field { name: String, reason: &'static str },
    #[error("{what} {name:?} is there twice")]
    Twice { what: &'static str, name: String },
}

impl Manifest {
    pub(crate) fn new(described: bindings::Manifest) -> Result<Self, ManifestError> {
        let bindings::Manifest {
            name,
            version,
            protocols,
            patterns,
            ports,
            fields,
        } = described;
        check_name("name", &name)?;
        check_version(&version)?;
        count("protocols", protocols.len(), PROTOCOLS)?;
        count("patterns", patterns.len(), PATTERNS)?;
        count("ports", ports.len(), PORTS)?;
        count("fields", fields.len(), FIELDS)?;
        if protocols.is_empty() {
            return Err(ManifestError::NoProtocol);
        }
        for protocol in &protocols {
            check_name("protocol", protocol)?;
        }
        unique("protocol", protocols.iter().map(String::as_str))?;
        let patterns = patterns
            .into_iter()
            .enumerate()
            .map(|(i, p)| pattern(i, p))
            .collect::<Result<_, _>>()?;
        let fields = fields
            .into_iter()
            .map(field)
            .collect::<Result<Vec<_>, _>>()?;
        unique("field", fields.iter().map(|field| &*field.name))?;
        Ok(Self {
            name,
            version,
            protocols,
            patterns,
            ports,
            fields,
        })
    }
}

fn count(what: &'static str, count: usize, limit: usize) -> Result<(), ManifestError> {
    if count > limit {
        Err(ManifestError::Count { what, count, limit })
    } else {
        Ok(())
    }
}

fn unique<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), ManifestError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ManifestError::Twice {
                what,
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

/// Becomes a subject token and a label: no character that means something there.
fn check_name(what: &'static str, name: &str) -> Result<(), ManifestError> {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let rest = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if first && rest && name.len() <= NAME_BYTES {
        return Ok(());
    }
    Err(ManifestError::Name {
        what,
        name: shortened(name),
    })
}

fn check_version(version: &str) -> Result<(), ManifestError> {
    let bad = || ManifestError::Version(shortened(version));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
    if version.len() > VERSION_BYTES || !version.bytes().all(allowed) {
        return Err(bad());
    }
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers = core
        .split('.')
        .map(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if numbers.clone().count() == 3 && numbers.into_iter().all(|ok| ok) {
        Ok(())
    } else {
        Err(bad())
    }
}

fn pattern(index: usize, pattern: bindings::Pattern) -> Result<Pattern, ManifestError> {
    let bindings::Pattern {
        side,
        offset,
        mask,
        value,
    } = pattern;
    let fail = |reason| Err(ManifestError::Pattern { index, reason });
    if mask.len() != value.len() {
        return fail("has a mask and a value of different lengths");
    }
    if mask.is_empty() || mask.len() > PATTERN_BYTES || offset > PATTERN_OFFSET {
        return fail("is empty, longer than 64 bytes, or beyond the first 1024 bytes");
    }
    if mask
        .iter()
        .zip(&value)
        .any(|(mask, value)| value & !mask != 0)
    {
        return fail("has a value outside its mask, so it never fits");
    }
    let side = match side {
        bindings::PatternSide::Client => PatternSide::Client,
        bindings::PatternSide::Server => PatternSide::Server,
        bindings::PatternSide::Either => PatternSide::Either,
    };
    Ok(Pattern {
        side,
        offset: offset.into(),
        bytes: mask.into_iter().zip(value).collect(),
    })
}

fn field(field: bindings::Field) -> Result<FieldRef, ManifestError> {
    let bindings::Field {
        name,
        kind,
        description,
        example,
        cardinality,
        class,
    } = field;
    let fail = |name: &str, reason| {
        Err(ManifestError::Field {
            name: shortened(name),
            reason,
        })
    };
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > FIELD_NAME_BYTES || !name.bytes().all(allowed) {
        return fail(
            &name,
            "has a name that is empty, longer than 128 bytes, or not of [a-z0-9._-]",
        );
    }
    if description.len() > FIELD_TEXT_BYTES || example.len() > FIELD_TEXT_BYTES {
        return fail(&name, "has a description or example longer than 1024 bytes");
    }
    let label = shortened(&name);
    let field = Field {
        name: name.into(),
        field_type: match kind {
            bindings::FieldKind::Text => FieldType::Text,
            bindings::FieldKind::Integer => FieldType::Integer,
            bindings::FieldKind::Boolean => FieldType::Boolean,
        },
        description: description.into(),
        example: example.into(),
        cardinality: match cardinality {
            bindings::Cardinality::Bounded => Cardinality::Bounded,
            bindings::Cardinality::Unbounded => Cardinality::Unbounded,
        },
        class: match class {
            bindings::Class::Public => Class::Public,
            bindings::Class::Identifier => Class::Identifier,
            bindings::Class::Statement => Class::Statement,
            bindings::Class::Secret => Class::Secret,
            bindings::Class::Payload => Class::Payload,
        },
    };
    FieldRef::keep(field).ok_or(ManifestError::Field {
        name: label,
        reason: "is one too many: so many different fields came with the parsers of this run; start the agent again",
    })
}

/// A hostile name does not become a long message.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> bindings::Manifest {
        bindings::Manifest {
            name: "http".into(),
            version: "0.1.0".into(),
            protocols: vec!["http".into()],
            patterns: vec![bindings::Pattern {
                side: bindings::PatternSide::Client,
                offset: 0,
                mask: vec![0xff],
                value: vec![0x47],
            }],
            ports: vec![80],
            fields: vec![bindings::Field {
                name: "url.path".into(),
                kind: bindings::FieldKind::Text,
                description: "d".into(),
                example: "/".into(),
                cardinality: bindings::Cardinality::Unbounded,
                class: bindings::Class::Identifier,
            }],
        }
    }

    #[test]
    fn a_valid_manifest_is_taken() {
        assert_eq!(Manifest::new(described()).unwrap().protocols, ["http"]);
    }

    #[test]
    fn each_defect_is_named() {
        type Break = fn(&mut bindings::Manifest);
        let table: [(Break, &str); 14] = [
            (|m| m.name = "HTTP".into(), "name \"HTTP\""),
            (|m| m.name = "x".repeat(33), "[a-z]"),
            (|m| m.name.clear(), "[a-z]"),
            (|m| m.version = "1.0".into(), "semantic version"),
            (|m| m.version = "1.0.\n".into(), "semantic version"),
            (|m| m.protocols.clear(), "no protocol"),
            (|m| m.protocols = vec!["a.b".into()], "protocol \"a.b\""),
            (|m| m.protocols = vec!["a".into(), "a".into()], "twice"),
            (|m| m.protocols = vec!["a".into(); 17], "17 protocols"),
            (|m| m.patterns[0].mask.push(1), "different lengths"),
            (|m| m.patterns[0].mask[0] = 0, "never fits"),
            (|m| m.ports = vec![1; 65], "65 ports"),
            (
                |m| m.fields = vec![m.fields[0].clone(); 2],
                "field \"url.path\" is there twice",
            ),
            (|m| m.fields[0].name = "URL".into(), "field \"URL\""),
        ];
        for (break_it, expected) in table {
            let mut manifest = described();
            break_it(&mut manifest);
            let message = Manifest::new(manifest).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
