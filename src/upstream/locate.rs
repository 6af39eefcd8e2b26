//! Where a blob is: asked of the registry once, remembered until shortly before the answer dies.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::memory::{Key, Signed};
use super::range::ByteRange;
use super::reach::is_out_of_reach;
use super::redirect::{FollowError, location, with_range};
use super::send::{Asked, Budget, Question};
use super::{Place, Upstream, UpstreamError};
use crate::clock::until;
use crate::http::Body;
use crate::http::headers;
use crate::http::origin::SafeUri;
use crate::http::signed_url;
use crate::oci::Digest;
use crate::telemetry::metrics::{Outcome, Target};

/// A URL that dies sooner than this is not used again. OSS judges it when the request begins; this leaves time for all
/// tries of a request and for a clock that is somewhat wrong.
const MARGIN: Duration = Duration::from_secs(60);

/// An answer that holds bytes of a blob, or 416.
pub(super) struct Opened {
    pub(super) response: Response<Body>,
    /// Who sent it.
    pub(super) host: String,
    /// Whether one connection there is likely to be slower than the line: it is far away, or has a limit of its own.
    pub(super) slow: bool,
    /// How many bytes of what is wanted it was asked for, where not for all of them.
    pub(super) first: Option<u64>,
}

/// Where the registry says a blob is.
pub(super) enum Located {
    /// In its own answer.
    Here(Opened),
    /// Behind a URL that is allowed, and that was asked for just now or remembered.
    There { uri: SafeUri, remembered: bool },
}

/// An answer of the registry that several may wait for. Its own bytes go to one of them.
#[derive(Clone)]
pub(super) enum Found {
    Here(Arc<Mutex<Option<Opened>>>),
    There(SafeUri),
}

/// Which bytes of a blob are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// This range, or all.
    pub(super) range: Option<ByteRange>,
    /// Only so many bytes of it to begin with, where the bucket is asked. A registry that has the bytes itself is asked for
    /// everything: a part would only be the first of several requests.
    first: Option<u64>,
}

impl Wanted {
    pub(super) const fn of(range: Option<ByteRange>) -> Self {
        Self { range, first: None }
    }

    /// The first `bytes` of it; of a range that has no end yet.
    pub(super) const fn first(self, bytes: u64) -> Self {
        Self { first: Some(bytes), ..self }
    }

    fn at_registry(self) -> Option<HeaderValue> {
        self.range.map(header)
    }

    fn at_bucket(self) -> Option<HeaderValue> {
        let part = |from: u64, bytes: u64| ByteRange::Between(from, from.saturating_add(bytes) - 1);
        match (self.range, self.first) {
            (None, Some(bytes)) => Some(header(part(0, bytes))),
            (Some(ByteRange::From(from)), Some(bytes)) => Some(header(part(from, bytes))),
            (range, _) => range.map(header),
        }
    }
}

