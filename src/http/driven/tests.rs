use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::http::Body;
use crate::http::body::{collect_limited, empty};
use crate::http::client::{Client, HostOverride, HostTarget, Params, TargetHost};

const WITHIN: Duration = Duration::from_secs(5);

/// A client whose every request to `bucket.test` ends at `port`.
fn client(port: u16) -> Client {
    let target = HostTarget { host: TargetHost::Address([127, 0, 0, 1].into()), port: Some(port) };
    let overrides = vec![HostOverride { name: "bucket.test".to_owned(), targets: vec![target] }];
    Client::new(Params {
        overrides,
        local_names: Vec::new(),
        blob_proxy: None,
        extra_roots: None,
        connect_timeout: WITHIN,
    })
    .unwrap()
    .http1_only()
}

async fn get(client: &Client) -> Result<http::Response<Body>, crate::http::client::ClientError> {
    client.send(http::Request::get("http://bucket.test/blob?sig=1").body(empty()).unwrap(), WITHIN).await
}

/// A server that hands each accepted connection to the test.
async fn server() -> (u16, mpsc::UnboundedReceiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, accepted) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(sender.send(stream));
        }
    });
    (port, accepted)
}

/// Reads one request head.
async fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_connection_whose_body_was_read_serves_the_next_request() {
    let (port, mut accepted) = server().await;
    let client = client(port);
    let serve = async {
        let mut stream = accepted.recv().await.unwrap();
        for _ in 0..3 {
            let head = request(&mut stream).await;
            assert!(
                head.starts_with("GET /blob?sig=1 HTTP/1.1\r\n") && head.contains("host: bucket.test\r\n"),
                "{head}"
            );
            stream.write_all(HELLO).await.unwrap();
        }
        assert!(accepted.try_recv().is_err(), "one connection is enough");
    };
    let ask = async {
        for _ in 0..3 {
            let body = get(&client).await.unwrap().into_body();
            assert_eq!(collect_limited(body, 10).await.unwrap(), "hello");
        }
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_failure() {
    let (port, mut accepted) = server().await;
    let client = client(port);
    let serve = async {
        for _ in 0..2 {
            let mut stream = accepted.recv().await.unwrap();
            request(&mut stream).await;
            stream.write_all(HELLO).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    };
    let ask = async {
        for _ in 0..2 {
            let body = get(&client).await.unwrap().into_body();
            assert_eq!(collect_limited(body, 10).await.unwrap(), "hello");
        }
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_body_that_is_dropped_half_read_takes_its_connection_along() {
    let (port, mut accepted) = server().await;
    let client = client(port);
    let serve = async {
        let mut first = accepted.recv().await.unwrap();
        request(&mut first).await;
        first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhello").await.unwrap();
        assert_eq!(first.read(&mut [0]).await.unwrap_or(0), 0, "the client has left");
        let mut second = accepted.recv().await.unwrap();
        request(&mut second).await;
        second.write_all(HELLO).await.unwrap();
    };
    let ask = async {
        drop(get(&client).await.unwrap());
        let body = get(&client).await.unwrap().into_body();
        assert_eq!(collect_limited(body, 10).await.unwrap(), "hello");
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_no_end() {
    let (port, mut accepted) = server().await;
    let client = client(port);
    let serve = async {
        let mut stream = accepted.recv().await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhello").await.unwrap();
    };
    let (response, ()) = tokio::join!(get(&client), serve);
    assert!(collect_limited(response.unwrap().into_body(), 10_000).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_closed_by_a_look_at_the_pool_alone() {
    let (port, mut accepted) = server().await;
    let client = client(port);
    let ask = async { collect_limited(get(&client).await.unwrap().into_body(), 10).await.unwrap() };
    let serve = async {
        let mut stream = accepted.recv().await.unwrap();
        request(&mut stream).await;
        stream.write_all(HELLO).await.unwrap();
        stream
    };
    let (_, mut stream) = tokio::join!(ask, serve);
    client.close_idle();
    assert!(timeout(Duration::from_secs(1), stream.read_u8()).await.is_err(), "it was closed while it was young");
    tokio::time::advance(Duration::from_mins(1)).await;
    client.close_idle();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}
