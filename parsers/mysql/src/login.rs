//! From the greeting to the first command.

use wirespan_parser_sql::Step;
use wirespan_sdk::{Context, Side};

use crate::connection::{Mysql, Phase};
use crate::limits::{GREETING_BYTES, LOGIN_BYTES, MAX_LOGIN_BYTES, NAME_BYTES, STATUS_BYTES};
use crate::view::View;
use crate::wire::{self, Header, capability};

impl Mysql {
    /// A packet of the server before it knows who the client is.
    pub(crate) fn greet(
        &mut self,
        header: Header,
        view: &View<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        if header.sequence != 0 || header.len as usize > GREETING_BYTES {
            return self.refuse(cx);
        }
        let (_, body) = match self.take(Side::Server, header, GREETING_BYTES, view, at) {
            Ok(taken) => taken,
            Err(step) => return step,
        };
        match body.first() {
            Some(10) => match wire::greeting(body) {
                Some(greeting) => {
                    self.offered = Some(greeting.capabilities);
                    self.mariadb = greeting.mariadb;
                    self.phase = Phase::Login;
                    Step::On
                }
                None => self.refuse(cx),
            },
            // It does not want to talk.
            Some(0xff) => {
                cx.ignore("refused by the server");
                Step::Done
            }
            _ => self.refuse(cx),
        }
    }

    fn refuse(&mut self, cx: &mut Context<'_>) -> Step {
        cx.not_mine();
        Step::Done
    }

    /// The client's answer to the greeting.
    pub(crate) fn login(
        &mut self,
        header: Header,
        view: &View<'_>,
        at: &mut u64,
        cx: &mut Context<'_>,
    ) -> Step {
        if header.sequence == 0 || header.len > MAX_LOGIN_BYTES {
            return self.refuse(cx);
        }
        let (packet, body) = match self.take(Side::Client, header, LOGIN_BYTES, view, at) {
            Ok(taken) => taken,
            Err(step) => return step,
        };
        let Some(login) = wire::login(body, header.len) else {
            if self.offered.is_some() {
                // It spoke like a server; clients that old are not followed.
                return self.give_up("login before protocol 4.1", cx);
            }
            return self.refuse(cx);
        };
        if login.asks_for_tls {
            cx.upgrade(
                "",
                packet.end_position(),
                self.server.position,
                &hand_over(self),
            );
            return Step::Done;
        }
        let offered = self.offered.unwrap_or(u64::MAX);
        self.agree(login.capabilities & offered);
        self.namespace = name(login.database);
        self.phase = Phase::Authentication;
        Step::On
    }

    /// What the server says of what the client showed.
    pub(crate) fn authenticate(&mut self, header: Header, view: &View<'_>, at: &mut u64) -> Step {
        let (_, body) = match self.take(Side::Server, header, STATUS_BYTES, view, at) {
            Ok(taken) => taken,
            Err(step) => return step,
        };
        // Whatever else it says is for the client alone; after an error it closes.
        if body.first() == Some(&0)
            && let Some(ending) = wire::ending(body, header.len)
        {
            if let Some(schema) = ending.schema {
                self.namespace = name(Some(schema));
            }
            self.phase = Phase::Commands;
            let compressed = capability::COMPRESS | capability::ZSTD;
            if self.agreed_on(compressed) == Some(true) {
                self.compress(self.client.position, *at);
            }
        }
        Step::On
    }
}

/// The name of a database, where there is one.
pub(crate) fn name(name: Option<&[u8]>) -> Option<Box<[u8]>> {
    name.filter(|name| !name.is_empty() && name.len() <= NAME_BYTES)
        .map(Into::into)
}

/// What this connection needs to go on within TLS.
fn hand_over(connection: &Mysql) -> [u8; 9] {
    let mut context = [0; 9];
    let (offered, mariadb) = context.split_at_mut(8);
    offered.copy_from_slice(&connection.offered.unwrap_or(u64::MAX).to_le_bytes());
    mariadb.copy_from_slice(&[u8::from(connection.mariadb)]);
    context
}

/// Goes on within TLS where the connection before it stopped.
pub(crate) fn take_over(connection: &mut Mysql, context: &[u8]) {
    let mut reader = wire::Reader(context);
    if let (Some(offered), Some(mariadb)) = (reader.array().map(u64::from_le_bytes), reader.u8()) {
        connection.offered = Some(offered);
        connection.mariadb = mariadb != 0;
    }
}
