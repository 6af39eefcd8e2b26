use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{REST, Via};
use crate::http::Body;
use crate::http::body::{collect_limited, empty};
use crate::http::client::{Client, HostOverride, HostTarget, Params, TargetHost};

const WITHIN: Duration = Duration::from_secs(9);
const RANGE: &str = "bytes=0-4";

/// A server that answers every request with these bytes and closes; what it was asked comes out.
async fn server(answer: &'static str) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(sender.send(head(&mut stream).await));
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (port, requests)
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A client whose requests to `bucket.test` end at `origin`, unless the proxy takes them.
fn client(origin: u16, proxy: u16) -> Client {
    let target = HostTarget { host: TargetHost::Address([127, 0, 0, 1].into()), port: Some(origin) };
    let overrides = vec![HostOverride { name: "bucket.test".to_owned(), targets: vec![target] }];
    let blob_proxy = Some(format!("http://127.0.0.1:{proxy}"));
    let local_names = Vec::new();
    Client::new(Params { overrides, local_names, blob_proxy, extra_roots: None, connect_timeout: WITHIN })
        .unwrap()
        .http1_only()
}

fn get(range: Option<&str>) -> http::Request<Body> {
    let request = http::Request::get("http://bucket.test/blob?Signature=a%2Fb&security-token=c&Expires=1");
    let request = range.into_iter().fold(request, |request, range| request.header("range", range));
    request.body(empty()).unwrap()
}

/// What came, and by which way.
async fn ask(client: &Client, range: Option<&str>) -> (String, Option<Via>, u16) {
    let response = client.send(get(range), WITHIN).await.unwrap();
    let (via, status) = (response.extensions().get().copied(), response.status().as_u16());
    let body = collect_limited(response.into_body(), 100).await.map(|bytes| String::from_utf8_lossy(&bytes).into());
    (body.unwrap_or_else(|_| "cut".to_owned()), via, status)
}

const DIRECT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ndirect";

#[tokio::test]
async fn the_proxy_is_asked_in_absolute_form_and_told_what_names_the_object() {
    let (origin, _) = server(DIRECT).await;
    let (proxy, mut asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy").await;
    assert_eq!(ask(&client(origin, proxy), None).await, ("proxy".to_owned(), Some(Via::Proxy), 200));
    let head = asked.recv().await.unwrap();
    let url = "http://bucket.test/blob?Signature=a%2Fb&security-token=c&Expires=1";
    assert!(head.starts_with(&format!("GET {url} HTTP/1.1\r\n")), "{head}");
    for line in [
        "host: bucket.test\r\n",
        "x-dragonfly-use-p2p: true\r\n",
        "x-dragonfly-filtered-query-params: Signature,security-token,Expires\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
}

#[tokio::test]
async fn a_request_with_a_credential_never_goes_to_the_proxy() {
    let (origin, _) = server(DIRECT).await;
    let (proxy, mut asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy").await;
    let mut request = get(None);
    request.headers_mut().insert("authorization", http::HeaderValue::from_static("Bearer secret"));
    let response = client(origin, proxy).send(request, WITHIN).await.unwrap();
    assert_eq!(collect_limited(response.into_body(), 100).await.unwrap(), "direct");
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn a_proxy_that_fails_is_done_without_and_left_alone() {
    for answer in [
        "",
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "no HTTP at all\r\n\r\n",
    ] {
        let (origin, _) = server(DIRECT).await;
        let (proxy, mut asked) = server(answer).await;
        let client = client(origin, proxy);
        assert_eq!(ask(&client, None).await, ("direct".to_owned(), Some(Via::Instead), 200), "{answer}");
        assert_eq!(ask(&client, None).await, ("direct".to_owned(), None, 200), "{answer}");
        asked.recv().await.unwrap();
        assert!(asked.try_recv().is_err(), "{answer}");
    }
}

#[tokio::test]
async fn a_proxy_that_comes_back_is_used_again() {
    let (origin, _) = server(DIRECT).await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let client = client(origin, unused);
    assert_eq!(ask(&client, None).await.1, Some(Via::Instead));
    tokio::time::pause();
    tokio::time::advance(REST).await;
    tokio::time::resume();
    let listener = TcpListener::bind(("127.0.0.1", unused)).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy").await.unwrap();
    });
    assert_eq!(ask(&client, None).await, ("proxy".to_owned(), Some(Via::Proxy), 200));
}

#[tokio::test]
async fn what_the_bucket_says_through_the_proxy_is_asked_of_the_bucket_and_held_against_nobody() {
    let (origin, _) = server(DIRECT).await;
    let refusal = "HTTP/1.1 403 Forbidden\r\nx-oss-request-id: 5C3D\r\ncontent-length: 0\r\n\r\n";
    let (proxy, mut asked) = server(refusal).await;
    let client = client(origin, proxy);
    for _ in 0..2 {
        assert_eq!(ask(&client, None).await, ("direct".to_owned(), None, 200));
        asked.recv().await.unwrap();
    }
}

#[tokio::test]
async fn ranges_are_taken_in_each_of_the_forms_that_are_known_and_in_no_other() {
    let good = [
        ("HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-4/9\r\ncontent-length: 5\r\n\r\nproxy", 206),
        // dfdaemon.
        ("HTTP/1.1 200 OK\r\ncontent-range: bytes 0-4/9\r\ncontent-length: 5\r\n\r\nproxy", 206),
        // OSS, of a blob that ends before the range does.
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy", 200),
    ];
    for (answer, status) in good {
        let (proxy, _) = server(answer).await;
        assert_eq!(ask(&client(1, proxy), Some(RANGE)).await, ("proxy".to_owned(), Some(Via::Proxy), status));
    }
    let bad = [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nthe whole",
        "HTTP/1.1 200 OK\r\ncontent-range: bytes 4-8/9\r\ncontent-length: 9\r\n\r\nelsewhere",
        "HTTP/1.1 200 OK\r\n\r\nof no length",
    ];
    for answer in bad {
        let (origin, _) = server(DIRECT).await;
        let (proxy, _) = server(answer).await;
        assert_eq!(ask(&client(origin, proxy), Some(RANGE)).await.1, Some(Via::Instead), "{answer}");
    }
}

#[tokio::test]
async fn a_proxy_that_cuts_a_body_is_not_asked_for_the_rest() {
    let (origin, _) = server(DIRECT).await;
    let (proxy, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nproxy").await;
    let client = client(origin, proxy);
    assert_eq!(ask(&client, None).await, ("cut".to_owned(), Some(Via::Proxy), 200));
    assert_eq!(ask(&client, None).await, ("direct".to_owned(), None, 200));
}

#[tokio::test]
async fn a_silent_proxy_leaves_time_for_the_direct_way() {
    let (origin, _) = server(DIRECT).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(origin, silent.local_addr().unwrap().port());
    assert_eq!(ask(&client, None).await, ("direct".to_owned(), Some(Via::Instead), 200));
}
