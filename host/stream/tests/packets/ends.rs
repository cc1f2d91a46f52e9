//! Where connections begin and end.

use super::*;

#[test]
fn any_packet_of_the_handshake_may_be_missing() {
    for missing in 0..3 {
        let outcome = raw(&exchange().without(missing));
        assert_eq!(
            outcome.streams(),
            ("GET /$", "200 OK$"),
            "without {missing}"
        );
        assert!(!outcome.connections[0].mid_stream);
        assert_eq!(outcome.connections[0].info.role, Some(Role::Server));
    }
    let outcome = raw(&exchange().without(0).without(0).without(0));
    assert_eq!(outcome.streams(), ("GET /$", "200 OK$"));
    assert!(outcome.connections[0].mid_stream);
    assert_eq!(
        outcome.connections[0].info.role, None,
        "the sides were guessed"
    );
    assert_eq!(
        outcome.connections[0].info.local,
        Some("10.0.0.2:80".parse().unwrap())
    );
}

#[test]
fn a_reset_closes_if_it_is_of_this_connection() {
    let mut talk = Talk::new(1, 2);
    talk.handshake().request(b"GET /");
    let forged = tcp(
        talk.server,
        talk.client,
        talk.server_next.wrapping_add(1 << 28),
        0,
        RST,
        b"",
    );
    talk.push(forged).response(b"200");
    assert_eq!(raw(&talk).connections[0].close, Some(StreamClose::CutOff));
    talk.server_sends(RST | ACK, b"");
    let outcome = raw(&talk);
    assert_eq!(outcome.streams(), ("GET /", "200"));
    assert_eq!(outcome.connections[0].close, Some(StreamClose::Reset));
}

#[test]
fn a_port_that_is_used_again_is_another_connection() {
    let mut talk = exchange();
    (talk.client_next, talk.server_next) = (5_000_000, 7_000_000);
    talk.handshake().request(b"PUT /").response(b"204").close();
    let outcome = raw(&talk);
    let streams: Vec<_> = outcome
        .connections
        .iter()
        .map(|c| (c.request.as_str(), c.response.as_str()))
        .collect();
    assert_eq!(streams, [("GET /$", "200 OK$"), ("PUT /$", "204$")]);
    assert_ne!(
        outcome.connections[0].info.key,
        outcome.connections[1].info.key
    );
    // Also when the first one never ended, with or without the answer to the second SYN.
    for left_out in [None, Some(1)] {
        let mut talk = Talk::new(1_000, 9_000);
        talk.handshake().request(b"GET /").response(b"200 OK");
        let before = talk.packets.len();
        (talk.client_next, talk.server_next) = (3_000_000_000, 1_500_000_000);
        talk.handshake().request(b"PUT /").response(b"204").close();
        let talk = left_out.map_or(talk.clone(), |n| talk.without(before + n));
        let outcome = raw(&talk);
        let streams: Vec<_> = outcome
            .connections
            .iter()
            .map(|c| (c.request.as_str(), c.response.as_str()))
            .collect();
        assert_eq!(
            streams,
            [("GET /", "200 OK"), ("PUT /$", "204$")],
            "{left_out:?}"
        );
    }
}

#[test]
fn a_stray_syn_does_not_end_a_living_connection() {
    let mut talk = Talk::new(1_000, 9_000);
    talk.handshake().request(b"GET /");
    let syn = tcp(talk.client, talk.server, 77_000_000, 0, SYN, b"");
    talk.push(syn).response(b"200").close();
    assert_eq!(raw(&talk).streams(), ("GET /$", "200$"));
}

#[test]
fn packets_that_a_capture_repeats_after_the_end_are_known() {
    let mut talk = exchange();
    talk.wait(60_000);
    let old: Vec<Packet> = talk.packets.clone();
    for packet in old {
        talk.push(packet.bytes);
    }
    assert_eq!(raw(&talk).streams(), ("GET /$", "200 OK$"));
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    let mut talk = Talk::new(1, 2);
    talk.handshake()
        .client_sends(FIN | ACK, b"GET /")
        .response(b"200")
        .server_sends(FIN | ACK, b"")
        .client_sends(ACK, b"");
    let outcome = raw(&talk);
    assert_eq!(outcome.streams(), ("GET /$", "200$"));
    assert_eq!(outcome.order, "><");
}
