//! Which rules a text follows.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// MySQL and MariaDB.
    MySql,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// By `db.system.name` of the semantic conventions; `None` for a system whose rules are not
    /// known here.
    #[must_use]
    pub fn of_system(name: &str) -> Option<Self> {
        match name {
            "mysql" | "mariadb" => Some(Self::MySql),
            "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }
}
