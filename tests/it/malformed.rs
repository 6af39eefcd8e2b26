//! What no proper client sends: ten thousand malformed requests, requests smuggled behind others, senders that never come
//! to an end, and a daemon without descriptors. None of it reaches the cloud, takes memory for good, or ends the daemon.

mod http2;
pub(crate) mod shapes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use cloudsim::journal::Service;
use cloudsim::{CloudSim, Method};
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::daemon::{Daemon, PROGRAM};
use crate::support::node::get;
use crate::support::{DOMAIN, LIMIT, Node, POLL, TAG, manifest};
use shapes::{Answer, SHAPES};

/// How many malformed requests are sent, and how many at a time.
const REQUESTS: usize = 10_000;
const AT_ONCE: usize = 32;
/// Fewest different shapes.
const FEWEST_SHAPES: usize = 40;
/// What the daemon may grow by: buffers of connections that were open at once, and what the allocator keeps of them.
const MOST_GROWTH_KIB: u64 = 8 * 1024;

/// Check 14 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_malformed_requests_change_nothing() {
    let shapes: BTreeMap<_, _> = SHAPES.iter().map(|shape| (shape.name, shape)).collect();
    assert!(shapes.len() >= FEWEST_SHAPES && shapes.len() == SHAPES.len(), "{} shapes", shapes.len());
    let node = Node::start().await;
    // Its own calls are made by then; a pull would be followed by others ahead of need.
    while get(node.daemon.admin, "/readyz").await.0 != 200 {
        tokio::time::sleep(POLL).await;
    }
    let journal = node.cloud.journal();
    let asked_before = journal.entries().len();
    // Once around, so that what is allocated once is there.
    send(node.daemon.listen, SHAPES.len() * 8).await;
    let before = resident(node.daemon.pid());
    let begun = Instant::now();
    let sent = send(node.daemon.listen, REQUESTS).await;
    let took = begun.elapsed();
    let after = resident(node.daemon.pid());
    println!(
        "{sent} malformed requests of {} shapes in {took:.1?}: {before} KiB before, {after} KiB after",
        shapes.len()
    );
    assert_eq!(sent, REQUESTS);
    assert!(after <= before + MOST_GROWTH_KIB, "{before} KiB became {after} KiB");
    let asked: Vec<_> = journal.entries().split_off(asked_before);
    let asked: Vec<_> =
        asked.iter().map(|entry| format!("{:?} {} {}", entry.service, entry.method, entry.path)).collect();
    assert!(asked.is_empty(), "a malformed request reached the cloud: {asked:#?}");
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.finish().await;
}

/// Sends `count` requests, shape after shape, each on a connection of its own; how many were answered as they should.
async fn send(address: SocketAddr, count: usize) -> usize {
    let numbers = stream::iter(0..count);
    let answered = numbers.map(|number| async move {
        send_one(TcpStream::connect(address).await.unwrap(), number).await;
    });
    answered.buffer_unordered(AT_ONCE).count().await
}

/// Sends the `number`th request on a connection of its own, which has to be answered as its shape says.
pub(crate) async fn send_one(stream: impl AsyncRead + AsyncWrite + Unpin, number: usize) {
    let shape = &SHAPES[number % SHAPES.len()];
    let bytes = (shape.bytes)(number);
    let finish = match shape.answer {
        Answer::Refused | Answer::Exactly([_, ..]) => Finish::WithAnswer,
        Answer::RefusedOrSilence | Answer::Exactly([]) | Answer::Http2 => Finish::AtOnce,
    };
    let answer =
        timeout(LIMIT, exchange(stream, &bytes, finish)).await.unwrap_or_else(|_| panic!("{}: open", shape.name));
    let text = String::from_utf8_lossy(&answer);
    let statuses = statuses(&text);
    let good = match shape.answer {
        Answer::Refused => statuses.len() == 1 && (400..500).contains(&statuses[0]),
        Answer::RefusedOrSilence => statuses.iter().all(|status| (400..500).contains(status)) && statuses.len() < 2,
        Answer::Exactly(expected) => statuses == expected,
        Answer::Http2 => !text.contains("HTTP/1.1"),
    };
    assert!(good, "{}: {statuses:?}\n{text}", shape.name);
    assert!(!statuses.contains(&401) && !text.to_lowercase().contains("www-authenticate"), "{}", shape.name);
}

