//! Identical questions that are in the air at the same moment share one answer.
//!
//! Nothing outlives its answer here: a question that comes a moment later is asked anew. The work is dropped with the
//! last of those who wait for it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

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

impl<K, V: Clone> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Flights;

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
}
