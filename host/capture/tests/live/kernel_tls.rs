//! TLS whose records the kernel makes: the library hands it plaintext.

use wirespan_capture::{Direction, Layer, Missing, Role};

use crate::script::Script;
use crate::support::{Bench, config};

/// The server uses OpenSSL by its C functions, for Python does not offer `SSL_sendfile`.
const SCRIPT: &str = r#"
import ctypes, os, socket, ssl, sys, tempfile, threading
port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
lib = ctypes.CDLL('libssl.so.3')
for name in ['TLS_server_method', 'SSL_CTX_new', 'SSL_new']:
    getattr(lib, name).restype = ctypes.c_void_p
lib.SSL_sendfile.restype = ctypes.c_ssize_t
lib.SSL_sendfile.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_size_t, ctypes.c_int]
OP_ENABLE_KTLS = 8
lib.SSL_CTX_set_options.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
context = ctypes.c_void_p(lib.SSL_CTX_new(ctypes.c_void_p(lib.TLS_server_method())))
lib.SSL_CTX_set_options(context, OP_ENABLE_KTLS)
assert lib.SSL_CTX_use_certificate_file(context, certificate.encode(), 1) == 1
assert lib.SSL_CTX_use_PrivateKey_file(context, key.encode(), 1) == 1
file = tempfile.TemporaryFile()
file.write(b'f' * 70000)
file.flush()
listener = socket.create_server(('127.0.0.1', port))

def serve():
    raw, _ = listener.accept()
    end = ctypes.c_void_p(lib.SSL_new(context))
    lib.SSL_set_fd(end, raw.fileno())
    assert lib.SSL_accept(end) == 1
    memory = ctypes.create_string_buffer(100)
    assert lib.SSL_read(end, memory, 100) == 8
    assert memory.raw[:8] == b'question'
    assert lib.SSL_write(end, b'head', 4) == 4
    sent = 0
    while sent < 70000:
        count = lib.SSL_sendfile(end, file.fileno(), sent, 70000 - sent, 0)
        assert count > 0, 'no TLS of the kernel'
        sent += count
    assert lib.SSL_write(end, b'tail', 4) == 4
    lib.SSL_free(end)
    raw.close()

thread = threading.Thread(target=serve, daemon=True)
thread.start()
print('ready', flush=True)
sys.stdin.readline()
asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
asking.check_hostname = False
asking.verify_mode = ssl.CERT_NONE
asking.options |= OP_ENABLE_KTLS
with asking.wrap_socket(socket.create_connection(('127.0.0.1', port))) as end:
    end.sendall(b'question')
    got = b''
    while len(got) < 70008:
        got += end.recv(4096)
    assert got == b'head' + b'f' * 70000 + b'tail'
thread.join()
print('done', flush=True)
"#;

fn has_kernel_tls() -> bool {
    let known = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
    known.split_whitespace().any(|name| name == "tls")
}

#[test]
fn tls_of_the_kernel_is_told_once_and_what_a_file_gave_is_a_gap() {
    let Some(mut config) = config() else { return };
    if !has_kernel_tls() {
        eprintln!("SKIPPED: this kernel has no TLS of its own (module tls)");
        return;
    }
    config.copy_all = true;
    let mut script = Script::start(SCRIPT);
    config.ports = vec![script.port];
    let mut bench = Bench::for_ports(config);
    script.say("go");
    script.hear("done");
    bench.until_closed();
    let end = |role| {
        bench
            .all()
            .find(|seen| seen.open.role == Some(role))
            .unwrap()
    };
    let (client, server) = (end(Role::Client), end(Role::Server));
    for (seen, asked) in [(client, Direction::Sent), (server, Direction::Received)] {
        assert_eq!(seen.secured.len(), 1, "{seen:?}");
        assert_eq!(seen.bytes(asked, Layer::Plaintext, 0), b"question");
        // The handshake, and none of what the library then handed to the kernel.
        for data in seen.data.iter().filter(|data| data.layer == Layer::Socket) {
            for plain in [&b"question"[..], b"head", b"tail"] {
                assert!(!data.bytes.windows(plain.len()).any(|part| part == plain));
            }
        }
    }
    let answer = [&b"head"[..], &[b'f'; 70_000], b"tail"].concat();
    assert!(client.bytes(Direction::Received, Layer::Plaintext, 0) == answer);
    let sent = server.of(Direction::Sent, Layer::Plaintext);
    let [head, file @ .., tail] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((&head.bytes[..], head.position), (&b"head"[..], 0));
    assert_eq!((&tail.bytes[..], tail.position), (&b"tail"[..], 70_004));
    let mut position = 4;
    for part in file {
        assert_eq!((part.position, part.bytes.len()), (position, 0));
        assert_eq!(part.missing, Missing::Unobserved);
        position += part.len;
    }
    assert_eq!(position, 70_004);
}
