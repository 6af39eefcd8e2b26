//! The cloud's own time: real time plus an offset that a test may move.
//!
//! Every service reads time from its [`Call`](crate::call::Call), which takes it from here, and so does the `Date` header.
//! Moving the offset makes credentials expire at once, or makes the node's clock look wrong, without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};

/// A shared handle on the cloud's time; clones move together.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The cloud's time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_millis(self.offset_ms.load(Ordering::Acquire));
        Timestamp::now().saturating_add(offset).unwrap_or(Timestamp::MAX)
    }

    /// Moves the cloud's time by `step`, forward or (negative) back, on top of what was set before.
    pub fn advance(&self, step: SignedDuration) {
        self.offset_ms.fetch_add(millis(step), Ordering::AcqRel);
    }

    /// Sets the cloud's time to real time plus `offset`.
    pub fn set_offset(&self, offset: SignedDuration) {
        self.offset_ms.store(millis(offset), Ordering::Release);
    }

    /// The present offset from real time.
    #[must_use]
    pub fn offset(&self) -> SignedDuration {
        SignedDuration::from_millis(self.offset_ms.load(Ordering::Acquire))
    }
}

fn millis(span: SignedDuration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// `time` as the `Date` header carries it (RFC 9110, section 5.6.7). Times before 1970 are shown as 1970.
#[must_use]
pub fn http_date(time: Timestamp) -> String {
    let seconds = u64::try_from(time.as_second()).unwrap_or(0);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_offset_and_steps_add_up() {
        let clock = Clock::default();
        let seen_by_a_service = clock.clone();
        clock.advance(SignedDuration::from_hours(1));
        clock.advance(SignedDuration::from_mins(-15));
        assert_eq!(seen_by_a_service.offset(), SignedDuration::from_mins(45));
        let ahead = seen_by_a_service.now().duration_since(Timestamp::now());
        assert!((ahead - SignedDuration::from_mins(45)).abs() < SignedDuration::from_secs(5));
    }

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        let time: Timestamp = "2026-01-02T03:04:05.678Z".parse().expect("a timestamp");
        assert_eq!(http_date(time), "Fri, 02 Jan 2026 03:04:05 GMT");
    }
}
