//! A stream as a span.

use wirespan_sdk::{Context, Flags, Side, SpanBuilder, Status};

use crate::call::{Call, Half, Phase};
use crate::fields::{
    COMPRESSED, ERROR_CODE, ERROR_TYPE, GRPC_MESSAGE, METHOD, METHOD_ORIGINAL, PATH, PATH_REF,
    PUSHED, QUERY, REQUEST_BODY, REQUEST_ENCODING, REQUEST_MESSAGE_BYTES, REQUEST_MESSAGES,
    RESET_BY, RESPONSE_BODY, RESPONSE_ENCODING, RESPONSE_MESSAGE_BYTES, RESPONSE_MESSAGES,
    RPC_METHOD, RPC_STATUS, RPC_SYSTEM, SCHEME, SERVER_ADDRESS, SERVER_PORT, STATUS, TIMEOUT,
    USER_AGENT, VERSION,
};
use crate::frame::error_name;
use crate::head::{GrpcStatus, Kept};
use crate::limits::NAME_BYTES;

/// Indices into the manifest's protocols.
const HTTP2: u8 = 0;
const GRPC: u8 = 1;

/// What a span takes from its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) observed: Side,
    pub(crate) tls: bool,
    /// Keeps the pseudonyms of different connections apart.
    pub(crate) seed: u32,
}

pub(crate) fn emit(call: &mut Call, scene: Scene, cx: &mut Context<'_>) {
    if !call.has_request && call.flags == Flags::empty() {
        // It was to come, and did not.
        call.flag(Flags::GAP);
    }
    if call.is_grpc() {
        emit_grpc(call, scene, cx);
    } else {
        emit_http(call, scene, cx);
    }
}

fn emit_grpc(call: &Call, scene: Scene, cx: &mut Context<'_>) {
    let method = call
        .head
        .get(Kept::Path)
        .map(|path| path.strip_prefix(b"/").unwrap_or(path));
    let name = method.filter(|method| method.len() <= NAME_BYTES);
    let mut span = cx.span(name.unwrap_or(b"grpc"));
    span.protocol(GRPC);
    common(&mut span, call, scene);
    span.text(RPC_SYSTEM, b"grpc");
    if let Some(method) = method {
        span.uri_text(RPC_METHOD, method);
    }
    if let Some(method) = call
        .head
        .get(Kept::Method)
        .filter(|method| *method != b"POST")
    {
        http_method(&mut span, method);
    }
    if !matches!(call.answer.status, 0 | 200) {
        span.integer(STATUS, i64::from(call.answer.status));
    }
    counts(
        &mut span,
        &call.request,
        call.reported,
        REQUEST_MESSAGES,
        REQUEST_MESSAGE_BYTES,
    );
    counts(
        &mut span,
        &call.response,
        call.reported,
        RESPONSE_MESSAGES,
        RESPONSE_MESSAGE_BYTES,
    );
    if call.request.messages.compressed || call.response.messages.compressed {
        span.truth(COMPRESSED, true);
    }
    if let Some(encoding) = call.head.get(Kept::GrpcEncoding) {
        span.text(REQUEST_ENCODING, encoding);
    }
    if let Some(encoding) = &call.answer.encoding {
        span.text(RESPONSE_ENCODING, encoding);
    }
    if let Some(nanos) = call.head.timeout {
        span.count(TIMEOUT, nanos);
    }
    if let Some(message) = call
        .answer
        .message
        .as_ref()
        .filter(|message| !message.is_empty())
    {
        span.text(GRPC_MESSAGE, &percent_decoded(message));
    }
    grpc_outcome(&mut span, call, scene);
    span.emit();
}

/// How many messages there were, where none can be missing.
fn counts(
    span: &mut SpanBuilder<'_>,
    half: &Half,
    reported: bool,
    messages: wirespan_sdk::Field<wirespan_sdk::Integer>,
    bytes: wirespan_sdk::Field<wirespan_sdk::Integer>,
) {
    if !half.incomplete && (reported || !half.messages.broken) {
        span.count(messages, half.message_count);
        span.count(bytes, half.message_bytes);
    }
}

