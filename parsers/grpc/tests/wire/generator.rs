//! Conversations at random: streams of every kind, interleaved, in frames of every form.

use wirespan_sdk::Side;
use wirespan_sdk::testkit::{Conversation, Random};

use super::{
    END_HEADERS, END_STREAM, Encoder, PADDED, PREFACE, PRIORITY, closed, data, frame, message,
    reset, settings,
};

/// What is sent next on a stream.
#[derive(Clone, Copy, Debug)]
enum Action {
    Request { end: bool },
    Sent { end: bool },
    Promise,
    Interim,
    Answer { end: bool },
    Received { end: bool },
    Trailers,
    Reset(Side),
}

use Action::{Answer, Interim, Promise, Received, Request, Sent, Trailers};

/// Streams by kind: gRPC first, up to [`RPC_KINDS`].
const KINDS: [&[Action]; 12] = [
    &[
        Request { end: false },
        Sent { end: true },
        Answer { end: false },
        Received { end: false },
        Trailers,
    ],
    &[
        Request { end: false },
        Sent { end: false },
        Sent { end: false },
        Sent { end: true },
        Answer { end: false },
        Received { end: false },
        Trailers,
    ],
    &[
        Request { end: false },
        Sent { end: true },
        Answer { end: false },
        Received { end: false },
        Received { end: false },
        Received { end: false },
        Trailers,
    ],
    &[
        Request { end: false },
        Answer { end: false },
        Sent { end: false },
        Received { end: false },
        Sent { end: false },
        Received { end: false },
        Sent { end: true },
        Trailers,
    ],
    &[Request { end: false }, Sent { end: true }, Trailers],
    &[
        Request { end: false },
        Sent { end: true },
        Answer { end: false },
        Action::Reset(Side::Client),
    ],
    &[Request { end: false }, Action::Reset(Side::Server)],
    &[Request { end: true }, Answer { end: true }],
    &[
        Request { end: true },
        Answer { end: false },
        Received { end: false },
        Received { end: true },
    ],
    &[
        Request { end: false },
        Interim,
        Sent { end: true },
        Interim,
        Answer { end: true },
    ],
    &[
        Request { end: true },
        Promise,
        Answer { end: false },
        Received { end: true },
    ],
    &[Request { end: true }, Action::Reset(Side::Client)],
];

const RPC_KINDS: usize = 7;

struct Stream {
    id: u32,
    kind: usize,
    next: usize,
}

/// How header fields are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fields {
    /// Each as it is: no block needs another.
    Plain,
    /// Into the table, and from it: a block needs those before it.
    Table,
}

struct Generator<'a> {
    random: &'a mut Random,
    fields: Fields,
    client: Encoder,
    server: Encoder,
    /// Streams that the server promised and has not answered.
    promised: Vec<u32>,
    next_promise: u32,
}

/// A connection with `streams` streams, closed in the end.
pub(crate) fn conversation(random: &mut Random, fields: Fields, streams: u32) -> Conversation {
    let mut generator = Generator {
        random,
        fields,
        client: Encoder::huffman(),
        server: Encoder::huffman(),
        promised: Vec::new(),
        next_promise: 2,
    };
    let mut conversation = Conversation::new()
        .client([PREFACE, &settings(&[(2, 1), (0xfe03, 1)])].concat())
        .server(settings(&[(3, 100)]));
    let mut open: Vec<Stream> = Vec::new();
    let mut opened = 0;
    let mut pending: Option<(Side, Vec<u8>)> = None;
    while opened < streams || !open.is_empty() || !generator.promised.is_empty() {
        let limit = 1 + generator.random.below(6) as usize;
        if opened < streams && open.len() < limit {
            let kind = generator.random.below(KINDS.len() as u64) as usize;
            open.push(Stream {
                id: 1 + 2 * opened,
                kind,
                next: 0,
            });
            // Streams are opened in the order of their numbers.
            opened += 1;
            let last = open.len() - 1;
            let (side, bytes) = generator.act(&mut open[last]);
            flush(
                &mut conversation,
                &mut pending,
                generator.random,
                side,
                bytes,
            );
            continue;
        }
        let (side, bytes) = if !generator.promised.is_empty() && generator.random.once_in(3) {
            generator.pushed()
        } else if generator.random.once_in(6) {
            generator.aside()
        } else if open.is_empty() {
            continue;
        } else {
            let index = generator.random.below(open.len() as u64) as usize;
            let acted = generator.act(&mut open[index]);
            if open[index].next == KINDS[open[index].kind].len() {
                open.swap_remove(index);
            }
            acted
        };
        flush(
            &mut conversation,
            &mut pending,
            generator.random,
            side,
            bytes,
        );
    }
    if let Some((side, bytes)) = pending {
        conversation = conversation.data(side, bytes);
    }
    closed(conversation)
}

