//! Identical questions that are in the air at the same moment share one answer.
//!
//! Nothing outlives its answer here: a question that comes a moment later is asked anew. The work is dropped with the
//! last of those who wait for it. It has the time of whoever began it, so who joined late and has time left when that ran
//! out asks once more.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

use super::send::Budget;
use super::{ErrorKind, UpstreamError};
use crate::error::{Explain as _, Retry};

type Work<V> = Pin<Box<dyn Future<Output = V> + Send>>;

/// Above this many entries, those that nobody waits for are swept out: more than a node asks at once.
const SWEEP_ABOVE: usize = 64;

/// Questions in the air, by what they ask.
pub(super) struct Flights<K, V: Clone> {
    flying: Mutex<HashMap<K, WeakShared<Work<V>>>>,
}

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self { flying: Mutex::default() }
    }
}

impl<K: Eq + Hash, V: Clone> Flights<K, V> {
    /// The answer that is on its way, if one is.
    pub(super) fn flying(&self, key: &K) -> Option<Shared<Work<V>>> {
        let flying = self.flying.lock().unwrap_or_else(PoisonError::into_inner);
        flying.get(key).and_then(WeakShared::upgrade).filter(|flight| flight.peek().is_none())
    }

    /// The answer that is on its way, or the one that `ask` will bring.
    pub(super) fn join<F>(&self, key: K, ask: impl FnOnce() -> F) -> Shared<Work<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flying = self.flying.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has landed belongs to those who waited for it.
        let joined = flying.get(&key).and_then(WeakShared::upgrade).filter(|flight| flight.peek().is_none());
        if let Some(flight) = joined {
            return flight;
        }
        if flying.len() >= SWEEP_ABOVE {
            flying.retain(|_, flight| flight.upgrade().is_some_and(|flight| flight.peek().is_none()));
        }
        let work: Work<V> = Box::pin(ask());
        let flight = work.shared();
        if let Some(weak) = flight.downgrade() {
            flying.insert(key, weak);
        }
        flight
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, Result<T, Arc<UpstreamError>>> {
    /// The answer of `ask`, or of the same question that is in the air, within the time of `budget`.
    pub(super) async fn answer<F>(&self, key: K, budget: &Budget, ask: impl Fn() -> F) -> Result<T, UpstreamError>
    where
        F: Future<Output = Result<T, Arc<UpstreamError>>> + Send + 'static,
    {
        let mut is_own = false;
        let flight = self.join(key.clone(), || {
            is_own = true;
            ask()
        });
        let answer = match budget.within(flight).await? {
            Err(error) if !is_own && is_out_of_time(&error) => budget.within(self.join(key, ask)).await?,
            answer => answer,
        };
        answer.map_err(UpstreamError::Shared)
    }
}

/// Whether trying went on for as long as there was time for it, and might have helped a moment later.
fn is_out_of_time(error: &UpstreamError) -> bool {
    matches!(error.retry(), Retry::Later(_)) && matches!(error.kind(), ErrorKind::Late | ErrorKind::Broken)
}

impl<K, V: Clone> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http::StatusCode;
    use tokio::time::{Instant, sleep};

    use super::{Budget, Flights, UpstreamError};

    #[tokio::test]
    async fn those_who_ask_together_share_and_the_next_asks_anew() {
        let flights = Flights::<_, usize>::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let asked = Arc::clone(&asked);
            async move {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::SeqCst) + 1
            }
        };
        let (first, second, other) = (flights.join("a", ask), flights.join("a", ask), flights.join("b", ask));
        assert_eq!(futures_util::future::join(first, second).await, (1, 1));
        assert_eq!(other.await, 2);
        assert_eq!(flights.join("a", ask).await, 3);
        drop(flights.join("a", ask));
        assert_eq!(flights.join("a", ask).await, 4);
    }

    /// Asks with so much time and gets no answer within it; then with more, while the first is under way.
    async fn late(error: fn() -> UpstreamError) -> (Result<usize, UpstreamError>, Result<usize, UpstreamError>, usize) {
        let flights = Flights::<_, Result<usize, Arc<UpstreamError>>>::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let asked = Arc::clone(&asked);
            async move {
                let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
                sleep(Duration::from_secs(2)).await;
                if number == 1 { Err(Arc::new(error())) } else { Ok(number) }
            }
        };
        let begun = Instant::now();
        let (short, long) = [3, 10].map(|seconds| Budget::until(begun + Duration::from_secs(seconds))).into();
        let first = flights.answer("a", &short, ask);
        let second = async {
            sleep(Duration::from_secs(1)).await;
            flights.answer("a", &long, ask).await
        };
        let (first, second) = tokio::join!(first, second);
        (first, second, asked.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn who_joined_late_is_not_failed_by_the_time_that_others_had() {
        let (first, second, asked) = late(|| UpstreamError::Late).await;
        assert!(matches!(first, Err(UpstreamError::Shared(_))), "{first:?}");
        assert_eq!((second.ok(), asked), (Some(2), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_question_would_not_change_is_not_asked_again() {
        let throttled = || UpstreamError::Throttled { host: "registry.test".to_owned() };
        let refused = || {
            let status = StatusCode::BAD_REQUEST;
            UpstreamError::Refused { host: "registry.test".to_owned(), status, message: None }
        };
        for error in [throttled as fn() -> UpstreamError, refused] {
            let (first, second, asked) = late(error).await;
            assert!(first.is_err() && second.is_err() && asked == 1, "{second:?} after {asked} questions");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_others_longer_than_for_themselves() {
        let flights = Flights::<_, Result<usize, Arc<UpstreamError>>>::default();
        let budget = Budget::until(Instant::now() + Duration::from_secs(1));
        let answer = flights.answer("a", &budget, std::future::pending).await;
        assert!(matches!(answer, Err(UpstreamError::Late)), "{answer:?}");
    }
}
