//! The field: what an attribute is called and how it is to be treated.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Different fields of one run of the agent: as many as 64 parsers with 256 each have. A field takes
/// some 300 bytes, at most 3 KiB.
pub const MAX_FIELDS: usize = 16_384;

/// How private a field is; the host redacts by class and never trusts a parser to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Public,
    Identifier,
    /// Text in a query language: literals are removed before it leaves the node.
    Statement,
    /// Never leaves the node.
    Secret,
    /// Message content: does not leave the node by default.
    Payload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    Text,
    Integer,
    Boolean,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cardinality {
    /// At most a few hundred values in a fleet.
    Bounded,
    Unbounded,
}

/// Description of an attribute: declared by a parser's manifest, or by the host's own registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    pub name: Box<str>,
    pub field_type: FieldType,
    pub description: Box<str>,
    pub example: Box<str>,
    pub cardinality: Cardinality,
    pub class: Class,
}

/// A field that lives as long as the program.
///
/// Attributes are made by one thread and dropped by another, millions a second and all of the same
/// few fields: a count of references would go back and forth between their caches. Fields come with
/// a parser, and equal ones are kept once, so that a parser that is loaded again costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct FieldRef(&'static Kept);

#[derive(Debug)]
struct Kept {
    field: Field,
    name: Name,
}

/// The name of a field, as a number: names are compared several times for each attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name(u32);

#[derive(Debug, Default)]
struct Registry {
    fields: HashMap<&'static Field, FieldRef>,
    names: HashMap<Box<str>, Name>,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

impl Registry {
    fn name(&mut self, text: &str) -> Name {
        if let Some(known) = self.names.get(text) {
            return *known;
        }
        // Names are those of fields, and a few that are looked for.
        let name = Name(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.insert(text.into(), name);
        name
    }

    fn add(&mut self, field: Field) -> FieldRef {
        let name = self.name(&field.name);
        let kept = FieldRef(Box::leak(Box::new(Kept { field, name })));
        self.fields.insert(&kept.0.field, kept);
        kept
    }
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Name {
    /// To be asked for once: it takes a lock.
    #[must_use]
    pub fn of(text: &str) -> Self {
        registry().name(text)
    }
}

impl FieldRef {
    /// Keeps `field` for good. `None` when there are [`MAX_FIELDS`] already.
    #[must_use]
    pub fn keep(field: Field) -> Option<Self> {
        let mut registry = registry();
        if let Some(known) = registry.fields.get(&field) {
            return Some(*known);
        }
        (registry.fields.len() < MAX_FIELDS).then(|| registry.add(field))
    }

    /// One of the host's own: they are few, and there from the beginning.
    pub(crate) fn own(field: Field) -> Self {
        registry().add(field)
    }

    #[must_use]
    pub fn name(self) -> Name {
        self.0.name
    }
}

impl Deref for FieldRef {
    type Target = Field;

    fn deref(&self) -> &Field {
        &self.0.field
    }
}

impl PartialEq for FieldRef {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0) || self.0.field == other.0.field
    }
}

impl Eq for FieldRef {}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Field {
        Field {
            name: name.into(),
            field_type: FieldType::Text,
            description: "".into(),
            example: "".into(),
            cardinality: Cardinality::Bounded,
            class: Class::Public,
        }
    }

    #[test]
    fn equal_fields_are_kept_once() {
        let kept = |name| FieldRef::keep(field(name)).unwrap();
        let (one, again, other) = (kept("kept.one"), kept("kept.one"), kept("kept.other"));
        assert!(std::ptr::eq(one.0, again.0));
        assert_eq!(one, again);
        assert_ne!(one, other);
        let secret = Field {
            class: Class::Secret,
            ..field("kept.one")
        };
        let secret = FieldRef::keep(secret).unwrap();
        assert_eq!(secret.class, Class::Secret);
        assert_eq!(secret.name(), one.name());
        assert_eq!(Name::of("kept.one"), one.name());
        assert_ne!(other.name(), one.name());
        assert_eq!(one.class, Class::Public);
    }
}
