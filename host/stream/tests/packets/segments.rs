//! Segments that are lost, late, repeated or of one side only.

use super::*;

#[test]
fn sequence_numbers_wrap() {
    let mut talk = Talk::new(u32::MAX - 3, u32::MAX - 5);
    talk.handshake()
        .request(b"GET /")
        .request(b"index")
        .response(b"200 OK more")
        .close();
    assert_eq!(raw(&talk).streams(), ("GET /index$", "200 OK more$"));
}

#[test]
fn reordering_and_retransmission_change_nothing() {
    let mut talk = Talk::new(1, 2);
    talk.handshake();
    for part in [&b"GET /"[..], b"index.html ", b"HTTP/1.1\r\n", b"\r\n"] {
        talk.request(part);
    }
    talk.response(b"200 ").response(b"OK").close();
    let expected = ("GET /index.html HTTP/1.1\r\n\r\n$", "200 OK$");
    assert_eq!(raw(&talk).streams(), expected);
    let data = 3..9;
    for first in data.clone() {
        for second in data.clone() {
            let mut shuffled = talk.clone();
            shuffled.packets.swap(first, second);
            shuffled.packets.insert(second, talk.packets[first].clone());
            assert_eq!(raw(&shuffled).streams(), expected, "{first} {second}");
        }
    }
}

#[test]
fn a_lost_packet_is_a_gap_of_exactly_its_length() {
    let mut talk = Talk::new(1, 2);
    talk.handshake()
        .request(b"GET /")
        .request(b"index")
        .request(b" 1.1")
        .response(b"200 ")
        .response(b"OK")
        .close();
    let whole = ("GET /index 1.1$", "200 OK$");
    assert_eq!(raw(&talk).streams(), whole);
    let cases = [
        (3, ("[5 Packet]index 1.1$", "200 OK$")),
        (4, ("GET /[5 Packet] 1.1$", "200 OK$")),
        (5, ("GET /index[4 Packet]$", "200 OK$")),
        (6, ("GET /index 1.1$", "[4 Packet]OK$")),
        (7, ("GET /index 1.1$", "200 [2 Packet]$")),
    ];
    for (lost, expected) in cases {
        assert_eq!(
            raw(&talk.without(lost)).streams(),
            expected,
            "without {lost}"
        );
    }
    // What was lost of the request is known before its answer comes.
    assert_eq!(raw(&talk.without(4)).order, ">>><<");
}

#[test]
fn a_retransmission_minutes_later_still_fills_what_nobody_acknowledged() {
    let mut talk = Talk::new(1, 2);
    talk.handshake()
        .request(b"GET /")
        .request(b"index")
        .wait(120_000)
        .request(b" 1.1")
        .response(b"200")
        .close();
    // The first piece comes again after the others, and only then is acknowledged.
    let first = talk.packets.remove(3);
    talk.packets.insert(
        5,
        Packet {
            nanos: talk.packets[4].nanos + 1,
            ..first
        },
    );
    assert_eq!(raw(&talk).streams(), ("GET /index 1.1$", "200$"));
}

#[test]
fn keep_alive_and_window_probes_are_no_data() {
    let mut talk = Talk::new(1, 2);
    talk.handshake().request(b"GET /").response(b"200");
    for payload in [&b""[..], b"\0"] {
        let probe = tcp(
            talk.client,
            talk.server,
            talk.client_next - 1,
            talk.server_next,
            ACK,
            payload,
        );
        talk.wait(60_000).push(probe);
    }
    // One byte into a closed window, sent again as part of what follows.
    let probe = tcp(
        talk.client,
        talk.server,
        talk.client_next,
        talk.server_next,
        ACK,
        b"P",
    );
    talk.push(probe);
    talk.request(b"POST /").response(b"201").close();
    assert_eq!(raw(&talk).streams(), ("GET /POST /$", "200201$"));
}

#[test]
fn a_capture_of_one_side_only_is_read() {
    let mut talk = Talk::new(1, 2);
    talk.handshake()
        .request(b"GET /")
        .request(b"lost")
        .request(b"a")
        .wait(3_000)
        .request(b"b")
        .response(b"200")
        .close();
    let mut one_sided = talk.clone();
    one_sided
        .packets
        .retain(|packet| packet.bytes[12..16] == [10, 0, 0, 1]);
    // That there was an answer is known from its acknowledgement.
    assert_eq!(raw(&one_sided).streams(), ("GET /lostab$", "[3 Packet]"));
    // SYN, ACK, request, then the lost one.
    let outcome = raw(&one_sided.without(3));
    assert_eq!(outcome.streams(), ("GET /[4 Packet]ab$", "[3 Packet]"));
}

#[test]
fn acknowledgements_tell_of_a_side_that_was_never_captured() {
    let mut talk = Talk::new(1, 2);
    talk.handshake();
    for _ in 0..3 {
        talk.request(b"GET /")
            .wait(60)
            .response(b"200 OK")
            .client_sends(ACK, b"");
    }
    talk.close();
    // Joined in the middle, the client's packets only.
    let mut one_sided = talk.clone();
    one_sided.packets.drain(..3);
    let both = one_sided.packets.clone();
    one_sided
        .packets
        .retain(|packet| packet.bytes[12..16] == [10, 0, 0, 1]);
    let outcome = raw(&one_sided);
    let gap = "[6 Packet]";
    assert_eq!(
        outcome.streams(),
        ("GET /GET /GET /$", gap.repeat(3).as_str())
    );
    assert_eq!(outcome.order, "><><><");
    // Its packets come after all, with the second response.
    let mut late = one_sided.clone();
    late.packets = both;
    late.packets.remove(1);
    let first = late.packets[2].nanos;
    late.packets
        .retain(|packet| packet.bytes[12..16] == [10, 0, 0, 1] || packet.nanos > first);
    assert_eq!(
        raw(&late).streams(),
        ("GET /GET /GET /$", "[6 Packet]200 OK200 OK$")
    );
}
