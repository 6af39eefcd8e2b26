//! Blobs through a forward proxy (`network.blobProxy`), and without it where it fails.
//!
//! A proxy that shares blobs among nodes has to see what is asked for, so it is asked in absolute form (RFC 9112 section
//! 3.2.2): `GET https://bucket/...` over plain HTTP, and TLS to the bucket is the proxy's. That is how Dragonfly's
//! dfdaemon takes requests on its proxy port; it would open a `CONNECT` with a certificate of its own making, and a
//! proxy that only tunnels has nothing to share. The proxy is handed a signed URL, which opens one blob for some minutes,
//! and never a credential: requests with `Authorization` are none of its.
//!
//! Whatever goes wrong at the proxy, the request is made directly, and the proxy is left alone for a while; for longer
//! where its readers find that it gave other bytes than the bucket has. What the bucket itself refuses is asked of the
//! bucket, whose word counts.

mod body;
mod judge;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, RANGE};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use self::body::Watched;
use self::judge::{Verdict, judge};
use super::Body;
use super::body::empty;
use super::driven::{Failure, Key, Pool, name_host};
use super::origin::Origin;
use crate::error::{BoxError, chain};

/// How long the proxy may take to a response head. A peer that fetches the first piece for us from the bucket needs one
/// or two seconds; the rest of a try's nine belongs to the direct request.
const ANSWER_TIME: Duration = Duration::from_secs(4);

/// How long a proxy that failed is left alone: an agent that restarts is back by then, and one that is gone costs a
/// refused connection twice a minute.
const REST: Duration = Duration::from_secs(30);

/// How long a proxy is left alone that gave wrong bytes: what it has stored stays wrong until somebody looks after it, and
/// each blob of it costs a pull.
const DISTRUST: Duration = Duration::from_mins(5);

/// Tells a dfdaemon that this request is to be shared, whatever its rules say.
const USE_P2P: &str = "x-dragonfly-use-p2p";

/// Tells a dfdaemon which parameters of the URL do not belong to the name of the object. All of them: every node has a
/// signature of its own, the path holds the digest, and dfdaemon's own list lacks `security-token` and `x-oss-*`.
const FILTERED: &str = "x-dragonfly-filtered-query-params";

/// Which way an answer came; an extension of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Through the proxy.
    Proxy,
    /// From the origin, since the proxy had failed on this very request.
    Instead,
}

/// The proxy, and the pool of connections to it and past it; clones share both.
#[derive(Debug, Clone)]
pub(super) struct Forward {
    pool: Pool,
    proxy: Arc<Proxy>,
}

/// How the proxy is.
#[derive(Debug)]
pub(super) struct Proxy {
    origin: Origin,
    rests_until: Mutex<Option<Instant>>,
}

impl Forward {
    /// The proxy at `origin`; `pool` makes the connections to it as well as the direct ones.
    pub(super) fn new(origin: Origin, pool: Pool) -> Self {
        Self { pool, proxy: Arc::new(Proxy { origin, rests_until: Mutex::default() }) }
    }

    /// Whether the next request would go to the proxy.
    pub(super) fn is_used(&self) -> bool {
        !self.proxy.rests()
    }

    /// It gave bytes that are not those of the bucket.
    pub(super) fn distrust(&self) {
        self.proxy.rest_for(DISTRUST, "it gave bytes of another digest");
    }

    /// Closes connections of both kinds that have lain idle too long.
    pub(super) fn prune(&self) {
        self.pool.prune();
    }

    /// Sends one request, through the proxy if that is possible.
    pub(super) async fn request(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let shared = request.method() == Method::GET && !request.headers().contains_key(AUTHORIZATION);
        if !shared || self.proxy.rests() {
            return self.pool.request(request).await;
        }
        let (key, copy) = self.proxy.copy(&request).map_err(Failure::Connect)?;
        let range = copy.headers().get(RANGE).cloned();
        let answer = async {
            let asked = range.as_ref().and_then(|range| range.to_str().ok());
            Ok(judge(self.pool.ask(key, copy).await?, asked))
        };
        let why = match timeout(ANSWER_TIME, answer).await {
            Ok(Ok(Verdict::Take(mut response))) => {
                self.proxy.works();
                response.extensions_mut().insert(Via::Proxy);
                let proxy = Arc::clone(&self.proxy);
                return Ok(response.map(|body| Watched::new(body, proxy).boxed_unsync()));
            }
            // No failure of the proxy.
            Ok(Ok(Verdict::AskOrigin)) => return self.pool.request(request).await,
            Ok(Ok(Verdict::Broken(why))) => why,
            Ok(Err(Failure::Connect(error) | Failure::Closed(error))) => chain(&*error),
            Err(_) => format!("no answer within {ANSWER_TIME:?}"),
        };
        self.proxy.rest(&why);
        let mut response = self.pool.request(request).await?;
        response.extensions_mut().insert(Via::Instead);
        Ok(response)
    }
}

impl Proxy {
    /// The request as the proxy gets it.
    fn copy(&self, request: &Request<Body>) -> Result<(Key, Request<Body>), BoxError> {
        let mut copy = Request::new(empty());
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        if let (Some(scheme), Some(authority)) = (request.uri().scheme(), request.uri().authority()) {
            name_host(&mut copy, &(scheme.clone(), authority.clone()))?;
        }
        copy.headers_mut().insert(USE_P2P, HeaderValue::from_static("true"));
        copy.headers_mut().insert(FILTERED, HeaderValue::from_str(&names(request.uri().query().unwrap_or_default()))?);
        let authority: Authority = format!("{}:{}", self.origin.host(), self.origin.port()).parse()?;
        Ok(((Scheme::HTTP, authority), copy))
    }

    fn rests(&self) -> bool {
        self.rests_until().is_some_and(|until| Instant::now() < until)
    }

    /// It failed.
    fn rest(&self, why: &str) {
        self.rest_for(REST, why);
    }

    fn rest_for(&self, length: Duration, why: &str) {
        let mut until = self.rests_until();
        let (now, before) = (Instant::now(), *until);
        // Requests that fail together are one failure.
        if before.is_none_or(|before| before <= now) || length > REST {
            tracing::warn!(proxy = %self.origin, why, for_ = ?length, "the blob proxy failed; blobs come directly");
        }
        *until = before.max(Some(now + length));
    }

    /// It did its work. A request that was made before it failed says nothing of what it does now.
    fn works(&self) {
        let rest = self.rests_until().take_if(|until| *until <= Instant::now());
        if rest.is_some() {
            tracing::info!(proxy = %self.origin, "the blob proxy works again");
        }
    }

    fn rests_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of all parameters of a query.
fn names(query: &str) -> String {
    let pairs = query.split('&').filter_map(|pair| pair.split('=').next());
    pairs.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
