//! A recording or packet capture, from its first event to its last, on one thread and by recorded
//! time: the same file always gives the same spans.

use std::time::Duration;

use wirespan_capture::{Progress, SocketEvent, Source};
use wirespan_span::Span;

use crate::error::AgentError;
use crate::lane::Lane;

/// How many events go through before the parsers run; more only saves calls.
const EVENTS_A_RUN: usize = 1_024;

/// Feeds all of `source` through `lane`. `span` gets each span and may refuse it, which ends the
/// replay.
///
/// # Errors
/// Those of the source and of `span`.
pub fn replay(
    source: &mut dyn Source,
    lane: &mut Lane,
    mut span: impl FnMut(Span) -> Result<(), AgentError>,
) -> Result<(), AgentError> {
    let mut events: Vec<SocketEvent> = Vec::new();
    loop {
        let progress = source.poll(Duration::from_secs(1), &mut events)?;
        let mut pushed = 0;
        for event in events.drain(..) {
            lane.push(event);
            pushed += 1;
            if pushed == EVENTS_A_RUN {
                pushed = 0;
                run(lane, &mut span)?;
            }
        }
        lane.advance(source.watermark());
        if progress == Progress::End {
            break;
        }
        run(lane, &mut span)?;
    }
    lane.finish(source.watermark());
    run(lane, &mut span)
}

/// Hands out what there is, up to the span that is refused.
fn run(
    lane: &mut Lane,
    span: &mut impl FnMut(Span) -> Result<(), AgentError>,
) -> Result<(), AgentError> {
    let mut outcome = Ok(());
    lane.run(
        |done| {
            if outcome.is_ok() {
                outcome = span(done);
            }
        },
        |_| {},
    );
    outcome
}
