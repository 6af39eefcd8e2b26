//! Clients that pull without a pause and count what goes wrong, with the manners of containerd's HTTP client (Go's
//! `net/http`): a request on a connection that has carried one before, and that ends without a byte of an answer, is sent
//! again on a new connection (`shouldRetryRequest`). Nothing else is tried twice: a refused or reset connection, an
//! answer other than 200, and a body that is short or wrong are failures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use acr_pull_proxy::error::BoxError;
use acr_pull_proxy::http::body::collect_limited;
use bytes::Bytes;
use cloudsim::image::Image;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{TAG, blob, manifest};

/// Pulls that go on until they are ended.
#[derive(Debug)]
pub(crate) struct Pulls {
    workers: JoinSet<Vec<String>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    /// Path, and the bytes that belong there.
    content: Vec<(Method, String, Bytes)>,
    ended: AtomicBool,
    done: AtomicUsize,
    sent_again: AtomicUsize,
}

/// What came of them.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Pulls that brought every byte.
    pub(crate) done: usize,
    /// Requests that were sent again on a new connection.
    pub(crate) sent_again: usize,
    /// What went wrong.
    pub(crate) failures: Vec<String>,
}

impl Pulls {
    /// Starts `count` clients that pull `image` from the daemon at `address`.
    pub(crate) fn start(address: SocketAddr, image: &Image, count: usize) -> Self {
        let mut content = vec![(Method::HEAD, manifest(TAG), Bytes::new())];
        content
            .extend(image.manifests.iter().map(|(digest, found)| (Method::GET, manifest(digest), found.bytes.clone())));
        content.extend(image.blobs.iter().map(|(digest, bytes)| (Method::GET, blob(digest), bytes.clone())));
        let shared = Arc::new(Shared {
            address,
            content,
            ended: AtomicBool::new(false),
            done: AtomicUsize::new(0),
            sent_again: AtomicUsize::new(0),
        });
        let mut workers = JoinSet::new();
        for number in 0..count {
            // Some keep their connection from pull to pull, most come anew each time.
            workers.spawn(Arc::clone(&shared).work(number % 4 == 0));
        }
        Self { workers, shared }
    }

    /// How many pulls have brought every byte.
    pub(crate) fn done(&self) -> usize {
        self.shared.done.load(Ordering::SeqCst)
    }

    /// Waits until that many more have.
    pub(crate) async fn more(&self, count: usize) {
        let goal = self.done() + count;
        let reached = async {
            while self.done() < goal {
                tokio::time::sleep(super::POLL).await;
            }
        };
        let reached = tokio::time::timeout(super::LIMIT, reached).await;
        assert!(reached.is_ok(), "pulls have come to a halt: {} of {goal} done", self.done());
    }

    /// Lets every pull under way come to its end.
    pub(crate) async fn end(self) -> Outcome {
        self.shared.ended.store(true, Ordering::SeqCst);
        let failures = self.workers.join_all().await.concat();
        let sent_again = self.shared.sent_again.load(Ordering::SeqCst);
        Outcome { done: self.shared.done.load(Ordering::SeqCst), sent_again, failures }
    }
}

impl Shared {
    async fn work(self: Arc<Self>, keeps: bool) -> Vec<String> {
        let mut failures = Vec::new();
        let mut connection = None;
        while !self.ended.load(Ordering::SeqCst) {
            match self.pull(&mut connection).await {
                Ok(()) => {
                    self.done.fetch_add(1, Ordering::SeqCst);
                }
                Err(failure) => failures.push(failure),
            }
            connection = connection.filter(|_| keeps);
        }
        failures
    }

    async fn pull(&self, connection: &mut Option<SendRequest<Empty<Bytes>>>) -> Result<(), String> {
        for (method, path, expected) in &self.content {
            let response = self.ask(connection, method, path).await?;
            let status = response.status();
            let body = response.into_body().map_err(BoxError::from).boxed_unsync();
            let body = collect_limited(body, expected.len()).await;
            let body = body.map_err(|error| format!("{path}: body: {error}"))?;
            if status != 200 || body != *expected {
                return Err(format!("{method} {path}: {status} or wrong bytes"));
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        connection: &mut Option<SendRequest<Empty<Bytes>>>,
        method: &Method,
        path: &str,
    ) -> Result<http::Response<hyper::body::Incoming>, String> {
        let request = || {
            let request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
            request.body(Empty::new()).expect("a valid request")
        };
        if let Some(mut kept) = connection.take() {
            if kept.ready().await.is_ok()
                && let Ok(response) = kept.send_request(request()).await
            {
                *connection = Some(kept);
                return Ok(response);
            }
            self.sent_again.fetch_add(1, Ordering::SeqCst);
        }
        let fail = |what: &str, error: &dyn std::fmt::Display| format!("{method} {path}: {what}: {error}");
        let stream = TcpStream::connect(self.address).await.map_err(|error| fail("connect", &error))?;
        let (mut sender, driver) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| fail("handshake", &error))?;
        tokio::spawn(driver);
        let response = sender.send_request(request()).await.map_err(|error| fail("new connection", &error))?;
        *connection = Some(sender);
        Ok(response)
    }
}
