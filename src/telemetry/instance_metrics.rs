//! The metrics of one instance: children of all families, resolved once and found by number.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{Gauge, Histogram, IntCounter, IntGauge};

use super::families::Families;
use super::labels::{CacheResult, Hop, Kind, Method, Outcome, StatusClass, Target};
use super::metrics::{Metrics, seconds};
use super::token_times::{Holder, TokenTimes};
use crate::clock::Timestamp;

const HOPS: usize = Hop::ALL.len();
const TARGETS: usize = Target::ALL.len();
const KINDS: usize = Kind::ALL.len();
const METHODS: usize = Method::ALL.len();
const CLASSES: usize = StatusClass::ALL.len();
const OUTCOMES: usize = Outcome::ALL.len();
const RESULTS: usize = CacheResult::ALL.len();

/// The metrics of one instance.
///
/// Counters stand at zero from the start, so that a rate is right from the first event on. So do the histograms of what
/// every node sees sooner or later, as long as there are few instances; those of the rest (lists, pings, redirects), a dozen
/// series each, appear when they have something to say. Time stamps appear when there is a time.
#[derive(Debug)]
pub struct InstanceMetrics {
    families: Arc<Families>,
    /// Its id; empty where there is none.
    pub(crate) instance: Box<str>,
    requests: [[[Request; CLASSES]; METHODS]; KINDS],
    in_flight: [[IntGauge; METHODS]; KINDS],
    first_byte: [OnceLock<Histogram>; KINDS],
    token_requests: [[Attempts; OUTCOMES]; HOPS],
    token_times: [TokenTimes; HOPS],
    token_cache: [[IntCounter; RESULTS]; HOPS],
    upstream_requests: [[Attempts; OUTCOMES]; TARGETS],
    upstream_retries: [[IntCounter; OUTCOMES]; TARGETS],
    blob_resumes: IntCounter,
    blob_redirects: IntCounter,
    blob_parts: IntCounter,
    blob_proxy: [IntCounter; OUTCOMES],
    last_success: Gauge,
}

/// One request of a client, once the last byte of its answer has gone or its reader has left.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// What it was about.
    pub kind: Kind,
    /// How it was asked.
    pub method: Method,
    /// The status of the answer; exported as its class.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub bytes: u64,
    /// From the request head to the end of the answer.
    pub took: Duration,
    /// From the request head to the first byte of the body, or to the head where there is no body.
    pub first_byte: Duration,
}

/// The children of one (kind, method, status).
#[derive(Debug)]
struct Request {
    count: IntCounter,
    bytes: IntCounter,
    seconds: OnceLock<Histogram>,
}

/// A counter and how long what it counts took.
#[derive(Debug)]
struct Attempts {
    count: IntCounter,
    seconds: OnceLock<Histogram>,
}

/// The statuses that every node sees sooner or later; redirects it sees with `blobs.mode: redirect` only.
const USUAL_CLASSES: [StatusClass; 3] = [StatusClass::Success, StatusClass::ClientError, StatusClass::ServerError];

/// Most instances whose histograms stand at zero from the start: with so many a scrape has 16 000 series and 2 MB, while
/// with 200 it would have 160 000 and 20 MB, and the daemon 40 MB more (measured). A rate is right without, from the counters.
const MOST_STARTED: usize = 20;

/// The status of a request in flight. Prometheus takes an empty label for one that is absent.
const NO_STATUS: &str = "";

/// What a pull asks for.
const USUAL_KINDS: [Kind; 2] = [Kind::Manifest, Kind::Blob];

impl Default for InstanceMetrics {
    /// Metrics that nobody looks at, over families of their own; for tests.
    fn default() -> Self {
        Self::new(Metrics::new().families(), "")
    }
}

