//! Reading packets of the protocol (MySQL internals manual, "Client/Server Protocol"; MariaDB
//! knowledge base, the same): pure functions over bytes.

/// Bytes of a packet's header: three of length, one of sequence.
pub(crate) const HEADER: u64 = 4;

/// A payload of this length goes on in the next packet.
pub(crate) const FULL: u32 = 0xff_ffff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes after the header.
    pub len: u32,
    pub sequence: u8,
}

#[inline]
pub fn header(bytes: &[u8]) -> Option<Header> {
    packet(bytes).map(|(header, _)| header)
}

/// A header and what follows it.
#[inline]
pub(crate) fn packet(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (header, after) = bytes.split_first_chunk::<4>()?;
    let word = u32::from_le_bytes(*header);
    let header = Header {
        len: word & FULL,
        sequence: (word >> 24) as u8,
    };
    Some((header, after))
}

/// Capability flags of the handshake.
pub(crate) mod capability {
    /// Not set by MariaDB: its own flags stand in the filler then.
    pub(crate) const CLIENT_MYSQL: u64 = 1;
    pub(crate) const CONNECT_WITH_DB: u64 = 1 << 3;
    pub(crate) const COMPRESS: u64 = 1 << 5;
    pub(crate) const PROTOCOL_41: u64 = 1 << 9;
    pub(crate) const SSL: u64 = 1 << 11;
    pub(crate) const MULTI_STATEMENTS: u64 = 1 << 16;
    pub(crate) const SECURE_CONNECTION: u64 = 1 << 15;
    pub(crate) const LENENC_AUTH: u64 = 1 << 21;
    pub(crate) const SESSION_TRACK: u64 = 1 << 23;
    pub(crate) const DEPRECATE_EOF: u64 = 1 << 24;
    pub(crate) const OPTIONAL_METADATA: u64 = 1 << 25;
    pub(crate) const ZSTD: u64 = 1 << 26;
    pub(crate) const QUERY_ATTRIBUTES: u64 = 1 << 27;
}

/// Status flags of OK and EOF packets.
pub(crate) mod status {
    pub(crate) const MORE_RESULTS: u16 = 1 << 3;
    pub(crate) const CURSOR_EXISTS: u16 = 1 << 6;
    pub(crate) const SESSION_STATE_CHANGED: u16 = 1 << 14;
}

/// First bytes of what a client sends.
pub(crate) mod command {
    pub(crate) const QUIT: u8 = 0x01;
    pub(crate) const INIT_DB: u8 = 0x02;
    pub(crate) const QUERY: u8 = 0x03;
    pub(crate) const FIELD_LIST: u8 = 0x04;
    pub(crate) const CREATE_DB: u8 = 0x05;
    pub(crate) const DROP_DB: u8 = 0x06;
    pub(crate) const REFRESH: u8 = 0x07;
    pub(crate) const SHUTDOWN: u8 = 0x08;
    pub(crate) const STATISTICS: u8 = 0x09;
    pub(crate) const PROCESS_INFO: u8 = 0x0a;
    pub(crate) const PROCESS_KILL: u8 = 0x0c;
    pub(crate) const DEBUG: u8 = 0x0d;
    pub(crate) const PING: u8 = 0x0e;
    pub(crate) const CHANGE_USER: u8 = 0x11;
    pub(crate) const BINLOG_DUMP: u8 = 0x12;
    pub(crate) const TABLE_DUMP: u8 = 0x13;
    pub(crate) const REGISTER_REPLICA: u8 = 0x15;
    pub(crate) const STMT_PREPARE: u8 = 0x16;
    pub(crate) const STMT_EXECUTE: u8 = 0x17;
    pub(crate) const STMT_LONG_DATA: u8 = 0x18;
    pub(crate) const STMT_CLOSE: u8 = 0x19;
    pub(crate) const STMT_RESET: u8 = 0x1a;
    pub(crate) const SET_OPTION: u8 = 0x1b;
    pub(crate) const STMT_FETCH: u8 = 0x1c;
    pub(crate) const BINLOG_DUMP_GTID: u8 = 0x1e;
    pub(crate) const RESET_CONNECTION: u8 = 0x1f;
    pub(crate) const CLONE: u8 = 0x20;
    pub(crate) const SUBSCRIBE_REPLICATION: u8 = 0x21;
    /// MariaDB's.
    pub(crate) const STMT_BULK_EXECUTE: u8 = 0xfa;
}

