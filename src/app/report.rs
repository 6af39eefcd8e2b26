//! What the admin surface is told: gathered from memory when somebody asks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::fleet::Fleet;
use super::instance::time;
use crate::admin::Report;
use crate::admin::status::{ConfigStatus, Status};
use crate::clock::{SharedClock, Timestamp};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;

/// What does not change while the daemon runs.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) listen: SocketAddr,
    pub(super) commit: &'static str,
    pub(super) source: Option<String>,
}

/// Puts the picture together.
#[derive(Debug)]
pub(super) struct Reporter {
    build: Build,
    fleet: Arc<Fleet>,
    readiness: Readiness,
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
    pub(super) fn new(build: Build, fleet: Arc<Fleet>, readiness: Readiness, clock: &SharedClock) -> Self {
        let started = clock.now();
        let config = Mutex::new(Reads { in_use: started, refused: Vec::new() });
        Self { build, fleet, readiness, started, config }
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
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: self.build.commit.to_owned(),
            started: time(self.started),
            listen: self.build.listen.to_string(),
            ready: self.readiness.is_ready() && instances.iter().all(|instance| instance.ready),
            clock_skew_seconds: self.fleet.skew_seconds(),
            config: ConfigStatus {
                source: self.build.source.clone(),
                read: time(reads.in_use),
                refused: reads.refused.clone(),
            },
            instances,
        }
    }

    fn measure(&self, metrics: &Metrics) {
        metrics.clock_skew(self.fleet.skew_seconds());
    }
}
