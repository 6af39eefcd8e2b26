//! The time as the cloud sees it.
//!
//! Signatures and expiries are judged by the cloud's clock, so the daemon keeps that one: it starts from the node's clock,
//! runs on the monotonic timer (a jump of the node's clock changes nothing), and is set right by the `Date` of every
//! answer of the cloud's APIs that came over TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, SharedClock, Timestamp};

/// Differences below this are noise: a `Date` has whole seconds and a round trip of its own.
const NOISE_MILLISECONDS: i64 = 5_000;
/// A `Date` is cut to whole seconds: on average it is half a second old when it is written.
const HALF_A_SECOND: i64 = 500;

/// A clock that follows the cloud's.
#[derive(Debug)]
pub struct CloudClock {
    node: SharedClock,
    started: Instant,
    /// The cloud's time at `started`, in epoch milliseconds.
    origin: AtomicI64,
}

impl CloudClock {
    /// A clock that believes the node's until the cloud says otherwise.
    #[must_use]
    pub fn new(node: SharedClock) -> Arc<Self> {
        let origin = AtomicI64::new(node.now().as_millisecond());
        Arc::new(Self { node, started: Instant::now(), origin })
    }

    /// How far the node's clock is ahead of the cloud's, in seconds; negative where it is behind.
    #[must_use]
    pub fn skew_seconds(&self) -> f64 {
        self.node.now().duration_since(self.now()).as_secs_f64()
    }

    /// Takes note of a `Date` that came with an answer after `round_trip`.
    pub(crate) fn observe(&self, date: Timestamp, round_trip: Duration) {
        let on_the_way = i64::try_from(round_trip.as_millis() / 2).unwrap_or_default();
        let seen = date.as_millisecond() + HALF_A_SECOND + on_the_way;
        let difference = seen - self.now().as_millisecond();
        // A slow answer may have been dated at either end of its way.
        if difference.abs() >= NOISE_MILLISECONDS + on_the_way {
            // Set, not moved: several answers may bring the same news at once.
            self.origin.store(seen.saturating_sub(self.elapsed()), Ordering::Relaxed);
            tracing::warn!(
                skew_seconds = self.skew_seconds(),
                "the node's clock differs from the cloud's: the cloud's is used; check the node's time service"
            );
        }
    }
}

impl CloudClock {
    fn elapsed(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

impl Clock for CloudClock {
    fn now(&self) -> Timestamp {
        let now = self.origin.load(Ordering::Relaxed).saturating_add(self.elapsed());
        Timestamp::from_millisecond(now).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::CloudClock;
    use crate::clock::{Clock, ManualClock, Timestamp, later, until};

    #[tokio::test(start_paused = true)]
    async fn a_wrong_node_clock_is_measured_and_set_right() {
        let node = ManualClock::at(Timestamp::UNIX_EPOCH);
        let clock = CloudClock::new(Arc::clone(&node) as _);
        let date = later(Timestamp::UNIX_EPOCH, Duration::from_secs(600));
        clock.observe(date, Duration::from_millis(40));
        assert_eq!(until(date, clock.now()), Duration::from_millis(520));
        assert!((clock.skew_seconds() + 600.52).abs() < 0.01);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_come_together_and_slow_ones_do_not_overshoot() {
        let clock = CloudClock::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let date = later(Timestamp::UNIX_EPOCH, Duration::from_secs(600));
        // Only who is in the runtime sees its time, which stands still.
        let runtime = tokio::runtime::Handle::current();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _inside = runtime.enter();
                    clock.observe(date, Duration::ZERO);
                });
            }
        });
        assert_eq!(until(date, clock.now()), Duration::from_millis(500));
        clock.observe(later(date, Duration::from_secs(1)), Duration::from_secs(10));
        assert_eq!(until(date, clock.now()), Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn noise_is_no_skew_and_a_jump_of_the_node_is_none_either() {
        let node = ManualClock::at(Timestamp::UNIX_EPOCH);
        let clock = CloudClock::new(Arc::clone(&node) as _);
        clock.observe(later(Timestamp::UNIX_EPOCH, Duration::from_secs(3)), Duration::ZERO);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        node.advance(Duration::from_secs(3600));
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(until(Timestamp::UNIX_EPOCH, clock.now()), Duration::from_secs(7));
    }
}
