//! One line in the log for every call to the outside, whose shape others rely on: `doctor` shows calls from it.

use std::time::Duration;

/// The log target of these lines.
pub const CALLS: &str = "acr_pull_proxy::calls";

/// A call that ended: which, at whom, the other side's id of it, and how long the head of the answer took.
pub fn made(call: &str, host: &str, cloud_request_id: Option<&str>, took: Duration) {
    let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(target: CALLS, call, host, cloud_request_id, microseconds, "called");
}
