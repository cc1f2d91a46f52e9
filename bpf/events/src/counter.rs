//! What the kernel side counts, each in a slot of a per-CPU array of 64-bit numbers.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)+) => {
        /// Index into the map `COUNTERS`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Counter {
            $($(#[$doc])* $name,)+
        }

        impl Counter {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Name in metrics.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }
        }
    };
}

counters! {
    /// Records handed to the host.
    Records = "records",
    /// Payload bytes copied.
    CopiedBytes = "copied_bytes",
    /// Records that found no room in the ring, not even without their payload.
    RingFull = "ring_full",
    /// Bytes of those.
    RingFullBytes = "ring_full_bytes",
    /// Bytes whose record found room only without its payload.
    RingShortenedBytes = "ring_shortened_bytes",
    /// Calls in flight that could not be remembered.
    InFlightFull = "in_flight_full",
    /// Sockets that could not be remembered.
    SocketsFull = "sockets_full",
    /// Bytes left out because a call had more than is copied of one call.
    LimitBytes = "limit_bytes",
    /// Bytes whose memory could not be read.
    FaultBytes = "fault_bytes",
    /// Bytes that took a road that cannot be copied from.
    UnobservedBytes = "unobserved_bytes",
    /// Bytes that passed on connections that are followed, by calls that were seen. Each is in one of
    /// the other counters of [`Counter::FATES`].
    PassedBytes = "passed_bytes",
    /// Bytes that nobody wants: the host skips to what lies behind them.
    SkippedBytes = "skipped_bytes",
    /// Bytes that passed on connections that are ignored.
    IgnoredBytes = "ignored_bytes",
    /// Of the bytes beyond a limit, those of undecided connections.
    UndecidedBytes = "undecided_bytes",
    /// Bytes of ciphertext whose plaintext was observed.
    CiphertextBytes = "ciphertext_bytes",
    /// TLS objects that could not be remembered.
    TlsFull = "tls_full",
    /// Plaintext whose socket is not known.
    TlsUnbound = "tls_unbound",
    /// A socket that was found in place of another whose end was not seen.
    Replaced = "replaced",
    /// Sockets whose end was not seen when it came, but found out by asking.
    FoundGone = "found_gone",
    /// Calls whose exit was not seen.
    Unended = "unended_calls",
    /// Bytes of calls of several threads on one socket, of which nothing says whose came first.
    DisputedBytes = "disputed_bytes",
    /// Bytes that passed on a road without a probe, such as io_uring, as the positions tell.
    UnprobedBytes = "unprobed_bytes",
    /// Connections given up because one side of them takes such a road.
    UnprobedConnections = "unprobed_connections",
    /// Unix sockets given up because the kernel has skipped programs at calls, perhaps at theirs.
    Doubted = "doubted_connections",
    /// Sockets that began to be followed; counted when they can be found in the map.
    Followed = "followed_sockets",
}

impl Counter {
    /// What becomes of the bytes that pass: together they are [`Self::PassedBytes`], whenever no call is
    /// in flight.
    pub const FATES: &'static [Self] = &[
        Self::CopiedBytes,
        Self::SkippedBytes,
        Self::IgnoredBytes,
        Self::CiphertextBytes,
        Self::LimitBytes,
        Self::FaultBytes,
        Self::UnobservedBytes,
        Self::RingShortenedBytes,
        Self::RingFullBytes,
    ];
}

/// Slots of the map.
pub const COUNTERS: usize = 32;
const _: () = assert!(Counter::ALL.len() <= COUNTERS);
