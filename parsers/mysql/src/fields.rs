//! The attributes of a span.

wirespan_sdk::fields! {
    /// `mysql`, which names the protocol; `mariadb` where the server has said that it is one, when it
    /// greeted or in an error.
    SYSTEM: text "db.system.name", "mysql", bounded, public;
    /// Text of the query, or of the statement that was executed or could not be prepared.
    QUERY: text "db.query.text", "SELECT * FROM users WHERE id = ?", unbounded, statement;
    /// Whether the text is that of a statement with parameters, whose values are not in it.
    PARAMETERISED: truth "wirespan.db.parameterised", "true", bounded, public;
    /// Database that is in use, as far as the bytes tell.
    NAMESPACE: text "db.namespace", "shop", bounded, public;
    /// Number of the error.
    STATUS_CODE: text "db.response.status_code", "1062", bounded, public;
    /// SQLSTATE of the error.
    SQL_STATE: text "wirespan.db.sqlstate", "23000", bounded, public;
    /// Number of the error, or why there is no response.
    ERROR_TYPE: text "error.type", "1062", bounded, public;
    /// Rows that were returned, of all result sets.
    RETURNED_ROWS: integer "db.response.returned_rows", "12", unbounded, public;
    /// Rows that were changed, of all statements.
    AFFECTED_ROWS: integer "wirespan.db.affected_rows", "3", unbounded, public;
}
