//! Manifests: read whole, checked against their digest, and kept by it.
//!
//! What a digest names never changes, so a manifest that was read once is answered from memory for good, as long as there
//! is room. A tag is asked of the registry each time; only those who ask at the same moment share the answer. A HEAD is
//! asked as a GET, whose body then serves the GET that follows it.

use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, IF_NONE_MATCH};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use tokio::time::Instant;

use super::memory::Key;
use super::next::Reach;
use super::send::{Budget, Question};
use super::{Place, Pull, Upstream, UpstreamError};
use crate::error::chain;
use crate::http::Body;
use crate::http::body::{CollectError, collect_limited, empty, full};
use crate::http::headers::{self, DOCKER_CONTENT_DIGEST};
use crate::oci::{Digest, Reference, RegistryHost, RepositoryName, Tag};
use crate::telemetry::metrics::{Outcome, Target};
use crate::telemetry::pulls::FromMemory;

/// Longest manifest: what containerd accepts (its `MaxManifestSize`, 4 MiB and 196 KiB).
const LONGEST_MANIFEST: usize = 4_393_216;
/// What is accepted of a manifest by its digest: there is one, and those who ask at the same moment share it. So none of them
/// may narrow the question to a type of its own, or to its own conditions. Registries of the `distribution` kind answer 404
/// to who does not name the types of OCI.
const ANY: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*",
);
/// What an entry costs beside the manifest itself: its key, its headers, its place in the map.
const ENTRY: u64 = 2 * 1024;

/// A manifest as it is answered.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    /// None for 304.
    pub(super) bytes: Option<Bytes>,
    /// When what follows from it was fetched ahead, and how far.
    pub(super) followed: Mutex<Option<(Instant, Reach)>>,
}

/// What makes two questions for a manifest identical.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// There is one answer, whoever asks: see [`ANY`].
    Digest(Key),
    Tag {
        host: RegistryHost,
        repository: RepositoryName,
        tag: Tag,
        headers: Vec<(HeaderName, HeaderValue)>,
    },
}

pub(super) type Read = Result<Arc<Manifest>, Arc<UpstreamError>>;

impl Upstream {
    /// A manifest is small and everything hangs on it, so it is read before the head is sent: one that breaks off or has
    /// another digest than the one asked for becomes an error that the client can act on.
    pub(super) async fn manifest(
        self: &Arc<Self>,
        pull: &Pull,
        reference: &Reference,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let remembered = self.remembered(&pull.place, reference);
        let from_memory = remembered.is_some();
        let manifest = match remembered {
            Some(manifest) => manifest,
            None => self.read_manifest(&pull.place, reference, &pull.headers, budget).await?,
        };
        self.follow_up(&pull.place, &manifest, pull.head);
        if pull.sticks && !pull.head {
            self.promise(&pull.place, &manifest).await?;
        }
        let mut answer = Response::new(empty());
        *answer.status_mut() = manifest.status;
        answer.headers_mut().clone_from(&manifest.headers);
        if let Reference::Digest(digest) = reference
            && has_already(&pull.headers, digest, &manifest.headers)
        {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer.headers_mut().remove(CONTENT_LENGTH);
            return Ok(answer);
        }
        if from_memory {
            answer.extensions_mut().insert(FromMemory);
        }
        Ok(match &manifest.bytes {
            Some(bytes) if !pull.head => answer.map(|_| full(bytes.clone())),
            _ => answer,
        })
    }

    /// A manifest that was read before; none by its tag, which may have moved.
    fn remembered(&self, place: &Place, reference: &Reference) -> Option<Arc<Manifest>> {
        let Reference::Digest(digest) = reference else { return None };
        self.parts.memory.manifests.find(&self.key(place, digest))
    }

    /// A manifest from memory, from a question that is in the air, or from the registry.
    pub(super) async fn read_manifest(
        self: &Arc<Self>,
        place: &Place,
        reference: &Reference,
        headers: &HeaderMap,
        budget: &Budget,
    ) -> Result<Arc<Manifest>, UpstreamError> {
        if let Some(manifest) = self.remembered(place, reference) {
            return Ok(manifest);
        }
        let (asked, headers) = match reference {
            Reference::Digest(digest) => {
                let any = HeaderMap::from_iter([(ACCEPT, ANY)]);
                (Asked::Digest(self.key(place, digest)), headers::to_registry(&any))
            }
            Reference::Tag(tag) => {
                let headers = headers::to_registry(headers);
                let asked = Asked::Tag {
                    host: place.host.clone(),
                    repository: place.repository.clone(),
                    tag: tag.clone(),
                    headers: headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                };
                (asked, headers)
            }
        };
        let reading = self.reading.answer(asked, budget, || {
            let question = Question {
                method: Method::GET,
                target: format!("/v2/{}/manifests/{reference}", place.repository),
                headers: headers.clone(),
            };
            let (upstream, place, reference) = (Arc::clone(self), place.clone(), reference.clone());
            let budget = budget.clone();
            async move { upstream.ask_for(&place, &reference, &question, &budget).await.map_err(Arc::new) }
        });
        reading.await
    }

