//! One value kept fresh for everybody.
//!
//! Promises: one load at a time, in a task of its own, so that it survives the caller who caused it; its result *and* its
//! failure reach every waiter; a value is renewed ahead of its end and served while it is usable, whatever the renewal
//! does; after a failure everybody shares one back-off; a value that was refused is dropped by identity, so that a late
//! refusal of an old value cannot drop a new one. The hot path takes no lock: one atomic pointer and one atomic time.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

use super::{Expiring, Jitter, Policy};
use crate::clock::{SharedClock, Timestamp, later, until};
use crate::error::{Explain, Retry};
use crate::telemetry::metrics::{CacheResult, Hop, InstanceMetrics};

/// A value with less than this left is not handed out while a new one can be waited for.
const LEAST_USE: Duration = Duration::from_secs(5);
/// A value that is refused within this time of its issue counts as one more failure, so that a registry that refuses
/// everything does not turn each pull into a chain of calls.
const SETTLED: Duration = Duration::from_secs(60);
/// So many refusals in a row are followed by a new load at once: enough for a login, its session and the session before
/// that to be revoked together.
const FREE_REFUSALS: u32 = 3;
/// Longest sleep of [`RefreshCell::keep`]: a node that was suspended notices soon after.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// The value of `due` while a load is running.
const RUNNING: i64 = i64::MAX;

/// Where the value of a cell comes from. It never caches.
pub trait Load: fmt::Debug + Send + Sync + 'static {
    /// What is held.
    type Value: Send + Sync + 'static;
    /// Why it cannot be had.
    type Error: Explain + From<Interrupted> + Send + Sync + 'static;

    /// Gets a new value. `held` is what the cell holds now, for a loader that must not replace it by something no better.
    fn load(
        &self,
        held: Option<Arc<Expiring<Self::Value>>>,
    ) -> impl Future<Output = Result<Expiring<Self::Value>, Arc<Self::Error>>> + Send;
}

/// A load ended without a result: the daemon is shutting down, or the loader panicked.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the refresh was interrupted")]
pub struct Interrupted;

/// What a child is bought with.
#[derive(Debug)]
pub struct Renewal<T, E> {
    /// The value.
    pub held: Arc<Expiring<T>>,
    /// Why it could not be renewed although it is in the second half of its life.
    pub stale: Option<Arc<E>>,
}

