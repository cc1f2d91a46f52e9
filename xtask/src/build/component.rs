//! From a core module, as the compiler makes it, to a component that imports nothing.

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm, decode};
use wit_parser::WorldItem;

/// Wraps and validates the module.
pub(super) fn encode(module: &[u8]) -> Result<Vec<u8>> {
    let component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .context("the module does not tell which world it was written for")?
        .encode()
        .context("the module does not fit its world")?;
    check_imports(&component)?;
    Ok(component)
}

/// A parser can parse, and nothing else: whatever it could call would be a way out. Interfaces that
/// only name types are no such way.
fn check_imports(component: &[u8]) -> Result<()> {
    let DecodedWasm::Component(resolve, world) = decode(component)? else {
        bail!("the encoder made an interface instead of a component");
    };
    let world = resolve
        .worlds
        .get(world)
        .context("the component has no world")?;
    for (key, item) in &world.imports {
        let is_harmless = match item {
            WorldItem::Type { .. } => true,
            WorldItem::Interface { id, .. } => resolve
                .interfaces
                .get(*id)
                .is_some_and(|interface| interface.functions.is_empty()),
            WorldItem::Function(_) => false,
        };
        if !is_harmless {
            bail!(
                "it imports {}, and a parser imports nothing",
                resolve.name_world_key(key)
            );
        }
    }
    Ok(())
}
