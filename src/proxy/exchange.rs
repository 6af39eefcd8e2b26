//! One request and its answer, from the head that came to the last byte that went: its id, its line in the log, its
//! counters, its place among the recent pulls.
//!
//! What is counted is counted once, also where the client leaves before there is an answer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderValue, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::request_id::RequestId;
use crate::http::Body;
use crate::http::body::{End, Passage, metered};
use crate::http::headers::{DOCKER_CONTENT_DIGEST, X_REQUEST_ID};
use crate::oci::{InstanceId, Reference, RepositoryName, Resource};
use crate::telemetry::logs;
use crate::telemetry::metrics::{Answered, InstanceMetrics, Kind, Method};
use crate::telemetry::pulls::{FromMemory, Outcome, RecentPull, RecentPulls, Trail};
use crate::upstream::{Place, Upstream};

/// Status under which a request is counted whose client left before the answer, as nginx counts it.
const CLIENT_LEFT: u16 = 499;

/// Statuses under which content moves, or the right to it (307).
const MOVES_CONTENT: [u16; 3] = [200, 206, 307];

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
pub(super) struct Pulled {
    upstream: Arc<Upstream>,
    pub(super) repository: RepositoryName,
    /// The tag or digest; `None` for a list of tags.
    pub(super) reference: Option<Reference>,
}

impl Pulled {
    pub(super) fn instance(&self) -> &InstanceId {
        self.upstream.instance()
    }
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

    /// What was asked for, where it belongs to an instance.
    pub(super) fn pulled(&self) -> Option<&Pulled> {
        self.0.about.get()?.pull.as_ref()
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
    /// The digest of the content, where the answer tells one.
    digest: Option<HeaderValue>,
    trail: Trail,
    from_memory: bool,
}

impl Ending {
    /// The digest of what was asked for: named by the client, or found by its tag.
    fn digest<'a>(&'a self, asked: Option<&'a Reference>) -> Option<&'a str> {
        match asked? {
            Reference::Digest(digest) => Some(digest.as_str()),
            Reference::Tag(_) => self.digest.as_ref()?.to_str().ok(),
        }
    }
}

impl Exchange {
    pub(super) fn begin(id: RequestId, recent: &RecentPulls) -> (Self, Subject) {
        let subject = Subject::default();
        let (recent, begun) = (recent.clone(), Instant::now());
        (Self { subject: subject.clone(), id, recent, begun, ended: false }, subject)
    }

    pub(super) const fn id(&self) -> &RequestId {
        &self.id
    }

    /// Ties itself to the body of the answer.
    pub(super) fn attach(self, mut response: Response<Body>) -> Response<Body> {
        if let Ok(id) = HeaderValue::from_str(self.id.as_str()) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        let trail: Trail = response.extensions_mut().remove().unwrap_or_default();
        let from_memory = response.extensions_mut().remove::<FromMemory>().is_some();
        let digest = response.headers().get(DOCKER_CONTENT_DIGEST).cloned();
        let status = response.status().as_u16();
        let head = Instant::now();
        let mut this = self;
        response.map(|body| {
            metered(body, move |passage| {
                this.end(&Ending { status, head, passage, digest, trail, from_memory });
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

    /// Says what became of a pull: whatever asked for content is for the audit log, all else for whoever looks closely. A
    /// HEAD is all that comes of a pull whose image the client has already.
    ///
    /// A request that leads to no instance has no line there: anybody can make up names, and of those who name an instance
    /// the refused cost no less than the served.
    fn tell(&self, about: &About, pulled: &Pulled, ending: &Ending, took: Duration) {
        let About { kind, method, .. } = *about;
        let Ending { status, from_memory, passage: Passage { bytes, .. }, .. } = *ending;
        let outcome = outcome(ending);
        let instance = pulled.instance();
        let reference = pulled.reference.as_ref();
        let resumes = ending.trail.resumes();
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let content = matches!(kind, Kind::Manifest | Kind::Blob);
        let digest = ending.digest(reference);
        if content {
            tracing::info!(
                target: logs::AUDIT,
                request_id = self.id.as_str(),
                %instance,
                repository = %pulled.repository,
                reference = reference.map(tracing::field::display),
                digest,
                kind = kind.as_str(),
                method = method.as_str(),
                status,
                bytes,
                duration_ms,
                resumes,
                from_memory,
                outcome = outcome.as_str(),
                role = pulled.upstream.role(),
                cloud_request_ids = ending.trail.cloud_request_ids(),
                "{}",
                came_of(method, status)
            );
        } else {
            tracing::debug!(
                request_id = self.id.as_str(),
                %instance,
                repository = %pulled.repository,
                reference = reference.map(tracing::field::display),
                digest,
                kind = kind.as_str(),
                method = method.as_str(),
                status,
                duration_ms,
                outcome = outcome.as_str(),
                "answered"
            );
        }
        if content && let Some(reference) = &pulled.reference {
            self.recent.push(RecentPull {
                at: pulled.upstream.now(),
                instance: instance.clone(),
                kind,
                method,
                repository: pulled.repository.clone(),
                reference: reference.clone(),
                digest: digest.map(str::to_owned),
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

/// What came of a request for content, in the words of the audit log.
fn came_of(method: Method, status: u16) -> &'static str {
    match (method, status) {
        (_, 400..) => "not pulled",
        (Method::Get, status) if MOVES_CONTENT.contains(&status) => "pulled",
        // A HEAD, or a client that has it already (304).
        _ => "found",
    }
}

fn outcome(ending: &Ending) -> Outcome {
    match (ending.status, ending.passage.end) {
        (CLIENT_LEFT, _) => Outcome::Left,
        // However much of the error its reader wanted: of a HEAD's, nothing goes out.
        (400.., _) => Outcome::Refused,
        (_, End::Dropped) => Outcome::Left,
        (_, End::Failed) => Outcome::Cut,
        (307, End::Complete) => Outcome::Redirected,
        (_, End::Complete) => Outcome::Complete,
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.ended {
            let passage = Passage { bytes: 0, first_byte: None, end: End::Dropped };
            let (digest, trail) = (None, Trail::default());
            let head = Instant::now();
            self.end(&Ending { status: CLIENT_LEFT, head, passage, digest, trail, from_memory: false });
        }
    }
}
