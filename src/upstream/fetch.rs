//! The bytes of a blob as one unbroken body.
//!
//! A stream that breaks or falls silent is continued from the byte reached, over a fresh URL where the old one is dead, and only
//! if the other side proves that it continues the same object: 206, exactly the range asked for, the same total and ETag.
//! What cannot be continued ends in an error, which the server turns into a connection cut before the announced length:
//! a client sees that it is short and resumes by itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Shared;
use http::header::ETAG;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::check::content_range;
use super::locate::Wanted;
use super::manifest::is_encoded;
use super::range::ByteRange;
use super::readers::Reader;
use super::send::Budget;
use super::{Place, Upstream};
use crate::error::{BoxError, Explain as _, chain};
use crate::http::Body;
use crate::http::body::{StallTimer, with_stall_timeout};
use crate::http::headers;
use crate::oci::Digest;
use crate::telemetry::pulls::Trail;

/// How long a body may be silent while its reader waits.
pub(super) const STALL: Duration = Duration::from_secs(10);
/// How long resumptions may go on without a byte. containerd 1.7.0 to 1.7.9 cancel a pull after 60 s without one, and with
/// it the way past this node. The silence before the first resumption and that after the last, [`STALL`] each, come on
/// top.
const PATIENCE: Duration = Duration::from_secs(35);
/// Resumptions in a row that bring no more than [`PROGRESS`] bytes.
const MOST_FRUITLESS: u32 = 3;
/// What a resumption must bring to count as one that helped.
const PROGRESS: u64 = 64 * 1024;
/// Resumptions of one body; a connection that breaks this often is better given up.
const MOST_RESUMPTIONS: u32 = 100;

/// Where a blob can be had again.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) upstream: Arc<Upstream>,
    pub(super) place: Place,
    pub(super) digest: Digest,
    /// Told by whichever answer comes first.
    pub(super) etag: OnceLock<HeaderValue>,
    pub(super) total: Option<u64>,
    pub(super) trail: Trail,
    /// Who reads a range of it.
    pub(super) reader: Option<Arc<Reader>>,
    /// Until when nothing is read of what has been opened.
    pub(super) held_back: Option<HeldBack>,
}

/// Over once somebody reads.
pub(super) type HeldBack = Shared<oneshot::Receiver<()>>;

/// Which bytes are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) position: u64,
    pub(super) end: u64,
}

/// Why a body was not continued.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenOff {
    #[error("the blob host sent more than it announced")]
    TooLong,
    #[error("the body ended before its announced length")]
    TooShort,
    #[error("the blob cannot be continued: {0}")]
    Changed(&'static str),
    #[error("the body broke too often")]
    TooOften(#[source] BoxError),
}

impl Source {
    /// Opens `span`, as a body that is continued where it breaks.
    pub(super) async fn open(self: Arc<Self>, span: Span) -> Result<Body, BoxError> {
        let first = Arc::clone(&self).reopen(span, Budget::start()).await?;
        Ok(self.stream(span, first))
    }

    /// The body of `span`, begun by `first`.
    pub(super) fn stream(self: Arc<Self>, span: Span, first: Body) -> Body {
        let body = BlobBody {
            source: self,
            state: State::Reading(first),
            span,
            timer: StallTimer::new(STALL),
            resumptions: 0,
            fruitless: 0,
            resumed_at: span.position,
            silent_since: None,
        };
        body.boxed_unsync()
    }

    /// Takes the first answer as the one that all others have to be about the same object as.
    pub(super) fn remember(&self, headers: &HeaderMap) {
        self.note_id(headers);
        if let Some(etag) = headers.get(ETAG) {
            // Nobody has told another before.
            self.etag.set(etag.clone()).ok();
        }
    }

    /// Notes what OSS calls the request of this answer.
    pub(super) fn note_id(&self, headers: &HeaderMap) {
        if let Some(id) = headers::oss_request_id(headers) {
            self.trail.answered(id);
        }
    }

    /// Whether an answer is about the same object as those before it.
    pub(super) fn is_of(&self, headers: &HeaderMap) -> bool {
        headers.get(ETAG).is_none_or(|now| self.etag.get_or_init(|| now.clone()) == now)
    }

    /// Whether others read ranges of it too, each with a connection of its own.
    pub(super) fn is_one_of_several(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.is_one_of_several())
    }

    /// Opens what is left of `span`. Where a remembered URL leads to something else by now, a fresh one is tried, once.
    async fn reopen(self: Arc<Self>, span: Span, budget: Budget) -> Result<Body, BoxError> {
        let Span { position, end } = span;
        let wanted = Wanted::of(Some(ByteRange::Between(position, end - 1)));
        let mut renewed = false;
        loop {
            let opened = self.upstream.open(&self.place, &self.digest, wanted, &budget).await;
            let opened = opened.inspect_err(|error| {
                if let Some(id) = error.request_id() {
                    self.trail.answered(id);
                }
            })?;
            let (head, body) = opened.response.into_parts();
            self.note_id(&head.headers);
            let changed = match content_range(&head.headers) {
                _ if head.status != StatusCode::PARTIAL_CONTENT => "the range was not honoured",
                _ if is_encoded(&head.headers) => "the content is encoded",
                None => "there is no Content-Range",
                Some(range) if range.bytes() != (position..end) => "it is another range",
                Some(range) if range.total.zip(self.total).is_some_and(|(now, then)| now != then) => {
                    "its length differs"
                }
                _ if !self.is_of(&head.headers) => "its ETag differs",
                _ => return Ok(body),
            };
            if renewed || !self.upstream.forget_url(&self.place, &self.digest) {
                return Err(BrokenOff::Changed(changed).into());
            }
            renewed = true;
            tracing::debug!(digest = %self.digest, position, changed, "asking the registry for a fresh blob URL");
        }
    }
}

