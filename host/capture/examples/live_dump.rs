//! Prints the socket events of this node, for checking by hand:
//! `cargo run --release -p wirespan-capture --example live_dump -- target/artefacts/probes.o [PORT]…`

use std::time::Duration;

use wirespan_capture::live::{LiveConfig, LiveSource};
use wirespan_capture::{Progress, SocketEvent, Source};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args().skip(1);
    let object = arguments.next().ok_or("usage: live_dump OBJECT [PORT]…")?;
    let mut config = LiveConfig::new(std::fs::read(object)?);
    config.ports = arguments
        .map(|port| port.parse())
        .collect::<Result<_, _>>()?;
    let (mut source, report) = LiveSource::open(&config)?;
    eprintln!("{report:#?}\n{:?}", source.clock());
    let mut events = Vec::new();
    let mut idle = 0;
    while source.poll(Duration::from_secs(1), &mut events)? != Progress::End {
        for event in events.drain(..) {
            match event {
                SocketEvent::Data(data) => println!(
                    "Data {:x}/{} {:?} {:?} {}..+{} ({:?}) {} {:?}",
                    data.key.socket,
                    data.key.generation,
                    data.direction,
                    data.layer,
                    data.position,
                    data.len,
                    data.missing,
                    data.time(),
                    String::from_utf8_lossy(data.bytes.get(..60).unwrap_or(&data.bytes)),
                ),
                other => println!("{other:?}"),
            }
        }
        idle += 1;
        if idle % 5 == 0 {
            let counters = source.counters().read();
            eprintln!(
                "{:?}",
                counters
                    .iter()
                    .filter(|counter| counter.1 != 0)
                    .collect::<Vec<_>>()
            );
        }
    }
    Ok(())
}
