//! gRPC and HTTP/2 between real servers and clients: what a client has counted is what the spans at
//! both ends say, live and from a recording.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use wirespan_tests::expect::assert_distinct_ids;
use wirespan_tests::rpc::{self, Call, Client, Library, Told, Wish};
use wirespan_tests::watch::{Seen, Watch};
use wirespan_tests::{Span, tools};

/// Checks what was seen live and what was recorded against the calls.
fn check(watch: Watch, calls: &[Call]) -> Result<Seen> {
    let seen = watch.stop_after(calls.len() * 2)?;
    for (what, spans) in [("live", &seen.live), ("replayed", &seen.replayed)] {
        rpc::assert_exactly(spans, calls).context(what)?;
        assert_distinct_ids(spans).context(what)?;
    }
    Ok(seen)
}

/// Goes first where much is to follow at once: a connection is recognised meanwhile, and then all of
/// it is copied.
fn warm_up() -> Wish {
    Wish {
        sleep: 0.5,
        ..Wish::new("Unary", &[400], 1, 50)
    }
}

/// Every kind of call, one after the other.
fn kinds() -> Vec<Wish> {
    let unary = |requests: usize, reply| Wish::new("Unary", &[requests], 1, reply);
    let failing = |wish: Wish, code, details: &str| Wish {
        code,
        details: details.into(),
        ..wish
    };
    let mut wishes = vec![
        warm_up(),
        unary(400, 50),
        Wish::new("ServerStream", &[400], 7, 90),
        Wish::new("ClientStream", &[400, 1_000, 77_000], 1, 50),
        Wish::new("Bidirectional", &[400, 500, 600], 3, 1_000),
        // Larger than a frame (16 KiB) and than a window (64 KiB).
        unary(200_000, 150_000),
        Wish::new("Bidirectional", &[400; 20], 2, 30_000),
        // Answers without a message: trailers only.
        failing(unary(400, 50), 5, "no such item"),
        failing(unary(500, 50), 13, "käse & 100 % söße: a\nline"),
        failing(Wish::new("ServerStream", &[400], 3, 50), 8, "enough"),
        failing(Wish::new("ClientStream", &[400, 500], 1, 50), 9, "not now"),
        Wish::new("Missing/Unary", &[400], 1, 50),
    ];
    wishes.extend([
        Wish {
            compress: true,
            ..unary(20_000, 30_000)
        },
        Wish {
            compress: true,
            ..Wish::new("Bidirectional", &[5_000, 6_000], 2, 7_000)
        },
        Wish {
            metadata: true,
            ..unary(600, 60)
        },
        Wish {
            sleep: 30.0,
            deadline: 0.3,
            ..unary(700, 50)
        },
        Wish {
            sleep: 30.0,
            cancel_seconds: 0.3,
            ..unary(800, 50)
        },
        Wish {
            sleep: 30.0,
            cancel_after: 6,
            ..Wish::new("ServerStream", &[900], 6, 50)
        },
    ]);
    wishes
}

#[test]
fn calls_of_every_kind_between_two_implementations_are_one_span_at_each_end() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let servers = Library::ALL.map(rpc::Server::start);
    let servers: Vec<_> = servers.into_iter().collect::<Result<_>>()?;
    let ports: Vec<_> = servers.iter().map(|server| server.port).collect();
    let watch = Watch::start(&ports)?;
    let mut calls = Vec::new();
    for server in &servers {
        for library in Library::ALL {
            let mut client = Client::start(library, server)?;
            calls.extend(client.each(&kinds())?);
        }
    }
    check(watch, &calls)?;
    Ok(())
}

#[test]
fn hundreds_of_calls_at_once_on_one_connection_are_not_mixed() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    const CALLS: usize = 240;
    let shapes = ["Unary", "ServerStream", "ClientStream", "Bidirectional"];
    // Told apart by their sizes; small enough together for what is copied of one call of the kernel.
    let wish = |number: usize| Wish {
        sleep: 0.2,
        ..Wish::new(
            shapes[number % 4],
            &[400 + number; 2][..if number % 4 < 2 { 1 } else { 2 }],
            2,
            10 + 3 * number,
        )
    };
    let wishes: Vec<_> = (0..CALLS).map(wish).collect();
    let servers = Library::ALL.map(rpc::Server::start);
    let servers: Vec<_> = servers.into_iter().collect::<Result<_>>()?;
    let ports: Vec<_> = servers.iter().map(|server| server.port).collect();
    let watch = Watch::start(&ports)?;
    let mut calls = Vec::new();
    for (server, library) in servers.iter().zip(Library::ALL) {
        let mut client = Client::start(library, server)?;
        calls.extend(client.each(&[warm_up()])?);
        calls.extend(client.together(&wishes)?);
    }
    check(watch, &calls)?;
    Ok(())
}

