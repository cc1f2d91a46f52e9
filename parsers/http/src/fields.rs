//! The attributes of a span.

wirespan_sdk::fields! {
    /// HTTP request method; `_OTHER` for one that is not known.
    METHOD: text "http.request.method", "GET", bounded, public;
    /// Request method as it was sent, where it is not a known one.
    METHOD_ORIGINAL: text "http.request.method_original", "PURGE", unbounded, public;
    /// Path of the request target, without the query.
    PATH: text "url.path", "/users/7", unbounded, identifier;
    /// Query of the request target, without the question mark.
    QUERY: text "url.query", "page=2", unbounded, identifier;
    /// `https` where the request came in TLS, `http` where not.
    SCHEME: text "url.scheme", "https", bounded, public;
    /// Host that the request names.
    SERVER_ADDRESS: text "server.address", "shop.example.org", unbounded, public;
    /// Port that the request names.
    SERVER_PORT: integer "server.port", "8443", bounded, public;
    /// Status code of the response.
    STATUS: integer "http.response.status_code", "200", bounded, public;
    /// Version of HTTP, by the request.
    VERSION: text "network.protocol.version", "1.1", bounded, public;
    /// The request's User-Agent.
    USER_AGENT: text "user_agent.original", "curl/8.5.0", unbounded, public;
    /// Bytes of the request's body, as transferred.
    REQUEST_BODY: integer "http.request.body.size", "350", unbounded, public;
    /// Bytes of the response's body, as transferred.
    RESPONSE_BODY: integer "http.response.body.size", "5120", unbounded, public;
    /// Status code of an error, or why there is no response.
    ERROR_TYPE: text "error.type", "503", bounded, public;
}
