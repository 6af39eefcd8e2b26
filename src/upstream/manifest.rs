//! Manifests: read whole, checked against their digest, answered with a length.

use aws_lc_rs::digest;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::send::{Budget, Question};
use super::{Pull, Upstream, UpstreamError, answer};
use crate::error::chain;
use crate::http::Body;
use crate::http::body::{CollectError, collect_limited, empty, full};
use crate::http::headers::{self, DOCKER_CONTENT_DIGEST};
use crate::oci::{Digest, Reference};
use crate::telemetry::metrics::{Outcome, Target};

/// Longest manifest: what containerd accepts (its `MaxManifestSize`, 4 MiB and 196 KiB).
const LONGEST_MANIFEST: usize = 4_393_216;

impl Upstream {
    /// A manifest is small and everything hangs on it, so it is read before the head is sent: one that breaks off or has
    /// another digest than the one asked for becomes an error that the client can act on.
    pub(super) async fn manifest(
        &self,
        pull: &Pull,
        reference: &Reference,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let question = Question {
            method: if pull.head { Method::HEAD } else { Method::GET },
            target: format!("/v2/{}/manifests/{reference}", pull.place.repository),
            headers: headers::to_registry(&pull.headers),
        };
        let host = pull.place.host.as_str();
        match self.read(pull, &question, budget).await {
            // Nothing has gone to the client yet, so a body that broke off is asked for once more.
            Err(UpstreamError::Manifest { source: CollectError::Broken(error), .. }) => {
                tracing::debug!(host, error = chain(&*error), "a manifest broke off and is asked for again");
                self.parts.metrics.upstream_retry(Target::Registry, Outcome::Failed);
                self.read(pull, &question, budget).await
            }
            result => result,
        }
        .and_then(|(head, bytes)| finish(host, reference, &head, bytes))
    }

    /// Asks once and reads the whole body, if there is one.
    async fn read(
        &self,
        pull: &Pull,
        question: &Question,
        budget: &Budget,
    ) -> Result<(Parts, Option<Bytes>), UpstreamError> {
        let host = pull.place.host.as_str();
        let (head, body) = self.ask(&pull.place, question, budget).await?.into_parts();
        match head.status {
            StatusCode::NOT_MODIFIED => return Ok((head, None)),
            StatusCode::OK if pull.head => return Ok((head, None)),
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

/// Checks what was read and makes the answer of it.
fn finish(
    host: &str,
    reference: &Reference,
    head: &Parts,
    bytes: Option<Bytes>,
) -> Result<Response<Body>, UpstreamError> {
    let mut answer = answer(head.status, &head.headers, empty());
    let Some(bytes) = bytes else { return Ok(answer) };
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
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if let Ok(value) = HeaderValue::from_str(digest.as_str()) {
        answer.headers_mut().insert(DOCKER_CONTENT_DIGEST, value);
    }
    Ok(answer.map(|_| full(bytes)))
}

/// Whether the bytes are not as they are stored, although `identity` was asked for.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn unexpected(host: &str, what: &'static str) -> UpstreamError {
    UpstreamError::Unexpected { host: host.to_owned(), what }
}

fn matches(expected: &Digest, bytes: &Bytes) -> bool {
    let algorithm = if expected.as_str().starts_with("sha512:") { &digest::SHA512 } else { &digest::SHA256 };
    let actual = hex(digest::digest(algorithm, bytes).as_ref());
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
