//! What the admin surface is told: gathered from memory when somebody asks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;

use super::fleet::Fleet;
use super::node::NodeView;
use crate::admin::Report;
use crate::admin::status::{ConfigStatus, Moment, PullStatus, Status};
use crate::clock::{SharedClock, Timestamp};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::pulls::{RecentPull, RecentPulls};
use crate::telemetry::readiness::Readiness;

/// What does not change while the daemon runs.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) listen: SocketAddr,
    pub(super) commit: &'static str,
    pub(super) source: Option<String>,
}

/// What says how the daemon is, apart from its instances.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) readiness: Readiness,
    pub(super) recent: RecentPulls,
    pub(super) node: NodeView,
}

/// Puts the picture together.
#[derive(Debug)]
pub(super) struct Reporter {
    build: Build,
    fleet: Arc<Fleet>,
    signals: Signals,
    clock: SharedClock,
    started: Timestamp,
    config: Mutex<Reads>,
}

/// What became of the configurations that were read.
#[derive(Debug)]
struct Reads {
    in_use: Timestamp,
    refused: Vec<String>,
}

impl Reporter {
    pub(super) fn new(build: Build, fleet: Arc<Fleet>, signals: Signals, clock: SharedClock) -> Self {
        let started = clock.now();
        let config = Mutex::new(Reads { in_use: started, refused: Vec::new() });
        Self { build, fleet, signals, clock, started, config }
    }

    /// A configuration came into use.
    pub(super) fn accepted(&self, at: Timestamp) {
        *self.reads() = Reads { in_use: at, refused: Vec::new() };
    }

    /// A configuration was refused, for these reasons.
    pub(super) fn refused(&self, problems: Vec<String>) {
        self.reads().refused = problems;
    }

    fn reads(&self) -> std::sync::MutexGuard<'_, Reads> {
        // What it holds is whole after every line above, so a poisoned lock is as good as another.
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report for Reporter {
    fn status(&self) -> Status {
        let instances = self.fleet.statuses();
        let reads = self.reads();
        // Expiries are the cloud's, so that the whole picture goes by its clock, whatever this node's says.
        let skew = SignedDuration::try_from_secs_f64(self.fleet.skew_seconds()).unwrap_or_default();
        let moment = |at: Timestamp| Moment(at.checked_sub(skew).unwrap_or(at));
        let now = moment(self.clock.now());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: self.build.commit.to_owned(),
            now,
            started: moment(self.started),
            listen: self.build.listen.to_string(),
            ready: self.signals.readiness.is_ready() && instances.iter().all(|instance| instance.ready),
            clock_skew_seconds: self.fleet.skew_seconds(),
            config: ConfigStatus {
                source: self.build.source.clone(),
                read: moment(reads.in_use),
                refused: reads.refused.clone(),
            },
            instances,
            recent_pulls: self.signals.recent.shown(now.0).into_iter().map(pull_status).collect(),
            containerd: self.signals.node.seen(),
        }
    }

    fn measure(&self, metrics: &Metrics) {
        metrics.clock_skew(self.fleet.skew_seconds());
    }
}

fn pull_status(pull: RecentPull) -> PullStatus {
    PullStatus {
        at: Moment(pull.at),
        instance: pull.instance.to_string(),
        kind: pull.kind.as_str(),
        method: pull.method.as_str(),
        repository: pull.repository.to_string(),
        reference: pull.reference.to_string(),
        digest: pull.digest,
        status: pull.status,
        bytes: pull.bytes,
        seconds: pull.took.as_secs_f64(),
        resumes: pull.resumes,
        from_memory: pull.from_memory,
        outcome: pull.outcome.as_str(),
        request_id: pull.request_id,
    }
}