impl InstanceMetrics {
    pub(super) fn new(families: Arc<Families>, id: &str) -> Self {
        let all = &families;
        let attempts = |family: &MetricVec<_>, what: &str, outcome: &str| Attempts {
            count: child(family, &[id, what, outcome]),
            seconds: OnceLock::new(),
        };
        let requests = each(Kind::ALL, |kind: Kind| {
            each(Method::ALL, |method: Method| {
                each(StatusClass::ALL, |class: StatusClass| {
                    let labels = [id, kind.as_str(), method.as_str(), class.as_str()];
                    Request {
                        count: child(&all.requests, &labels),
                        bytes: child(&all.response_bytes, &labels),
                        seconds: OnceLock::new(),
                    }
                })
            })
        });
        let new = Self {
            requests,
            in_flight: each(Kind::ALL, |kind: Kind| {
                each(Method::ALL, |method: Method| {
                    child(&all.in_flight, &[id, kind.as_str(), method.as_str(), NO_STATUS])
                })
            }),
            first_byte: each(Kind::ALL, |_| OnceLock::new()),
            token_requests: each(Hop::ALL, |hop: Hop| {
                each(Outcome::ALL, |end: Outcome| attempts(&all.token_requests, hop.as_str(), end.as_str()))
            }),
            token_times: each(Hop::ALL, |_| TokenTimes::default()),
            token_cache: each(Hop::ALL, |hop: Hop| {
                each(CacheResult::ALL, |end: CacheResult| child(&all.token_cache, &[id, hop.as_str(), end.as_str()]))
            }),
            upstream_requests: each(Target::ALL, |target: Target| {
                each(Outcome::ALL, |end: Outcome| attempts(&all.upstream_requests, target.as_str(), end.as_str()))
            }),
            upstream_retries: each(Target::ALL, |target: Target| {
                each(Outcome::ALL, |end: Outcome| child(&all.upstream_retries, &[id, target.as_str(), end.as_str()]))
            }),
            blob_resumes: child(&all.blob_resumes, &[id]),
            blob_redirects: child(&all.blob_redirects, &[id]),
            blob_parts: child(&all.blob_parts, &[id]),
            blob_proxy: each(Outcome::ALL, |outcome: Outcome| child(&all.blob_proxy, &[id, outcome.as_str()])),
            last_success: child(&all.last_success, &[id]),
            instance: id.into(),
            families,
        };
        if !id.is_empty() && new.families.instances.fetch_add(1, Ordering::Relaxed) < MOST_STARTED {
            new.start_histograms();
        }
        new
    }

    /// Starts the usual histograms at zero.
    fn start_histograms(&self) {
        for kind in USUAL_KINDS {
            self.first_byte(kind);
            for method in Method::ALL {
                for class in USUAL_CLASSES {
                    self.request_seconds(kind, *method, class);
                }
            }
        }
        for outcome in Outcome::ALL {
            for hop in Hop::ALL {
                self.token_seconds(*hop, *outcome);
            }
            for target in Target::ALL {
                self.upstream_seconds(*target, *outcome);
            }
        }
    }

    fn request_seconds(&self, kind: Kind, method: Method, class: StatusClass) -> &Histogram {
        let labels = [&*self.instance, kind.as_str(), method.as_str(), class.as_str()];
        let request = &self.requests[kind.index()][method.index()][class.index()];
        request.seconds.get_or_init(|| child(&self.families.request_seconds, &labels))
    }

    fn first_byte(&self, kind: Kind) -> &Histogram {
        let labels = [&*self.instance, kind.as_str()];
        self.first_byte[kind.index()].get_or_init(|| child(&self.families.first_byte_seconds, &labels))
    }

    fn token_seconds(&self, hop: Hop, outcome: Outcome) -> &Histogram {
        let labels = [&*self.instance, hop.as_str(), outcome.as_str()];
        let attempts = &self.token_requests[hop.index()][outcome.index()];
        attempts.seconds.get_or_init(|| child(&self.families.token_seconds, &labels))
    }

    fn upstream_seconds(&self, target: Target, outcome: Outcome) -> &Histogram {
        let labels = [&*self.instance, target.as_str(), outcome.as_str()];
        let attempts = &self.upstream_requests[target.index()][outcome.index()];
        attempts.seconds.get_or_init(|| child(&self.families.upstream_seconds, &labels))
    }

