//! One value kept fresh for everybody.
//!
//! Promises: one load at a time, in a task of its own, so that it survives the caller who caused it; its result *and* its
//! failure reach every waiter; a value is renewed ahead of its end and served while it is usable, whatever the renewal
//! does; after a failure everybody shares one back-off; a value that was refused is dropped by identity, so that a late
//! refusal of an old value cannot drop a new one. The hot path takes no lock: one atomic pointer and one atomic time.

mod flight;
mod refusals;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::refusals::Refusals;
use super::{Expiring, Jitter, Load, Policy, Renewal, Status};
use crate::clock::{SharedClock, Timestamp, later, until};
use crate::error::{Explain as _, Retry};
use crate::telemetry::metrics::{CacheResult, Holder, Hop, InstanceMetrics};

/// A value with less than this left is not handed out while a new one can be waited for.
const LEAST_USE: Duration = Duration::from_secs(5);
/// Longest sleep of [`RefreshCell::keep`]: a node that was suspended notices soon after.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// The value of `due` while a load is running.
const RUNNING: i64 = i64::MAX;

/// What the waiters of one load receive.
type Outcome<L> = Result<Arc<Expiring<<L as Load>::Value>>, Arc<<L as Load>::Error>>;

/// A cell that loads, renews and shares one value. Cheap to clone.
pub struct RefreshCell<L: Load>(Arc<Inner<L>>);

struct Inner<L: Load> {
    load: L,
    policy: Policy,
    clock: SharedClock,
    jitter: Jitter,
    metrics: Arc<InstanceMetrics>,
    hop: Hop,
    /// None for a bearer, of which there are too many to have a time each.
    holder: Option<Holder>,
    current: ArcSwapOption<Expiring<L::Value>>,
    /// From when on a load may start, in epoch milliseconds.
    due: AtomicI64,
    /// Wakes [`RefreshCell::keep`] when `due` comes nearer.
    nearer: Notify,
    state: Mutex<State<L>>,
}

/// Guarded by a lock that is never held over an await.
struct State<L: Load> {
    running: Option<watch::Receiver<Option<Outcome<L>>>>,
    /// Loads that failed in a row.
    failures: u32,
    /// Those among them that asked for a pause.
    throttlings: u32,
    refusals: Refusals,
    failure: Option<(Timestamp, Arc<L::Error>)>,
    /// When the first of the loads that failed in a row ended.
    failing_since: Option<Instant>,
}

impl<L: Load> State<L> {
    /// Whether the clock went back behind the last failure, so that the end of its back-off means nothing any more.
    fn is_out_of_time(&self, now: Timestamp) -> bool {
        self.failure.as_ref().is_some_and(|(at, _)| now < *at)
    }

    /// Since when there has been nothing but trouble: loads that fail, or values that are refused.
    fn in_trouble_since(&self) -> Option<Instant> {
        self.failing_since.into_iter().chain(self.refusals.put_off_since()).min()
    }
}

impl<L: Load> RefreshCell<L> {
    /// An empty cell; nothing is loaded before somebody asks.
    #[must_use]
    pub fn new(load: L, policy: Policy, clock: SharedClock, hop: Hop, metrics: Arc<InstanceMetrics>) -> Self {
        Self(Arc::new(Inner {
            load,
            policy,
            clock,
            jitter: Jitter::random(),
            holder: (hop != Hop::Bearer).then(|| metrics.token_holder(hop)),
            metrics,
            hop,
            current: ArcSwapOption::empty(),
            due: AtomicI64::new(i64::MIN),
            nearer: Notify::new(),
            state: Mutex::new(State {
                running: None,
                failures: 0,
                throttlings: 0,
                refusals: Refusals::default(),
                failure: None,
                failing_since: None,
            }),
        }))
    }

