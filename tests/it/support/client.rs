//! A client of the daemon that shows everything: status line, headers, body, and how the body ended.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Response headers that may ever reach a client. What is not here was leaked from an upstream.
const RESPONSE_HEADERS: &[&str] = &[
    "accept-ranges",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "docker-content-digest",
    "docker-distribution-api-version",
    "etag",
    "last-modified",
    "link",
    "location",
    "oci-filters-applied",
    "oci-namespace",
    "oci-subject",
    "retry-after",
    "warning",
    "x-request-id",
    "connection",
    "allow",
    "transfer-encoding",
    "cache-control",
];

/// A daemon seen by its client.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    address: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// One answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// The text behind the status code.
    pub(crate) reason: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the body ended as its head had announced.
    pub(crate) complete: bool,
}

impl Mirror {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, &[]).await
    }

    pub(crate) async fn head(&self, path: &str) -> Reply {
        self.ask(Method::HEAD, path, &[]).await
    }

    pub(crate) async fn get_range(&self, path: &str, range: &str) -> Reply {
        self.ask(Method::GET, path, &[("range", range)]).await
    }

    /// One request, read to its end.
    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
        Reply::read(self.open(method, path, headers).await).await
    }

    /// One request whose body is read by the test.
    pub(crate) async fn open(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).expect("a valid request");
        self.client.request(request).await.expect("an answer")
    }

    /// Sends bytes as they are and reads until the daemon closes; for what no proper client would send.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        // The daemon may answer and close before it has read everything.
        stream.write_all(bytes).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Reply {
    async fn read(response: Response<Incoming>) -> Self {
        let (parts, mut incoming) = response.into_parts();
        let reason = parts.extensions.get::<ReasonPhrase>().map(|reason| reason.as_bytes().to_vec());
        let mut body = Vec::new();
        let mut complete = true;
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Err(_) => {
                    complete = false;
                    break;
                }
            }
        }
        for name in parts.headers.keys() {
            assert!(RESPONSE_HEADERS.contains(&name.as_str()), "the header {name} must not reach a client");
        }
        Self {
            status: parts.status,
            reason: String::from_utf8(reason.unwrap_or_default()).expect("ASCII"),
            headers: parts.headers,
            body: body.into(),
            complete,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("text")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {self:?}")).to_str().expect("text")
    }

    /// Code and message of the one error in the body, which must be the distribution spec's error JSON.
    pub(crate) fn error(&self) -> (String, String) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no error JSON in {self:?}"));
        let error = &body["errors"][0];
        let field = |name: &str| error[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned();
        assert_eq!(self.header("content-type"), "application/json");
        (field("code"), field("message"))
    }

    /// Fails the test unless the status is `expected`.
    pub(crate) fn expect(self, expected: u16) -> Self {
        assert_eq!(self.status.as_u16(), expected, "{} {}", self.reason, String::from_utf8_lossy(&self.body));
        self
    }
}
