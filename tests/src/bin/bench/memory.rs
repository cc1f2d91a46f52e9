//! Guest memory of a connection that has had a thousand exchanges and is idle.

use anyhow::{Result, ensure};
use wirespan_native::traffic::{ALL, Traffic, Turn, Turns};
use wirespan_runtime::{Limits, Output, Worker};
use wirespan_stream::{Connections, StreamEvent};

use crate::report::{Figure, Report};
use crate::road::{Sandbox, data, open};

/// What an instance needs beside its connections falls out of the difference of the two.
const CONNECTIONS: [usize; 2] = [500, 4_500];

const EXCHANGES: u64 = 1_000;
const EXCHANGES_SHORT: u64 = 10;

/// Linear memory of all instances grows by pages of 64 KiB; what is in use of the last one is not
/// known, so a figure is right to 32 bytes.
pub(crate) fn measure() -> Result<Report> {
    let short = crate::short();
    let exchanges = if short { EXCHANGES_SHORT } else { EXCHANGES };
    let [few, many] = CONNECTIONS;
    let mut figures = Vec::new();
    for traffic in ALL {
        let more = guest_bytes(traffic, many, exchanges)? - guest_bytes(traffic, few, exchanges)?;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let each = more as f64 / (many - few) as f64;
        figures.push(Figure::alone(traffic.name, "B", &[each]));
    }
    Ok(Report {
        what: "linear memory of a parser for each idle connection after 1,000 exchanges",
        short,
        figures,
    })
}

/// Linear memory of all instances when so many connections are idle.
fn guest_bytes(traffic: Traffic, connections: usize, exchanges: u64) -> Result<usize> {
    let sandbox = Sandbox::load(traffic.name)?;
    let mut road = Road {
        worker: sandbox.worker(Limits::default()),
        streams: Connections::default(),
        ordered: Vec::new(),
        output: Output::default(),
        spans: 0,
    };
    for connection in 0..connections {
        road.streams
            .push(open(connection, traffic), &mut road.ordered);
    }
    let mut turns = Turns::new(traffic, connections);
    let opening = turns.opening();
    road.take(opening);
    for _ in 0..exchanges {
        let round = turns.round();
        road.take(round);
    }
    let expected = exchanges * connections as u64;
    ensure!(
        road.spans == expected,
        "{} spans of {expected} exchanges",
        road.spans
    );
    Ok(sandbox.engine.guest_memory_bytes())
}

struct Road {
    worker: Worker,
    streams: Connections,
    ordered: Vec<StreamEvent>,
    output: Output,
    spans: u64,
}

impl Road {
    fn take(&mut self, turns: Vec<Turn>) {
        for turn in turns {
            self.streams.push(data(turn), &mut self.ordered);
            self.ordered
                .drain(..)
                .for_each(|event| self.worker.handle(event));
        }
        self.worker.run(&mut self.output);
        self.spans += self.output.spans.drain(..).count() as u64;
        self.output.verdicts.clear();
    }
}
