//! Whether the daemon may be sent pulls: a set of latches, each released by being dropped.
//!
//! Whoever has to be done first holds a [`Latch`]. Dropping it is the only way to say "done", so no path out of a
//! function, not even a panic, can leave it closed by mistake.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// Holds readiness back for as long as it, or a clone of it, lives.
#[derive(Debug, Clone)]
pub struct Latch(#[expect(dead_code, reason = "only its life counts")] Arc<()>);

/// Knows whether all latches are gone.
#[derive(Debug, Clone)]
pub struct Readiness {
    latches: Weak<()>,
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// Not ready, until the latch and all its clones are dropped.
    #[must_use]
    pub fn new() -> (Self, Latch) {
        let latch = Arc::new(());
        (Self { latches: Arc::downgrade(&latch), draining: Arc::default() }, Latch(latch))
    }

    /// Not ready from now on: the daemon is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether pulls may come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire) && self.latches.strong_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Readiness;

    #[test]
    fn ready_once_the_last_latch_is_dropped_and_never_again_after_draining() {
        let (readiness, latch) = Readiness::new();
        let second = latch.clone();
        drop(latch);
        assert!(!readiness.is_ready());
        drop(second);
        assert!(readiness.is_ready());
        readiness.clone().drain();
        assert!(!readiness.is_ready());
    }
}
