//! What a cell is filled by, and what it tells.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Expiring;
use crate::clock::Timestamp;
use crate::error::Explain;

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

    /// For a failure that is not this level's own but of one it is bought with: how long that level will go on giving it.
    ///
    /// Two back-offs on top of each other would let a child sleep on after its parent has healed.
    fn inherited(&self, _error: &Self::Error) -> Option<Duration> {
        None
    }
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
