//! What the actor says of its own connections: the truth that a capture is held against.
//!
//! One line each, appended to a file that all of its processes share. That a socket exists is
//! written before its first byte, so that who watches can look it up when it appears.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What is known of an end of a connection before its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    pub inode: u64,
    /// The process that uses it first.
    pub pid: u32,
    /// `tcp` or `unix`.
    pub transport: String,
    /// Keys of what is sent and received, by direction.
    pub keys: [u64; 2],
    /// As the capture should tell them; `-` where there are none.
    pub local: String,
    pub remote: String,
    /// `client`, `server` or `-`.
    pub role: String,
    /// What is done with it, for who reads about a difference.
    pub episode: String,
}

/// Bytes that need not be seen, and those that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub direction: usize,
    pub position: u64,
    pub len: u64,
    /// Several threads were at it: any part may be missing. Else all of it is.
    pub contested: bool,
}

/// What became of an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    pub inode: u64,
    /// Bytes sent and received.
    pub totals: [u64; 2],
    pub stretches: Vec<Stretch>,
    /// `finished`, `reset`, or `-` where either may be true.
    pub how: String,
    /// A road was used that cannot be watched: nothing of the connection need be shown.
    pub unwatched: bool,
}

/// Appends lines.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// # Errors
    /// The file cannot be opened.
    pub fn append_to(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        Ok(Self(file.with_context(|| {
            format!("{} cannot be opened", path.display())
        })?))
    }

    fn line(&self, line: &str) {
        let written = (&self.0).write(line.as_bytes());
        assert_eq!(written.ok(), Some(line.len()), "the journal is whole");
    }

    /// The network namespace that the actor has made for itself.
    pub fn namespace(&self, inode: u64) {
        self.line(&format!("namespace {inode}\n"));
    }

    pub fn operations(&self, count: u64) {
        self.line(&format!("operations {count}\n"));
    }

    pub fn open(&self, opening: &Opening) {
        let Opening {
            inode,
            pid,
            transport,
            keys: [sent, received],
            local,
            remote,
            role,
            episode,
        } = opening;
        self.line(&format!(
            "open {inode} {pid} {transport} {sent} {received} {local} {remote} {role} {episode}\n"
        ));
    }

    pub fn gone(&self, ending: &Ending) {
        let mut line = format!(
            "gone {} {} {} {} {}",
            ending.inode,
            ending.totals[0],
            ending.totals[1],
            ending.how,
            u8::from(ending.unwatched)
        );
        for stretch in &ending.stretches {
            line.push_str(&format!(
                " {}:{}:{}:{}",
                stretch.direction,
                stretch.position,
                stretch.len,
                u8::from(stretch.contested)
            ));
        }
        line.push('\n');
        self.line(&line);
    }
}

/// What has been read of a journal.
#[derive(Debug)]
pub struct Truth {
    file: File,
    /// The beginning of a line whose end has not been read.
    rest: String,
    pub namespace: u64,
    pub operations: u64,
    pub openings: HashMap<u64, Opening>,
    pub endings: HashMap<u64, Ending>,
}

impl Truth {
    /// # Errors
    /// The file cannot be opened.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self {
            file: File::open(path).with_context(|| format!("{} is missing", path.display()))?,
            rest: String::new(),
            namespace: 0,
            operations: 0,
            openings: HashMap::new(),
            endings: HashMap::new(),
        })
    }

    /// Reads what has been appended since.
    ///
    /// # Errors
    /// The file cannot be read, or has another form.
    pub fn refresh(&mut self) -> Result<()> {
        self.file.read_to_string(&mut self.rest)?;
        let Some(end) = self.rest.rfind('\n') else {
            return Ok(());
        };
        let lines: String = self.rest.drain(..=end).collect();
        for line in lines.lines() {
            self.line(line)
                .with_context(|| format!("the journal has the line {line:?}"))?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["namespace", inode] => self.namespace = inode.parse()?,
            ["operations", count] => self.operations += count.parse::<u64>()?,
            [
                "open",
                inode,
                pid,
                transport,
                sent,
                received,
                local,
                remote,
                role,
                episode,
            ] => {
                let opening = Opening {
                    inode: inode.parse()?,
                    pid: pid.parse()?,
                    transport: (*transport).to_owned(),
                    keys: [sent.parse()?, received.parse()?],
                    local: (*local).to_owned(),
                    remote: (*remote).to_owned(),
                    role: (*role).to_owned(),
                    episode: (*episode).to_owned(),
                };
                let former = self.openings.insert(opening.inode, opening);
                ensure!(former.is_none(), "an inode was used twice");
            }
            [
                "gone",
                inode,
                sent,
                received,
                how,
                unwatched,
                stretches @ ..,
            ] => {
                let mut ending = Ending {
                    inode: inode.parse()?,
                    totals: [sent.parse()?, received.parse()?],
                    stretches: Vec::new(),
                    how: (*how).to_owned(),
                    unwatched: *unwatched == "1",
                };
                for stretch in stretches {
                    let numbers: Vec<u64> = stretch
                        .split(':')
                        .map(str::parse)
                        .collect::<Result<_, _>>()?;
                    let [direction, position, len, contested] = numbers[..] else {
                        anyhow::bail!("a stretch has four numbers");
                    };
                    ending.stretches.push(Stretch {
                        direction: direction as usize,
                        position,
                        len,
                        contested: contested == 1,
                    });
                }
                self.endings.insert(ending.inode, ending);
            }
            _ => anyhow::bail!("unknown"),
        }
        Ok(())
    }
}