/// Which codes are errors at the server's end (OpenTelemetry, gRPC): UNKNOWN, DEADLINE_EXCEEDED,
/// UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. At the client's all but OK are.
fn grpc_outcome(span: &mut SpanBuilder<'_>, call: &Call, scene: Scene) {
    let at_client = scene.observed == Side::Client;
    match call.answer.grpc_status {
        GrpcStatus::Code(code) => {
            let mut digits = [0; 5];
            let name = status_name(code).map_or_else(|| decimal(code, &mut digits), str::as_bytes);
            span.text(RPC_STATUS, name);
            let error = match code {
                0 => false,
                2 | 4 | 12 | 13 | 14 | 15 | 17.. => true,
                _ => at_client,
            };
            if error {
                span.status(Status::Error).text(ERROR_TYPE, name);
            }
        }
        // It may have been among what could not be resolved.
        GrpcStatus::Unclear => {}
        GrpcStatus::Absent if call.answer.unknown || call.response.incomplete => {}
        GrpcStatus::Absent => match (call.reset, call.refused) {
            // That a client cancels is no error of the server.
            (Some((Side::Client, _)), _) if !at_client => {}
            (Some((_, Some(code))), _) | (None, Some(code)) => {
                span.status(Status::Error)
                    .text(ERROR_TYPE, unanswered(code));
            }
            (Some((_, None)), _) => {
                span.status(Status::Error);
            }
            (None, None) if has(call, Flags::RESET) => {
                span.status(Status::Error).text(ERROR_TYPE, b"reset");
            }
            // An answer without a status is not OK.
            (None, None) if call.response.phase == Phase::Over => {
                let mut digits = [0; 5];
                let error = match call.answer.status {
                    0 | 200 => b"_OTHER",
                    status => decimal(status, &mut digits),
                };
                span.status(Status::Error).text(ERROR_TYPE, error);
            }
            (None, None) => {}
        },
    }
}

fn emit_http(call: &Call, scene: Scene, cx: &mut Context<'_>) {
    let method = call.head.get(Kept::Method);
    let known = method.and_then(known_method);
    let mut span = cx.span(known.unwrap_or("HTTP"));
    span.protocol(HTTP2);
    common(&mut span, call, scene);
    if let Some(method) = method {
        http_method(&mut span, method);
    }
    if let Some(path) = call.head.get(Kept::Path) {
        let path = path.split(|&b| b == b'#').next().unwrap_or_default();
        match path.iter().position(|&b| b == b'?') {
            None => drop(span.uri_text(PATH, path)),
            Some(at) => {
                span.uri_text(PATH, path.get(..at).unwrap_or_default());
                span.uri_text(QUERY, path.get(at.saturating_add(1)..).unwrap_or_default());
            }
        }
    }
    if let Some(scheme) = call.head.get(Kept::Scheme) {
        span.text(SCHEME, scheme);
    } else if call.has_request && call.head.unknown == 0 {
        span.text(SCHEME, if scene.tls { b"https" } else { b"http" });
    }
    if call.answer.status != 0 {
        span.integer(STATUS, i64::from(call.answer.status));
    }
    span.text(VERSION, b"2");
    let bodies = [
        (&call.request, REQUEST_BODY),
        (&call.response, RESPONSE_BODY),
    ];
    for (half, field) in bodies {
        if half.phase == Phase::Over && !half.incomplete && half.body > 0 {
            span.count(field, half.body);
        }
    }
    http_outcome(&mut span, call, scene);
    span.emit();
}

/// 5xx is an error at both ends, 4xx at the client's; so is a stream that was reset, but for a
/// client that cancels, as seen by the server.
fn http_outcome(span: &mut SpanBuilder<'_>, call: &Call, scene: Scene) {
    let at_client = scene.observed == Side::Client;
    let status = call.answer.status;
    if status >= 500 || status >= 400 && at_client {
        let mut digits = [0; 5];
        span.status(Status::Error)
            .text(ERROR_TYPE, decimal(status, &mut digits));
        return;
    }
    if call.response.phase == Phase::Over {
        return;
    }
    match (call.reset, call.refused) {
        (Some((Side::Client, _)), _) if !at_client => {}
        (Some((_, Some(code))), _) | (None, Some(code)) => {
            span.status(Status::Error)
                .text(ERROR_TYPE, unanswered(code));
        }
        (Some((_, None)), _) => {
            span.status(Status::Error);
        }
        (None, None) if has(call, Flags::RESET) => {
            span.status(Status::Error).text(ERROR_TYPE, b"reset");
        }
        (None, None) => {}
    }
}

/// Why there is no answer, by the error code of RST_STREAM or GOAWAY.
fn unanswered(code: u32) -> &'static [u8] {
    match error_name(code) {
        // A server that goes away in order, or needs no more: for the stream it is the same.
        Some("NO_ERROR") => b"REFUSED_STREAM",
        Some(name) => name.as_bytes(),
        None => b"_OTHER",
    }
}

