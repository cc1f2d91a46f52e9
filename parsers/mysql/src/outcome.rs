//! What comes of an exchange that is over: its span, and what it did to the session.

use wirespan_parser_sql::{Table, Text, Trust};
use wirespan_sdk::{Context, Flags};

use crate::connection::{Mysql, system};
use crate::emit;
use crate::exchange::{Kind, Pending};
use crate::login::name;
use crate::namespace::{self, Effect};
use crate::wire::capability;

impl Mysql {
    /// Both sides are in step.
    pub(crate) fn settle(&mut self) {
        if self.trust == Trust::Trial {
            self.trust = Trust::Sure;
        }
        self.compression_known = true;
        self.confirmed = true;
        self.out_of_step = 0;
    }

    /// The first of the queue is done with: an exchange is reported, the session changes.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        let text = self.queue.take_text();
        let Some(pending) = self.queue.front_mut() else {
            return;
        };
        let kind = pending.kind;
        let failed = self.answer.failure.is_some();
        let text = executed(&mut self.statements, kind, text);
        if kind.is_exchange() || failed && matches!(kind, Kind::Prepare) {
            flag_unknown(pending, &text, self.missed);
            let namespace = self.namespace.as_deref();
            let system = system(self.mariadb);
            emit::exchange(system, namespace, pending, &text, &self.answer, cx);
        }
        let schema = self.answer.schema.take();
        if !failed {
            self.carried_out(kind, &text, schema.is_some());
        } else if self.answer.several && kind.is_exchange() {
            // Some of its statements were.
            self.note_effect(&text, schema.is_some());
        }
        if let Some(schema) = schema {
            self.namespace = name(Some(&schema));
        }
        text.recycle();
        self.drop_first();
        self.close_statements();
    }

    /// What a command that succeeded did to the session.
    fn carried_out(&mut self, kind: Kind, text: &Text, told: bool) {
        match kind {
            Kind::Query | Kind::Execute(_) => self.note_effect(text, told),
            Kind::Prepare => match (self.answer.statement, text) {
                (Some(id), Text::Statement(text)) => self.statements.set(id, text.clone()),
                (Some(id), _) => self.statements.remove(&id),
                (None, _) => {}
            },
            Kind::InitDb => self.namespace = name(text.bytes()),
            Kind::DropDb => self.namespace = None,
            Kind::ChangeUser => {
                self.namespace = name(text.bytes());
                self.statements.clear();
            }
            Kind::ResetConnection => self.statements.clear(),
            _ => {}
        }
    }

    /// What the client closed once what it sent before was answered.
    pub(crate) fn close_statements(&mut self) {
        while let Some(Kind::Close(id)) = self.queue.front().map(|pending| pending.kind) {
            self.statements.remove(&id);
            self.drop_first();
        }
    }

    fn note_effect(&mut self, text: &Text, told: bool) {
        if told || self.namespace.is_none() && text.bytes().is_none() {
            return;
        }
        let Some(bytes) = text.bytes() else {
            self.namespace = None;
            return;
        };
        // Each statement of several has a result.
        let single =
            !self.answer.several || self.agreed_on(capability::MULTI_STATEMENTS) == Some(false);
        match namespace::effect(bytes, text.is_truncated(), single) {
            Effect::Nothing => {}
            Effect::Use(database) => self.namespace = name(Some(database)),
            Effect::Perhaps => {
                let tracked = self.agreed_on(capability::SESSION_TRACK) == Some(true);
                if !tracked && !single {
                    self.namespace = None;
                }
            }
            Effect::Unknown => self.namespace = None,
        }
    }
}

/// The text, where it is not known that of the statement that was executed.
pub(crate) fn executed(statements: &mut Table<u32>, kind: Kind, text: Text) -> Text {
    match (kind, text) {
        (Kind::Execute(id), Text::Unknown) => statements.get(&id).into(),
        (_, text) => text,
    }
}

/// A statement that is not known may have been prepared in what was not seen.
pub(crate) fn flag_unknown(pending: &mut Pending, text: &Text, missed: Flags) {
    if matches!(pending.kind, Kind::Execute(_)) && text.bytes().is_none() {
        pending.flags = pending.flags | missed;
    }
}