    async fn ask_for(
        &self,
        place: &Place,
        reference: &Reference,
        question: &Question,
        budget: &Budget,
    ) -> Result<Arc<Manifest>, UpstreamError> {
        let host = place.host.as_str();
        let (head, bytes) = match self.read(place, question, budget).await {
            // Nothing has gone to the client yet, so a body that broke off is asked for once more.
            Err(UpstreamError::Manifest { source: CollectError::Broken(error), .. }) => {
                tracing::debug!(host, error = chain(&*error), "a manifest broke off and is asked for again");
                self.parts.metrics.upstream_retry(Target::Registry, Outcome::Failed);
                self.read(place, question, budget).await?
            }
            result => result?,
        };
        self.finish(place, reference, &head, bytes)
    }

    /// Asks once and reads the whole body, if there is one.
    async fn read(
        &self,
        place: &Place,
        question: &Question,
        budget: &Budget,
    ) -> Result<(Parts, Option<Bytes>), UpstreamError> {
        let host = place.host.as_str();
        let (head, body) = self.ask(place, question, budget).await?.into_parts();
        match head.status {
            StatusCode::NOT_MODIFIED => return Ok((head, None)),
            StatusCode::OK => {}
            _ => return Err(unexpected(host, "a manifest without status 200")),
        }
        if is_encoded(&head.headers) {
            return Err(unexpected(host, "a content encoding that was not asked for"));
        }
        match collect_limited(body, LONGEST_MANIFEST).await {
            Ok(bytes) => Ok((head, Some(bytes))),
            Err(source) => Err(UpstreamError::Manifest { host: host.to_owned(), source }),
        }
    }
}

impl Upstream {
    /// Checks what was read, and keeps it.
    fn finish(
        &self,
        place: &Place,
        reference: &Reference,
        head: &Parts,
        bytes: Option<Bytes>,
    ) -> Result<Arc<Manifest>, UpstreamError> {
        let host = place.host.as_str();
        let mut headers = headers::apart(&headers::to_client(&head.headers));
        let Some(bytes) = bytes else {
            return Ok(Arc::new(Manifest { status: head.status, headers, bytes: None, followed: Mutex::default() }));
        };
        let announced = head.headers.get(DOCKER_CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        let digest = match (reference, announced) {
            (Reference::Digest(digest), _) => digest.clone(),
            (Reference::Tag(_), Some(announced)) => {
                Digest::parse(announced).map_err(|_| unexpected(host, "a malformed Docker-Content-Digest"))?
            }
            (Reference::Tag(_), None) => sha256(&bytes).ok_or_else(|| unexpected(host, "no digest"))?,
        };
        if !matches(&digest, &bytes) {
            return Err(unexpected(host, "a manifest with another digest"));
        }
        let key = self.key(place, &digest);
        if let Some(known) = self.parts.memory.manifests.find(&key) {
            return Ok(known);
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        if let Ok(value) = HeaderValue::from_str(digest.as_str()) {
            headers.insert(DOCKER_CONTENT_DIGEST, value);
        }
        // What is kept takes what it weighs, and not the buffer of the connection that it came in.
        let bytes = Bytes::copy_from_slice(&bytes);
        let weight = bytes.len() as u64 + ENTRY;
        let followed = Mutex::default();
        let manifest = Arc::new(Manifest { status: head.status, headers, bytes: Some(bytes), followed });
        self.parts.memory.manifests.keep(key, Arc::clone(&manifest), weight);
        Ok(manifest)
    }
}

/// Whether a client has what a digest names and only asks whether that is still so (`If-None-Match`). What it compares with
/// is the `ETag` of an earlier answer; registries of the `distribution` kind take the digest for it.
fn has_already(client: &HeaderMap, digest: &Digest, answered: &HeaderMap) -> bool {
    let etag = answered.get(ETAG).and_then(|value| value.to_str().ok());
    let named = |tag: &str| Some(tag) == etag.map(opaque) || tag.trim_matches('"') == digest.as_str();
    let values = client.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || named(opaque(tag)))
}

/// A tag without the mark of weakness, which takes no part in this comparison (RFC 9110 section 13.1.2).
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Whether the bytes are not as they are stored, although `identity` was asked for.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn unexpected(host: &str, what: &'static str) -> UpstreamError {
    UpstreamError::Unexpected { host: host.to_owned(), what }
}

/// Whether the bytes are those that the digest names.
pub(super) fn matches(expected: &Digest, bytes: &Bytes) -> bool {
    names(expected, digest::digest(algorithm(expected), bytes))
}

/// What a digest is made with.
pub(super) fn algorithm(of: &Digest) -> &'static digest::Algorithm {
    if of.as_str().starts_with("sha512:") { &digest::SHA512 } else { &digest::SHA256 }
}

/// Whether that is the value of the digest.
pub(super) fn names(expected: &Digest, actual: digest::Digest) -> bool {
    let actual = hex(actual.as_ref());
    expected.as_str().split_once(':').is_some_and(|(_, wanted)| wanted == actual)
}

fn sha256(bytes: &Bytes) -> Option<Digest> {
    Digest::parse(&format!("sha256:{}", hex(digest::digest(&digest::SHA256, bytes).as_ref()))).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
