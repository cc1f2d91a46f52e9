//! What a parser says of itself.

use std::marker::PhantomData;

use crate::bindings::wirespan::parser::types as wit;
use crate::{Cardinality, Class, FieldKind, PatternSide};

/// Name, version, protocols and fields of a parser: asked once, when the component is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Manifest {
    /// Short lower-case name, `[a-z][a-z0-9-]{0,31}`.
    pub name: &'static str,
    /// Semantic version of the parser.
    pub version: &'static str,
    /// Values of a span's `protocol`.
    pub protocols: &'static [&'static str],
    /// What the host looks for before it asks [`crate::Parser::recognise`]; none: it always asks.
    pub patterns: &'static [Pattern],
    /// Server ports on which this protocol is usual.
    pub ports: &'static [u16],
    /// Fields of the spans, as [`crate::fields!`] makes them.
    pub fields: &'static [FieldDescription],
}

/// Fits when `(byte & mask) == value` for each byte from `offset` on of what a side sent first.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    pub side: PatternSide,
    pub offset: u16,
    /// As long as `value`.
    pub mask: &'static [u8],
    pub value: &'static [u8],
}

/// An attribute that spans of this parser can carry.
#[derive(Clone, Copy, Debug)]
pub struct FieldDescription {
    /// Attribute name, as in the OpenTelemetry semantic conventions where they have one.
    pub name: &'static str,
    pub kind: FieldKind,
    pub description: &'static str,
    pub example: &'static str,
    pub cardinality: Cardinality,
    /// How private the value is: the host redacts by it, a parser does not redact.
    pub class: Class,
}

/// A declared field whose values have the type `T`: [`Text`], [`Integer`] or [`Truth`].
#[derive(Debug)]
pub struct Field<T> {
    index: u16,
    kind: PhantomData<T>,
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<T> {}

impl<T> Field<T> {
    /// Used by [`crate::fields!`].
    #[doc(hidden)]
    #[must_use]
    pub const fn new(index: u16) -> Self {
        Self {
            index,
            kind: PhantomData,
        }
    }

    /// Index into the manifest's fields.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.index
    }
}

/// A field of text.
#[derive(Debug)]
pub enum Text {}

/// A field of whole numbers.
#[derive(Debug)]
pub enum Integer {}

/// A field that is true or false.
#[derive(Debug)]
pub enum Truth {}

impl Manifest {
    /// The form that crosses the boundary.
    #[must_use]
    pub fn to_wit(&self) -> wit::Manifest {
        wit::Manifest {
            name: self.name.into(),
            version: self.version.into(),
            protocols: self.protocols.iter().map(|&p| p.into()).collect(),
            patterns: self
                .patterns
                .iter()
                .map(|p| wit::Pattern {
                    side: p.side,
                    offset: p.offset,
                    mask: p.mask.into(),
                    value: p.value.into(),
                })
                .collect(),
            ports: self.ports.into(),
            fields: self
                .fields
                .iter()
                .map(|f| wit::Field {
                    name: f.name.into(),
                    kind: f.kind,
                    description: f.description.into(),
                    example: f.example.into(),
                    cardinality: f.cardinality,
                    class: f.class,
                })
                .collect(),
        }
    }
}

/// Declares the fields of a parser's spans: a constant [`Field`] for each and `FIELDS`, the table
/// for the manifest.
///
/// `NAME: type "attribute.name", "example", cardinality, class;` with type `text`, `integer` or
/// `truth`; cardinality `bounded` or `unbounded`; class `public`, `identifier`, `statement`,
/// `secret` or `payload`. The doc comment is the description.
#[macro_export]
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ident $attribute:literal, $example:literal, $cardinality:ident, $class:ident;)+) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, dead_code, reason = "counts the fields")]
        #[repr(u16)]
        enum FieldIndex { $($name,)+ FIELDSEND, FIELDS_END }
        $(
            $(#[doc = $doc])+
            pub(crate) const $name: $crate::Field<$crate::fields!(@marker $kind)> = $crate::Field::new(FieldIndex::$name as u16);
        )+
        /// Every field, in the order of their indices.
        pub(crate) const FIELDS: &[$crate::FieldDescription] = &[$(
            $crate::FieldDescription {
                name: $attribute,
                kind: $crate::fields!(@kind $kind),
                description: $crate::fields!(@trim concat!($($doc),+)),
                example: $example,
                cardinality: $crate::fields!(@cardinality $cardinality),
                class: $crate::fields!(@class $class),
            }
        ),+];
    };
    (@marker text) => { $crate::Text };
    (@marker integer) => { $crate::Integer };
    (@marker truth) => { $crate::Truth };
    (@kind text) => { $crate::FieldKind::Text };
    (@kind integer) => { $crate::FieldKind::Integer };
    (@kind truth) => { $crate::FieldKind::Boolean };
    (@cardinality bounded) => { $crate::Cardinality::Bounded };
    (@cardinality unbounded) => { $crate::Cardinality::Unbounded };
    (@class public) => { $crate::Class::Public };
    (@class identifier) => { $crate::Class::Identifier };
    (@class statement) => { $crate::Class::Statement };
    (@class secret) => { $crate::Class::Secret };
    (@class payload) => { $crate::Class::Payload };
    (@trim $text:expr) => { $text.trim_ascii() };
}
