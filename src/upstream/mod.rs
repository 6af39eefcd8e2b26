//! One instance as seen from the proxy: an authorised request to its registry, the redirect to its bucket, the bytes.
//!
//! It promises a response head within [`PULL_LIMIT`] or an error, headers from the allow-list only, and bodies that are
//! either complete or end in an error, never short in silence. It never sends a bearer anywhere but to the registry, and
//! knows nothing of how a bearer is come by.

mod allow;
mod blob;
mod check;
mod distance;
mod document;
mod early;
mod error;
mod fetch;
mod flight;
mod head;
mod hedge;
mod hosts;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
mod line;
mod list;
mod locate;
mod manifest;
mod memory;
mod multipart;
mod next;
mod ordered;
mod part;
mod plan;
mod promise;
mod range;
mod reach;
mod readers;
mod recent;
mod redirect;
mod respond;
mod retry;
mod send;
mod turn;
mod verdict;
mod verified;
mod warm;
mod width;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use self::allow::{BlobHosts, Repositories};
use self::distance::Distance;
pub use self::error::{ErrorKind, UpstreamError};
use self::flight::Flights;
use self::hosts::Hosts;
use self::locate::Found;
use self::manifest::{Asked, Read};
use self::memory::Key;
pub use self::memory::{Memory, read_ahead};
use self::next::Ahead;
use self::readers::Readers;
use self::send::Budget;
pub use self::warm::{RENEWAL, likely_bucket};
use self::width::Learnt;
use crate::clock::{SharedClock, Timestamp};
use crate::http::client::Client;
use crate::http::origin::Origin;
use crate::http::{Body, headers};
use crate::oci::{InstanceId, RegistryHost, RepositoryName, Resource};
use crate::telemetry::metrics::InstanceMetrics;
use crate::token::ProvideBearer;

/// The longest that a pull request waits for its response head: the budget of all tries and a little for the last.
pub const PULL_LIMIT: Duration = Duration::from_secs(22);

/// What the upstream of one instance is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// The instance.
    pub instance: InstanceId,
    /// Hosts contacted whatever domain the image names, in order of preference (`pullFrom`); empty: the named domain.
    pub pull_from: Vec<RegistryHost>,
    /// `repositories`: patterns of what may be pulled (`*` within one path component, `**` across); empty: all.
    pub repositories: Vec<String>,
    /// `network.blobHosts`: further hosts that blobs may come from, exact or `*.suffix`, lower case.
    pub blob_hosts: Vec<String>,
    /// `blobs`.
    pub blobs: BlobParams,
    /// Who pulls, for the audit log: the last role of the chain, or what stands in its place.
    pub role: String,
}

/// `blobs` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobParams {
    /// Who follows the redirect.
    pub mode: BlobMode,
    /// Most connections for one blob.
    pub connections: usize,
    /// Size of one part in bytes.
    pub part_size: u64,
    /// All read-ahead of the daemon together, in bytes.
    pub memory: u64,
}

/// Who follows the redirect to the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlobMode {
    /// The daemon, which streams the bytes.
    #[default]
    Stream,
    /// The client: the 307 is handed on.
    Redirect,
}

/// What the upstream of one instance works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where bearers come from.
    pub tokens: Arc<dyn ProvideBearer>,
    /// For the registry.
    pub client: Client,
    /// For blob hosts; shared by all instances, HTTP/1.1 only, so that each stream has a TCP connection.
    pub blob_client: Client,
    /// The counters of this instance.
    pub metrics: Arc<InstanceMetrics>,
    /// For dates in answers, and for the end of signed URLs.
    pub clock: SharedClock,
    /// What all instances together may hold.
    pub memory: Arc<Memory>,
}

