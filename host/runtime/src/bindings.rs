//! Host side of the contract, generated from the WIT.
wasmtime::component::bindgen!({
    path: "../../parsers-wit/v0.1",
    world: "parser",
});

pub(crate) use wirespan::parser::types::*;