/// Size of the messages of the first call that is seen of a connection.
const FIRST_BYTES: usize = 777;

fn is_first(span: &Span) -> bool {
    let is = |attribute: &str, bytes: usize| span.integer(attribute) == i64::try_from(bytes).ok();
    is("wirespan.grpc.request.message_bytes", FIRST_BYTES)
        || is("wirespan.grpc.response.message_bytes", FIRST_BYTES)
        // Not known to be gRPC: whole bodies, with the prefix of the only message.
        || is("http.request.body.size", FIRST_BYTES + 5)
        || is("http.response.body.size", FIRST_BYTES + 5)
}

/// Calls on each connection until it is certain what it carries: one is enough where nothing is late.
const FIRST_ROUNDS: usize = 3;

#[test]
fn connections_older_than_the_agent_name_a_method_as_soon_as_it_is_seen() -> Result<()> {
    if tools::skip_kernel()? {
        return Ok(());
    }
    let _alone = tools::exclusive();
    let servers = Library::ALL.map(rpc::Server::start);
    let servers: Vec<_> = servers.into_iter().collect::<Result<_>>()?;
    let ports: Vec<_> = servers.iter().map(|server| server.port).collect();
    let known = [
        Wish::new("Unary", &[400], 1, 50),
        Wish::new("ServerStream", &[400], 3, 60),
    ];
    let new = [
        Wish::new("ClientStream", &[400, 500], 1, 70),
        Wish {
            code: 5,
            details: "seen for the first time".into(),
            ..Wish::new("Bidirectional", &[400], 1, 80)
        },
    ];
    let mut clients = Vec::new();
    for server in &servers {
        for library in Library::ALL {
            let mut client = Client::start(library, server)?;
            client.each(&known)?;
            clients.push((library, client));
        }
    }
    let watch = Watch::start(&ports)?;
    // What is under way when a connection is joined may be told in part.
    let first =
        ["Unary", "ServerStream"].map(|method| Wish::new(method, &[FIRST_BYTES], 1, FIRST_BYTES));
    for _ in 0..FIRST_ROUNDS {
        for (_, client) in &mut clients {
            client.each(&first)?;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut calls = Vec::new();
    for (library, client) in &mut clients {
        for round in 0..3 {
            let mut done = client.each(&known)?;
            if round > 0 {
                done.extend(client.each(&new)?);
            }
            for call in &mut done {
                let is_known = known.iter().any(|wish| wish.method == call.report.method);
                call.joined = Some(Told {
                    // The C core puts a path into the header table and then only names its place
                    // there; tonic writes paths out.
                    method: *library == Library::Tonic || !is_known,
                    // Servers do as much with a status. Of one that is new, tonic takes the name
                    // from the table; then it is not known what the value is of.
                    status: call.report.status != "OK"
                        && call.server.service == Library::Grpcio.service(),
                });
            }
            calls.extend(done);
        }
    }
    let firsts = clients.len() * FIRST_ROUNDS * first.len() * 2;
    let seen = watch.stop_after(calls.len() * 2 + firsts)?;
    for (what, spans) in [("live", seen.live), ("replayed", seen.replayed)] {
        let (first, spans): (Vec<_>, Vec<_>) = spans.into_iter().partition(is_first);
        assert!(
            first.len() <= firsts,
            "more than one span at an end: {first:?}"
        );
        for span in first {
            let method = span.text("rpc.method");
            assert!(
                span.has_flag("mid_stream")
                    && method.is_none_or(|method| {
                        ["fixture.v1.Echo/Unary", "fixture.v1.Echo/ServerStream"].contains(&method)
                    }),
                "claims what was not seen: {span:?}"
            );
        }
        rpc::assert_exactly(&spans, &calls).context(what)?;
        assert_distinct_ids(&spans).context(what)?;
        let mut paths = BTreeMap::new();
        for span in &spans {
            if let Some(path) = span.text("wirespan.http2.path_ref") {
                let replies = span.integer("wirespan.grpc.response.messages");
                let place = (&span.kind, span.pid(), path);
                let first = *paths.entry(place).or_insert(replies);
                assert_eq!(first, replies, "one pseudonym for two methods: {place:?}");
            }
        }
        // At both ends, of two connections, two methods.
        assert_eq!(paths.len(), 8, "pseudonyms: {paths:?}");
    }
    Ok(())
}
