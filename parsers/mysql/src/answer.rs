//! What the server's packets say in the answer to the first in the queue.

use wirespan_parser_sql::Trust;

use crate::connection::Mysql;
use crate::exchange::{Kind, Stage};
use crate::limits::{COLUMNS, STATUS_BYTES};
use crate::wire::{self, Ending, FULL, PROGRESS, Reader, capability, status};

/// What a packet means to the exchange it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It goes on.
    On,
    /// It is over.
    Over,
    /// The packet does not belong to it.
    Foreign,
}

impl Mysql {
    /// How much of a packet is looked at.
    pub(crate) fn wanted(&self, kind: Kind, first: u8, len: u32) -> usize {
        let ends = first == 0xff || first == 0xfe && len < FULL;
        match self.answer.stage {
            _ if ends => STATUS_BYTES,
            Stage::First => match kind {
                Kind::Fetch | Kind::Statistics => 1,
                _ => STATUS_BYTES,
            },
            Stage::File => STATUS_BYTES,
            // What a definition begins with.
            Stage::Columns(_)
            | Stage::Parameters(..)
            | Stage::ParametersEnd(_)
            | Stage::Definitions(_) => 4,
            _ => 1,
        }
    }

    /// Notes what the packet says in the answer to the first in the queue.
    pub(crate) fn advance(&mut self, len: u32, first: u8, body: &[u8]) -> Turn {
        let Some(kind) = self.queue.front().map(|pending| pending.kind) else {
            return Turn::Foreign;
        };
        if first == 0xff {
            return self.fail(body);
        }
        let ends = first == 0xfe && len < FULL;
        match self.answer.stage {
            Stage::First => self.begin(kind, len, first, body),
            Stage::File => match wire::ending(body, len) {
                Some(ending) if first == 0 => self.end(ending),
                _ => Turn::Foreign,
            },
            Stage::Columns(left) => {
                if !is_definition(body) {
                    return Turn::Foreign;
                }
                self.settle();
                self.answer.stage = Stage::columns(left);
                Turn::On
            }
            Stage::FirstRow if ends && len == 5 => {
                self.deprecates_eof = Some(false);
                let Some(ending) = wire::ending(body, len) else {
                    return Turn::Foreign;
                };
                if ending.status & status::CURSOR_EXISTS != 0 {
                    self.answer.rows_unknown = true;
                    return Turn::Over;
                }
                self.answer.stage = Stage::Rows;
                Turn::On
            }
            Stage::FirstRow | Stage::Rows => {
                if self.answer.stage == Stage::FirstRow && kind != Kind::Fetch {
                    self.deprecates_eof = Some(true);
                }
                self.answer.stage = Stage::Rows;
                if ends {
                    return match wire::ending(body, len) {
                        Some(ending) => {
                            if ending.status & status::CURSOR_EXISTS != 0 {
                                self.answer.rows_unknown = true;
                            }
                            self.end(Ending {
                                affected: None,
                                ..ending
                            })
                        }
                        None => Turn::Foreign,
                    };
                }
                self.answer.rows = self.answer.rows.saturating_add(1);
                Turn::On
            }
            Stage::Parameters(left, columns) => {
                if !is_definition(body) {
                    return Turn::Foreign;
                }
                if left > 1 {
                    self.answer.stage = Stage::Parameters(left - 1, columns);
                    return Turn::On;
                }
                self.definitions_end(columns)
            }
            Stage::ParametersEnd(columns) if ends && len == 5 => {
                self.deprecates_eof = Some(false);
                self.definitions(columns)
            }
            // There was no EOF.
            Stage::ParametersEnd(columns) if self.deprecates_eof != Some(false) && columns > 0 => {
                self.deprecates_eof = Some(true);
                self.answer.stage = Stage::Definitions(columns);
                self.advance(len, first, body)
            }
            Stage::Definitions(left) => {
                if !is_definition(body) {
                    return Turn::Foreign;
                }
                if left > 1 {
                    self.answer.stage = Stage::Definitions(left - 1);
                    return Turn::On;
                }
                self.definitions_end(0)
            }
            Stage::ParametersEnd(_) => Turn::Foreign,
        }
    }

    /// After the last definition of parameters, or of columns where none follow.
    fn definitions_end(&mut self, columns: u64) -> Turn {
        match self.deprecates_eof {
            Some(true) => self.definitions(columns),
            None if columns == 0 => {
                self.may_end = true;
                Turn::Over
            }
            _ => {
                self.answer.stage = Stage::ParametersEnd(columns);
                Turn::On
            }
        }
    }

    fn definitions(&mut self, columns: u64) -> Turn {
        if columns == 0 {
            return Turn::Over;
        }
        self.answer.stage = Stage::Definitions(columns);
        Turn::On
    }

