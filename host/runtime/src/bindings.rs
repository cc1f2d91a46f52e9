//! Host side of the contract, generated from the WIT.

/// As generated. Its types that come in lists are read and written by [`crate::row`].
#[expect(
    unreachable_pub,
    reason = "the code generated below takes it over as its own"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../parsers-wit/v0.1",
        world: "parser",
    });

    pub use wirespan::parser::types;
}

wasmtime::component::bindgen!({
    path: "../../parsers-wit/v0.1",
    world: "parser",
    with: { "wirespan:parser/types": crate::bindings::types },
});

/// The types of the contract.
#[expect(unreachable_pub, reason = "the generated code makes it public again")]
pub mod types {
    use wasmtime::component::{ComponentType, Lift};

    use super::generated::types as generated;
    use crate::row::Row;

    pub use generated::{
        Ask, Cardinality, Cause, Class, EventKind, Fact, Field, FieldKind, Manifest, Pattern,
        PatternSide, Recognition, Side, Slice, SpanFlags, SpanKind, Status, Verdict,
    };
    pub use generated::{
        Event as EventRow, Request as RequestRow, Span as SpanRow, Value as ValueRow,
    };

    // For the generated code.
    pub use generated::{Host, HostWithStore, add_to_linker};

    pub type Event = Row<EventRow>;

    #[derive(ComponentType, Lift, Clone, Debug)]
    #[component(record)]
    pub struct Output {
        pub spans: Vec<Row<SpanRow>>,
        pub values: Vec<Row<ValueRow>>,
        pub requests: Vec<Row<RequestRow>>,
        pub text: Vec<u8>,
        pub more: bool,
    }
}

pub(crate) use types::*;
