//! One request and its answer, from the head that came to the last byte that went: its id, its line in the log, its
//! counters.
//!
//! What is counted is counted once, also where the client leaves before there is an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::{HeaderValue, Response};
use tokio::time::Instant;

use crate::http::Body;
use crate::http::body::{End, Passage, metered};
use crate::http::headers::X_REQUEST_ID;
use crate::telemetry::metrics::{Answered, InstanceMetrics, Kind, Method};
use crate::upstream::Upstream;

/// Status under which a request is counted whose client left before the answer, as nginx counts it.
const CLIENT_LEFT: u16 = 499;

/// The name of one request, unique on this node until it is restarted, and unlikely to repeat after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(String);

/// Hands out request ids.
#[derive(Debug)]
pub(super) struct RequestIds {
    /// Differs from start to start.
    start: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        // A hash under a random key is random enough to tell two starts apart.
        let random = RandomState::new().hash_one(0_u8);
        Self { start: u32::try_from(random >> 32).unwrap_or_default(), next: AtomicU64::new(1) }
    }

    pub(super) fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        RequestId(format!("{:08x}-{number:x}", self.start))
    }
}

impl RequestId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a request turned out to be about; written by the handler, read when the exchange ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject(Arc<OnceLock<About>>);

#[derive(Debug)]
struct About {
    metrics: Arc<InstanceMetrics>,
    upstream: Option<Arc<Upstream>>,
    kind: Kind,
    method: Method,
}

impl Subject {
    /// Notes an instance; the request counts as in flight from here on.
    pub(super) fn pull(&self, upstream: &Arc<Upstream>, kind: Kind, method: Method) {
        self.note(About {
            metrics: Arc::clone(upstream.metrics()),
            upstream: Some(Arc::clone(upstream)),
            kind,
            method,
        });
    }

    /// Notes a request that belongs to no instance.
    pub(super) fn unrouted(&self, metrics: &Arc<InstanceMetrics>, kind: Kind, method: Method) {
        self.note(About { metrics: Arc::clone(metrics), upstream: None, kind, method });
    }

    fn note(&self, about: About) {
        let (metrics, kind, method) = (Arc::clone(&about.metrics), about.kind, about.method);
        if self.0.set(about).is_ok() {
            metrics.request_began(kind, method);
        }
    }
}

/// One exchange; ends when its answer's body does, or when it is dropped before.
#[derive(Debug)]
pub(super) struct Exchange {
    subject: Subject,
    id: RequestId,
    begun: Instant,
    ended: bool,
}

impl Exchange {
    pub(super) fn begin(id: RequestId) -> (Self, Subject) {
        let subject = Subject::default();
        (Self { subject: subject.clone(), id, begun: Instant::now(), ended: false }, subject)
    }

    /// Ties itself to the body of the answer.
    pub(super) fn attach(self, mut response: Response<Body>) -> Response<Body> {
        if let Ok(id) = HeaderValue::from_str(self.id.as_str()) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        let status = response.status().as_u16();
        let head = Instant::now();
        let mut this = self;
        response.map(|body| metered(body, move |passage| this.end(status, head, passage)))
    }

    fn end(&mut self, status: u16, head: Instant, passage: Passage) {
        self.ended = true;
        let Some(about) = self.subject.0.get() else { return };
        let first_byte = passage.first_byte.unwrap_or(head) - self.begun;
        let took = self.begun.elapsed();
        let Passage { bytes, end, .. } = passage;
        about.metrics.request_ended(&Answered {
            kind: about.kind,
            method: about.method,
            status,
            bytes,
            took,
            first_byte,
        });
        let Some(upstream) = &about.upstream else { return };
        if status < 400 && end == End::Complete {
            upstream.succeeded();
        }
        tracing::info!(
            request_id = self.id.as_str(),
            instance = %upstream.instance(),
            kind = ?about.kind,
            method = ?about.method,
            status,
            bytes,
            end = ?end,
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "served"
        );
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.ended {
            self.end(CLIENT_LEFT, Instant::now(), Passage { bytes: 0, first_byte: None, end: End::Dropped });
        }
    }
}
