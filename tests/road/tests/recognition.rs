//! Every connection is taken by the parser of its protocol, and by no other.
//!
//! The long form is `cargo xtask recognition`.

use std::sync::LazyLock;

use anyhow::Result;
use wirespan_road::{Finding, Recogniser, Road, Setting, recognition};
use wirespan_traffic::{Conversation, Protocol, Random};

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