fn header(range: ByteRange) -> HeaderValue {
    // Digits and "bytes=-" are always a header value; the fallback asks for everything, which is never wrong.
    HeaderValue::from_str(&range.to_string()).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

impl Upstream {
    /// Opens a blob at its place. A URL that the bucket refuses is asked for anew, once, and so is a remembered one behind
    /// which there is nothing any more.
    pub(super) async fn open(
        self: &Arc<Self>,
        place: &Place,
        digest: &Digest,
        wanted: Wanted,
        budget: &Budget,
    ) -> Result<Opened, UpstreamError> {
        let mut renewed = false;
        loop {
            let (uri, remembered) = match self.locate(place, digest, wanted, budget).await? {
                Located::Here(opened) => return Ok(opened),
                Located::There { uri, remembered } => (uri, remembered),
            };
            let followed =
                match self.follow(uri.clone(), wanted.at_bucket().as_ref(), budget).await {
                    Err(FollowError::Final(
                        error @ UpstreamError::BucketRefused { status: StatusCode::NOT_FOUND, .. },
                    )) if remembered => Err(FollowError::Stale(error)),
                    followed => followed,
                };
            match followed {
                Ok(opened) => return Ok(Opened { first: wanted.first, ..opened }),
                Err(FollowError::Stale(error)) => {
                    // Only this URL: a younger one may be there already.
                    self.parts.memory.urls.forget_if(&self.key(place, digest), |held| held.uri == uri);
                    if renewed {
                        return Err(error);
                    }
                    renewed = true;
                    tracing::debug!(error = %error, "asking the registry for a fresh blob URL");
                    self.parts.metrics.upstream_retry(Target::Oss, Outcome::Refused);
                }
                Err(FollowError::Final(error)) => {
                    self.parts.memory.urls.forget_if(&self.key(place, digest), |held| held.uri == uri);
                    // Another host of pullFrom may lead to a bucket that can be reached.
                    let bucket = uri.origin().host();
                    if !(is_out_of_reach(&error) && self.hosts.has_another_than(bucket)) {
                        return Err(error);
                    }
                    self.hosts.bucket_failed(uri.origin());
                    tracing::debug!(error = %error, "asking another host of pullFrom where the blob is");
                }
            }
        }
    }

    /// Where a blob is: by memory, by a question that is in the air already, or by asking the registry.
    pub(super) async fn locate(
        self: &Arc<Self>,
        place: &Place,
        digest: &Digest,
        wanted: Wanted,
        budget: &Budget,
    ) -> Result<Located, UpstreamError> {
        let key = self.key(place, digest);
        if let Some(held) = self.parts.memory.urls.find(&key) {
            let is_good = until(self.parts.clock.now(), held.expires) > MARGIN;
            if is_good && !self.hosts.avoids(held.uri.origin().host()) {
                return Ok(Located::There { uri: held.uri, remembered: true });
            }
            self.parts.memory.urls.forget_if(&key, |other| *other == held);
        }
        let range = wanted.at_registry();
        let found = self.locating.answer((key.clone(), range.clone()), budget, || {
            let (upstream, place, range) = (Arc::clone(self), place.clone(), range.clone());
            let (key, budget) = (key.clone(), budget.clone());
            async move { upstream.ask_where(&place, &key, range.as_ref(), &budget).await.map_err(Arc::new) }
        });
        match found.await? {
            Found::There(uri) => Ok(Located::There { uri, remembered: false }),
            Found::Here(opened) => {
                let taken = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
                match taken {
                    Some(opened) => Ok(Located::Here(opened)),
                    // Somebody else has the bytes.
                    None => match self.ask_where(place, &self.key(place, digest), range.as_ref(), budget).await? {
                        Found::There(uri) => Ok(Located::There { uri, remembered: false }),
                        Found::Here(opened) => {
                            let opened = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
                            opened.map(Located::Here).ok_or(UpstreamError::Late)
                        }
                    },
                }
            }
        }
    }

    /// Asks the registry.
    async fn ask_where(
        &self,
        place: &Place,
        key: &Key,
        range: Option<&HeaderValue>,
        budget: &Budget,
    ) -> Result<Found, UpstreamError> {
        let question = Question {
            method: Method::GET,
            target: format!("/v2/{}/blobs/{}", place.repository, key.digest),
            headers: with_range(headers::to_registry(&HeaderMap::new()), range),
        };
        let response = self.ask(place, &question, budget).await?;
        let asked = response.extensions().get::<Asked>().map_or(&place.host, |Asked(host)| host).clone();
        let host = asked.to_string();
        if !response.status().is_redirection() {
            return Ok(Found::Here(Arc::new(Mutex::new(Some(Opened { response, host, slow: false, first: None })))));
        }
        self.parts.metrics.blob_redirected();
        // A relative location would lead back to the registry, without a bearer: there is nothing there.
        let uri = location(&response).and_then(SafeUri::parse);
        let uri = self.admit(uri.map_err(|source| UpstreamError::RedirectMalformed { host, source })?)?;
        self.note_bucket(&uri);
        self.hosts.led(&asked, uri.origin().host());
        if let Some(expires) = uri.query().and_then(signed_url::expiry) {
            self.parts.memory.urls.keep(key.clone(), Signed { uri: uri.clone(), expires }, 1);
        }
        Ok(Found::There(uri))
    }

    /// Forgets where a blob is; whether it was known.
    pub(super) fn forget_url(&self, place: &Place, digest: &Digest) -> bool {
        self.parts.memory.urls.forget_if(&self.key(place, digest), |_| true)
    }

    /// What is remembered of a blob or manifest is remembered under this.
    pub(super) fn key(&self, place: &Place, digest: &Digest) -> Key {
        Key {
            owner: self.owner,
            host: place.host.clone(),
            repository: place.repository.clone(),
            digest: digest.clone(),
        }
    }
}
