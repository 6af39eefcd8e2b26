//! What a blob request is answered with: whole, or in part.

use std::sync::{Arc, OnceLock};

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::fetch::{Source, Span};
use super::locate::{Located, Opened, Wanted};
use super::manifest::is_encoded;
use super::memory::Reservation;
use super::next::Small;
use super::ordered::{Begun, ordered};
use super::plan::FIRST;
use super::range::{ByteRange, ContentRange, RangeRequest};
use super::send::Budget;
use super::{BlobMode, Pull, Upstream, UpstreamError, answer};
use crate::http::Body;
use crate::http::body::{empty, full};
use crate::http::headers::DOCKER_CONTENT_DIGEST;
use crate::oci::Digest;
use crate::telemetry::pulls::{FromMemory, Trail};

/// How the whole of a blob is begun.
pub(super) enum Beginning {
    /// With its first part, which somebody reads.
    Now,
    /// With its first part, which nobody reads yet and which goes into this memory.
    Held(Reservation),
    /// With all parts at once.
    Begun(Box<Begun>),
}

impl Upstream {
    /// A blob, as far as the client's `Range` wants it.
    pub(super) async fn blob(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let mut answer = if pull.head {
            self.blob_head(pull, digest, budget).await?
        } else {
            self.blob_bytes(pull, digest, budget).await?
        };
        if answer.status().is_success()
            && let Ok(value) = HeaderValue::from_str(digest.as_str())
        {
            answer.headers_mut().insert(DOCKER_CONTENT_DIGEST, value);
        }
        Ok(answer)
    }

    async fn blob_bytes(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let range = match RangeRequest::parse(pull.headers.get(RANGE).and_then(|value| value.to_str().ok())) {
            RangeRequest::Several(several) => match self.several(pull, digest, &several, budget).await? {
                Some(parts) => return Ok(parts),
                None => RangeRequest::Whole,
            },
            range => range,
        };
        let value = match &range {
            RangeRequest::One(one) => Some(header(one)),
            _ => None,
        };
        if let (RangeRequest::Whole, Some(small)) = (&range, self.fetched_ahead(&pull.place, digest).await) {
            return Ok(whole(&small));
        }
        if let (RangeRequest::Whole, Some(begun)) = (&range, self.take_turn(&pull.place, digest).await) {
            return Ok(begun);
        }
        if self.blobs.mode == BlobMode::Redirect {
            return match self.locate(&pull.place, digest, Wanted::new(value.as_ref()), budget).await? {
                Located::There(uri) => Ok(redirect(uri.to_header())),
                Located::Here(opened) => self.stream(pull, digest, &range, opened, Beginning::Now),
            };
        }
        if range == RangeRequest::Whole
            && let Some((length, limited)) = self.length_ahead(&pull.place, digest)
        {
            let begun = Begun::new(self.source(pull, digest, Some(length)), length, limited);
            let opened = self.open_first(pull, digest, begun.first().end, budget).await?;
            return self.stream(pull, digest, &range, opened, Beginning::Begun(Box::new(begun)));
        }
        let opened = self.open_range(pull, digest, &range, value.as_ref(), budget).await?;
        self.stream(pull, digest, &range, opened, Beginning::Now)
    }

    /// Opens a blob for a range. OSS answers a range that reaches beyond the end with the whole object (cloud fact sheet,
    /// section 7.3); with the length known from that answer, the range is asked for again, cut to it.
    pub(super) async fn open_range(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        range: &RangeRequest,
        value: Option<&HeaderValue>,
        budget: &Budget,
    ) -> Result<Opened, UpstreamError> {
        if *range == RangeRequest::Whole && self.blobs.connections > 1 {
            return self.open_first(pull, digest, FIRST, budget).await;
        }
        let opened = self.open(&pull.place, digest, Wanted::new(value), budget).await?;
        let (RangeRequest::One(one), StatusCode::OK) = (range, opened.response.status()) else { return Ok(opened) };
        let Some(total) = length(opened.response.headers()) else { return Ok(opened) };
        match one.within(total) {
            Some(bytes) if bytes != (0..total) => {
                drop(opened);
                let exact = ByteRange::Between(bytes.start, bytes.end - 1);
                self.open(&pull.place, digest, Wanted::Range(&header(&exact)), budget).await
            }
            _ => Ok(opened),
        }
    }

