//! Places for connections: how many there may be at once, how long each may do nothing, and which one gives way.
//!
//! Promises: a place is taken until its [`Place`] is dropped, which whoever holds the descriptor does last; a connection
//! without a request gives way to a newcomer, the one that has been idle longest first; one that carries a request never
//! does. A request costs some operations on its connection's own counters and one look at the clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// What a client must take of its answers within [`Limits::stalled`]. One that trickles is as dead as one that reads
/// nothing: at this rate a layer of 25 MB would take ten days.
const LEAST: u64 = 8 * 1024;

/// In place of a number of requests: the connection has given its place up and begins none.
const GIVEN_UP: u32 = u32::MAX;

/// A number of places.
#[derive(Debug)]
pub struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    lives: HashMap<u64, Arc<Life>>,
}

/// One place, taken until it is dropped.
#[derive(Debug)]
pub struct Place {
    /// `None` for one that is not counted.
    counted: Option<(Arc<Places>, u64)>,
    life: Arc<Life>,
}

/// What a connection does at present.
#[derive(Debug)]
pub struct Life {
    born: Instant,
    /// Requests that it carries, or [`GIVEN_UP`].
    carried: AtomicU32,
    /// Requests that it has begun to carry.
    begun: AtomicU32,
    /// Milliseconds from its birth until it last became idle.
    idle_since: AtomicU64,
    /// Bytes of answers that it has taken.
    moved: AtomicU64,
    /// Its socket takes no more.
    blocked: AtomicBool,
    given_up: Notify,
}

/// One request that a connection carries, until it is dropped.
#[derive(Debug)]
pub struct Carried(Arc<Life>);

/// How long a connection may do nothing.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until its first request, the greeting of TLS included.
    pub first: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// With an answer of which the client takes next to nothing.
    pub stalled: Duration,
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overdue {
    /// [`Limits::first`] has passed.
    #[error("no request came")]
    Silent,
    /// [`Limits::idle`] has passed.
    #[error("no further request came")]
    Idle,
    /// [`Limits::stalled`] has passed.
    #[error("its answer is not taken")]
    Stalled,
    /// A newcomer has its place.
    #[error("it was idle the longest, and its place was needed")]
    GivenUp,
}

impl Places {
    /// `most` places.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A place for a newcomer, if need be that of the connection which has been idle longest; `None` where all carry
    /// requests.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.taken();
        if taken.lives.len() >= self.most {
            taken.make_room()?;
        }
        let (number, life) = (taken.next, Life::new());
        taken.next += 1;
        taken.lives.insert(number, Arc::clone(&life));
        Some(Place { counted: Some((Arc::clone(self), number)), life })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // No code that can panic runs while it is locked.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn make_room(&mut self) -> Option<()> {
        loop {
            let idle = self.lives.iter().filter_map(|(number, life)| Some((life.idle_since()?, *number)));
            let (_, number) = idle.min()?;
            // A request may have come meanwhile; then it is another one's turn.
            if self.lives.get(&number).is_some_and(|life| life.give_up()) {
                self.lives.remove(&number);
                return Some(());
            }
        }
    }
}

impl Place {
    /// A place that is not counted.
    #[must_use]
    pub fn uncounted() -> Self {
        Self { counted: None, life: Life::new() }
    }

    /// The connection that has it.
    #[must_use]
    pub const fn life(&self) -> &Arc<Life> {
        &self.life
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((places, number)) = &self.counted {
            places.taken().lives.remove(number);
        }
    }
}

impl Life {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            carried: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            given_up: Notify::new(),
        })
    }

    /// Begins a request. `None` where the place has been given up: the connection is about to end.
    #[must_use]
    pub fn carry(self: &Arc<Self>) -> Option<Carried> {
        let more = |carried: u32| (carried != GIVEN_UP).then(|| carried + 1);
        self.carried.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        self.begun.fetch_add(1, Ordering::Relaxed);
        Some(Carried(Arc::clone(self)))
    }

    /// Whether the socket takes no more at present. What is still to be sent of the last answer counts as a request.
    pub fn set_blocked(&self, blocked: bool) {
        // Read far more often than it changes.
        if self.blocked.load(Ordering::Relaxed) != blocked {
            self.blocked.store(blocked, Ordering::Relaxed);
        }
    }

    /// Whether its place was given to a newcomer.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.carried.load(Ordering::SeqCst) == GIVEN_UP
    }

    /// Ready when its place was given to a newcomer.
    pub async fn given_up(&self) {
        while !self.has_given_up() {
            self.given_up.notified().await;
        }
    }

    /// Ready when the connection has to end.
    pub async fn overdue(&self, limits: Limits) -> Overdue {
        tokio::select! {
            () = self.given_up() => Overdue::GivenUp,
            overdue = self.outlived(limits) => overdue,
        }
    }

    async fn outlived(&self, limits: Limits) -> Overdue {
        let mut mark = (self.begun.load(Ordering::Relaxed), self.moved.load(Ordering::Relaxed), Instant::now());
        loop {
            let (begun, moved) = (self.begun.load(Ordering::Relaxed), self.moved.load(Ordering::Relaxed));
            let carries = self.carried.load(Ordering::SeqCst) > 0;
            if !carries || begun != mark.0 || moved >= mark.1 + LEAST {
                mark = (begun, moved, Instant::now());
            }
            let since = if carries { mark.2 } else { self.born + self.idle() };
            let (limit, overdue) = match (carries, self.blocked.load(Ordering::Relaxed)) {
                (true, _) | (false, true) => (limits.stalled, Overdue::Stalled),
                (false, false) if begun == 0 => (limits.first, Overdue::Silent),
                (false, false) => (limits.idle, Overdue::Idle),
            };
            let left = limit.saturating_sub(since.elapsed());
            if left.is_zero() {
                return overdue;
            }
            // Never longer, so that an idle connection is noticed in time whatever it did when it was looked at last.
            sleep(left.min(limits.idle)).await;
        }
    }

    fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_since.load(Ordering::Relaxed))
    }

    /// When it became idle, if it is and nothing is left to be sent.
    fn idle_since(&self) -> Option<Instant> {
        let idle = self.carried.load(Ordering::SeqCst) == 0 && !self.blocked.load(Ordering::Relaxed);
        idle.then(|| self.born + self.idle())
    }

    /// Gives the place up, if no request is carried.
    fn give_up(&self) -> bool {
        let done = self.carried.compare_exchange(0, GIVEN_UP, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if done {
            self.given_up.notify_one();
        }
        done
    }
}

impl Carried {
    /// `bytes` of the answer were taken.
    pub fn moved(&self, bytes: usize) {
        self.0.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        let idle_since = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.idle_since.store(idle_since, Ordering::Relaxed);
        self.0.carried.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
