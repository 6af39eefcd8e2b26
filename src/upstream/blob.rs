//! What a blob request is answered with: whole, or in part.

use std::sync::{Arc, OnceLock};

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderValue, Response, StatusCode};

use super::check::{Holds, holds, is_meant, length};
use super::fetch::{Source, Span};
use super::locate::{Located, Opened, Wanted};
use super::manifest::is_encoded;
use super::memory::Reservation;
use super::ordered::{Begun, ordered};
use super::plan::FIRST;
use super::range::{ByteRange, RangeRequest};
use super::readers::Reader;
use super::respond::{as_range_of_all, from_memory, not_satisfiable, redirect, say_range};
use super::send::Budget;
use super::verified::verified;
use super::{BlobMode, Pull, Upstream, UpstreamError, answer};
use crate::http::Body;
use crate::http::body::empty;
use crate::http::headers::DOCKER_CONTENT_DIGEST;
use crate::oci::Digest;
use crate::telemetry::pulls::Trail;

/// How an answer is begun.
pub(super) enum Beginning {
    /// With its first part, which somebody reads, perhaps beside others who read ranges of the same blob.
    Now(Option<Arc<Reader>>),
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
            let range = RangeRequest::parse(pull.headers.get(RANGE).and_then(|value| value.to_str().ok()));
            let answer = self.blob_bytes(pull, digest, range, budget).await?;
            let is_part = matches!(answer.status(), StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE);
            if is_part && !is_meant(&pull.headers, answer.headers()) {
                drop(answer);
                self.blob_bytes(pull, digest, RangeRequest::Whole, budget).await?
            } else {
                answer
            }
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
        range: RangeRequest,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let range = match range {
            RangeRequest::Several(several) => match self.several(pull, digest, &several, budget).await? {
                Some(parts) => return Ok(parts),
                None => None,
            },
            RangeRequest::One(one) => Some(one),
            RangeRequest::Whole => None,
        };
        if let Some(small) = budget.lend(self.fetched_ahead(&pull.place, digest, range.is_none())).await.flatten() {
            return Ok(from_memory(&small, range));
        }
        if self.blobs.mode == BlobMode::Redirect {
            return match self.locate(&pull.place, digest, Wanted::of(range), budget).await? {
                Located::There { uri, .. } => Ok(redirect(uri.to_header())),
                Located::Here(opened) => self.stream(pull, digest, range, opened, Beginning::Now(None)),
            };
        }
        match self.streamed(pull, digest, range, budget).await {
            // Where a remembered URL leads to something else by now, a fresh one may not.
            Err(error @ UpstreamError::Unexpected { .. }) if self.forget_url(&pull.place, digest) => {
                tracing::debug!(%digest, %error, "asking the registry for a fresh blob URL");
                self.streamed(pull, digest, range, budget).await
            }
            result => result,
        }
    }

    /// The bytes from wherever they are, over as many connections as they are worth.
    ///
    /// All of a blob may be asked for as `bytes=0-` too, which differs in the status only. Who reads chunks by such
    /// ranges gets each over one connection.
    async fn streamed(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        range: Option<ByteRange>,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let reader = range.map(|range| Arc::new(self.readers.enter(self.key(&pull.place, digest), range)));
        let all = match range {
            None => true,
            Some(range) => range == ByteRange::From(0) && !self.readers.read_chunks(),
        };
        let answer = if !all {
            let opened = self.open_range(pull, digest, range, budget).await?;
            self.stream(pull, digest, range, opened, Beginning::Now(reader))?
        } else if let Some(begun) = budget.lend(self.take_turn(&pull.place, digest)).await.flatten() {
            begun
        } else if let Some((length, limited)) = self.length_ahead(&pull.place, digest) {
            let begun = Begun::new(self.source(pull, digest, Some(length), reader), length, limited);
            self.begun(pull, digest, begun, budget).await?
        } else {
            let opened = self.open_range(pull, digest, None, budget).await?;
            self.stream(pull, digest, None, opened, Beginning::Now(reader))?
        };
        Ok(if all && range.is_some() { as_range_of_all(answer) } else { answer })
    }

    /// All of a blob whose other parts have been asked for.
    pub(super) async fn begun(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        begun: Begun,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let opened = self.open_first(pull, digest, Wanted::of(None).first(begun.first().end), budget).await?;
        self.stream(pull, digest, None, opened, Beginning::Begun(Box::new(begun)))
    }

    /// Opens a blob for a range, or for all of it.
    pub(super) async fn open_range(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        range: Option<ByteRange>,
        budget: &Budget,
    ) -> Result<Opened, UpstreamError> {
        let wanted = Wanted::of(range);
        // With more than one connection, a part is opened first, where it is known to lie within the blob.
        let begins = self.blobs.connections > 1
            && match range {
                None => true,
                Some(ByteRange::From(from)) => {
                    self.size(&pull.place, digest).is_some_and(|size| from.saturating_add(FIRST) < size)
                }
                Some(_) => false,
            };
        if begins {
            return self.open_first(pull, digest, wanted.first(FIRST), budget).await;
        }
        self.open_exactly(pull, digest, wanted, budget).await
    }

    /// Opens the first bytes of what is wanted.
    async fn open_first(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        wanted: Wanted,
        budget: &Budget,
    ) -> Result<Opened, UpstreamError> {
        let opened = self.open_exactly(pull, digest, wanted, budget).await?;
        // A blob host that takes the part to be beyond an empty blob, or one that is shorter than it was said to be, is
        // asked for all that is wanted.
        if opened.response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return self.open_exactly(pull, digest, Wanted::of(wanted.range), budget).await;
        }
        Ok(opened)
    }

    /// Opens a blob. OSS answers a range that reaches beyond the end with the whole object (cloud fact sheet, section 7.3);
    /// with the length known from that answer, the range is asked for again, cut to it.
    async fn open_exactly(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        wanted: Wanted,
        budget: &Budget,
    ) -> Result<Opened, UpstreamError> {
        let opened = self.open(&pull.place, digest, wanted, budget).await?;
        let (Some(range), StatusCode::OK) = (wanted.range, opened.response.status()) else { return Ok(opened) };
        let Some(total) = length(opened.response.headers()) else { return Ok(opened) };
        match range.within(total) {
            Some(bytes) if bytes != (0..total) => {
                drop(opened);
                let exact = ByteRange::Between(bytes.start, bytes.end - 1);
                self.open(&pull.place, digest, Wanted::of(Some(exact)), budget).await
            }
            _ => Ok(opened),
        }
    }

    pub(super) fn source(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        total: Option<u64>,
        reader: Option<Arc<Reader>>,
    ) -> Source {
        let (upstream, place, digest) = (Arc::clone(self), pull.place.clone(), digest.clone());
        Source {
            upstream,
            place,
            digest,
            etag: OnceLock::new(),
            total,
            trail: Trail::default(),
            reader,
            held_back: None,
        }
    }

    /// Turns an opened answer into the client's, with a body that is resumed where it breaks.
    pub(super) fn stream(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        range: Option<ByteRange>,
        opened: Opened,
        beginning: Beginning,
    ) -> Result<Response<Body>, UpstreamError> {
        let Opened { response, host, slow, first } = opened;
        let (head, body) = response.into_parts();
        let unexpected = |what| UpstreamError::Unexpected { host: host.clone(), what };
        if is_encoded(&head.headers) {
            return Err(unexpected("a content encoding that was not asked for"));
        }
        let mut answer = answer(head.status, &head.headers, empty());
        let (bytes, total) = match holds(head.status, &head.headers, range, first).map_err(unexpected)? {
            Holds::Bytes(bytes, total) => (bytes, total),
            Holds::Unmeasured => return Ok(answer.map(|_| super::fetch::unresumable(body))),
            Holds::Nothing(total) => return Ok(not_satisfiable(total)),
        };
        let first = Span { position: bytes.start, end: bytes.end };
        // Of what was asked for, the first part may have been opened only.
        let whole = match (head.status, range, total) {
            (StatusCode::PARTIAL_CONTENT, Some(range), Some(total)) => range.within(total).unwrap_or(bytes),
            (_, None, Some(total)) => 0..total,
            _ => bytes,
        };
        let whole = Span { position: whole.start, end: whole.end };
        if range.is_none() {
            *answer.status_mut() = StatusCode::OK;
            answer.headers_mut().remove(CONTENT_RANGE);
        } else if whole != first
            && let Some(total) = total
        {
            say_range(&mut answer, whole, total);
        }
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole.end - whole.position));
        let (trail, body) = match beginning {
            Beginning::Begun(begun) if begun.source().total == total && begun.first() == first => {
                begun.source().note_id(&head.headers);
                if !begun.source().is_of(&head.headers) {
                    return Err(unexpected("another ETag than that of its other parts"));
                }
                (begun.source().trail.clone(), begun.with(body))
            }
            beginning => {
                let (held, reader) = match beginning {
                    Beginning::Held(held) => (Some(held), None),
                    Beginning::Now(reader) => (None, reader),
                    Beginning::Begun(_) => (None, None),
                };
                let source = self.source(pull, digest, total, reader);
                source.remember(&head.headers);
                let trail = source.trail.clone();
                let body = if whole.end > first.end {
                    // A range is widened by what is measured only: its reader may want no more than the beginning.
                    ordered(source, whole, (first, body, held), slow && range.is_none())
                } else {
                    Arc::new(source).stream(first, body)
                };
                (trail, body)
            }
        };
        answer.extensions_mut().insert(trail);
        let is_all = whole.position == 0 && total == Some(whole.end) && whole.end > 0;
        let body = if is_all && self.parts.blob_client.is_proxied() {
            verified(body, digest, whole.end, &self.parts.blob_client)
        } else {
            body
        };
        Ok(answer.map(|_| body))
    }
}
