//! One file for each subcommand.

pub mod doctor;
pub mod record;
pub mod replay;
pub mod run;
pub mod schema;
