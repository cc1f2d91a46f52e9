//! Redis: RESP2 and RESP3, and inline commands, of the "Redis serialization protocol specification".

use crate::conversation::{Conversation, Protocol};
use crate::random::Random;

pub(crate) fn conversation(random: &mut Random) -> Conversation {
    let mut conversation = Conversation::empty(Protocol::Redis);
    if random.one_in(4) {
        conversation.client(command(&["HELLO", "3"]));
        conversation.server("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n");
        conversation.exchanged();
    }
    for _ in 0..random.between(1, 8) {
        let (mut request, mut answer) = (Vec::new(), Vec::new());
        // Several at once are a pipeline.
        for _ in 0..random.between(1, 3) {
            let (asked, answered) = exchange(random);
            request.extend(asked);
            answer.extend(answered.into_bytes());
        }
        conversation.client(request);
        conversation.server(answer);
        conversation.exchanged();
    }
    conversation
}

fn exchange(random: &mut Random) -> (Vec<u8>, String) {
    let (key, value) = (random.word(), random.prose(30));
    match random.below(9) {
        0 => (b"PING\r\n".to_vec(), "+PONG\r\n".into()),
        1 => (command(&["SET", &key, &value]), "+OK\r\n".into()),
        2 => (command(&["GET", &key]), bulk(&value)),
        3 => (command(&["GET", &key]), "$-1\r\n".into()),
        4 => (
            command(&["INCR", &key]),
            format!(":{}\r\n", random.below(1000)),
        ),
        5 => {
            let values = format!("*2\r\n{}{}", bulk(&key), bulk(&value));
            (command(&["LRANGE", &key, "0", "1"]), values)
        }
        6 => {
            let error = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
            (command(&["INCR", &key]), error.into())
        }
        7 => (format!("GET {key}\r\n").into_bytes(), bulk(&value)),
        _ => (
            command(&["POST", &key, "HTTP/1.1"]),
            "-ERR unknown command 'POST'\r\n".into(),
        ),
    }
}

fn command(words: &[&str]) -> Vec<u8> {
    let words: String = words.iter().map(|word| bulk(word)).collect();
    format!("*{}\r\n{words}", words.matches('$').count()).into_bytes()
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
