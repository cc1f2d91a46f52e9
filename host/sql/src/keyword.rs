//! The words that mean something here.

/// Bytes of a word that are compared as one number: a comparison of texts for each keyword would be
/// most of the time that a statement takes.
const PACKED: usize = size_of::<u128>();

/// The first bytes of a word in capitals.
const fn pack(word: &[u8]) -> u128 {
    let mut rest = word;
    let mut packed = 0;
    let mut length = 0;
    while let [byte, after @ ..] = rest
        && length < PACKED
    {
        packed = packed << 8 | byte.to_ascii_uppercase() as u128;
        rest = after;
        length += 1;
    }
    packed
}

macro_rules! keywords {
    ($($name:ident = $word:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Keyword {
            $($name,)+
        }

        #[expect(non_upper_case_globals, reason = "named like what they stand for")]
        mod packed {
            $(pub(super) const $name: u128 = super::pack($word);)+
        }

        /// Without regard to case.
        pub(crate) fn keyword(word: &[u8]) -> Option<Keyword> {
            let (keyword, text): (_, &[u8]) = match pack(word) {
                $(packed::$name => (Keyword::$name, $word),)+
                _ => return None,
            };
            (word.len() <= PACKED || word.eq_ignore_ascii_case(text)).then_some(keyword)
        }
    };
}

keywords! {
    Abort = b"ABORT",
    Algorithm = b"ALGORITHM",
    Alter = b"ALTER",
    Analyze = b"ANALYZE",
    As = b"AS",
    Begin = b"BEGIN",
    By = b"BY",
    Call = b"CALL",
    Check = b"CHECK",
    Checkpoint = b"CHECKPOINT",
    Close = b"CLOSE",
    Cluster = b"CLUSTER",
    Comment = b"COMMENT",
    Commit = b"COMMIT",
    Concurrently = b"CONCURRENTLY",
    Copy = b"COPY",
    Create = b"CREATE",
    Current = b"CURRENT",
    Data = b"DATA",
    Database = b"DATABASE",
    Deallocate = b"DEALLOCATE",
    Declare = b"DECLARE",
    Default = b"DEFAULT",
    Definer = b"DEFINER",
    Delayed = b"DELAYED",
    Delete = b"DELETE",
    Desc = b"DESC",
    Describe = b"DESCRIBE",
    Discard = b"DISCARD",
    Distinct = b"DISTINCT",
    Do = b"DO",
    Domain = b"DOMAIN",
    Drop = b"DROP",
    Dumpfile = b"DUMPFILE",
    Each = b"EACH",
    End = b"END",
    Event = b"EVENT",
    Except = b"EXCEPT",
    Execute = b"EXECUTE",
    Exists = b"EXISTS",
    Expire = b"EXPIRE",
    Explain = b"EXPLAIN",
    Extension = b"EXTENSION",
    False = b"FALSE",
    Fetch = b"FETCH",
    Flush = b"FLUSH",
    For = b"FOR",
    Foreign = b"FOREIGN",
    Freeze = b"FREEZE",
    From = b"FROM",
    Full = b"FULL",
    Fulltext = b"FULLTEXT",
    Function = b"FUNCTION",
    Global = b"GLOBAL",
    Grant = b"GRANT",
    Group = b"GROUP",
    Handler = b"HANDLER",
    Having = b"HAVING",
    Help = b"HELP",
    HighPriority = b"HIGH_PRIORITY",
    History = b"HISTORY",
    Identified = b"IDENTIFIED",
    If = b"IF",
    Ignore = b"IGNORE",
    Import = b"IMPORT",
    In = b"IN",
    Index = b"INDEX",
    Insert = b"INSERT",
    Install = b"INSTALL",
    Intersect = b"INTERSECT",
    Into = b"INTO",
    Invoker = b"INVOKER",
    Join = b"JOIN",
    Kill = b"KILL",
    Lateral = b"LATERAL",
    Limit = b"LIMIT",
    Listen = b"LISTEN",
    Load = b"LOAD",
    Local = b"LOCAL",
    Lock = b"LOCK",
    LowPriority = b"LOW_PRIORITY",
    Materialized = b"MATERIALIZED",
    Merge = b"MERGE",
    Move = b"MOVE",
    Not = b"NOT",
    Notify = b"NOTIFY",
    NoWriteToBinlog = b"NO_WRITE_TO_BINLOG",
    Null = b"NULL",
    Offset = b"OFFSET",
    On = b"ON",
    Online = b"ONLINE",
    Only = b"ONLY",
    Optimize = b"OPTIMIZE",
    Or = b"OR",
    Order = b"ORDER",
    Outfile = b"OUTFILE",
    Password = b"PASSWORD",
    Policy = b"POLICY",
    Prepare = b"PREPARE",
    Procedure = b"PROCEDURE",
    Purge = b"PURGE",
    Quick = b"QUICK",
    Random = b"RANDOM",
    Reassign = b"REASSIGN",
    Recursive = b"RECURSIVE",
    Refresh = b"REFRESH",
    Reindex = b"REINDEX",
    Release = b"RELEASE",
    Rename = b"RENAME",
    Repair = b"REPAIR",
    Replace = b"REPLACE",
    Require = b"REQUIRE",
    Reset = b"RESET",
    Returning = b"RETURNING",
    Reuse = b"REUSE",
    Revoke = b"REVOKE",
    Role = b"ROLE",
    Rollback = b"ROLLBACK",
    Routine = b"ROUTINE",
    Rule = b"RULE",
    Savepoint = b"SAVEPOINT",
    Schema = b"SCHEMA",
    Security = b"SECURITY",
    Select = b"SELECT",
    Sequence = b"SEQUENCE",
    Set = b"SET",
    Show = b"SHOW",
    Shutdown = b"SHUTDOWN",
    Spatial = b"SPATIAL",
    Sql = b"SQL",
    Start = b"START",
    Statement = b"STATEMENT",
    Stop = b"STOP",
    StraightJoin = b"STRAIGHT_JOIN",
    System = b"SYSTEM",
    Table = b"TABLE",
    Tables = b"TABLES",
    Tablespace = b"TABLESPACE",
    Temp = b"TEMP",
    Temporary = b"TEMPORARY",
    Temptable = b"TEMPTABLE",
    To = b"TO",
    Transaction = b"TRANSACTION",
    Trigger = b"TRIGGER",
    True = b"TRUE",
    Truncate = b"TRUNCATE",
    Type = b"TYPE",
    Undefined = b"UNDEFINED",
    Union = b"UNION",
    Unique = b"UNIQUE",
    Unlisten = b"UNLISTEN",
    Unlock = b"UNLOCK",
    Unlogged = b"UNLOGGED",
    Update = b"UPDATE",
    Use = b"USE",
    User = b"USER",
    Using = b"USING",
    Vacuum = b"VACUUM",
    Values = b"VALUES",
    Verbose = b"VERBOSE",
    Via = b"VIA",
    View = b"VIEW",
    When = b"WHEN",
    Where = b"WHERE",
    Window = b"WINDOW",
    With = b"WITH",
    Xa = b"XA",
}
