//! `wirespan schema`

use std::io::{self, Write};

use anyhow::Result;
use wirespan_agent::{Artefacts, Config, Sandbox};
use wirespan_span::schema;

use crate::embedded::EMBEDDED;

pub(crate) fn schema() -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(schema::document().as_bytes())?;
    // The fields of a parser are told by the parser.
    let sandbox = Sandbox::new(&Config::default(), &Artefacts::new(EMBEDDED))?;
    for parser in sandbox.parsers().iter() {
        let manifest = parser.manifest();
        writeln!(out, "\n## Attributes of spans of {}\n", parser.label())?;
        let fields = manifest.fields.iter().map(|field| &**field);
        out.write_all(schema::table(fields).as_bytes())?;
    }
    Ok(())
}