    /// Opens the first `length` bytes of a blob.
    async fn open_first(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        length: u64,
        budget: &Budget,
    ) -> Result<Opened, UpstreamError> {
        let first = header(&ByteRange::Between(0, length - 1));
        let opened = self.open(&pull.place, digest, Wanted::Whole(Some(&first)), budget).await?;
        // A blob host that takes the range to be beyond an empty blob is asked for the whole.
        if opened.response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return self.open(&pull.place, digest, Wanted::Whole(None), budget).await;
        }
        Ok(opened)
    }

    pub(super) fn source(self: &Arc<Self>, pull: &Pull, digest: &Digest, total: Option<u64>) -> Source {
        let (upstream, place, digest) = (Arc::clone(self), pull.place.clone(), digest.clone());
        Source { upstream, place, digest, etag: OnceLock::new(), total, trail: Trail::default() }
    }

    /// Turns an opened answer into the client's, with a body that is resumed where it breaks.
    pub(super) fn stream(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        range: &RangeRequest,
        opened: Opened,
        beginning: Beginning,
    ) -> Result<Response<Body>, UpstreamError> {
        let (head, body) = opened.response.into_parts();
        let unexpected = |what| UpstreamError::Unexpected { host: opened.host.clone(), what };
        if is_encoded(&head.headers) {
            return Err(unexpected("a content encoding that was not asked for"));
        }
        let announced = length(&head.headers);
        let part = match (head.status, range) {
            (StatusCode::RANGE_NOT_SATISFIABLE, _) => return Ok(not_satisfiable(&head.headers)),
            (StatusCode::OK, RangeRequest::One(one)) if announced.is_some_and(|total| one.within(total).is_none()) => {
                let mut headers = HeaderMap::new();
                let value = format!("bytes */{}", announced.unwrap_or_default());
                headers.extend(HeaderValue::from_str(&value).ok().map(|value| (CONTENT_RANGE, value)));
                return Ok(not_satisfiable(&headers));
            }
            (StatusCode::OK, _) => announced.map(|total| (0..total, Some(total))),
            (StatusCode::PARTIAL_CONTENT, RangeRequest::One(one)) => {
                let range = content_range(&head.headers).ok_or_else(|| unexpected("a 206 without a Content-Range"))?;
                let asked = range.total.is_none_or(|total| one.within(total) == Some(range.bytes()));
                if !asked || !one.may_begin_at(range.first) {
                    return Err(unexpected("a 206 with another range than was asked for"));
                }
                Some((range.bytes(), range.total))
            }
            (StatusCode::PARTIAL_CONTENT, RangeRequest::Whole) => {
                let range = content_range(&head.headers).ok_or_else(|| unexpected("a 206 without a Content-Range"))?;
                let total = range.total.ok_or_else(|| unexpected("a 206 without the length of the whole"))?;
                let first = if let Beginning::Begun(begun) = &beginning { begun.first().end } else { FIRST };
                if range.bytes() != (0..first.min(total)) {
                    return Err(unexpected("a 206 with another range than was asked for"));
                }
                Some((range.bytes(), Some(total)))
            }
            _ => return Err(unexpected("a blob without status 200 or 206")),
        };
        if let Some((bytes, _)) = &part
            && announced.is_some_and(|length| length != bytes.end - bytes.start)
        {
            return Err(unexpected("another length than that of its range"));
        }
        let mut answer = answer(head.status, &head.headers, empty());
        let Some((bytes, total)) = part else { return Ok(answer.map(|_| super::fetch::unresumable(body))) };
        let first = Span { position: bytes.start, end: bytes.end };
        let whole = match (range, total) {
            (RangeRequest::Whole, Some(total)) => Span { position: 0, end: total },
            _ => first,
        };
        if *range == RangeRequest::Whole {
            *answer.status_mut() = StatusCode::OK;
            answer.headers_mut().remove(CONTENT_RANGE);
        }
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole.end - whole.position));
        let source = self.source(pull, digest, total);
        let (trail, body) = match beginning {
            Beginning::Begun(begun) if begun.source().total == total && begun.first() == first => {
                begun.source().note_id(&head.headers);
                if !begun.source().is_of(&head.headers) {
                    return Err(unexpected("another ETag than that of its other parts"));
                }
                (begun.source().trail.clone(), begun.with(body))
            }
            beginning => {
                source.remember(&head.headers);
                let held = if let Beginning::Held(held) = beginning { Some(held) } else { None };
                let trail = source.trail.clone();
                let body = if whole.end > first.end {
                    ordered(source, whole, (first, body, held), opened.slow)
                } else {
                    Arc::new(source).stream(first, body)
                };
                (trail, body)
            }
        };
        answer.extensions_mut().insert(trail);
        Ok(answer.map(|_| body))
    }
}

/// A blob that is in memory.
fn whole(small: &Small) -> Response<Body> {
    let bytes = &small.bytes;
    let mut response = Response::new(full(bytes.clone()));
    response.extensions_mut().insert(FromMemory);
    response.extensions_mut().insert(small.trail.clone());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

/// Hands the URL on to the client, which then needs a route to the bucket itself.
fn redirect(location: Option<HeaderValue>) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().extend(location.map(|location| (LOCATION, location)));
    response
}

fn not_satisfiable(from: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    response.headers_mut().extend(from.get(CONTENT_RANGE).cloned().map(|value| (CONTENT_RANGE, value)));
    response
}

pub(super) fn header(range: &ByteRange) -> HeaderValue {
    // Digits and "bytes=-" are always a header value; the fallback asks for everything, which is never wrong.
    HeaderValue::from_str(&range.to_string()).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    text(headers, &CONTENT_RANGE).and_then(ContentRange::parse)
}

pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