/// What a cell tells about itself; no value.
#[derive(Debug)]
pub struct Status<E> {
    /// When the held value was issued and when it dies.
    pub held: Option<(Timestamp, Timestamp)>,
    /// The failure since the last success, and when it happened.
    pub failure: Option<(Timestamp, Arc<E>)>,
}

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
    /// Values in a row that were refused soon after their issue.
    refusals: u32,
    failure: Option<(Timestamp, Arc<L::Error>)>,
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
            metrics,
            hop,
            current: ArcSwapOption::empty(),
            due: AtomicI64::new(i64::MIN),
            nearer: Notify::new(),
            state: Mutex::new(State { running: None, failures: 0, refusals: 0, failure: None }),
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
    /// The first refusals are followed by a load at once; more of them, of values that were just issued, are backed off.
    pub fn refused(&self, value: &Arc<Expiring<L::Value>>, why: Arc<L::Error>) {
        let inner = &self.0;
        let mut state = self.state();
        if !inner.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, value)) {
            return;
        }
        inner.current.store(None);
        let now = inner.clock.now();
        let settled = until(value.issued, now) >= SETTLED;
        state.refusals = if settled { 0 } else { state.refusals + 1 };
        let pause = match state.refusals.saturating_sub(FREE_REFUSALS) {
            0 => Duration::ZERO,
            more => inner.policy.back_off(more, Duration::ZERO, None, inner.jitter.throw()),
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
            let now = self.0.clock.now();
            match self.pause(now) {
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
    fn pause(&self, now: Timestamp) -> Duration {
        let due = self.0.due.load(Ordering::Acquire);
        match Timestamp::from_millisecond(due) {
            Ok(due) => until(now, due),
            // Never loaded, or running: in both cases joining is the way on.
            Err(_) => Duration::ZERO,
        }
    }

    /// Waits for the running load or a new one; a value that is still good stands in for a failure.
    async fn wait(&self, early: bool) -> Outcome<L> {
        let (running, started) = self.join(early);
        let result = if started { CacheResult::Miss } else { CacheResult::Shared };
        self.0.metrics.token_cache(self.0.hop, result);
        Self::settle(running).await.or_else(|error| self.peek().ok_or(error))
    }

    async fn settle(mut running: watch::Receiver<Option<Outcome<L>>>) -> Outcome<L> {
        match running.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(Arc::new(Interrupted.into()))),
            Err(_) => Err(Arc::new(Interrupted.into())),
        }
    }

    /// The running load, or a new one where one may start (`true`), or what the last one left behind.
    ///
    /// `early`: a held value that is not due yet is no reason to wait.
    fn join(&self, early: bool) -> (watch::Receiver<Option<Outcome<L>>>, bool) {
        let inner = &self.0;
        let mut state = self.state();
        if let Some(running) = &state.running {
            return (running.clone(), false);
        }
        let held = self.peek();
        if inner.clock.now().as_millisecond() < inner.due.load(Ordering::Acquire) {
            let left_behind = match (&state.failure, &held) {
                (Some((_, error)), _) => Some(Err(Arc::clone(error))),
                // Somebody else finished a load between our look and our lock.
                (None, Some(held)) if !early => Some(Ok(Arc::clone(held))),
                (None, _) => None,
            };
            if left_behind.is_some() {
                return (watch::channel(left_behind).1, false);
            }
        }
        let (sender, receiver) = watch::channel(None);
        state.running = Some(receiver.clone());
        inner.due.store(RUNNING, Ordering::Release);
        let landing = Landing { cell: self.clone(), sender: Some(sender) };
        tokio::spawn(async move {
            let outcome = landing.cell.0.load.load(held).await;
            landing.finish(outcome);
        });
        (receiver, true)
    }

    /// Books the outcome of a load and says what the waiters receive.
    fn book(&self, outcome: Result<Expiring<L::Value>, Arc<L::Error>>) -> Outcome<L> {
        let inner = &self.0;
        let now = inner.clock.now();
        let mut state = self.state();
        state.running = None;
        let (due, outcome) = match outcome {
            Ok(value) => {
                let value = Arc::new(value);
                // `refusals` stays: whether the value is any good is known once it has been shown to somebody.
                state.failures = 0;
                state.failure = None;
                inner.current.store(Some(Arc::clone(&value)));
                if inner.hop != Hop::Bearer && value.expires != Timestamp::MAX {
                    inner.metrics.token_held(inner.hop, value.issued, value.expires);
                }
                (inner.policy.renewal(&value, now, inner.jitter.throw()), Ok(value))
            }
            Err(error) => {
                state.failures += 1;
                let asked = match error.retry() {
                    Retry::Later(asked) => asked,
                    Retry::Never | Retry::Renewed => None,
                };
                let left = self.peek().map_or(Duration::ZERO, |held| until(now, held.expires));
                let pause = inner.policy.back_off(state.failures, left, asked, inner.jitter.throw());
                state.failure = Some((now, Arc::clone(&error)));
                (later(now, pause), Err(error))
            }
        };
        inner.due.store(due.as_millisecond().min(RUNNING - 1), Ordering::Release);
        inner.nearer.notify_one();
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State<L>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a load exactly once, also when its task is dropped.
struct Landing<L: Load> {
    cell: RefreshCell<L>,
    sender: Option<watch::Sender<Option<Outcome<L>>>>,
}

impl<L: Load> Landing<L> {
    fn finish(mut self, outcome: Result<Expiring<L::Value>, Arc<L::Error>>) {
        self.land(outcome);
    }

    fn land(&mut self, outcome: Result<Expiring<L::Value>, Arc<L::Error>>) {
        if let Some(sender) = self.sender.take() {
            sender.send_replace(Some(self.cell.book(outcome)));
        }
    }
}

impl<L: Load> Drop for Landing<L> {
    fn drop(&mut self) {
        self.land(Err(Arc::new(Interrupted.into())));
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
mod tests;
