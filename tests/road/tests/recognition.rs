//! Every connection is taken by the parser of its protocol, and by no other.
//!
//! The long form is `cargo xtask recognition`.

use std::sync::LazyLock;

use anyhow::Result;
use wirespan_capture::Role;
use wirespan_road::{Capture, Finding, Recogniser, Road, Setting, Told, recognition};
use wirespan_traffic::{Conversation, Protocol, Random, Speaker};

static ROAD: LazyLock<Road> = LazyLock::new(|| Road::new().expect("the parsers load"));

/// Conversations of each protocol of which every prefix is presented.
const ROUNDS: u64 = 8;

/// Damaged prefixes.
const DAMAGED: u64 = 20_000;

#[test]
fn no_prefix_of_a_conversation_is_taken_for_another_protocol() -> Result<()> {
    let seed = Random::fresh_seed();
    println!("seed {seed}");
    let report = recognition::prefixes(&ROAD, seed, ROUNDS)?;
    assert!(
        report.wrong.is_empty(),
        "{}\n{}",
        report.table(),
        report.wrong.join("\n")
    );
    Ok(())
}

#[test]
fn no_damaged_prefix_is_taken_for_another_protocol() -> Result<()> {
    let seed = Random::fresh_seed();
    println!("seed {seed}");
    let report = recognition::mutations(&ROAD, seed, DAMAGED, |_| {})?;
    assert!(
        report.wrong.is_empty(),
        "{}\n{}",
        report.table(),
        report.wrong.join("\n")
    );
    Ok(())
}

#[test]
fn all_four_protocols_are_recognised_on_any_port_whoever_is_observed() -> Result<()> {
    let mut recogniser = Recogniser::new(&ROAD);
    let mut random = Random::new(7);
    for protocol in Protocol::PARSED {
        let conversation = Conversation::generate(protocol, &mut random);
        for port in [22, 80, 443, 3306, 5432, 9092, 50_051, 31_337] {
            for role in [
                None,
                Some(wirespan_capture::Role::Client),
                Some(wirespan_capture::Role::Server),
            ] {
                let setting = Setting {
                    port,
                    role,
                    ..Setting::default()
                };
                let found = recogniser.present(&conversation, setting)?;
                let expected = Finding {
                    taken: protocol.parser().into_iter().map(str::to_owned).collect(),
                    ..Finding::default()
                };
                assert_eq!(found, expected, "{protocol:?} {setting:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_rest_after_an_upgrade_or_a_tunnel_is_recognised_anew() -> Result<()> {
    let mut recogniser = Recogniser::new(&ROAD);
    let opening = |request: &str, answer: &str| {
        let mut conversation = Conversation::empty(Protocol::Http);
        conversation.client(request);
        conversation.server(answer);
        conversation
    };
    let tunnel = || {
        let request = "CONNECT inner.example:443 HTTP/1.1\r\nHost: inner.example:443\r\n\r\n";
        opening(request, "HTTP/1.1 200 OK\r\n\r\n")
    };
    let upgrade = || {
        let request =
            "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: private\r\n\r\n";
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: private\r\n\r\n";
        opening(request, answer)
    };
    let mut random = Random::new(7);
    for inside in Protocol::ALL {
        let mut conversation = tunnel();
        let inner = Conversation::generate(inside, &mut random);
        conversation.turns.extend(inner.turns);
        let found = recogniser.present(&conversation, Setting::default())?;
        let mut expected: Vec<&str> = ["http"].into_iter().chain(inside.parser()).collect();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(found.taken, expected, "{inside:?} in a tunnel");
        assert_eq!(found.encrypted, inside == Protocol::Tls, "{inside:?}");
        let nobody = inside.parser().is_none() && !found.encrypted;
        assert_eq!(found.unknown, nobody, "{inside:?} is counted and left");
    }
    let mut conversation = upgrade();
    conversation.client([1, 2, 3, 4, 5]);
    conversation.server([0xee; 40]);
    let found = recogniser.present(&conversation, Setting::default())?;
    assert_eq!(found.taken, ["http"]);
    assert!(found.unknown, "what nobody knows is counted and left");
    Ok(())
}

/// Addresses of version 1 and 2 of the PROXY protocol, as a load balancer sends them.
const ANNOUNCED: [&[u8]; 2] = [
    b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb",
];

/// The conversation behind a header in two pieces. Every other one comes with what the client says.
fn announced(conversation: &Conversation, header: &[u8], cut: usize) -> Conversation {
    let mut announced = Conversation::empty(conversation.protocol);
    let (before, behind) = header.split_at(cut);
    announced.client(before);
    let mut turns = conversation.turns.iter().cloned().peekable();
    match turns.next_if(|turn| cut.is_multiple_of(2) && turn.speaker == Speaker::Client) {
        Some(first) => announced.client([behind, &first.bytes].concat()),
        None => announced.client(behind),
    }
    announced.turns.extend(turns);
    announced
}

/// What load balancers put in front says nothing of what follows, however it is cut.
#[test]
fn what_a_load_balancer_announces_is_stepped_over() -> Result<()> {
    let mut recogniser = Recogniser::new(&ROAD);
    let mut random = Random::new(7);
    for protocol in Protocol::ALL {
        let conversation = Conversation::generate(protocol, &mut random);
        let plain = recogniser.present(&conversation, Setting::default())?;
        for header in ANNOUNCED {
            for cut in 0..=header.len() {
                let role = [None, Some(Role::Client), Some(Role::Server)][cut % 3];
                let setting = Setting {
                    role,
                    ..Setting::default()
                };
                let found = recogniser.present(&announced(&conversation, header, cut), setting)?;
                let shown = header.escape_ascii();
                assert_eq!(found, plain, "{protocol:?} behind {shown} cut at {cut}");
            }
        }
    }
    Ok(())
}

#[test]
fn spans_behind_what_a_load_balancer_announces_are_the_same() -> Result<()> {
    let said = |conversation: &Conversation| -> Result<Vec<String>> {
        let spans = ROAD.spans(&Capture::of(std::slice::from_ref(conversation)))?;
        let one = |told: &Told| {
            let span = &told.span;
            let values: Vec<_> = span
                .attributes
                .iter()
                .map(|a| (&a.field.name, &a.value))
                .collect();
            format!("{} {:?} {values:?}", span.name, span.flags)
        };
        // Their order is that of their ids, which tell where they stood.
        let mut said: Vec<_> = spans.iter().map(one).collect();
        said.sort();
        Ok(said)
    };
    let mut random = Random::new(7);
    for protocol in Protocol::PARSED {
        let conversation = Conversation::generate(protocol, &mut random);
        let plain = said(&conversation)?;
        assert!(!plain.is_empty(), "{protocol:?}");
        for header in ANNOUNCED {
            for cut in [0, 5, header.len()] {
                let found = said(&announced(&conversation, header, cut))?;
                assert_eq!(found, plain, "{protocol:?} cut at {cut}");
            }
        }
    }
    Ok(())
}
