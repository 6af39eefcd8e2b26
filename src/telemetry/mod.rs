//! What the daemon says about itself: metrics, logs, readiness.

pub mod metrics;
