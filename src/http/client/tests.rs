use std::time::Duration;

use bytes::Bytes;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::LazyConfigAcceptor;

use super::{Client, ClientError, HostOverride, HostTarget, Params, TargetHost};
use crate::error::{Explain, chain};
use crate::http::body::{collect_limited, empty};

fn client(name: &str, port: u16) -> Client {
    Client::new(params(name, port)).unwrap()
}

fn params(name: &str, port: u16) -> Params {
    let target = HostTarget { host: TargetHost::Address([127, 0, 0, 1].into()), port: Some(port) };
    let overrides = vec![HostOverride { name: name.to_owned(), targets: vec![target] }];
    let connect_timeout = Duration::from_millis(500);
    Params { overrides, local_names: Vec::new(), blob_proxy: None, extra_roots: None, connect_timeout }
}

fn get(url: &str) -> http::Request<crate::http::Body> {
    http::Request::get(url).body(empty()).unwrap()
}

/// Accepts one connection after the other and answers each request with the given bytes, then closes.
async fn server(answer: &'static [u8]) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            drop(sender.send(String::from_utf8_lossy(&request[..length]).into_owned()));
            drop(stream.write_all(answer).await);
        }
    });
    (port, requests)
}

#[tokio::test]
async fn an_override_keeps_the_host_header_even_where_the_url_has_a_port() {
    let (port, mut requests) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let client = client("registry.test", port);
    let answer = client.send(get("http://registry.test:5000/v2/?a=%2f"), Duration::from_secs(5)).await.unwrap();
    assert_eq!(collect_limited(answer.into_body(), 10).await.unwrap(), "ok");
    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("GET /v2/?a=%2f HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("host: registry.test:5000\r\n"), "{request}");
}

#[tokio::test]
async fn each_way_of_not_answering_is_told_apart_and_shows_no_url() {
    let within = Duration::from_secs(5);
    let (closing, _requests) = server(b"").await;
    let closed = client("a.test", closing).send(get("http://a.test/?s=secret"), within).await.unwrap_err();
    assert!(matches!(closed, ClientError::Closed { .. }), "{closed:?}");

    // Bound and let go of again: nobody listens there.
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = client("a.test", unused).send(get("http://a.test/?s=secret"), within).await.unwrap_err();
    assert!(matches!(refused, ClientError::Connect { .. }), "{refused:?}");

    // Bound and never accepted from: the kernel answers, nobody else does.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let limit = Duration::from_millis(50);
    let late = client("a.test", port).send(get("http://a.test/?s=secret"), limit).await.unwrap_err();
    assert!(matches!(late, ClientError::Timeout { .. }), "{late:?}");
    let handshake = client("a.test", port).send(get("https://a.test/?s=secret"), within).await.unwrap_err();
    assert!(matches!(handshake, ClientError::Connect { .. }), "{handshake:?}");

    for error in [closed, refused, late, handshake] {
        let shown = format!("{} {error:?}", chain(&error));
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_certificate_of_a_ca_that_is_not_trusted_is_told_apart() {
    let cloud = cloudsim::CloudSim::start().await.unwrap();
    let stranger = client("sts.aliyuncs.com", cloud.tls_addr().port());
    let url = "https://sts.aliyuncs.com/";
    let error = stranger.send(get(url), Duration::from_secs(5)).await.unwrap_err();
    assert!(error.is_certificate(), "{}", chain(&error));
    assert!(error.advice().unwrap().contains("caFile"));
}

#[tokio::test]
async fn a_connection_on_which_nothing_was_answered_carries_no_further_request() {
    let cloud = cloudsim::CloudSim::start().await.unwrap();
    let silence = Effect::Frames { first: Bytes::new(), again: Bytes::new() };
    let silent = cloud.fault(Fault::on(Service::Sts, silence).once());
    let client = Client::new(Params {
        extra_roots: Some(cloud.ca_pem().to_owned()),
        ..params("sts.aliyuncs.com", cloud.tls_addr().port())
    });
    let client = client.unwrap();
    let url = "https://sts.aliyuncs.com/";
    // Before a probe could have found the connection dead.
    let error = client.send(get(url), Duration::from_millis(500)).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    client.send(get(url), Duration::from_millis(1200)).await.unwrap();
    assert_eq!(cloud.faults().struck(silent), 1);
}

#[tokio::test]
async fn a_connection_opened_ahead_of_need_is_the_one_that_is_used() {
    for driven in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client("registry.test", listener.local_addr().unwrap().port());
        let client = if driven { client.http1_only() } else { client };
        let url = "http://registry.test/v2/";
        let origin = crate::http::origin::SafeUri::parse(url).unwrap().origin().clone();
        client.warm(&origin, 1);
        client.warm(&origin, 1);
        let (mut stream, _) = listener.accept().await.unwrap();
        until_ready(&client, url).await;
        let answered = tokio::spawn(async move {
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            stream
        });
        let answer = client.send(get(url), Duration::from_secs(2)).await.unwrap();
        assert_eq!(answer.status(), 200, "driven: {driven}");
        let _stream = answered.await.unwrap();
        let another = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(another.is_err(), "a second connection was opened");
    }
}

#[tokio::test]
async fn a_connection_that_the_other_side_closed_meanwhile_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client("registry.test", listener.local_addr().unwrap().port());
    let url = "http://registry.test/v2/";
    client.warm(crate::http::origin::SafeUri::parse(url).unwrap().origin(), 1);
    drop(listener.accept().await.unwrap());
    until_ready(&client, url).await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    assert_eq!(client.send(get(url), Duration::from_secs(2)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn http2_is_offered_to_everybody_but_buckets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let both = client("a.test", listener.local_addr().unwrap().port());
    let buckets = both.http1_only();
    for (client, expected) in [(both, vec!["h2", "http/1.1"]), (buckets, vec!["http/1.1"])] {
        let hello = async {
            let stream = listener.accept().await.unwrap().0;
            let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.unwrap();
            let offered: Vec<_> = start.client_hello().alpn().unwrap().map(<[u8]>::to_vec).collect();
            offered
        };
        // The handshake ends here, and the request with it.
        let (offered, _) = tokio::join!(hello, client.send(get("https://a.test/"), Duration::from_secs(5)));
        assert_eq!(offered, expected.into_iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>());
    }
}

/// Waits until a connection that was opened ahead lies where it is found.
async fn until_ready(client: &Client, url: &str) {
    let uri = url.parse().unwrap();
    let lies_ready = async {
        while client.connector.ready_for(&uri) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), lies_ready).await.unwrap();
}
