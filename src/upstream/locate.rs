//! Where a blob is: asked of the registry once, remembered until shortly before the answer dies.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Response};

use super::memory::{Key, Signed};
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
}

/// Where the registry says a blob is.
pub(super) enum Located {
    /// In its own answer.
    Here(Opened),
    /// Behind a URL that is allowed.
    There(SafeUri),
}

/// An answer of the registry that several may wait for. Its own bytes go to one of them.
#[derive(Clone)]
pub(super) enum Found {
    Here(Arc<Mutex<Option<Opened>>>),
    There(SafeUri),
}

/// Which bytes of a blob are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// All; the bucket is asked for the first part only, if one is given.
    Whole(Option<&'a HeaderValue>),
    /// This range.
    Range(&'a HeaderValue),
}

impl<'a> Wanted<'a> {
    pub(super) fn new(range: Option<&'a HeaderValue>) -> Self {
        range.map_or(Self::Whole(None), Self::Range)
    }

    /// For a registry that has the bytes itself: a part would only be the first of several requests.
    const fn at_registry(self) -> Option<&'a HeaderValue> {
        match self {
            Self::Whole(_) => None,
            Self::Range(range) => Some(range),
        }
    }

    const fn at_bucket(self) -> Option<&'a HeaderValue> {
        match self {
            Self::Whole(first) => first,
            Self::Range(range) => Some(range),
        }
    }
}

impl Upstream {
    /// Opens a blob at its place. A URL that the bucket refuses is asked for anew, once.
    pub(super) async fn open(
        self: &Arc<Self>,
        place: &Place,
        digest: &Digest,
        wanted: Wanted<'_>,
        budget: &Budget,
    ) -> Result<Opened, UpstreamError> {
        let mut renewed = false;
        loop {
            let uri = match self.locate(place, digest, wanted, budget).await? {
                Located::Here(opened) => return Ok(opened),
                Located::There(uri) => uri,
            };
            match self.follow(uri.clone(), wanted.at_bucket(), budget).await {
                Ok(opened) => return Ok(opened),
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
        wanted: Wanted<'_>,
        budget: &Budget,
    ) -> Result<Located, UpstreamError> {
        let key = self.key(place, digest);
        if let Some(held) = self.parts.memory.urls.find(&key) {
            let is_good = until(self.parts.clock.now(), held.expires) > MARGIN;
            if is_good && !self.hosts.avoids(held.uri.origin().host()) {
                return Ok(Located::There(held.uri));
            }
            self.parts.memory.urls.forget_if(&key, |other| *other == held);
        }
        let range = wanted.at_registry().cloned();
        let found = self.locating.join((key.clone(), range.clone()), || {
            let (upstream, place, range) = (Arc::clone(self), place.clone(), range.clone());
            // The same time for all who wait: that of the first.
            let budget = budget.clone();
            async move { upstream.ask_where(&place, &key, range.as_ref(), &budget).await.map_err(Arc::new) }
        });
        match found.await.map_err(UpstreamError::Shared)? {
            Found::There(uri) => Ok(Located::There(uri)),
            Found::Here(opened) => {
                let taken = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
                match taken {
                    Some(opened) => Ok(Located::Here(opened)),
                    // Somebody else has the bytes.
                    None => match self.ask_where(place, &self.key(place, digest), range.as_ref(), budget).await? {
                        Found::There(uri) => Ok(Located::There(uri)),
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
            return Ok(Found::Here(Arc::new(Mutex::new(Some(Opened { response, host, slow: false })))));
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
