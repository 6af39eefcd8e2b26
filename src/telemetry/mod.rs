//! What the daemon says about itself: metrics, logs, readiness.
//!
//! Promises: label values come from closed sets and from the configuration, never from a request, and nothing here
//! prints a secret, since nothing here is ever given one. Must not know HTTP or a runtime.

pub mod calls;
mod families;
mod instance_metrics;
mod labels;
pub mod logs;
pub mod metrics;
pub mod pulls;
pub mod readiness;
mod token_times;
