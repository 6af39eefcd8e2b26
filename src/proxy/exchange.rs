//! One request and its answer, from the head that came to the last byte that went: its id, its line in the log, its
//! counters, its place among the recent pulls.
//!
//! What is counted is counted once, also where the client leaves before there is an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderValue, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::http::Body;
use crate::http::body::{End, Passage, metered};
use crate::http::headers::X_REQUEST_ID;
use crate::oci::{Reference, RepositoryName, Resource};
use crate::telemetry::logs;
use crate::telemetry::metrics::{Answered, InstanceMetrics, Kind, Method};
use crate::telemetry::pulls::{FromMemory, Outcome, RecentPull, RecentPulls, Resumes};
use crate::upstream::{Place, Upstream};

/// Status under which a request is counted whose client left before the answer, as nginx counts it.
const CLIENT_LEFT: u16 = 499;

/// Statuses under which content moves, or the right to it (307).
const MOVES_CONTENT: [u16; 3] = [200, 206, 307];

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
pub(super) struct Subject(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    about: OnceLock<About>,
    /// Its places among what the node carries at once: as a request, and as a blob that is streamed.
    request: OnceLock<OwnedSemaphorePermit>,
    stream: OnceLock<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct About {
    metrics: Arc<InstanceMetrics>,
    pull: Option<Pulled>,
    kind: Kind,
    method: Method,
}

/// What was pulled, and from where.
#[derive(Debug)]
struct Pulled {
    upstream: Arc<Upstream>,
    repository: RepositoryName,
    /// The tag or digest; `None` for a list of tags.
    reference: Option<Reference>,
}

impl Subject {
    /// Notes an instance; the request counts as in flight from here on.
    pub(super) fn pull(&self, upstream: &Arc<Upstream>, what: (&Place, &Resource), kind: Kind, method: Method) {
        let (place, resource) = what;
        let reference = match resource {
            Resource::Manifest(reference) => Some(reference.clone()),
            Resource::Blob(digest) | Resource::Referrers { digest, .. } => Some(Reference::Digest(digest.clone())),
            Resource::Tags { .. } => None,
        };
        let repository = place.repository.clone();
        let pull = Pulled { upstream: Arc::clone(upstream), repository, reference };
        self.note(About { metrics: Arc::clone(upstream.metrics()), pull: Some(pull), kind, method });
    }

    /// Notes a request that belongs to no instance.
    pub(super) fn unrouted(&self, metrics: &Arc<InstanceMetrics>, kind: Kind, method: Method) {
        self.note(About { metrics: Arc::clone(metrics), pull: None, kind, method });
    }

    /// Holds a place as a request until the last byte of the answer has gone.
    pub(super) fn hold_request(&self, place: OwnedSemaphorePermit) {
        // A second one would be let go at once: there is one answer.
        drop(self.0.request.set(place));
    }

    /// Holds a place as a blob that is streamed as long.
    pub(super) fn hold_stream(&self, place: OwnedSemaphorePermit) {
        drop(self.0.stream.set(place));
    }

    fn note(&self, about: About) {
        let (metrics, kind, method) = (Arc::clone(&about.metrics), about.kind, about.method);
        if self.0.about.set(about).is_ok() {
            metrics.request_began(kind, method);
        }
    }
}

/// One exchange; ends when its answer's body does, or when it is dropped before.
#[derive(Debug)]
pub(super) struct Exchange {
    subject: Subject,
    id: RequestId,
    recent: RecentPulls,
    begun: Instant,
    ended: bool,
}

/// How an answer ended.
#[derive(Debug)]
struct Ending {
    status: u16,
    /// When its head went out.
    head: Instant,
    passage: Passage,
    resumes: u32,
    from_memory: bool,
}

impl Exchange {
    pub(super) fn begin(id: RequestId, recent: &RecentPulls) -> (Self, Subject) {
        let subject = Subject::default();
        let (recent, begun) = (recent.clone(), Instant::now());
        (Self { subject: subject.clone(), id, recent, begun, ended: false }, subject)
    }

    /// Ties itself to the body of the answer.
    pub(super) fn attach(self, mut response: Response<Body>) -> Response<Body> {
        if let Ok(id) = HeaderValue::from_str(self.id.as_str()) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        let resumes: Resumes = response.extensions_mut().remove().unwrap_or_default();
        let from_memory = response.extensions_mut().remove::<FromMemory>().is_some();
        let status = response.status().as_u16();
        let head = Instant::now();
        let mut this = self;
        response.map(|body| {
            metered(body, move |passage| {
                this.end(&Ending { status, head, passage, resumes: resumes.so_far(), from_memory });
            })
        })
    }

    fn end(&mut self, ending: &Ending) {
        self.ended = true;
        let Some(about) = self.subject.0.about.get() else { return };
        let took = self.begun.elapsed();
        let Passage { bytes, end, first_byte } = ending.passage;
        about.metrics.request_ended(&Answered {
            kind: about.kind,
            method: about.method,
            status: ending.status,
            bytes,
            took,
            first_byte: first_byte.unwrap_or(ending.head) - self.begun,
        });
        if let Some(pulled) = &about.pull {
            if ending.status < 400 && end == End::Complete {
                pulled.upstream.succeeded();
            }
            self.tell(about, pulled, ending, took);
        }
    }

    /// Says what became of a pull: content that moved is for the audit log, all else for whoever looks closely.
    fn tell(&self, about: &About, pulled: &Pulled, ending: &Ending, took: Duration) {
        let About { kind, method, .. } = *about;
        let Ending { status, resumes, from_memory, passage: Passage { bytes, .. }, .. } = *ending;
        let outcome = outcome(ending);
        let instance = pulled.upstream.instance();
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let content = matches!(kind, Kind::Manifest | Kind::Blob);
        let moved = content && method == Method::Get && MOVES_CONTENT.contains(&status);
        if moved {
            tracing::info!(
                target: logs::AUDIT,
                request_id = self.id.as_str(),
                %instance,
                repository = %pulled.repository,
                reference = pulled.reference.as_ref().map(tracing::field::display),
                kind = kind.as_str(),
                bytes,
                milliseconds,
                resumes,
                from_memory,
                outcome = outcome.as_str(),
                role = pulled.upstream.role(),
                "pulled"
            );
        } else {
            tracing::debug!(
                request_id = self.id.as_str(),
                %instance,
                repository = %pulled.repository,
                reference = pulled.reference.as_ref().map(tracing::field::display),
                kind = kind.as_str(),
                method = method.as_str(),
                status,
                milliseconds,
                outcome = outcome.as_str(),
                "answered"
            );
        }
        if (moved || (content && status >= 400))
            && let Some(reference) = &pulled.reference
        {
            self.recent.push(RecentPull {
                at: pulled.upstream.now(),
                instance: instance.clone(),
                kind,
                repository: pulled.repository.clone(),
                reference: reference.clone(),
                status,
                bytes,
                took,
                resumes,
                from_memory,
                outcome,
                request_id: self.id.as_str().to_owned(),
            });
        }
    }
}

fn outcome(ending: &Ending) -> Outcome {
    match (ending.status, ending.passage.end) {
        (_, End::Dropped) => Outcome::Left,
        (400.., _) => Outcome::Refused,
        (_, End::Failed) => Outcome::Cut,
        (307, End::Complete) => Outcome::Redirected,
        (_, End::Complete) => Outcome::Complete,
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.ended {
            let passage = Passage { bytes: 0, first_byte: None, end: End::Dropped };
            self.end(&Ending { status: CLIENT_LEFT, head: Instant::now(), passage, resumes: 0, from_memory: false });
        }
    }
}