    /// The same with dice of the caller's choice.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.jitter = jitter;
        }
        self
    }

    /// The value: the held one while it is usable, else the next one.
    ///
    /// # Errors
    /// The failure of the load that this caller waited for, or the last one while its back-off lasts.
    pub async fn fetch(&self) -> Outcome<L> {
        let inner = &self.0;
        let now = inner.clock.now();
        if let Some(held) = inner.current.load_full()
            && held.is_usable(later(now, LEAST_USE))
        {
            // The renewal runs by itself; this caller has what it needs.
            self.nudge_at(now);
            inner.metrics.token_cache(inner.hop, CacheResult::Hit);
            return Ok(held);
        }
        self.wait(false).await
    }

    /// The value, asked for again after a failure that may pass, as long as its back-off ends within `patience`.
    ///
    /// For callers who would fail somebody over a fault of a moment. All of them together wait for the same next load; once
    /// loads have failed, or what they bring has been refused, for as long as `patience`, it is no fault of a moment, and
    /// nobody waits any more.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub async fn fetch_within(&self, patience: Duration) -> Outcome<L> {
        let asked = Instant::now();
        loop {
            let error = match self.fetch().await {
                Err(error) if matches!(error.retry(), Retry::Later(_)) => error,
                outcome => return outcome,
            };
            let next = Instant::now() + self.pause();
            let since = self.state().in_trouble_since().unwrap_or(asked).min(asked);
            if next >= since + patience {
                return Err(error);
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// The value in the first half of its life where that can be had, for buying something that will last.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub async fn renewed(&self) -> Result<Renewal<L::Value, L::Error>, Arc<L::Error>> {
        let fresh = |held: &Arc<Expiring<L::Value>>| held.is_fresh(self.0.clock.now());
        if let Some(held) = self.0.current.load_full().filter(fresh) {
            self.0.metrics.token_cache(self.0.hop, CacheResult::Hit);
            return Ok(Renewal { held, stale: None });
        }
        let held = self.wait(true).await?;
        let stale = if fresh(&held) { None } else { self.state().failure.clone().map(|(_, error)| error) };
        Ok(Renewal { held, stale })
    }

    /// Drops exactly this value, since whoever it was shown to refused it, for the reason `why`.
    ///
    /// The first refusals are followed by a load at once; more of them, one soon after the other, are backed off.
    pub fn refused(&self, value: &Arc<Expiring<L::Value>>, why: Arc<L::Error>) {
        let inner = &self.0;
        let mut state = self.state();
        if !inner.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, value)) {
            return;
        }
        inner.current.store(None);
        let now = inner.clock.now();
        let pause = match state.refusals.count() {
            0 => Duration::ZERO,
            too_many => inner.policy.lasting().back_off(too_many, Duration::ZERO, None, inner.jitter.throw()),
        };
        state.failure = Some((now, why));
        if state.running.is_none() {
            inner.due.store(later(now, pause).as_millisecond(), Ordering::Release);
        }
        inner.nearer.notify_one();
    }

    /// Starts the renewal of a value that is due, without waiting for it.
    pub fn nudge(&self) {
        self.nudge_at(self.0.clock.now());
    }

    fn nudge_at(&self, now: Timestamp) {
        if now.as_millisecond() >= self.0.due.load(Ordering::Acquire) {
            drop(self.join(false));
        }
    }

    /// Keeps the value fresh for as long as the returned future is polled, whether anybody asks for it or not.
    pub async fn keep(&self) {
        loop {
            match self.pause() {
                Duration::ZERO => {
                    let (running, _) = self.join(false);
                    Self::settle(running).await.ok();
                }
                pause => {
                    tokio::select! {
                        () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => {}
                        () = self.0.nearer.notified() => {}
                    }
                }
            }
        }
    }

    /// The held value while it is good, without causing anything.
    #[must_use]
    pub fn peek(&self) -> Option<Arc<Expiring<L::Value>>> {
        self.0.current.load_full().filter(|held| held.is_usable(self.0.clock.now()))
    }

    /// Whether a value was held and not refused, though it may have died meanwhile.
    #[must_use]
    pub fn has_held(&self) -> bool {
        self.0.current.load().is_some()
    }

    /// What there is to say about the cell.
    #[must_use]
    pub fn status(&self) -> Status<L::Error> {
        let held = self.peek().map(|held| (held.issued, held.expires));
        Status { held, failure: self.state().failure.clone() }
    }

    /// The source of the value.
    #[must_use]
    pub fn source(&self) -> &L {
        &self.0.load
    }

    /// How long until a load is due.
    pub(crate) fn pause(&self) -> Duration {
        let now = self.0.clock.now();
        let due = self.0.due.load(Ordering::Acquire);
        if self.state().is_out_of_time(now) {
            return Duration::ZERO;
        }
        match Timestamp::from_millisecond(due) {
            Ok(due) => until(now, due),
            // Never loaded, or running: in both cases joining is the way on.
            Err(_) => Duration::ZERO,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<L>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Load> Clone for RefreshCell<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Load> fmt::Debug for RefreshCell<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshCell").field("load", &self.0.load).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod fleet;
#[cfg(test)]
mod tests;