    /// A client's request came in; every call is followed by one of [`request_ended`](Self::request_ended).
    pub fn request_began(&self, kind: Kind, method: Method) {
        self.in_flight[kind.index()][method.index()].inc();
    }

    /// It was answered, in full or as far as its reader wanted.
    pub fn request_ended(&self, answered: &Answered) {
        let Answered { kind, method, .. } = *answered;
        let status = StatusClass::of(answered.status);
        self.in_flight[kind.index()][method.index()].dec();
        let request = &self.requests[kind.index()][method.index()][status.index()];
        request.count.inc();
        request.bytes.inc_by(answered.bytes);
        self.request_seconds(kind, method, status).observe(answered.took.as_secs_f64());
        self.first_byte(kind).observe(answered.first_byte.as_secs_f64());
    }

    /// One call for a credential or token ended.
    pub fn token_request(&self, hop: Hop, outcome: Outcome, took: Duration) {
        self.token_requests[hop.index()][outcome.index()].count.inc();
        self.token_seconds(hop, outcome).observe(took.as_secs_f64());
    }

    /// One more who will hold a credential or token of this hop; not called for bearers.
    #[must_use]
    pub fn token_holder(&self, hop: Hop) -> Holder {
        self.token_times[hop.index()].one_more(hop)
    }

    /// A credential or token is now held. Of several at one hop the one that expires first is shown.
    pub fn token_held(&self, holder: Holder, issued: Timestamp, expires: Timestamp) {
        let labels = [&*self.instance, holder.hop.as_str()];
        let gauges = || [&self.families.token_issued, &self.families.token_expiry].map(|family| child(family, &labels));
        self.token_times[holder.hop.index()].set(holder, [issued, expires], gauges);
    }

    /// A credential or token was asked for inside the daemon.
    pub fn token_cache(&self, hop: Hop, result: CacheResult) {
        self.token_cache[hop.index()][result.index()].inc();
    }

    /// One request to the outside ended with its response head.
    pub fn upstream_request(&self, target: Target, outcome: Outcome, took: Duration) {
        self.upstream_requests[target.index()][outcome.index()].count.inc();
        self.upstream_seconds(target, outcome).observe(took.as_secs_f64());
    }

    /// A request to the outside is tried again, because the attempt before ended like this.
    pub fn upstream_retry(&self, target: Target, outcome: Outcome) {
        self.upstream_retries[target.index()][outcome.index()].inc();
    }

    /// A broken blob body was continued.
    pub fn blob_resumed(&self) {
        self.blob_resumes.inc();
    }

    /// The registry sent a blob request on to the bucket.
    pub fn blob_redirected(&self) {
        self.blob_redirects.inc();
    }

    /// One part of a blob was fetched.
    pub fn blob_part(&self) {
        self.blob_parts.inc();
    }

    /// A request for a blob was handed to the blob proxy.
    pub fn blob_proxied(&self, outcome: Outcome) {
        self.blob_proxy[outcome.index()].inc();
    }

    /// A pull request was answered in full at this time.
    pub fn succeeded(&self, at: Timestamp) {
        self.last_success.set(seconds(at));
    }

    /// When a pull request was last answered in full.
    #[must_use]
    pub fn last_success(&self) -> Option<Timestamp> {
        let seconds = Some(self.last_success.get()).filter(|seconds| *seconds > 0.0)?;
        Timestamp::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?).ok()
    }
}

impl Drop for InstanceMetrics {
    fn drop(&mut self) {
        if !self.instance.is_empty() {
            self.families.instances.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One child for each member of a set, in the set's order.
fn each<S: Copy, T, const N: usize>(set: &[S], make: impl Fn(S) -> T) -> [T; N] {
    debug_assert_eq!(set.len(), N);
    std::array::from_fn(|index| make(set[index]))
}

fn child<T: MetricVecBuilder>(family: &MetricVec<T>, labels: &[&str]) -> T::M {
    family.with_label_values(labels)
}
