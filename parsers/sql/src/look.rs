//! Is it this protocol? Looks at what each side sent so far.

use wirespan_sdk::{Prefix, Recognition};

/// What a look at a prefix came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is nothing to look at.
    Nothing,
    Undecided,
    No,
    /// With this confidence.
    Yes(u8),
}

/// Looks at both sides, taken for client and server and then the other way round; the first look
/// that is certain decides.
pub fn look<const N: usize>(
    prefix: &Prefix<'_>,
    looks: impl Fn(&[u8], &[u8]) -> [Look; N],
) -> Recognition {
    let mut undecided = prefix.client.is_empty() && prefix.server.is_empty();
    for (client, server, swapped) in [
        (prefix.client, prefix.server, false),
        (prefix.server, prefix.client, true),
    ] {
        for look in looks(client, server) {
            match look {
                Look::Yes(confidence) => {
                    return Recognition::Yes {
                        confidence,
                        swapped,
                        protocol: 0,
                    };
                }
                Look::Undecided => undecided = true,
                Look::No | Look::Nothing => {}
            }
        }
    }
    if undecided {
        Recognition::NeedMore
    } else {
        Recognition::No
    }
}
