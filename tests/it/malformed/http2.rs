//! What is known to bring HTTP/2 servers down, frame by frame.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{MOST_GROWTH_KIB, resident};
use crate::support::{DOMAIN, LIMIT, Node, REPOSITORY, TAG, manifest};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Frames and their flags (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

// Why a stream or a connection ends (section 7).
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Requests at once that the daemon allows on a connection.
const STREAMS: usize = 32;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Never in the table of header compression, never Huffman (RFC 7541, section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// The head of a GET: `:method: GET`, `:scheme: http` of the static table, and the rest as literals.
fn head(path: &str) -> Vec<u8> {
    [vec![0x82, 0x86], literal(":path", path), literal(":authority", "x")].concat()
}

fn request(stream: usize, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, id(stream), &head(path))
}

/// The id of the `n`th stream of a client.
fn id(n: usize) -> u32 {
    u32::try_from(2 * n + 1).unwrap()
}

/// A frame that came.
struct Came {
    kind: u8,
    payload: Vec<u8>,
}

impl Came {
    /// Why it ends a stream or the connection.
    fn reason(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap()))
    }
}

/// Sends the preface, these settings and these bytes, reading all the while; what came until the daemon closed, or until
/// `enough` of it is there.
async fn attack(address: SocketAddr, settings: &[u8], bytes: &[u8], enough: impl Fn(&[Came]) -> bool) -> Vec<Came> {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let all = [PREFACE, &frame(SETTINGS, 0, 0, settings), bytes].concat();
    // The daemon may close before it has read everything.
    let sending = tokio::spawn(async move {
        writer.write_all(&all).await.ok();
        writer
    });
    let mut came = Vec::new();
    let reading = async {
        let mut head = [0; 9];
        while !enough(&came) && reader.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if reader.read_exact(&mut payload).await.is_err() {
                break;
            }
            came.push(Came { kind: head[3], payload });
        }
    };
    timeout(LIMIT, reading).await.expect("the daemon closes, or goes on");
    drop(timeout(LIMIT, sending).await.expect("what is sent is read, or the connection closed"));
    came
}

fn count(came: &[Came], kind: u8) -> usize {
    came.iter().filter(|frame| frame.kind == kind).count()
}

/// The reasons of all frames of a kind.
fn reasons(came: &[Came], kind: u8) -> Vec<u32> {
    came.iter().filter(|frame| frame.kind == kind).filter_map(Came::reason).collect()
}

/// No end: whatever comes until the daemon closes.
fn until_closed(_: &[Came]) -> bool {
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_cancelled_at_once_end_the_connection() {
    let node = Node::start().await;
    let cancelled = |n| [request(n, "/v2/"), frame(RST_STREAM, 0, id(n), &CANCEL.to_be_bytes())].concat();
    let bytes: Vec<_> = (0..10_000).flat_map(cancelled).collect();
    let came = attack(node.daemon.listen, &[], &bytes, until_closed).await;
    // Either limit may be met first: that on streams which nobody waits for, or that on requests of a connection.
    assert!(count(&came, GOAWAY) > 0, "{:?}", reasons(&came, GOAWAY));
    assert!(count(&came, HEADERS) <= 1000, "{} answers", count(&came, HEADERS));
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_ends_the_connection() {
    let node = Node::start().await;
    let filler = literal("x-filler", &"x".repeat(100)).repeat(100);
    let mut bytes = frame(HEADERS, END_STREAM, 1, &head("/v2/"));
    for _ in 0..2_000 {
        bytes.extend(frame(CONTINUATION, 0, 1, &filler));
    }
    let came = attack(node.daemon.listen, &[], &bytes, until_closed).await;
    assert_eq!(reasons(&came, GOAWAY), [ENHANCE_YOUR_CALM]);
    assert_eq!(count(&came, HEADERS), 0);
    // Empty ones are no head either.
    let mut bytes = frame(HEADERS, END_STREAM, 1, &head("/v2/"));
    bytes.extend(frame(CONTINUATION, 0, 1, &[]).repeat(100_000));
    let came = attack(node.daemon.listen, &[], &bytes, until_closed).await;
    assert_eq!(reasons(&came, GOAWAY), [ENHANCE_YOUR_CALM]);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_refused_and_the_next_request_answered() {
    let node = Node::start().await;
    // More than is kept of a head, and less than what ends the connection.
    let long = literal("x-filler", &"x".repeat(100)).repeat(120);
    let mut bytes = frame(HEADERS, END_STREAM, id(0), &head("/v2/"));
    for _ in 0..4 {
        bytes.extend(frame(CONTINUATION, 0, id(0), &long));
    }
    bytes.extend(frame(CONTINUATION, END_HEADERS, id(0), &long));
    bytes.extend(request(1, "/v2/"));
    let came = attack(node.daemon.listen, &[], &bytes, |came| count(came, HEADERS) == 2).await;
    let statuses: Vec<_> = came.iter().filter(|frame| frame.kind == HEADERS).map(|frame| frame.payload[0]).collect();
    // 431 is a literal with the name of the eighth entry of the static table, 200 that entry itself.
    assert_eq!(statuses.len(), 2, "{:?}", reasons(&came, GOAWAY));
    assert!(statuses[0] != 0x88 && statuses.contains(&0x88), "{statuses:x?}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_pings_without_number_take_no_memory() {
    let node = Node::start().await;
    let frames = [frame(SETTINGS, 0, 0, &[]), frame(PING, 0, 0, &[7; 8])].concat();
    // With as many answers as frames, and one request behind them.
    let flood = |rounds: usize| [frames.repeat(rounds), request(0, "/v2/")].concat();
    let answered = |came: &[Came]| came.last().is_some_and(|frame| frame.kind == HEADERS);
    attack(node.daemon.listen, &[], &flood(1_000), answered).await;
    let before = resident(node.daemon.pid());
    attack(node.daemon.listen, &[], &flood(100_000), answered).await;
    // To one who reads none of the answers, no more of them are kept than fit into the socket.
    let mut deaf = TcpStream::connect(node.daemon.listen).await.unwrap();
    deaf.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let bytes = frames.repeat(1_000_000);
    let stuck = timeout(std::time::Duration::from_secs(3), deaf.write_all(&bytes)).await;
    let after = resident(node.daemon.pid());
    assert!(after <= before + MOST_GROWTH_KIB, "{before} KiB became {after} KiB");
    assert!(!matches!(stuck, Ok(Ok(()))), "all of it was read without an answer being taken");
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_are_allowed_are_refused() {
    let node = Node::start().await;
    // A window of no bytes for answers (SETTINGS_INITIAL_WINDOW_SIZE), so that none of them ends.
    let no_window = [0, 4, 0, 0, 0, 0];
    let path = format!("/v2/{REPOSITORY}/manifests/{TAG}?ns={DOMAIN}");
    let bytes: Vec<_> = (0..3 * STREAMS).flat_map(|n| request(n, &path)).collect();
    let all = |came: &[Came]| count(came, HEADERS) + count(came, RST_STREAM) == 3 * STREAMS;
    let came = attack(node.daemon.listen, &no_window, &bytes, all).await;
    assert_eq!(count(&came, HEADERS), STREAMS);
    assert_eq!(reasons(&came, RST_STREAM), vec![REFUSED_STREAM; 2 * STREAMS]);
    node.finish().await;
}