/// Whether a command's payload, command included, can have this length.
pub fn command_fits(code: u8, len: u32) -> bool {
    match code {
        command::QUIT
        | command::STATISTICS
        | command::PROCESS_INFO
        | command::DEBUG
        | command::PING
        | command::RESET_CONNECTION => len == 1,
        command::STMT_CLOSE | command::STMT_RESET => len == 5,
        command::PROCESS_KILL => len == 5,
        command::STMT_FETCH => len == 9,
        command::SET_OPTION => len == 3,
        command::REFRESH => len == 2,
        command::SHUTDOWN => len <= 2,
        command::STMT_EXECUTE => len >= 10,
        command::STMT_BULK_EXECUTE | command::STMT_LONG_DATA => len >= 7,
        command::BINLOG_DUMP => len >= 11,
        command::BINLOG_DUMP_GTID => len >= 19,
        command::REGISTER_REPLICA => len >= 15,
        command::CHANGE_USER => len >= 3,
        command::QUERY
        | command::STMT_PREPARE
        | command::INIT_DB
        | command::FIELD_LIST
        | command::CREATE_DB
        | command::DROP_DB
        | command::TABLE_DUMP
        | command::CLONE
        | command::SUBSCRIBE_REPLICATION => len >= 1,
        _ => false,
    }
}

/// Reads a payload from its front to its back; `None` past its end.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A length-encoded integer; 0xfb and 0xff are none.
    pub fn lenenc(&mut self) -> Option<u64> {
        Some(match self.u8()? {
            byte @ ..=0xfa => u64::from(byte),
            0xfc => u64::from(self.u16()?),
            0xfd => {
                let [a, b, c] = self.array()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            0xfe => u64::from_le_bytes(self.array()?),
            _ => return None,
        })
    }

    pub fn lenenc_text(&mut self) -> Option<&'a [u8]> {
        let len = self.lenenc()?;
        self.take(usize::try_from(len).ok()?)
    }

    pub fn cstring(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == 0)?;
        let text = self.take(end)?;
        self.u8()?;
        Some(text)
    }
}

/// Status of an EOF packet.
#[inline]
pub(crate) fn eof(payload: &[u8]) -> Option<u16> {
    match payload {
        [0xfe, _, _, low, high] => Some(u16::from_le_bytes([*low, *high])),
        _ => None,
    }
}

/// An OK packet, or an EOF packet: what they have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending<'a> {
    /// `None` in an EOF packet.
    pub affected: Option<u64>,
    pub status: u16,
    /// The database that is in use from now on, where that changed; may be empty.
    pub schema: Option<&'a [u8]>,
    /// All of it makes sense.
    pub exact: bool,
}

/// The packet that ends a result: OK (0x00, or 0xfe at the end of rows), or EOF (0xfe and four
/// bytes). `len` is its whole length, of which `payload` may be the beginning.
pub fn ending(payload: &[u8], len: u32) -> Option<Ending<'_>> {
    let mut reader = Reader(payload);
    let first = reader.u8()?;
    if first == 0xfe && len == 5 {
        let _warnings = reader.u16()?;
        let status = reader.u16()?;
        return Some(Ending {
            affected: None,
            status,
            schema: None,
            exact: true,
        });
    }
    if !matches!(first, 0x00 | 0xfe) || len < 7 {
        return None;
    }
    let affected = reader.lenenc()?;
    let _last_insert_id = reader.lenenc()?;
    let status = reader.u16()?;
    let _warnings = reader.u16()?;
    let mut ending = Ending {
        affected: Some(affected),
        status,
        schema: None,
        exact: true,
    };
    if status & status::SESSION_STATE_CHANGED != 0 {
        ending.exact = false;
        if reader.lenenc_text().is_some()
            && let Some(changes) = reader.lenenc_text()
        {
            ending.exact = reader.0.is_empty();
            ending.schema = schema(changes);
        }
    } else if !reader.0.is_empty() {
        // A message: of known length with session tracking, else the rest.
        let mut message = reader;
        let tracked = message.lenenc_text().is_some() && message.0.is_empty();
        let text = |b: &u8| *b >= b' ' || *b == b'\n';
        ending.exact = tracked || reader.0.iter().all(text);
    }
    Some(ending)
}

/// The last database named in a list of session state changes.
fn schema(changes: &[u8]) -> Option<&[u8]> {
    const SCHEMA: u8 = 1;
    let mut found = None;
    let mut reader = Reader(changes);
    while let Some(kind) = reader.u8() {
        let data = reader.lenenc_text()?;
        if kind == SCHEMA {
            found = Reader(data).lenenc_text();
        }
    }
    found
}

/// Number and SQLSTATE of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub number: u16,
    pub state: Option<[u8; 5]>,
}

