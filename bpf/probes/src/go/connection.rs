//! What is known of a connection of crypto/tls.

use core::ptr;

use aya_ebpf::bindings::BPF_ANY;
use wirespan_events::{Counter, flag};

use crate::copy::user;
use crate::life;
use crate::maps::{
    GO_CONNECTIONS, GoConnection, GoConnectionWords, GoKey, SOCKETS, Socket, count, socket_flag,
};

/// `crypto/tls.Conn` begins with the connection beneath, an interface: its type, and its value.
const BENEATH: u64 = 8;

/// Bits of [`GoConnection::flags`].
pub(super) mod state {
    /// Plaintext has passed that was not reported.
    pub const MISSED: u64 = 1;
    /// It is not certain what it belongs to, ever.
    pub const AMBIGUOUS: u64 = 2;
}

/// The socket of a connection, if it is still there.
#[inline(always)]
pub(super) fn socket_of(known: &GoConnection) -> Option<*mut Socket> {
    if known.flags & state::AMBIGUOUS != 0 {
        return None;
    }
    let socket = SOCKETS.get_ptr_mut(known.sk)?;
    // SAFETY: a value of the map of sockets.
    if unsafe { (*socket).inode } == known.inode {
        Some(socket)
    } else {
        None
    }
}

#[inline(always)]
pub(super) fn mid(known: &GoConnection) -> u8 {
    if known.flags & state::MISSED != 0 {
        flag::MID_STREAM
    } else {
        0
    }
}

/// What is beneath a connection: another one at the same address has something else there.
#[inline(always)]
pub(super) fn beneath(conn: u64) -> u64 {
    user(conn.wrapping_add(BENEATH)).unwrap_or(0)
}

/// What is known of a connection.
#[inline(always)]
pub(super) fn get(conn: u64, beneath: u64, process: u64) -> Option<GoConnection> {
    let key = GoKey {
        goroutine: conn,
        process,
    };
    let known = GO_CONNECTIONS.get(0)?.get_ptr(&key)?;
    // SAFETY: a value of the map, whose words are those of a connection.
    let known = unsafe { *known.cast::<GoConnection>() };
    if known.beneath == beneath {
        Some(known)
    } else {
        None
    }
}

#[inline(always)]
pub(super) fn set(conn: u64, process: u64, to: &GoConnection) {
    let key = GoKey {
        goroutine: conn,
        process,
    };
    if let Some(connections) = GO_CONNECTIONS.get(0)
        && connections.insert(&key, words(to), BPF_ANY.into()).is_err()
    {
        count(Counter::TlsFull, 1);
    }
}

/// From here on nothing of this connection is reported, as it is not certain what it belongs to. What
/// was its socket is to be cut off.
#[inline(always)]
pub(super) fn ambiguous(conn: u64, beneath: u64, process: u64) {
    let unknown = GoConnection {
        sk: 0,
        inode: 0,
        beneath,
        flags: state::AMBIGUOUS,
    };
    set(conn, process, &unknown);
}

/// Plaintext has passed, or will, that is not reported.
#[inline(always)]
pub(super) fn missed(conn: u64, beneath: u64, process: u64) {
    let mut known = get(conn, beneath, process).unwrap_or(GoConnection {
        sk: 0,
        inode: 0,
        beneath,
        flags: 0,
    });
    if let Some(socket) = socket_of(&known)
        // SAFETY: a value of the map of sockets.
        && unsafe { (*socket).flags } & socket_flag::SECURED != 0
    {
        // What follows would seem to follow what came before.
        // SAFETY: as above.
        unsafe { life::cut_off(socket, known.sk) };
    }
    known.flags |= state::MISSED;
    set(conn, process, &known);
}

/// A connection as the map has it.
#[inline(always)]
fn words(known: &GoConnection) -> &GoConnectionWords {
    // SAFETY: the same size, and nothing of it is uninitialised.
    unsafe { &*ptr::from_ref(known).cast() }
}
