//! Making a component of a parser.

/// Exports a type that implements [`crate::Parser`] as the component's parser, with the contract
/// version it was built for in a custom section. Does nothing when compiled natively.
#[macro_export]
macro_rules! export {
    ($parser:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[expect(unsafe_code, reason = "exported symbols of the component")]
        mod wirespan_component {
            use std::cell::RefCell;

            use $crate::bindings::wirespan::parser::types::{Event, Fact, Manifest, Output, Verdict};
            use $crate::driver::{self, Driver};

            use super::*;

            #[unsafe(link_section = "wirespan:parser")]
            #[used]
            static VERSION: [u8; $crate::VERSION.len()] = {
                let mut version = [0; $crate::VERSION.len()];
                version.copy_from_slice($crate::VERSION.as_bytes());
                version
            };

            thread_local! {
                static DRIVER: RefCell<Driver<$parser>> = RefCell::default();
            }

            struct Component;

            impl $crate::bindings::Guest for Component {
                fn describe() -> Manifest {
                    <$parser as $crate::Parser>::MANIFEST.to_wit()
                }

                fn recognise(client: Vec<u8>, server: Vec<u8>, facts: Vec<Fact>, texts: Vec<u8>) -> Verdict {
                    driver::recognise::<$parser>(&client, &server, &facts, &texts)
                }

                fn process(_now: u64, events: Vec<Event>, facts: Vec<Fact>, bytes: Vec<u8>) -> Output {
                    DRIVER.with_borrow_mut(|driver| driver.process(events, facts, bytes))
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        }
    };
}
