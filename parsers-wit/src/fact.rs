//! Registry of facts: what the host can tell a parser about a connection.
//!
//! A fact is a key with a number, a text, or both. New keys may be added without a new contract
//! version; a parser ignores those it does not know. No Kubernetes identity is ever a fact.

macro_rules! facts {
    ($($(#[doc = $doc:literal])+ $name:ident = $key:literal, $label:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: u16 = $key;)+

        /// Every registered fact: key, name.
        pub const REGISTRY: &[(u16, &str)] = &[$(($key, $label)),+];
    };
}

facts! {
    /// Number: 1 when the observed process holds the client's end, 0 the server's end.
    OBSERVED_CLIENT = 1, "observed_client";
    /// Number: 1 when bytes passed before the first position that is presented.
    MID_STREAM = 2, "mid_stream";
    /// Text: IP address of the client's end.
    CLIENT_ADDRESS = 3, "client_address";
    /// Number: port of the client's end.
    CLIENT_PORT = 4, "client_port";
    /// Text: IP address of the server's end.
    SERVER_ADDRESS = 5, "server_address";
    /// Number: port of the server's end.
    SERVER_PORT = 6, "server_port";
    /// Number: 1 when the bytes are the plaintext of a TLS connection.
    TLS = 7, "tls";
    /// Text: protocols that the client offered by ALPN (RFC 7301), in its order, separated by commas;
    /// which of them the server chose is encrypted since TLS 1.3.
    TLS_ALPN = 8, "tls_alpn";
    /// Text: server name indication (RFC 6066), where the beginning of the handshake was seen.
    TLS_SERVER_NAME = 9, "tls_server_name";
    /// Number: process id of the observed process.
    PROCESS_ID = 10, "process_id";
    /// Text: command of the observed process.
    PROCESS_COMMAND = 11, "process_command";
    /// Number: 1 when the connection is a Unix stream socket.
    UNIX_SOCKET = 12, "unix_socket";
    /// Text: what the parser that handed this connection over with `upgrade` said for the next one.
    HANDOVER = 13, "handover";
    /// Number: 1 when it is certain which end opened the connection, 0 when it was guessed.
    SIDES_CERTAIN = 14, "sides_certain";
}
