//! Answers from above that are made to hurt: from the registry, its realm, its bucket, STS and the Container Registry API.
//!
//! Whatever comes, the client has an answer that says who must act within the time that containerd waits, or a body that
//! is cut and so not taken for whole; the daemon's memory stays flat; and when the other side is itself again, an image
//! comes through.

mod answers;
mod bodies;
mod http2;
mod slow;

use std::time::Duration;

use bytes::Bytes;
use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::client::Reply;
use crate::support::{LIMIT, Node, POLL, REPOSITORY, TAG, blob, manifest};

/// The longest that a client may wait for a response head (contract section 3), and a little for a machine with two
/// processors.
const HEAD_LIMIT: Duration = Duration::from_secs(25);

/// The most that resident memory may grow by while an attack goes on. Read-ahead, a manifest of the largest size and
/// what an allocator keeps are a third of it; an answer that is kept without a limit passes it within a second.
const MOST_GROWTH: u64 = 48 * 1024;

/// A node in front of a cloud that is hostile from the first connection on.
async fn besieged(fault: Fault) -> Node {
    let image = Image::random(2, 256 * 1024, 6);
    let cloud = CloudSim::start().await.expect("a cloud");
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    cloud.fault(fault);
    Node::around(cloud, Method::Rrsa, image).await
}

/// Pulls against the fault, in time and in memory.
#[expect(clippy::print_stdout, reason = "the figures are wanted where somebody asks for them")]
async fn attack(what: &str, node: &Node, path: &str) -> Reply {
    let before = Memory::of(node).await;
    let begun = Instant::now();
    let reply = timeout(HEAD_LIMIT, node.mirror.get(path)).await;
    let reply = reply.unwrap_or_else(|_| panic!("{what}: no answer within {HEAD_LIMIT:?}"));
    let after = Memory::of(node).await;
    println!(
        "{what}: {} {} after {:.1} s, resident {} KiB before, {} KiB at most",
        reply.status.as_u16(),
        reply.reason,
        begun.elapsed().as_secs_f64(),
        before.now,
        after.most
    );
    assert!(after.most < before.now + MOST_GROWTH, "{what}: memory went from {} to {} KiB", before.now, after.most);
    reply
}

/// Resident memory of the daemon, in KiB.
struct Memory {
    now: u64,
    most: u64,
}

impl Memory {
    async fn of(node: &Node) -> Self {
        let status =
            tokio::fs::read_to_string(format!("/proc/{}/status", node.daemon.pid())).await.expect("it is alive");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.trim().trim_end_matches(" kB").parse().expect(name)
        };
        Self { now: field("VmRSS:"), most: field("VmHWM:") }
    }
}

/// The other side is itself again: the whole image comes, and nothing secret was said meanwhile.
async fn recovers(what: &str, node: Node) {
    node.cloud.faults().clear();
    let healed = async {
        // What was refused is backed off for a while; nothing tells us when that is over.
        while node.mirror.get(&manifest(TAG)).await.status != StatusCode::OK {
            sleep(POLL).await;
        }
    };
    timeout(LIMIT, healed).await.unwrap_or_else(|_| panic!("{what}: no pull works afterwards"));
    for (digest, bytes) in &node.image.blobs {
        let reply = node.mirror.get(&blob(digest)).await.expect(200);
        assert!(reply.complete && reply.body == *bytes, "{what}: {digest} afterwards");
    }
    node.finish().await;
}

/// One thing that a side may do to hurt.
fn weapons() -> Vec<(&'static str, Effect)> {
    let raw = |first: &str, again: &[u8]| Effect::Raw {
        first: Bytes::from(first.to_owned()),
        again: Bytes::copy_from_slice(again),
    };
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let zeros = vec![b' '; 64 * 1024];
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend_from_slice(&zeros);
    chunk.extend_from_slice(b"\r\n");
    let gzip = HeaderValue::from_static("gzip");
    vec![
        ("endless headers", raw(json, b"X-More: and more and more and more\r\n")),
        ("one endless header", raw(&format!("{json}X-Long: "), &[b'a'; 1024])),
        ("endless interim answers", raw("", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")),
        ("endless JSON without a length", raw(&format!("{json}\r\n[\""), &zeros)),
        ("endless JSON in chunks", raw(&format!("{json}Transfer-Encoding: chunked\r\n\r\n"), &chunk)),
        ("a length beyond all measure", raw(&format!("{json}Content-Length: 18446744073709551615\r\n\r\n{{"), &zeros)),
        ("less than announced", raw(&format!("{json}Content-Length: 100\r\n\r\n{{}}"), b"")),
        ("two lengths", raw(&format!("{json}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}x"), b"")),
        ("no HTTP at all", raw("SSH-2.0-OpenSSH_9.2\r\n", b"")),
        (
            "compressed JSON",
            Effect::Answer {
                status: StatusCode::OK,
                headers: vec![(HeaderName::from_static("content-encoding"), gzip)],
                body: bomb().into(),
            },
        ),
        ("deeply nested JSON", Effect::answer(StatusCode::OK, "[".repeat(30_000))),
        ("JSON that is cut", Effect::CutAfter(7)),
        ("a wrong certificate", Effect::WrongCertificate),
        ("a redirect", Effect::Redirect("https://collector.example.com/?take=this".to_owned())),
    ]
}

/// A gzip member whose 52 KB unpack to 8 MiB of zeros: fixed Huffman codes, one literal and then only "258 bytes, one
/// back" (RFC 1951 section 3.2.6). Its checksum is not right, and nobody should come so far as to notice.
fn bomb() -> Vec<u8> {
    let mut bits = vec![true, true, false];
    bits.extend([false, false, true, true, false, false, false, false]);
    for _ in 0..(8 << 20) / 258 {
        bits.extend([true, true, false, false, false, true, false, true, false, false, false, false, false]);
    }
    bits.extend([false; 7]);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bytes.extend(bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |value, bit| value << 1 | u8::from(*bit))));
    bytes.extend([0; 8]);
    bytes
}

/// These weapons in the hand of one service, each against a node of its own, all at once: most of the time nobody does
/// anything but wait.
async fn siege(service: Service, weapons: Vec<(&'static str, Effect)>, judge: fn(&str, &Reply)) {
    let mut fights = JoinSet::new();
    for (what, effect) in weapons {
        fights.spawn(async move {
            let what = format!("{service:?}, {what}");
            let node = besieged(Fault::on(service, effect)).await;
            judge(&what, &attack(&what, &node, &manifest(TAG)).await);
            recovers(&what, node).await;
        });
    }
    while let Some(fight) = fights.join_next().await {
        fight.expect("a fight ends well");
    }
}