/// What both kinds of spans have.
fn common(span: &mut SpanBuilder<'_>, call: &Call, scene: Scene) {
    let start = if call.start == 0 {
        call.end
    } else {
        call.start
    };
    span.starts(call.position, start)
        .side(call.side)
        .request_ends(call.request_end)
        .response_starts(call.response_start)
        .ends(call.end.max(start))
        .sizes(call.request.wire, call.response.wire)
        .flags(call.flags);
    if let Some(trace) = call.head.get(Kept::Traceparent) {
        span.trace(trace);
    }
    if let Some(authority) = call.head.authority() {
        server(span, authority);
    }
    if let Some(agent) = call.head.get(Kept::UserAgent) {
        span.text(USER_AGENT, agent);
    }
    let [first, second] = call.head.path_entries;
    if first != 0 {
        let mut name = format!("{:08x}.{}.{first}", scene.seed, call.epoch);
        if second != 0 {
            name.push_str(&format!("+{second}"));
        }
        span.text(PATH_REF, name.as_bytes());
    }
    if let Some((side, _)) = call.reset {
        span.text(
            RESET_BY,
            if side == Side::Client {
                b"client"
            } else {
                b"server"
            },
        );
    }
    let code = match call.reset {
        Some((_, code)) => code,
        None => call.refused,
    };
    if let Some(code) = code {
        let mut digits = format!("{code:#x}");
        if let Some(name) = error_name(code) {
            digits.clear();
            digits.push_str(name);
        }
        span.text(ERROR_CODE, digits.as_bytes());
    }
    if call.pushed {
        span.truth(PUSHED, true);
    }
}

fn has(call: &Call, flag: Flags) -> bool {
    call.flags.bits() & flag.bits() != 0
}

fn http_method(span: &mut SpanBuilder<'_>, method: &[u8]) {
    match known_method(method) {
        Some(name) => drop(span.text(METHOD, name.as_bytes())),
        None => drop(span.text(METHOD, b"_OTHER").text(METHOD_ORIGINAL, method)),
    }
}

/// Request methods of RFC 9110, PATCH (RFC 5789) and QUERY (RFC 10008).
fn known_method(method: &[u8]) -> Option<&'static str> {
    const METHODS: [&str; 10] = [
        "GET", "POST", "HEAD", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
    ];
    METHODS.into_iter().find(|name| name.as_bytes() == method)
}

/// `host`, `host:port` or `[address]:port`, without the credentials before an `@`.
fn server(span: &mut SpanBuilder<'_>, authority: &[u8]) {
    // From the end, where the port is: most often only a few bytes are looked at.
    let digits = authority.iter().rev().take_while(|b| b.is_ascii_digit());
    let (before, digits) = authority.split_at(authority.len().saturating_sub(digits.count()));
    let (host, port) = match before.strip_suffix(b":") {
        Some(host) => (host, port(digits)),
        // What is behind a colon here is no port; an address in brackets has colons of its own.
        None if before.ends_with(b"]") && digits.is_empty() => (before, None),
        None => {
            let colon = authority
                .iter()
                .rposition(|&b| matches!(b, b':' | b']' | b'@'));
            match colon.and_then(|at| authority.split_at_checked(at)) {
                Some((host, [b':', ..])) => (host, None),
                _ => (authority, None),
            }
        }
    };
    let host = host.rsplit(|&b| b == b'@').next().unwrap_or_default();
    let host = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"))
        .unwrap_or(host);
    if !host.is_empty() {
        span.text(SERVER_ADDRESS, host);
    }
    if let Some(port) = port {
        span.integer(SERVER_PORT, i64::from(port));
    }
}

fn port(digits: &[u8]) -> Option<u16> {
    let number = digits.iter().try_fold(0u16, |port, byte| {
        let digit = u16::from(byte.checked_sub(b'0')?);
        port.checked_mul(10)?.checked_add(digit)
    });
    number.filter(|_| !digits.is_empty())
}

/// Names of the status codes of gRPC.
fn status_name(code: u16) -> Option<&'static str> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied()
}

fn decimal(mut number: u16, digits: &mut [u8; 5]) -> &[u8] {
    let mut from = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0'.wrapping_add((number % 10) as u8);
        number /= 10;
        from = from.saturating_sub(1);
        if number == 0 {
            break;
        }
    }
    digits.get(from..).unwrap_or_default()
}

/// The form in which `grpc-message` is sent; what is no escape stays as it is.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', &[high, low, ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    out.push((high << 4 | low) as u8);
                    rest = after.get(2..).unwrap_or_default();
                }
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    out
}
