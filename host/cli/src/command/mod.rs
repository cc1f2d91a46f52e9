//! One file for each subcommand.

pub(crate) mod doctor;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod schema;
