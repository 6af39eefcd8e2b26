//! The shapes of malformed requests, and what the daemon may answer to each.

use crate::support::{DOMAIN, REPOSITORY};

/// What may come back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// One refusal of the client's.
    Refused,
    /// The same, or nothing: the sender has not come to the end of a head.
    RefusedOrSilence,
    /// These statuses, and no further answer.
    Exactly(&'static [u16]),
    /// Frames of HTTP/2, since the sender said it speaks that.
    Http2,
}

/// One shape.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) answer: Answer,
    /// The bytes of its `n`th request.
    pub(crate) bytes: fn(usize) -> Vec<u8>,
}

const fn shape(name: &'static str, answer: Answer, bytes: fn(usize) -> Vec<u8>) -> Shape {
    Shape { name, answer, bytes }
}

/// A GET of this target, well-formed but for the target.
fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// A GET of something that is there, with these lines in its head.
fn with(lines: &str) -> Vec<u8> {
    format!("GET /v2/{REPOSITORY}/manifests/v1?ns={DOMAIN} HTTP/1.1\r\n{lines}\r\n\r\n").into_bytes()
}

/// Something of the repository, in the namespace that is served.
fn ours(rest: &str) -> Vec<u8> {
    get(&format!("/v2/{rest}?ns={DOMAIN}"))
}

