//! Prints the connections of a recording or packet capture and what passed on them.
//!
//! `streams FILE [--client] [--dump DIRECTORY]`: with `--dump`, the bytes of each direction go to
//! `DIRECTORY/<id>.sent` and `.received` instead, and only a summary is printed.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use wirespan_capture::{Direction, Perspective, Progress, open_any};
use wirespan_stream::{Connections, Limits, StreamEvent};

fn main() -> Result<(), Box<dyn Error>> {
    let mut file = None;
    let mut dump = None;
    let mut perspective = Perspective::Server;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--client") => perspective = Perspective::Client,
            Some("--dump") => dump = arguments.next().map(PathBuf::from),
            _ => file = Some(PathBuf::from(argument)),
        }
    }
    let file = file.ok_or("usage: streams FILE [--client] [--dump DIRECTORY]")?;
    let mut source = open_any(&file, perspective)?;
    let mut connections = Connections::new(Limits::default());
    let mut printer = Printer {
        dump,
        ..Printer::default()
    };
    let (mut events, mut out) = (Vec::new(), Vec::new());
    loop {
        let progress = source.poll(Duration::ZERO, &mut events)?;
        for event in events.drain(..) {
            connections.push(event, &mut out);
        }
        connections.tick(source.watermark(), &mut out);
        if progress == Progress::End {
            connections.finish(source.watermark(), &mut out);
        }
        for event in out.drain(..) {
            printer.print(&event)?;
        }
        if progress == Progress::End {
            break;
        }
    }
    for warning in source.warnings() {
        println!("warning: {warning}");
    }
    let counters = connections.counters();
    println!("{counters:?}");
    println!(
        "{}",
        if counters.is_balanced() {
            "balanced"
        } else {
            "NOT BALANCED"
        }
    );
    Ok(())
}

#[derive(Default)]
struct Printer {
    dump: Option<PathBuf>,
    files: BTreeMap<(u64, Direction), File>,
}

impl Printer {
    fn print(&mut self, event: &StreamEvent) -> Result<(), Box<dyn Error>> {
        match event {
            StreamEvent::Open {
                info,
                positions,
                mid_stream,
            } => println!(
                "{:>4} open {:?} local {:?} remote {:?} role {:?} positions {positions:?} mid-stream {mid_stream} at {}",
                info.id, info.transport, info.local, info.remote, info.role, info.opened
            ),
            StreamEvent::Data {
                id,
                direction,
                position,
                bytes,
                time,
                order_uncertain,
            } => {
                let Some(directory) = &self.dump else {
                    let order = if *order_uncertain {
                        " order uncertain"
                    } else {
                        ""
                    };
                    println!(
                        "{id:>4} {direction:?} {position}+{} at {time}{order}",
                        bytes.len()
                    );
                    println!("     {}", bytes.escape_ascii());
                    return Ok(());
                };
                let name = format!(
                    "{id}.{}",
                    if *direction == Direction::Sent {
                        "sent"
                    } else {
                        "received"
                    }
                );
                let file = match self.files.remove(&(*id, *direction)) {
                    Some(file) => file,
                    None => File::create(directory.join(name))?,
                };
                self.files
                    .entry((*id, *direction))
                    .or_insert(file)
                    .write_all(bytes)?;
            }
            StreamEvent::Gap {
                id,
                direction,
                position,
                len,
                cause,
                time,
            } => {
                println!("{id:>4} {direction:?} {position} GAP {len:?} {cause:?} at {time}");
            }
            StreamEvent::Executed { info, time } => {
                println!("{:>4} is now of {:?} at {time}", info.id, info.process);
            }
            StreamEvent::Secured {
                id,
                positions,
                mid_stream,
                time,
            } => {
                println!("{id:>4} secured {positions:?} mid-stream {mid_stream} at {time}");
            }
            StreamEvent::End {
                id,
                direction,
                position,
                time,
            } => {
                println!("{id:>4} {direction:?} {position} end at {time}");
            }
            StreamEvent::Close { id, reason, time } => {
                for direction in Direction::BOTH {
                    self.files.remove(&(*id, direction));
                }
                println!("{id:>4} close {reason:?} at {time}");
            }
        }
        Ok(())
    }
}
