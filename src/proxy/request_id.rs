//! The names of requests, in the log and in the answers.

use std::sync::atomic::{AtomicU64, Ordering};

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