/// A body of unknown length or shape, which can only be watched.
pub(super) fn unresumable(body: Body) -> Body {
    with_stall_timeout(body, STALL)
}

struct BlobBody {
    source: Arc<Source>,
    state: State,
    span: Span,
    timer: StallTimer,
    resumptions: u32,
    fruitless: u32,
    resumed_at: u64,
    /// When the first of the resumptions began that brought no byte so far.
    silent_since: Option<Instant>,
}

type Reopening = Pin<Box<dyn Future<Output = Result<Body, BoxError>> + Send>>;

enum State {
    Reading(Body),
    Reopening(Reopening),
    Ended,
}

impl BlobBody {
    /// Begins a resumption, or says why not.
    fn resume(&mut self, cause: BoxError) -> Result<(), BoxError> {
        if self.span.position - self.resumed_at > PROGRESS {
            self.fruitless = 0;
        }
        self.fruitless += 1;
        self.resumptions += 1;
        let patience_ends = *self.silent_since.get_or_insert_with(Instant::now) + PATIENCE;
        let too_often = self.fruitless > MOST_FRUITLESS || self.resumptions > MOST_RESUMPTIONS;
        if too_often || Instant::now() >= patience_ends {
            return Err(BrokenOff::TooOften(cause).into());
        }
        let source = &self.source;
        tracing::info!(
            instance = %source.upstream.instance,
            digest = %source.digest,
            position = self.span.position,
            cause = chain(&*cause),
            "a blob broke off and is continued"
        );
        self.resumed_at = self.span.position;
        self.state = State::Reopening(Box::pin(Arc::clone(source).reopen(self.span, Budget::until(patience_ends))));
        Ok(())
    }

    fn end(&mut self, error: BoxError) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.state = State::Ended;
        tracing::warn!(
            instance = %self.source.upstream.instance,
            digest = %self.source.digest,
            position = self.span.position,
            cloud_request_ids = self.source.trail.cloud_request_ids(),
            error = chain(&*error),
            "a blob cannot be completed and is cut"
        );
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for BlobBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            let cause: BoxError = match &mut this.state {
                State::Ended => return Poll::Ready(None),
                State::Reopening(opening) => match std::task::ready!(opening.as_mut().poll(cx)) {
                    Ok(body) => {
                        this.source.upstream.parts.metrics.blob_resumed();
                        this.source.trail.resumed();
                        this.timer.restart();
                        this.state = State::Reading(body);
                        continue;
                    }
                    Err(error) => return this.end(error),
                },
                State::Reading(body) => match Pin::new(body).poll_frame(cx) {
                    Poll::Pending => std::task::ready!(this.timer.poll_stalled(cx)).into(),
                    Poll::Ready(Some(Ok(frame))) => {
                        // Trailers say nothing about a blob.
                        let Ok(data) = frame.into_data() else { continue };
                        this.timer.progress(data.len());
                        this.silent_since = None;
                        this.span.position += data.len() as u64;
                        if this.span.position > this.span.end {
                            return this.end(BrokenOff::TooLong.into());
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Poll::Ready(Some(Err(error))) => error,
                    Poll::Ready(None) => BrokenOff::TooShort.into(),
                },
            };
            if this.span.position == this.span.end {
                this.state = State::Ended;
                return Poll::Ready(None);
            }
            if let Err(error) = this.resume(cause) {
                return this.end(error);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) || self.span.position == self.span.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.span.end - self.span.position.min(self.span.end))
    }
}
