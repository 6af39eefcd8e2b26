//! How many requests there may be at once. What is beyond gets 503, which sends containerd to its next server; a queue
//! would only make everybody late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::Params;
use super::respond::Refusal;

/// Requests at once that show a token which is not known yet, each until the file was looked into. Few enough that guessing
/// leaves most connections to others; far more than begin within that tenth of a second after a rotation.
const STRANGERS: usize = 256;

/// How long a blob waits for one that streams to end, where memory allows no more of them. As long as a crowd of pulls that
/// start together can be given: containerd 2.3 gives a silent mirror up after 30 s (client fact sheet, section 5).
const TURN: Duration = Duration::from_secs(25);

/// The limits of requests, and who is within them; a clone is the same gate.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// Why nobody is let in at all.
    barred: Option<Arc<str>>,
}

impl Gate {
    pub(super) fn new(params: &Params) -> Self {
        Self::of(params.in_flight, params.streams, STRANGERS)
    }

    /// One that lets nobody in.
    pub(super) fn closed() -> Self {
        Self::of(0, 0, 0)
    }

    /// One that tells everybody why the daemon has not started.
    pub(super) fn barred(why: &str) -> Self {
        Self { barred: Some(why.into()), ..Self::closed() }
    }

    fn of(requests: usize, streams: usize, strangers: usize) -> Self {
        let semaphore = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: semaphore(requests),
            streams: semaphore(streams),
            strangers: semaphore(strangers),
            barred: None,
        }
    }

    /// A place for a request whose sender is not admitted yet.
    pub(super) fn stranger(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.strangers.try_acquire().map_err(|_| Refusal::Overloaded)
    }

    /// A place for a request.
    pub(super) fn request(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if let Some(why) = &self.barred {
            return Err(Refusal::NotStarted(Arc::clone(why)));
        }
        Arc::clone(&self.requests).try_acquire_owned().map_err(|_| Refusal::Overloaded)
    }

    /// A place for a blob that is streamed.
    pub(super) async fn stream(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = timeout(TURN, Arc::clone(&self.streams).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or(Refusal::Overloaded)
    }
}
