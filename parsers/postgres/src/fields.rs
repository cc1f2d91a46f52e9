//! The attributes of a span.

wirespan_sdk::fields! {
    /// Always `postgresql`.
    SYSTEM: text "db.system.name", "postgresql", bounded, public;
    /// Text of the query, or of the statement that was executed.
    QUERY: text "db.query.text", "SELECT * FROM users WHERE id = $1", unbounded, statement;
    /// Whether the text is that of a statement with parameters, whose values are not in it.
    PARAMETERISED: truth "wirespan.db.parameterised", "true", bounded, public;
    /// What the server says it did, where the statement says the same.
    OPERATION: text "db.operation.name", "SELECT", bounded, public;
    /// Database that the client asked for at the start of the connection.
    NAMESPACE: text "db.namespace", "shop", bounded, public;
    /// SQLSTATE of the error.
    STATUS_CODE: text "db.response.status_code", "23505", bounded, public;
    /// SQLSTATE of the error, or why there is no response.
    ERROR_TYPE: text "error.type", "23505", bounded, public;
    /// Rows that were returned.
    RETURNED_ROWS: integer "db.response.returned_rows", "12", unbounded, public;
    /// Rows that were inserted, updated, deleted, merged or copied.
    AFFECTED_ROWS: integer "wirespan.db.affected_rows", "3", unbounded, public;
}