/// Adds what is pending, some of it in two pieces; what goes the same way may come along.
fn flush(
    conversation: &mut Conversation,
    pending: &mut Option<(Side, Vec<u8>)>,
    random: &mut Random,
    side: Side,
    bytes: Vec<u8>,
) {
    if let Some((last, waiting)) = pending
        && *last == side
        && random.once_in(2)
    {
        waiting.extend(bytes);
        return;
    }
    if let Some((last, waiting)) = pending.replace((side, bytes)) {
        let cut = random.below(waiting.len() as u64 * 2) as usize;
        let (first, second) = waiting.split_at(cut.min(waiting.len()));
        for piece in [first, second]
            .into_iter()
            .filter(|piece| !piece.is_empty())
        {
            *conversation = std::mem::take(conversation).data(last, piece);
        }
    }
}

impl Generator<'_> {
    /// The next frames of a stream.
    fn act(&mut self, stream: &mut Stream) -> (Side, Vec<u8>) {
        let action = KINDS[stream.kind][stream.next];
        stream.next += 1;
        let (id, rpc) = (stream.id, stream.kind < RPC_KINDS);
        match action {
            Request { end } => (Side::Client, self.request(id, rpc, end)),
            Sent { end } => (Side::Client, self.body(id, rpc, end)),
            Received { end } => (Side::Server, self.body(id, rpc, end)),
            Interim => {
                let status = ["100", "103"][self.random.below(2) as usize];
                let fields = [(":status", status), ("link", "</a.css>")];
                (Side::Server, self.headers(Side::Server, id, false, &fields))
            }
            Answer { end } => {
                let status = ["200", "204", "404", "503"][self.random.below(4) as usize];
                let fields = if rpc {
                    [(":status", "200"), ("content-type", "application/grpc")]
                } else {
                    [(":status", status), ("content-type", "text/html")]
                };
                (Side::Server, self.headers(Side::Server, id, end, &fields))
            }
            Trailers => {
                let code = self.random.below(17).to_string();
                let mut fields = vec![("grpc-status", &code[..]), ("grpc-message", "no%20item")];
                if stream.kind == 4 {
                    // Nothing else was sent.
                    fields.insert(0, (":status", "200"));
                    fields.insert(1, ("content-type", "application/grpc"));
                }
                (Side::Server, self.headers(Side::Server, id, true, &fields))
            }
            Promise => {
                let promised = self.next_promise;
                self.next_promise += 2;
                self.promised.push(promised);
                let path = format!("/pushed/{promised}");
                let fields = [
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":path", &path[..]),
                    (":authority", "shop.example"),
                ];
                let block = self.block(Side::Server, &fields);
                let mut payload = promised.to_be_bytes().to_vec();
                payload.extend(block);
                (Side::Server, frame(5, END_HEADERS, id, &payload))
            }
            Action::Reset(side) => {
                let code = [2, 7, 8][self.random.below(3) as usize];
                (side, reset(id, code))
            }
        }
    }

    /// The answer to a promised request.
    fn pushed(&mut self) -> (Side, Vec<u8>) {
        let index = self.random.below(self.promised.len() as u64) as usize;
        let id = self.promised.swap_remove(index);
        let mut bytes = self.headers(Side::Server, id, false, &[(":status", "200")]);
        bytes.extend(data(id, END_STREAM, b"body { color: red }"));
        (Side::Server, bytes)
    }

    /// Frames that belong to no exchange.
    fn aside(&mut self) -> (Side, Vec<u8>) {
        let side = [Side::Client, Side::Server][self.random.below(2) as usize];
        let bytes = match self.random.below(6) {
            0 => frame(6, 0, 0, &[7; 8]),
            1 => frame(8, 0, 0, &[0, 0, 0x40, 0]),
            2 => frame(2, 0, 1, &[0, 0, 0, 0, 16]),
            3 => settings(&[(5, 20_000), (1, 4096)]),
            4 => frame(4, 1, 0, b""),
            _ => frame(0xfa, 3, 0, b"an extension"),
        };
        (side, bytes)
    }

    fn request(&mut self, id: u32, rpc: bool, end: bool) -> Vec<u8> {
        let path = if rpc {
            format!("/shop.v1.Cart/M{}", self.random.below(9))
        } else {
            format!("/users/{}?page={id}", self.random.below(9))
        };
        let trace = format!("00-{:032x}-{:016x}-01", self.random.below(u64::MAX), id);
        let mut fields = vec![
            (":method", if rpc { "POST" } else { "GET" }),
            (":scheme", "http"),
            (":path", &path[..]),
            (":authority", "shop.example:50051"),
            ("user-agent", "generator/1"),
        ];
        if rpc {
            fields.extend([
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("grpc-timeout", "250m"),
            ]);
        }
        if self.random.once_in(2) {
            fields.push(("traceparent", &trace));
        }
        self.headers(Side::Client, id, end, &fields)
    }

    fn body(&mut self, id: u32, rpc: bool, end: bool) -> Vec<u8> {
        let filling = [b'x', 0, 1][self.random.below(3) as usize];
        let text = vec![filling; self.random.below(300) as usize];
        let mut text = if rpc { message(&text) } else { text };
        if self.random.once_in(4) {
            text.extend(text.clone());
        }
        let mut bytes = Vec::new();
        // A message in two frames.
        if self.random.once_in(3) {
            let rest = text.split_off(self.random.below(text.len() as u64 + 1) as usize);
            bytes = data(id, 0, &text);
            text = rest;
        }
        let flags = if end { END_STREAM } else { 0 };
        if self.random.once_in(4) {
            let padding = self.random.below(20) as u8;
            text.insert(0, padding);
            text.extend(vec![0; usize::from(padding)]);
            bytes.extend(frame(0, flags | PADDED, id, &text));
        } else {
            bytes.extend(data(id, flags, &text));
        }
        bytes
    }

    fn block(&mut self, side: Side, fields: &[(&str, &str)]) -> Vec<u8> {
        match (self.fields, side) {
            (Fields::Plain, _) => Encoder::plain(fields),
            (Fields::Table, Side::Client) => self.client.block(fields),
            (Fields::Table, Side::Server) => self.server.block(fields),
        }
    }

    /// A header block in one frame or several, with and without padding and priority.
    fn headers(&mut self, side: Side, id: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = self.block(side, fields);
        let mut rest = Vec::new();
        if self.random.once_in(5) {
            rest = block.split_off(self.random.below(block.len() as u64) as usize);
        }
        let mut flags = if end { END_STREAM } else { 0 };
        if rest.is_empty() {
            flags |= END_HEADERS;
        }
        if self.random.once_in(6) {
            flags |= PRIORITY;
            block.splice(0..0, [0, 0, 0, 0, 16]);
        }
        if self.random.once_in(6) {
            flags |= PADDED;
            block.insert(0, 3);
            block.extend([0; 3]);
        }
        let mut bytes = frame(1, flags, id, &block);
        if !rest.is_empty() {
            let last = rest.split_off(self.random.below(rest.len() as u64) as usize);
            bytes.extend(frame(9, 0, id, &rest));
            bytes.extend(frame(9, END_HEADERS, id, &last));
        }
        bytes
    }
}
