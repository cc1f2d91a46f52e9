//! What an exchange allocates: nothing, once a connection had one.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wirespan_parser_http::Http;
use wirespan_sdk::Side;
use wirespan_sdk::bindings::wirespan::parser::types::{Cause, Event, EventKind};
use wirespan_sdk::driver::Driver;

/// The vectors of the answer, which goes to the host with them.
const ANSWER: usize = 4;

const EXCHANGES: u64 = 40;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn an_exchange_allocates_nothing() {
    let request = b"POST /users/7?page=2 HTTP/1.1\r\nHost: shop.example:8080\r\n\
        User-Agent: curl/8.5.0\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 4\r\n\r\nbody";
    let mut driver = Driver::<Http>::default();
    let open = event(EventKind::Open, Side::Server, 0, 0, 0);
    driver.process(vec![open], Vec::new(), Vec::new());
    for batch in 0..4 {
        let mut events = Vec::new();
        for n in 0..EXCHANGES {
            let of = |side, one: &[u8], offset| {
                let len = one.len() as u64;
                let position = (batch * EXCHANGES + n) * len;
                event(EventKind::Data, side, position, len, offset + n * len)
            };
            let requests = EXCHANGES * request.len() as u64;
            events.push(of(Side::Client, request, 0));
            events.push(of(Side::Server, response, requests));
        }
        let bytes = [
            request.repeat(EXCHANGES as usize),
            response.repeat(EXCHANGES as usize),
        ]
        .concat();
        let region = Region::new(ALLOCATOR);
        let output = driver.process(events, Vec::new(), bytes);
        let change = region.change();
        assert_eq!(output.spans.len() as u64, EXCHANGES);
        // The first batches find out how large an answer is.
        if batch >= 2 {
            assert!(change.allocations <= ANSWER, "{change:?}");
            assert_eq!(change.reallocations, 0, "{change:?}");
        }
    }
}

fn event(kind: EventKind, side: Side, position: u64, len: u64, offset: u64) -> Event {
    Event {
        conn: 0,
        // Responses come after their requests, and those after the responses before.
        time: 1 + 2 * position.div_ceil(len.max(1)) + u64::from(side == Side::Server),
        position,
        len,
        offset: u32::try_from(offset).expect("a batch is small"),
        kind,
        side,
        cause: Cause::None,
    }
}