/// MariaDB tells of its progress in packets that look like errors of this number.
pub(crate) const PROGRESS: u16 = 0xffff;

/// An ERR packet.
pub fn failure(payload: &[u8]) -> Option<Failure> {
    let mut reader = Reader(payload);
    if reader.u8()? != 0xff {
        return None;
    }
    let number = reader.u16()?;
    let state = match reader.0.split_first() {
        Some((b'#', rest)) => rest
            .first_chunk::<5>()
            .copied()
            .filter(|state| state.iter().all(u8::is_ascii_alphanumeric)),
        _ => None,
    };
    Some(Failure { number, state })
}

/// Whether an ERR packet is one in which MariaDB names itself. What is behind is the client's text.
pub(crate) fn names_mariadb(payload: &[u8]) -> bool {
    const SYNTAX: &[u8] = b"#42000You have an error in your SQL syntax; check the manual that \
        corresponds to your MariaDB server version";
    payload
        .get(3..)
        .is_some_and(|rest| rest.starts_with(SYNTAX))
}

/// What the server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub capabilities: u64,
    pub mariadb: bool,
}

/// A greeting of protocol version 10.
pub fn greeting(payload: &[u8]) -> Option<Greeting> {
    let mut reader = Reader(payload);
    if reader.u8()? != 10 {
        return None;
    }
    let version = reader.cstring()?;
    if version.is_empty() || !version.iter().all(|b| (b' '..0x7f).contains(b)) {
        return None;
    }
    let mariadb = version
        .windows(7)
        .any(|part| part.eq_ignore_ascii_case(b"mariadb"));
    let _thread = reader.u32()?;
    let _challenge = reader.take(8)?;
    if reader.u8()? != 0 {
        return None;
    }
    let mut capabilities = u64::from(reader.u16()?);
    // Servers before 4.1 end here.
    if let Some([_charset, _, _, low, high, _challenge_len]) = reader.array::<6>() {
        capabilities |= u64::from(u16::from_le_bytes([low, high])) << 16;
        if let Some(filler) = reader.take(10)
            && let Some(own) = filler.last_chunk::<4>()
            && capabilities & capability::CLIENT_MYSQL == 0
        {
            capabilities |= u64::from(u32::from_le_bytes(*own)) << 32;
        }
    }
    Some(Greeting {
        capabilities,
        mariadb,
    })
}

/// What the client answers to a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login<'a> {
    pub capabilities: u64,
    /// TLS comes next, and this again within it.
    pub asks_for_tls: bool,
    pub database: Option<&'a [u8]>,
}

/// Bytes of a request for TLS: a login without its texts.
const TLS_REQUEST: u32 = 32;

/// A login, or a request for TLS, of protocol 4.1; `len` is its whole length. Passwords are stepped
/// over.
pub fn login(payload: &[u8], len: u32) -> Option<Login<'_>> {
    let mut reader = Reader(payload);
    let mut capabilities = u64::from(reader.u32()?);
    let _packet_bytes = reader.u32()?;
    let _charset = reader.u8()?;
    let filler = reader.take(23)?;
    if capabilities & capability::PROTOCOL_41 == 0 {
        return None;
    }
    let (zeros, own) = filler.split_last_chunk::<4>()?;
    if zeros.iter().any(|&byte| byte != 0) {
        return None;
    }
    if capabilities & capability::CLIENT_MYSQL == 0 {
        capabilities |= u64::from(u32::from_le_bytes(*own)) << 32;
    }
    let asks_for_tls = len == TLS_REQUEST && capabilities & capability::SSL != 0;
    let mut login = Login {
        capabilities,
        asks_for_tls,
        database: None,
    };
    if !asks_for_tls {
        let user = reader.cstring()?;
        if user.iter().any(|&byte| byte < b' ') {
            return None;
        }
        if capabilities & capability::CONNECT_WITH_DB != 0 {
            login.database = (|| {
                if capabilities & capability::LENENC_AUTH != 0 {
                    reader.lenenc_text()?;
                } else if capabilities & capability::SECURE_CONNECTION != 0 {
                    let len = reader.u8()?;
                    reader.take(usize::from(len))?;
                } else {
                    reader.cstring()?;
                }
                reader.cstring()
            })();
        }
    }
    Some(login)
}

/// The database that a `COM_CHANGE_USER` names.
pub fn change_user(payload: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(payload);
    reader.u8()?;
    reader.cstring()?;
    let len = reader.u8()?;
    reader.take(usize::from(len))?;
    reader.cstring()
}
