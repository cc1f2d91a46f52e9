//! What people see: short coloured lines, and a running line while something takes long.

use std::env;
use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::Duration;

/// Writes steps to standard output; knows whether someone is looking.
pub(crate) struct Terminal {
    verbose: bool,
    colour: bool,
    live: bool,
}

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Good,
    Bad,
    Skipped,
}

impl Terminal {
    pub(crate) fn new(verbose: bool) -> Self {
        let live = stdout().is_terminal();
        Self {
            verbose,
            colour: live && env::var_os("NO_COLOR").is_none(),
            live,
        }
    }

    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }

    /// True when a line can be overwritten while something runs.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// A headline.
    pub(crate) fn title(&self, text: impl Display) {
        self.line(&self.paint("1;36", text));
    }

    /// One finished step: what, and what came of it.
    pub(crate) fn done(&self, mark: Mark, what: impl Display, result: impl Display) {
        let sign = match mark {
            Mark::Good => self.paint("32", "✓"),
            Mark::Bad => self.paint("1;31", "✗"),
            Mark::Skipped => self.paint("33", "–"),
        };
        self.line(&format!(
            "  {sign} {:<42} {}",
            what.to_string(),
            self.paint("2", result)
        ));
    }

    /// Something worth knowing between steps.
    pub(crate) fn note(&self, text: impl Display) {
        self.line(&format!("    {}", self.paint("2", text)));
    }

    /// The last word on a run that failed: what, and each cause below it.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        self.clear();
        let mut chain = error.chain();
        let first = chain.next().map(ToString::to_string).unwrap_or_default();
        let mut text = format!("{} {first}\n", self.paint("1;31", "error:"));
        for cause in chain {
            text.push_str(&format!("  {} {cause}\n", self.paint("31", "because:")));
        }
        // Nobody reads a closed pipe.
        let _ = stderr().write_all(text.as_bytes());
    }

    /// A whole line, as it is.
    pub(crate) fn line(&self, text: &str) {
        self.clear();
        let _ = writeln!(stdout(), "{text}");
        let _ = stdout().flush();
    }

    /// Shows that `what` still runs, over the line before it. Nothing when nobody looks.
    pub(crate) fn running(&self, what: &str, detail: &str, elapsed: Duration) {
        if !self.live {
            return;
        }
        const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠇", "⠏", "⠹"];
        let turn = usize::try_from(elapsed.as_millis() / 120).unwrap_or_default();
        let sign = SPINNER.get(turn % SPINNER.len()).copied().unwrap_or("·");
        let detail: String = detail
            .chars()
            .filter(|c| !c.is_control())
            .take(48)
            .collect();
        let text = format!(
            "  {} {what:<42} {} {detail}",
            self.paint("36", sign),
            clock(elapsed)
        );
        let _ = write!(stdout(), "\r\x1b[2K{text}");
        let _ = stdout().flush();
    }

    fn clear(&self) {
        if self.live {
            let _ = write!(stdout(), "\r\x1b[2K");
        }
    }

    pub(crate) fn paint(&self, code: &str, text: impl Display) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}

/// A duration as people read it: `0.4 s`, `12 s`, `4:07 min`.
pub(crate) fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", elapsed.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{}:{:02} min", seconds / 60, seconds % 60),
    }
}