/// A method on something that is there.
fn method(name: &str) -> Vec<u8> {
    let target = format!("/v2/{REPOSITORY}/manifests/v1?ns={DOMAIN}");
    format!("{name} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// Bytes that differ from number to number, and are the same in every run.
fn noise(number: usize, length: usize) -> Vec<u8> {
    let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

use Answer::{Exactly, Http2, Refused, RefusedOrSilence};

#[rustfmt::skip]
pub(crate) const SHAPES: &[Shape] = &[
    // Not HTTP at all.
    shape("TLS hello", Exactly(&[400]), |_| b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
    shape("noise", RefusedOrSilence, |n| noise(n, 64 + n % 512)),
    shape("noise and a line end", RefusedOrSilence, |n| [&noise(n, 32)[..], b"\r\n\r\n"].concat()),
    shape("zeros", RefusedOrSilence, |n| vec![0; 1 + n % 64]),
    shape("SSH", RefusedOrSilence, |_| b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
    shape("HTTP/0.9", Refused, |_| b"GET /v2/\r\n\r\n".to_vec()),
    shape("HTTP/1.2", Refused, |_| b"GET /v2/ HTTP/1.2\r\nHost: x\r\n\r\n".to_vec()),
    shape("HTTP/9.9", Refused, |_| b"GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n".to_vec()),
    shape("no version", Refused, |_| b"GET /v2/ \r\nHost: x\r\n\r\n".to_vec()),
    shape("nothing", Exactly(&[]), |_| Vec::new()),
    shape("half a head", RefusedOrSilence, |_| b"GET /v2/ HTTP/1.1\r\nHost: x\r\n".to_vec()),
    shape("a preface and noise", Http2, |n| [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &noise(n, 99)[..]].concat()),
    shape("half a preface", RefusedOrSilence, |_| b"PRI * HTTP/2.0\r\n\r\nSM".to_vec()),
    // Request lines.
    shape("CONNECT", Exactly(&[405]), |_| b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    shape("OPTIONS *", Exactly(&[405]), |_| b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    shape("PUT", Exactly(&[405]), |_| method("PUT")),
    shape("POST", Exactly(&[405]), |_| method("POST")),
    shape("PATCH", Exactly(&[405]), |_| method("PATCH")),
    shape("DELETE", Exactly(&[405]), |_| method("DELETE")),
    shape("TRACE", Exactly(&[405]), |_| method("TRACE")),
    shape("unknown method", Exactly(&[405]), |n| method(&format!("M{n}"))),
    shape("lower-case method", Exactly(&[405]), |_| method("get")),
    shape("method with a space", Refused, |_| method("GE T")),
    shape("absolute form of a stranger", Exactly(&[404]), |_| get("http://evil.example/v2/a/manifests/v1")),
    shape("target without a slash", Refused, |_| get("v2/")),
    shape("bare LF in the request line", Refused, |_| b"GET /v2/\nHTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    shape("control character in the target", Refused, |_| get("/v2/\x01/manifests/v1")),
    shape("high bytes in the target", Refused, |_| get("/v2/\u{fc}mlaut/manifests/v1")),
    // Targets.
    shape("long target", Refused, |n| get(&format!("/v2/{}/manifests/v1", "a".repeat(5000 + n % 9000)))),
    shape("very long target", Refused, |_| get(&format!("/v2/{}", "a".repeat(200_000)))),
    shape("dot dot", Exactly(&[400]), |_| ours("team/../app/manifests/v1")),
    shape("encoded dot dot", Exactly(&[400]), |_| ours("team/%2e%2e/app/manifests/v1")),
    shape("encoded slash", Exactly(&[400]), |_| ours("team%2fapp/manifests/v1")),
    shape("encoded zero", Exactly(&[400]), |_| ours("team/app%00/manifests/v1")),
    shape("bad percent-encoding", Exactly(&[400]), |_| ours("team/app%zz/manifests/v1")),
    shape("cut percent-encoding", Exactly(&[400]), |_| ours("team/app/manifests/v1%2")),
    shape("upper-case name", Exactly(&[404]), |n| ours(&format!("Team{n}/App/manifests/v1"))),
    shape("empty components", Refused, |_| ours("team//app/manifests/v1")),
    shape("bad reference", Exactly(&[404]), |_| ours("team/app/manifests/.v1")),
    shape("bad digest", Exactly(&[404]), |n| ours(&format!("team/app/blobs/sha256:{n:063x}"))),
    shape("unknown digest algorithm", Exactly(&[404]), |n| ours(&format!("team/app/blobs/md5:{n:032x}"))),
    shape("catalog", Exactly(&[404]), |_| ours("_catalog")),
    shape("upload", Exactly(&[404]), |_| ours("team/app/blobs/uploads/")),
    shape("other root", Exactly(&[404]), |n| get(&format!("/v{n}/team/app"))),
    shape("foreign ns", Exactly(&[404]), |n| get(&format!("/v2/a/manifests/v1?ns=host{n}.example.com"))),
    shape("ns that is no host", Exactly(&[404]), |_| get("/v2/a/manifests/v1?ns=..%2f..")),
    shape("ns twice", Refused, |_| get(&format!("/v2/a/manifests/v1?ns={DOMAIN}&ns=other.example"))),
    // Heads.
    shape("space before the colon", Exactly(&[400]), |_| with("Host : x")),
    shape("line without a colon", Exactly(&[400]), |_| with("Host x")),
    shape("folded line", Exactly(&[400]), |_| with("Host: x\r\n folded: y")),
    shape("first line folded", Exactly(&[400]), |_| with(" Host: x")),
    shape("control character in a name", Exactly(&[400]), |_| with("Ho\x01st: x")),
    shape("zero in a value", Exactly(&[400]), |_| with("X: a\0b")),
    shape("bare CR in a value", Exactly(&[400]), |_| with("X: a\rb")),
    shape("empty name", Exactly(&[400]), |_| with(": x")),
    shape("a thousand lines", Refused, |_| with(&"X: y\r\n".repeat(1000))),
    shape("long value", Refused, |n| with(&format!("X: {}", "a".repeat(20_000 + n % 9000)))),
    shape("very long value", Refused, |_| with(&format!("X: {}", "a".repeat(600_000)))),
    // Bodies.
    shape("two lengths", Exactly(&[400]), |_| with("Content-Length: 3\r\nContent-Length: 4")),
    shape("negative length", Exactly(&[400]), |_| with("Content-Length: -1")),
    shape("length that is no number", Exactly(&[400]), |_| with("Content-Length: ten")),
    shape("length beyond all numbers", Exactly(&[400]), |_| with(&format!("Content-Length: {}", "9".repeat(40)))),
    shape("length and coding", Exactly(&[400]), |_| with("Content-Length: 3\r\nTransfer-Encoding: chunked")),
    shape("unknown coding", Exactly(&[400]), |_| with("Transfer-Encoding: gzip")),
    shape("chunked and bad chunks", Exactly(&[400]), |_| [&with("Transfer-Encoding: chunked")[..], b"zz\r\n"].concat()),
];