    /// The first packet of a result.
    fn begin(&mut self, kind: Kind, len: u32, first: u8, body: &[u8]) -> Turn {
        let ending = match first {
            0 | 0xfe => wire::ending(body, len),
            _ => None,
        };
        let sure = self.trust == Trust::Sure;
        match kind {
            Kind::Statistics => Turn::Over,
            Kind::Fetch => {
                self.answer.stage = Stage::Rows;
                self.advance(len, first, body)
            }
            Kind::FieldList => match ending {
                Some(_) if first == 0xfe => Turn::Over,
                _ if is_definition(body) => Turn::On,
                _ => Turn::Foreign,
            },
            Kind::ChangeUser => match ending {
                Some(ending) if first == 0 => self.end(ending),
                // Questions to the client.
                _ => Turn::On,
            },
            Kind::Prepare => self.prepared(len, body),
            Kind::Plain | Kind::InitDb | Kind::DropDb | Kind::ResetConnection => match ending {
                Some(ending) if sure || ending.exact => self.end(ending),
                _ => Turn::Foreign,
            },
            Kind::Query | Kind::Execute(_) | Kind::ProcessInfo => {
                if let Some(ending) = ending {
                    return if first == 0 && (sure || ending.exact) {
                        self.end(ending)
                    } else {
                        Turn::Foreign
                    };
                }
                if first == 0xfb && kind == Kind::Query {
                    self.answer.stage = Stage::File;
                    self.sends_file = true;
                    return Turn::On;
                }
                match columns(body, self.agreed_on(capability::OPTIONAL_METADATA)) {
                    Some((count, follow)) if count <= COLUMNS => {
                        self.answer.result = true;
                        self.answer.stage = if follow {
                            Stage::Columns(count)
                        } else {
                            Stage::FirstRow
                        };
                        Turn::On
                    }
                    _ => Turn::Foreign,
                }
            }
            Kind::Close(_) | Kind::Lost => Turn::Foreign,
        }
    }

    /// `COM_STMT_PREPARE_OK`.
    fn prepared(&mut self, len: u32, body: &[u8]) -> Turn {
        let mut reader = Reader(body);
        let (Some(0), Some(id), Some(columns), Some(parameters)) =
            (reader.u8(), reader.u32(), reader.u16(), reader.u16())
        else {
            return Turn::Foreign;
        };
        if !(9..=13).contains(&len) {
            return Turn::Foreign;
        }
        self.settle();
        self.answer.statement = Some(id);
        let (columns, parameters) = (u64::from(columns), u64::from(parameters));
        let described = len < 13 || body.get(12) != Some(&0);
        if !described {
            return Turn::Over;
        }
        if parameters > 0 {
            self.answer.stage = Stage::Parameters(parameters, columns);
            return Turn::On;
        }
        self.definitions(columns)
    }

    /// An OK or EOF that ends a result.
    fn end(&mut self, ending: Ending<'_>) -> Turn {
        let answer = &mut self.answer;
        if let Some(affected) = ending.affected {
            answer.affected = Some(answer.affected.unwrap_or(0).saturating_add(affected));
        }
        if let Some(schema) = ending.schema {
            answer.schema = Some(schema.into());
        }
        if ending.status & status::MORE_RESULTS != 0 {
            answer.several = true;
            answer.stage = Stage::First;
            self.settle();
            return Turn::On;
        }
        Turn::Over
    }

    fn fail(&mut self, body: &[u8]) -> Turn {
        match wire::failure(body) {
            Some(failure) if failure.number == PROGRESS => Turn::On,
            Some(failure) if self.trust == Trust::Sure || failure.state.is_some() => {
                // Where its greeting was not seen, a server may say later what it is.
                self.mariadb |= self.offered.is_none() && wire::names_mariadb(body);
                self.answer.failure = Some(failure);
                Turn::Over
            }
            _ => Turn::Foreign,
        }
    }
}

/// Every definition of a column begins with the catalogue, which is always `def`.
pub(crate) fn is_definition(body: &[u8]) -> bool {
    body.starts_with(b"\x03def")
}

/// How many columns a result has, and whether their definitions follow. Where that is not certain,
/// one more byte says so: in front with MySQL, behind with MariaDB.
fn columns(payload: &[u8], optional: Option<bool>) -> Option<(u64, bool)> {
    let mut reader = Reader(payload);
    let count = reader.lenenc()?;
    match reader.0 {
        [] if count > 0 => return Some((count, true)),
        [follow @ (0 | 1)] if count > 0 && optional != Some(true) => {
            return Some((count, *follow == 1));
        }
        _ => {}
    }
    let mut reader = Reader(payload);
    let follow = reader.u8().filter(|follow| *follow <= 1)?;
    let count = reader.lenenc()?;
    (reader.0.is_empty() && count > 0 && optional != Some(false)).then_some((count, follow == 1))
}