/// When the sender says that no more comes. To the daemon, a client that says so before it has an answer has left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// At once: the daemon is still waiting for the rest.
    AtOnce,
    /// With the answer's head, so that a connection is not kept.
    WithAnswer,
    /// Never: it is the daemon that has to close.
    Never,
}

/// Sends bytes as they are, and reads until the daemon closes.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8], finish: Finish) -> Vec<u8> {
    // The daemon may answer and close before it has read everything.
    stream.write_all(bytes).await.ok();
    stream.flush().await.ok();
    let mut answer = Vec::new();
    if finish == Finish::WithAnswer {
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut answer).await.unwrap_or(0) == 0 {
                return answer;
            }
        }
    }
    if finish != Finish::Never {
        stream.shutdown().await.ok();
    }
    stream.read_to_end(&mut answer).await.ok();
    answer
}

/// The status codes of all answers in a text; a body of ours has no line that begins like one.
fn statuses(text: &str) -> Vec<u16> {
    let heads = text.split("HTTP/1.").skip(1);
    heads.filter_map(|head| head.split(' ').nth(1)?.get(..3)?.parse().ok()).collect()
}

/// Resident memory of a process in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Processor time of a process so far, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_body_is_never_a_request() {
    let node = Node::start().await;
    let inner = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", manifest(TAG));
    let length = inner.len();
    for head in [
        format!("Content-Length: {length}"),
        format!("Content-Length: 0\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding:\tchunked".to_owned(),
        "Transfer-Encoding: \x0bchunked".to_owned(),
        format!("X: y\r\n Content-Length: {length}"),
        format!("Content-Length: +{length}"),
        format!("Content-Length: {length}, {length}"),
        format!("Content-Length: 0x{length:x}"),
    ] {
        for body in [inner.clone(), format!("0\r\n\r\n{inner}"), format!("{length:x}\r\n{inner}\r\n0\r\n\r\n{inner}")] {
            let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{body}");
            let stream = TcpStream::connect(node.daemon.listen).await.unwrap();
            let answer = exchange(stream, request.as_bytes(), Finish::Never).await;
            let answers = statuses(&String::from_utf8_lossy(&answer));
            assert_eq!(answers, [400], "{head}");
        }
    }
    assert_eq!(node.cloud.journal().count(Service::Registry), 0, "a smuggled request was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_and_a_head_that_never_comes_hold_nobody_up() {
    let node = Node::start().await;
    let mut stream = TcpStream::connect(node.daemon.listen).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n", manifest(TAG));
    stream.write_all(request.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut answer = String::new();
    // Half of the body's first line keeps coming while the answer is read.
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        while writer.write_all(b"still coming ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        read = reader.read_to_string(&mut answer) => drop(read),
        () = sending => {}
    }
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    // A hundred connections that say nothing, or half a line, and one that has something to say.
    let mut silent = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(node.daemon.listen).await.unwrap();
        let begun: &[u8] = [&b""[..], b"GET /v2/", b"PRI * HTTP/2.0", b"\x16\x03"][number % 4];
        stream.write_all(begun).await.unwrap();
        silent.push(stream);
    }
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.finish().await;
}

/// Descriptors of a daemon that has few: its own, and some for the cloud.
const FEW: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_it_waits_and_goes_on_when_there_are_some() {
    let cloud = CloudSim::start().await.unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {FEW}; exec \"$@\""), "sh", PROGRAM]);
    let mut daemon = Daemon::through(&cloud.node_config(Method::WorkerRole), shell).await;
    let mut crowd = Vec::new();
    for _ in 0..4 * FEW {
        crowd.push(TcpStream::connect(daemon.listen).await.unwrap());
    }
    let complaint = |line: &serde_json::Value| line["msg"] == "no connection can be accepted";
    daemon.wait_for_line(LIMIT, complaint).await;
    // Over a second in which it could do nothing but try.
    let before = ticks(daemon.pid());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = ticks(daemon.pid()) - before;
    assert!(used < 30, "{used}0 ms of processor time in a second of waiting");
    drop(crowd);
    let request = format!("GET /v2/?ns={DOMAIN} HTTP/1.1\r\nHost: x\r\n\r\n");
    let stream = TcpStream::connect(daemon.listen).await.unwrap();
    let answer = timeout(LIMIT, exchange(stream, request.as_bytes(), Finish::WithAnswer)).await.unwrap();
    assert_eq!(statuses(&String::from_utf8_lossy(&answer)), [200]);
    daemon.stop();
}
