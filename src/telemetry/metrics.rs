//! The metrics of the daemon and how they are written out.
//!
//! Families ([`Family`]) are created once, over a registry that is owned and not global; the children of an instance are resolved
//! when the instance is built ([`InstanceMetrics`]), so that counting costs an atomic add.

use std::sync::Arc;

use prometheus::TextEncoder;
use prometheus::process_collector::ProcessCollector;

use super::families::Families;
pub use super::families::Family;
pub use super::instance_metrics::{Answered, InstanceMetrics};
pub use super::labels::{CacheResult, Hop, Kind, Method, Outcome, StatusClass, Target};
use super::pulls::RecentPulls;
pub use super::token_times::Holder;
use crate::clock::Timestamp;
use crate::oci::InstanceId;

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of the daemon; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    families: Arc<Families>,
    recent: RecentPulls,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All families, over a registry of their own.
    #[must_use]
    pub fn new() -> Self {
        Self { families: Arc::new(Families::new()), recent: RecentPulls::default() }
    }

    /// Every family of ours, for a reference; the process's own are the library's.
    #[must_use]
    pub fn reference(&self) -> &[Family] {
        &self.families.reference
    }

    /// The pulls of the last minutes, for the status page.
    #[must_use]
    pub const fn recent_pulls(&self) -> &RecentPulls {
        &self.recent
    }

    /// Names the build and adds the process's own metrics. To be called once, by the daemon.
    pub fn describe_process(&self, version: &str, commit: &str) {
        self.families.build_info.with_label_values(&[version, commit]).set(1.0);
        let process = Box::new(ProcessCollector::for_self());
        self.families.registry.register(process).expect("no family of ours is called process_");
    }

    /// The children of one instance, each label set that will be counted started at zero.
    #[must_use]
    pub fn instance(&self, instance: &InstanceId) -> Arc<InstanceMetrics> {
        Arc::new(InstanceMetrics::new(self.families(), instance.as_str()))
    }

    /// The children for requests that lead to no instance, pings and registries that are not served: `instance` is
    /// empty.
    #[must_use]
    pub fn unrouted(&self) -> Arc<InstanceMetrics> {
        Arc::new(InstanceMetrics::new(self.families(), ""))
    }

    pub(super) fn families(&self) -> Arc<Families> {
        Arc::clone(&self.families)
    }

    /// Takes the series of an instance away, which a new configuration no longer has.
    pub fn forget(&self, instance: &InstanceId) {
        self.families.forget(instance.as_str());
    }

    /// A configuration was read: whether it was good, and when.
    pub fn config_read(&self, good: bool, at: Timestamp) {
        self.families.reload_success.set(f64::from(u8::from(good)));
        if good {
            self.families.reload_timestamp.set(seconds(at));
        }
    }

    /// The node's clock is this many seconds ahead of the cloud's; negative: behind.
    pub fn clock_skew(&self, seconds: f64) {
        self.families.clock_skew.set(seconds);
    }

    /// All series in Prometheus' text format.
    ///
    /// # Errors
    /// The encoder's, should a family be inconsistent.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.families.registry.gather())
    }
}

/// Seconds since the epoch, as Prometheus has its times.
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests;
