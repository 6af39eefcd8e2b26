//! Frames that are made to hurt. The registry, its realm and the cloud's APIs are asked over HTTP/2 where they offer it, all
//! by the same client, so that one of them is enough for most; buckets are offered HTTP/1.1 only
//! (`src/http/client/tests.rs`).

use cloudsim::fault::Effect;
use cloudsim::journal::Service;

use super::answers::refused;
use super::siege;

/// Types and flags of frames (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The largest payload that a client takes unless it says otherwise.
const PAYLOAD: usize = 16 * 1024;

/// `:status: 200` (RFC 7541 appendix A, entry 8).
const STATUS_200: u8 = 0x88;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal field with a name and value that are all `a`, kept in the table of the client (RFC 7541 section 6.2.1).
fn literal(length: u8) -> Vec<u8> {
    let mut field = vec![0x40, 1, b'a', length];
    field.extend(std::iter::repeat_n(b'a', length.into()));
    field
}

fn weapons() -> Vec<(&'static str, Effect)> {
    let frames = |first: Vec<u8>, again: Vec<u8>| Effect::Frames { first: first.into(), again: again.into() };
    let good_head = frame(HEADERS, END_HEADERS, 1, &[STATUS_200]);
    let open_head = frame(HEADERS, 0, 1, &[STATUS_200]);
    // One field of a hundred bytes, named again by each byte that follows: some hundred times as much as was sent.
    let mut unpacks = [&[STATUS_200][..], &literal(100)].concat();
    unpacks.resize(PAYLOAD, 0xbe);
    vec![
        ("endless header frames", frames(open_head.clone(), frame(CONTINUATION, 0, 1, &literal(100)))),
        ("endless empty header frames", frames(open_head.clone(), frame(CONTINUATION, 0, 1, &[]))),
        ("headers that unpack to much", frames(frame(HEADERS, END_HEADERS, 1, &unpacks), Vec::new())),
        (
            "headers that unpack without end",
            frames(frame(HEADERS, 0, 1, &unpacks), frame(CONTINUATION, 0, 1, &[0xbe; PAYLOAD])),
        ),
        ("no head but interim ones", frames(Vec::new(), frame(HEADERS, END_HEADERS, 1, &[0x08, 3, b'1', b'0', b'3']))),
        ("endless data", frames(good_head.clone(), frame(DATA, 0, 1, &[b' '; PAYLOAD]))),
        ("endless empty data", frames(good_head.clone(), frame(DATA, 0, 1, &[]))),
        ("a head and no data", frames(good_head, Vec::new())),
        ("endless settings", frames(Vec::new(), frame(SETTINGS, 0, 0, &[]))),
        ("endless pings", frames(Vec::new(), frame(PING, 0, 0, &[0; 8]))),
        ("a window beyond all measure", frames(Vec::new(), frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]))),
        ("a promise", frames(frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, STATUS_200]), Vec::new())),
        ("a reset", frames(frame(RST_STREAM, 0, 1, &[0, 0, 0, 7]), Vec::new())),
        ("a farewell", frames(frame(GOAWAY, 0, 0, &[0; 8]), Vec::new())),
        ("a frame beyond all measure", frames(vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1], vec![0; PAYLOAD])),
        ("no frames at all", frames(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec(), Vec::new())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_registry_and_the_cloud() {
    let few = ["endless header frames", "headers that unpack without end", "endless data", "endless pings"];
    let few = || weapons().into_iter().filter(|(what, _)| few.contains(what)).collect();
    tokio::join!(
        siege(Service::Registry, weapons(), refused),
        siege(Service::Realm, few(), refused),
        siege(Service::Sts, few(), refused),
    );
}
