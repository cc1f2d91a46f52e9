//! Drives a parser natively the way the host does, for tests.
//!
//! A [`Conversation`] is what passed on a connection. [`replay`] presents it to a parser as the
//! host would, including what was not consumed and what is stepped over, and returns what came
//! out. [`check_cuts`] presents it again with the bytes cut at other places and the events
//! batched differently: every parser must report the same spans. [`check_losses`] presents it with
//! each piece lost in turn: only what stood around it may be missing, and that is flagged.
//! [`orders`] and [`disorder`] mix both sides anew. [`presented`] counts the bytes shown. [`Random`]
//! makes the conversations of a test differ from run to run.

mod conversation;
mod cuts;
mod host;
mod losses;
mod orders;
mod random;
mod report;

pub use conversation::{Conversation, Step};
pub use cuts::{check_cuts, removals};
pub use host::{presented, replay};
pub use losses::check_losses;
pub use orders::{disorder, orders};
pub use random::Random;
pub use report::{End, Report, SeenSpan, SeenValue};

/// Recognises every prefix of what the two sides send first and returns the answers, the shortest
/// prefix first.
#[must_use]
pub fn recognise_prefixes<P: crate::Parser>(
    client: &[u8],
    server: &[u8],
) -> Vec<crate::Recognition> {
    let facts = crate::Facts::default();
    let longest = client.len().max(server.len());
    (0..=longest)
        .map(|len| {
            let cut = |bytes: &'_ [u8]| {
                bytes
                    .get(..len.min(bytes.len()))
                    .unwrap_or_default()
                    .to_vec()
            };
            let (client, server) = (cut(client), cut(server));
            P::recognise(&crate::Prefix {
                client: &client,
                server: &server,
                facts,
            })
        })
        .collect()
}
