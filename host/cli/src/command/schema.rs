//! `wirespan schema`

use std::io::{self, Write};

use anyhow::Result;

pub(crate) fn schema() -> Result<()> {
    Ok(io::stdout().write_all(wirespan_span::schema::document().as_bytes())?)
}
