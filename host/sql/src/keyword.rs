//! The words that mean something here.

use crate::word::{Packed, Word, pack};

/// Places in the table of hashes: few of them are taken, so that a word that is no keyword is
/// mostly told by one empty place.
const SLOTS: usize = 1024;
const SLOT_BITS: u32 = SLOTS.ilog2();

/// The only one that is longer than what is compared as numbers.
const LONG: (&[u8], Keyword) = (b"NO_WRITE_TO_BINLOG", Keyword::NoWriteToBinlog);

macro_rules! keywords {
    ($($name:ident = $word:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Keyword {
            $($name,)+
            NoWriteToBinlog,
        }

        const KEYWORDS: &[(Packed, Keyword)] = &[$((pack($word), Keyword::$name),)+];
    };
}

const fn slot(word: Packed) -> usize {
    // Odd numbers with bits everywhere: the golden ratio, and one of splitmix64.
    let mixed = word.low ^ word.high.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOT_BITS)) as usize
}

/// For each hash the number of its keyword, from one on; those that are taken go to the next place.
static TABLE: [u8; SLOTS] = {
    assert!(KEYWORDS.len() < u8::MAX as usize, "their numbers fit");
    let mut table = [0; SLOTS];
    let mut number = 0;
    while number < KEYWORDS.len() {
        #[expect(
            clippy::indexing_slicing,
            reason = "evaluated by the compiler, which refuses what is out of bounds"
        )]
        {
            let mut at = slot(KEYWORDS[number].0);
            while table[at] != 0 {
                at = (at + 1) % SLOTS;
            }
            number += 1;
            table[at] = number as u8;
        }
    }
    table
};

/// Without regard to case.
#[inline(always)]
pub(crate) fn keyword(word: Word, bytes: &[u8]) -> Option<Keyword> {
    if word.is_long() {
        return long_keyword(word, bytes);
    }
    let mut at = slot(word.packed);
    loop {
        let number = usize::from(*TABLE.get(at)?);
        let (packed, keyword) = KEYWORDS.get(number.checked_sub(1)?)?;
        if *packed == word.packed {
            return Some(*keyword);
        }
        at = (at + 1) % SLOTS;
    }
}

#[inline(never)]
fn long_keyword(word: Word, bytes: &[u8]) -> Option<Keyword> {
    let text = bytes.get(word.start..word.end)?;
    text.eq_ignore_ascii_case(LONG.0).then_some(LONG.1)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Option<Keyword> {
        keyword(Word::at(text.as_bytes(), 0), text.as_bytes())
    }

    #[test]
    fn keywords_are_found_in_either_case_and_nothing_else_is() {
        for (packed, keyword) in KEYWORDS {
            let bytes = [packed.low.to_le_bytes(), packed.high.to_le_bytes()].concat();
            let text = String::from_utf8(bytes).unwrap();
            let text = text.trim_end_matches('\0');
            assert_eq!(find(text), Some(*keyword));
            assert_eq!(find(&text.to_lowercase()), Some(*keyword));
            for other in [
                format!("{text}_"),
                format!("x{text}"),
                format!("{text}\u{fc}"),
            ] {
                assert_eq!(find(&other), None, "{other}");
            }
        }
        assert_eq!(find("No_Write_To_Binlog"), Some(Keyword::NoWriteToBinlog));
        assert_eq!(find("NO_WRITE_TO_BINLO"), None);
        assert_eq!(find("NO_WRITE_TO_BINLOG2"), None);
        assert_eq!(find(""), None);
    }
}
