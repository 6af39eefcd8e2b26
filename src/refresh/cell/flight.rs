//! One load in flight: started once, joined by everybody, landed exactly once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{Outcome, RUNNING, RefreshCell};
use crate::clock::{Timestamp, later, until};
use crate::error::diagnosis::{Key, Sign};
use crate::error::{Explain, Retry, chain};
use crate::refresh::policy::LEAST_PAUSE;
use crate::refresh::{Expiring, Interrupted, Load};
use crate::telemetry::metrics::{CacheResult, Hop};

impl<L: Load> RefreshCell<L> {
    /// Waits for the running load or a new one; a value that is still good stands in for a failure.
    pub(super) async fn wait(&self, early: bool) -> Outcome<L> {
        let (running, started) = self.join(early);
        let result = if started { CacheResult::Miss } else { CacheResult::Shared };
        self.0.metrics.token_cache(self.0.hop, result);
        let Some(held) = self.peek() else { return Self::settle(running).await };
        // A load that hangs must not outlast what could have been used meanwhile.
        let patience = until(self.0.clock.now(), held.expires) / 2;
        match timeout(patience, Self::settle(running)).await {
            Ok(outcome) => outcome.or_else(|error| self.peek().ok_or(error)),
            Err(_) => Ok(held),
        }
    }

    pub(super) async fn settle(mut running: watch::Receiver<Option<Outcome<L>>>) -> Outcome<L> {
        match running.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(Arc::new(Interrupted.into()))),
            Err(_) => Err(Arc::new(Interrupted.into())),
        }
    }

    /// The running load, or a new one where one may start (`true`), or what the last one left behind.
    ///
    /// `early`: a held value that is not due yet is no reason to wait.
    pub(super) fn join(&self, early: bool) -> (watch::Receiver<Option<Outcome<L>>>, bool) {
        let inner = &self.0;
        let mut state = self.state();
        if let Some(running) = &state.running {
            return (running.clone(), false);
        }
        let held = self.peek();
        let now = inner.clock.now();
        if now.as_millisecond() < inner.due.load(Ordering::Acquire) && !state.is_out_of_time(now) {
            let left_behind = match (&state.failure, &held) {
                (Some((_, error)), _) => Some(Err(Arc::clone(error))),
                // Somebody else finished a load between our look and our lock.
                (None, Some(held)) if !early => Some(Ok(Arc::clone(held))),
                (None, Some(_)) => None,
                // It was dead on arrival. Whoever it is shown to will say so; a load for each caller would not help.
                (None, None) => inner.current.load_full().map(Ok),
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

    /// A line in the log for a failure that nobody else tells of: of this level, and where a bearer was not to be had, the
    /// pull that needed it complains itself.
    ///
    /// A source that is not configured is passed over without a word; that there is no other, the login says, which is
    /// bought with it.
    fn complain(&self, error: &L::Error) {
        let inner = &self.0;
        let held = self.peek();
        let row = error.row();
        let is_told_here = match (row.key, inner.hop) {
            (Key::Sign(Sign::NoCredentials), hop) => hop == Hop::AuthorizationToken,
            (_, Hop::Bearer) => held.is_some() && inner.load.inherited(error).is_none(),
            _ => inner.load.inherited(error).is_none(),
        };
        if is_told_here {
            tracing::warn!(
                instance = &*inner.metrics.instance,
                hop = inner.hop.as_str(),
                blame = row.who.as_str(),
                cloud_request_id = error.request_id(),
                advice = error.advice().as_deref(),
                usable_until = held.map(|held| display(held.expires)),
                error = chain(error),
                "a token could not be fetched"
            );
        }
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
                state.failures = 0;
                state.throttlings = 0;
                state.failing_since = None;
                state.failure = None;
                inner.current.store(Some(Arc::clone(&value)));
                if let Some(holder) = inner.holder.filter(|_| value.expires != Timestamp::MAX) {
                    inner.metrics.token_held(holder, value.issued, value.expires);
                }
                (inner.policy.renewal(&value, now, inner.jitter.throw()), Ok(value))
            }
            Err(error) => {
                let (asked, policy) = match error.retry() {
                    Retry::Later(asked) => (asked, inner.policy),
                    Retry::Never | Retry::Renewed => (None, inner.policy.lasting()),
                };
                let dice = inner.jitter.throw();
                let pause = match inner.load.inherited(&error) {
                    // The level at fault is the one that backs off; the throw keeps its children from hammering it.
                    Some(pause) => pause.max(LEAST_PAUSE.mul_f64(0.5 + dice)),
                    None => {
                        state.failures += 1;
                        state.throttlings += u32::from(asked.is_some());
                        let left = self.peek().map_or(Duration::ZERO, |held| until(now, held.expires));
                        policy.back_off(state.failures, left, asked.map(|asked| (asked, state.throttlings)), dice)
                    }
                };
                state.failure = Some((now, Arc::clone(&error)));
                state.failing_since.get_or_insert_with(Instant::now);
                (later(now, pause), Err(error))
            }
        };
        inner.due.store(due.as_millisecond().min(RUNNING - 1), Ordering::Release);
        inner.nearer.notify_one();
        outcome
    }
}

/// Ends a load exactly once, also when its task is dropped.
struct Landing<L: Load> {
    cell: RefreshCell<L>,
    sender: Option<watch::Sender<Option<Outcome<L>>>>,
}

impl<L: Load> Landing<L> {
    fn finish(mut self, outcome: Result<Expiring<L::Value>, Arc<L::Error>>) {
        // Before anybody is told, so that the log has the cause in front of what comes of it.
        if let Err(error) = &outcome {
            self.cell.complain(error);
        }
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
