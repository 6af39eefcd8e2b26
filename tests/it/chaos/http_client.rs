//! A client with containerd's manners that asks much more often: a connection pool for each pull, a request on a kept
//! connection that dies without an answer is sent again (Go's `net/http`), and a body that ends early without a reset is
//! continued with a Range, three times in a row without a byte at most (`httpreadseeker.go`). Nothing else is tried twice.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cloudsim::image::Image;
use http::header::{CONTENT_RANGE, HOST, RANGE};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::dice::Dice;
use crate::support::{TAG, blob, manifest};

/// containerd reopens a body this often without getting a byte of it (`httpreadseeker.go`, `maxRetry`).
const FRUITLESS: u32 = 3;

/// How long a pull may take. The daemon answers every request within 25 s, and here every pull makes nine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why a pull failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) what: String,
    /// Whole content came, and it was wrong.
    pub(super) wrong: bool,
}

/// Pulls `image` once and compares every byte; gives how often a body had to be continued.
pub(super) async fn pull(address: SocketAddr, image: &Image, dice: &mut Dice) -> Result<u64, Failed> {
    let mut pull = Pull { address, client: Client::builder(TokioExecutor::new()).build_http(), asked: 0 };
    match tokio::time::timeout(PATIENCE, pull.run(image, dice)).await {
        Ok(result) => result,
        Err(_) => Err(failed(format!("not over after {PATIENCE:?}"))),
    }
}

struct Pull {
    address: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
    /// Requests made so far; all but the first find a kept connection.
    asked: u32,
}

impl Pull {
    async fn run(&mut self, image: &Image, dice: &mut Dice) -> Result<u64, Failed> {
        let head = self.ask(Method::HEAD, &manifest(TAG), None).await?;
        let digest = head.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        if digest != Some(&image.digest) {
            return Err(Failed { what: format!("the tag is said to be {digest:?}"), wrong: true });
        }
        let mut resumed = 0;
        for (digest, stored) in image.manifests.iter().rev() {
            resumed += self.content(&manifest(digest), &stored.bytes).await?;
        }
        let first = usize::try_from(dice.below(image.blobs.len() as u64)).expect("an index");
        for (digest, bytes) in image.blobs.iter().cycle().skip(first).take(image.blobs.len()) {
            resumed += self.content(&blob(digest), bytes).await?;
        }
        Ok(resumed)
    }

    /// Reads one manifest or blob to its end, and compares it.
    async fn content(&mut self, path: &str, expected: &Bytes) -> Result<u64, Failed> {
        let (mut got, mut resumed, mut fruitless) = (Vec::with_capacity(expected.len()), 0, 0);
        loop {
            let from = got.len();
            let mut response = self.ask(Method::GET, path, (from > 0).then_some(from)).await?;
            let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            if from > 0 && !range.is_some_and(|range| range.starts_with(&format!("bytes {from}-"))) {
                return Err(failed(format!("{path}: asked from {from}, got {} {range:?}", response.status())));
            }
            let broken = loop {
                match response.body_mut().frame().await {
                    Some(Ok(frame)) => got.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };
            match broken {
                None if got == *expected => return Ok(resumed),
                None => {
                    let what = format!("{path}: {} of {} bytes or wrong ones", got.len(), expected.len());
                    return Err(Failed { what, wrong: true });
                }
                Some(error) if ended_early(&error) && fruitless < FRUITLESS => {
                    fruitless = if got.len() > from { 0 } else { fruitless + 1 };
                    resumed += 1;
                }
                Some(error) => return Err(failed(format!("{path}: after {} bytes: {error:?}", got.len()))),
            }
        }
    }

    async fn ask(&mut self, method: Method, path: &str, from: Option<usize>) -> Result<Response<Incoming>, Failed> {
        let request = || {
            let mut request = Request::builder().method(method.clone()).uri(format!("http://{}{path}", self.address));
            if let Some(from) = from {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            request.header(HOST, self.address.to_string()).body(Empty::new()).expect("a valid request")
        };
        let mut answer = self.client.request(request()).await;
        if self.asked > 0 && answer.as_ref().is_err_and(|error| !error.is_connect()) {
            answer = self.client.request(request()).await;
        }
        let response = answer.map_err(|error| failed(format!("{path}: {error:?}")))?;
        self.asked += 1;
        if response.status().is_success() {
            return Ok(response);
        }
        let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
        let reason = reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned()).unwrap_or_default();
        Err(failed(format!("{path}: {} {reason}", response.status().as_u16())))
    }
}

/// Whether a body ended before its announced length, without a reset.
fn ended_early(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::UnexpectedEof;
        }
        cause = inner.source();
    }
    error.is_incomplete_message()
}

fn failed(what: String) -> Failed {
    Failed { what, wrong: false }
}
