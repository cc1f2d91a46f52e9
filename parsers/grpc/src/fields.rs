//! The attributes of a span.

wirespan_sdk::fields! {
    /// Always `grpc`.
    RPC_SYSTEM: text "rpc.system.name", "grpc", bounded, public;
    /// Service and method that were called.
    RPC_METHOD: text "rpc.method", "shop.v1.Cart/AddItem", bounded, public;
    /// Outcome of the call, as the server sent it; absent where it sent none.
    RPC_STATUS: text "rpc.status_code", "NOT_FOUND", bounded, public;
    /// What the server said of the outcome, percent-decoded.
    GRPC_MESSAGE: text "wirespan.grpc.status_message", "no such item", unbounded, identifier;
    /// Messages from the client.
    REQUEST_MESSAGES: integer "wirespan.grpc.request.messages", "1", unbounded, public;
    /// Messages from the server.
    RESPONSE_MESSAGES: integer "wirespan.grpc.response.messages", "1", unbounded, public;
    /// Bytes of the client's messages, as transferred.
    REQUEST_MESSAGE_BYTES: integer "wirespan.grpc.request.message_bytes", "120", unbounded, public;
    /// Bytes of the server's messages, as transferred.
    RESPONSE_MESSAGE_BYTES: integer "wirespan.grpc.response.message_bytes", "350", unbounded, public;
    /// A message was compressed; absent where none was.
    COMPRESSED: truth "wirespan.grpc.compressed", "true", bounded, public;
    /// Compression that the request declares for its messages.
    REQUEST_ENCODING: text "wirespan.grpc.request.encoding", "gzip", bounded, public;
    /// Compression that the response declares for its messages.
    RESPONSE_ENCODING: text "wirespan.grpc.response.encoding", "gzip", bounded, public;
    /// Time that the client allows for the call, in nanoseconds.
    TIMEOUT: integer "wirespan.grpc.timeout_nanos", "1000000000", unbounded, public;
    /// HTTP request method; `_OTHER` for one that is not known.
    METHOD: text "http.request.method", "GET", bounded, public;
    /// Request method as it was sent, where it is not a known one.
    METHOD_ORIGINAL: text "http.request.method_original", "PURGE", unbounded, public;
    /// Path of the request, without the query.
    PATH: text "url.path", "/users/7", unbounded, identifier;
    /// Query of the request, without the question mark.
    QUERY: text "url.query", "page=2", unbounded, identifier;
    /// Scheme that the request names, else `https` in TLS and `http` outside.
    SCHEME: text "url.scheme", "https", bounded, public;
    /// Host that the request names.
    SERVER_ADDRESS: text "server.address", "shop.example.org", unbounded, public;
    /// Port that the request names.
    SERVER_PORT: integer "server.port", "8443", bounded, public;
    /// Status code of the response.
    STATUS: integer "http.response.status_code", "200", bounded, public;
    /// Always `2`.
    VERSION: text "network.protocol.version", "2", bounded, public;
    /// The request's User-Agent.
    USER_AGENT: text "user_agent.original", "curl/8.5.0", unbounded, public;
    /// Bytes of the request's body, as transferred.
    REQUEST_BODY: integer "http.request.body.size", "350", unbounded, public;
    /// Bytes of the response's body, as transferred.
    RESPONSE_BODY: integer "http.response.body.size", "5120", unbounded, public;
    /// Status code of an error, or why there is none.
    ERROR_TYPE: text "error.type", "503", bounded, public;
    /// Stands for a path that is not known, because the connection was joined after the path had
    /// been put into the header table: the same for the same path on one connection.
    PATH_REF: text "wirespan.http2.path_ref", "5f3c01aa.0.3", unbounded, public;
    /// The end that reset the stream: `client` or `server`.
    RESET_BY: text "wirespan.http2.reset_by", "client", bounded, public;
    /// HTTP/2 error code with which the stream was reset, or the connection given up.
    ERROR_CODE: text "wirespan.http2.error_code", "CANCEL", bounded, public;
    /// The server sent the response unasked, with this request.
    PUSHED: truth "wirespan.http2.pushed", "true", bounded, public;
}
