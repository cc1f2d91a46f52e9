//! Write a protocol parser for Wirespan.
//!
//! A parser is the state of one connection and a handful of functions over it: implement
//! [`Parser`], declare the attributes of your spans with [`fields!`], and [`export!`] the type.
//! Compiled for `wasm32-unknown-unknown` and wrapped as a component it has no imports at all;
//! compiled natively it is an ordinary library that tests and benchmarks drive with
//! [`driver::Driver`] or, with the feature `testkit`, with the module of that name.
//!
//! ```
//! use wirespan_sdk::{Context, Input, Manifest, Opening, Parser, Prefix, Recognition, Side, fields};
//!
//! fields! {
//!     /// The line that was sent.
//!     LINE: text "demo.line", "hello", unbounded, payload;
//! }
//!
//! struct Lines;
//!
//! impl Parser for Lines {
//!     const MANIFEST: Manifest = Manifest {
//!         name: "lines",
//!         version: "0.1.0",
//!         protocols: &["lines"],
//!         patterns: &[],
//!         ports: &[],
//!         fields: FIELDS,
//!     };
//!
//!     fn recognise(prefix: &Prefix<'_>) -> Recognition {
//!         match prefix.client.first() {
//!             None => Recognition::NeedMore,
//!             Some(b'>') => Recognition::yes(50),
//!             Some(_) => Recognition::No,
//!         }
//!     }
//!
//!     fn open(_: &Opening<'_>, _: &mut Context<'_>) -> Self {
//!         Self
//!     }
//!
//!     fn data(&mut self, side: Side, input: Input<'_>, cx: &mut Context<'_>) {
//!         let Some(len) = input.bytes().iter().position(|&b| b == b'\n') else { return };
//!         let (start, end) = (input.position(), input.position() + len as u64 + 1);
//!         if side == Side::Client {
//!             let mut span = cx.span("line");
//!             span.starts(start, input.time_at(start)).ends(input.time_at(end - 1));
//!             span.text(LINE, input.bytes().get(..len).unwrap_or_default());
//!             span.emit();
//!         }
//!         cx.consumed(side, end); // called again at once while bytes are left
//!     }
//! }
//! wirespan_sdk::export!(Lines);
//! # fn main() {}
//! ```
//!
//! What is short and called for each field or frame is `inline(always)`: in a component each function
//! looks at the epoch and the stack as it begins, which costs as much as what it does.

mod batch;
#[cfg(test)]
mod behaviour;
pub mod block;
mod connections;
mod context;
pub mod driver;
mod export;
mod input;
mod manifest;
mod output;
mod parser;
mod span;
mod stream;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

/// Generated from the WIT package: the flat form that crosses the boundary.
#[expect(clippy::all, reason = "generated code")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../parsers-wit/v0.1",
        world: "parser",
        pub_export_macro: true,
        default_bindings_module: "wirespan_sdk::bindings",
        runtime_path: "::wirespan_sdk::wit_bindgen_runtime::rt",
        additional_derives: [PartialEq, Eq],
    });
}

#[doc(hidden)]
pub use wit_bindgen as wit_bindgen_runtime;

pub use bindings::wirespan::parser::types::{
    Cardinality, Cause, Class, FieldKind, PatternSide, Side, SpanFlags as Flags, SpanKind as Kind,
    Status,
};
pub use context::Context;
pub use input::Input;
pub use manifest::{Field, FieldDescription, Integer, Manifest, Pattern, Text, Truth};
pub use parser::{Facts, Gap, Opening, Parser, Prefix, Recognition, Skipped};
pub use span::SpanBuilder;
pub use wirespan_contract::{VERSION, fact};

// The generated code names the SDK by its crate name.
extern crate self as wirespan_sdk;

impl Default for Flags {
    /// None.
    fn default() -> Self {
        Self::empty()
    }
}

impl Side {
    /// The opposite end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// 0 for the client, 1 for the server.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}