/// One instance.
#[derive(Debug)]
pub struct Upstream {
    instance: InstanceId,
    hosts: Arc<Hosts>,
    repositories: Repositories,
    blob_hosts: BlobHosts,
    blobs: BlobParams,
    /// Tells this upstream's entries in the shared memory from those of others. They go with it.
    owner: u64,
    locating: Flights<(Key, Option<HeaderValue>), Result<Found, Arc<UpstreamError>>>,
    reading: Flights<Asked, Read>,
    fetching: Flights<Key, Ahead>,
    readers: Arc<Readers>,
    /// How many connections the last blob was worth.
    learnt: Mutex<Option<Learnt>>,
    role: String,
    /// Where the last blob came from.
    bucket: Mutex<Option<Origin>>,
    /// The registry host that answered last, and when.
    last_asked: Mutex<Option<(RegistryHost, Instant)>>,
    /// How far away both are.
    to_registry: Distance,
    to_bucket: Distance,
    /// Whether the registry speaks HTTP/2.
    multiplexed: AtomicBool,
    /// Bytes of blobs that have been read.
    arrived: AtomicU64,
    parts: Parts,
}

/// A repository at a registry, as a pull names it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The domain that the image name names.
    pub host: RegistryHost,
    /// The repository.
    pub repository: RepositoryName,
}

/// One request of a client.
#[derive(Debug, Clone)]
pub struct Pull {
    /// Of which repository.
    pub place: Place,
    /// What of it.
    pub resource: Resource,
    /// Whether only the head is wanted.
    pub head: bool,
    /// Whether who is given a manifest here asks nobody else for the blobs.
    pub sticks: bool,
    /// The headers of the client, all of them; what may travel is decided here.
    pub headers: HeaderMap,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.parts.memory.forget(self.owner);
    }
}

impl Upstream {
    /// One instance, ready to be asked.
    #[must_use]
    pub fn new(params: Params, parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            hosts: Arc::new(Hosts::new(params.instance.clone(), params.pull_from)),
            instance: params.instance,
            repositories: Repositories::new(params.repositories),
            blob_hosts: BlobHosts::new(params.blob_hosts),
            blobs: params.blobs,
            owner: parts.memory.owner(),
            locating: Flights::default(),
            reading: Flights::default(),
            fetching: Flights::default(),
            readers: Arc::default(),
            learnt: Mutex::default(),
            role: params.role,
            bucket: Mutex::default(),
            last_asked: Mutex::default(),
            to_registry: Distance::default(),
            to_bucket: Distance::default(),
            multiplexed: AtomicBool::new(false),
            arrived: AtomicU64::new(0),
            parts,
        })
    }

    /// Which instance this is.
    #[must_use]
    pub const fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// The counters of this instance.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<InstanceMetrics> {
        &self.parts.metrics
    }

    /// Who pulls.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The time of day, as the cloud has it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Notes that a client has got everything it asked for.
    pub fn succeeded(&self) {
        self.parts.metrics.succeeded(self.now());
    }

    fn learnt(&self) -> Option<Learnt> {
        *self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, learnt: Learnt) {
        *self.learnt.lock().unwrap_or_else(PoisonError::into_inner) = Some(learnt);
    }

    /// How many bytes of blobs have been read.
    #[cfg(test)]
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Serves one request: 200, 206, 304, 307 (only with [`BlobMode::Redirect`]) or 416, or an error.
    ///
    /// Dropping the future or the body drops the connection behind it.
    ///
    /// # Errors
    /// [`UpstreamError`], within [`PULL_LIMIT`].
    pub async fn pull(self: &Arc<Self>, pull: &Pull) -> Result<Response<Body>, UpstreamError> {
        if !self.repositories.allow(&pull.place.repository) {
            return Err(UpstreamError::NotAllowed(pull.place.repository.clone()));
        }
        let budget = Budget::start();
        let answer = async {
            match &pull.resource {
                Resource::Manifest(reference) => self.manifest(pull, reference, &budget).await,
                Resource::Blob(digest) => self.blob(pull, digest, &budget).await,
                Resource::Tags { query } => self.list(pull, "tags/list", query, &budget).await,
                Resource::Referrers { digest, query } => {
                    self.list(pull, &format!("referrers/{digest}"), query, &budget).await
                }
            }
        };
        tokio::time::timeout(PULL_LIMIT, answer).await.unwrap_or(Err(UpstreamError::Late))
    }
}

/// An answer for the client: the headers of `from` that may travel, and nothing else of it.
fn answer(status: StatusCode, from: &HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers::to_client(from);
    response
}
