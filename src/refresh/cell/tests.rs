//! Each promise of the cell, in paused time.

mod edges;
mod orders;
mod refusals;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::RefreshCell;
use crate::clock::{Clock, SharedClock, Timestamp, later};
use crate::error::diagnosis::{Row, Sign};
use crate::error::{Explain, Retry};
use crate::refresh::{Expiring, Interrupted, Jitter, Load, Policy};
use crate::telemetry::metrics::Hop;

/// A clock that follows tokio's paused time.
#[derive(Debug)]
pub(super) struct PausedClock(Instant);

impl PausedClock {
    pub(super) fn shared() -> SharedClock {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        later(Timestamp::UNIX_EPOCH, self.0.elapsed())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("down")]
    Down,
    #[error("throttled")]
    Throttled(Duration),
    #[error("refused")]
    Refused,
    #[error("interrupted")]
    Interrupted,
}

impl From<Interrupted> for Failure {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

impl Explain for Failure {
    fn row(&self) -> &'static Row {
        Row::of(Sign::CloudFailed)
    }
    fn retry(&self) -> Retry {
        match self {
            Self::Throttled(pause) => Retry::Later(Some(*pause)),
            _ => Retry::Later(None),
        }
    }
}

/// Issues the numbers 1, 2, 3, … for an hour each, one second per load, with scripted failures.
#[derive(Debug, Clone)]
struct Mint(Arc<MintState>);

#[derive(Debug)]
struct MintState {
    clock: SharedClock,
    lifetime: Duration,
    loads: AtomicUsize,
    script: Mutex<VecDeque<Option<Failure>>>,
    down: Mutex<Option<Failure>>,
}

impl Mint {
    fn cell(lifetime: u64) -> (Self, RefreshCell<Self>) {
        let clock = PausedClock::shared();
        let mint = Self(Arc::new(MintState {
            clock: Arc::clone(&clock),
            lifetime: Duration::from_secs(lifetime),
            loads: AtomicUsize::new(0),
            script: Mutex::default(),
            down: Mutex::default(),
        }));
        let policy = Policy::new(Duration::from_secs(900));
        let cell = RefreshCell::new(mint.clone(), policy, clock, Hop::AssumeRole, Arc::default());
        (mint, cell.with_jitter(Jitter::seeded(1)))
    }

    fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }

    fn fail(&self, failure: Option<Failure>) {
        *self.0.down.lock().unwrap() = failure;
    }
}

impl Load for Mint {
    type Value = usize;
    type Error = Failure;

    async fn load(&self, _held: Option<Arc<Expiring<usize>>>) -> Result<Expiring<usize>, Arc<Failure>> {
        let number = self.0.loads.fetch_add(1, Ordering::SeqCst) + 1;
        sleep(Duration::from_secs(1)).await;
        let scripted = self.0.script.lock().unwrap().pop_front().flatten();
        if let Some(failure) = scripted.or_else(|| self.0.down.lock().unwrap().clone()) {
            return Err(Arc::new(failure));
        }
        let issued = self.0.clock.now();
        Ok(Expiring { value: number, issued, expires: later(issued, self.0.lifetime) })
    }
}

/// So many callers at once.
fn callers(cell: &RefreshCell<Mint>, count: usize) -> Vec<JoinHandle<super::Outcome<Mint>>> {
    let caller = |cell: RefreshCell<Mint>| async move { cell.fetch().await };
    (0..count).map(|_| tokio::spawn(caller(cell.clone()))).collect()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn five_hundred_cold_callers_cause_one_load() {
    let (mint, cell) = Mint::cell(3600);
    let callers = callers(&cell, 500);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().value, 1);
    }
    assert_eq!(mint.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_every_waiter_and_its_back_off_is_shared() {
    let (mint, cell) = Mint::cell(3600);
    mint.fail(Some(Failure::Down));
    let callers = callers(&cell, 50);
    for caller in callers {
        assert_eq!(*caller.await.unwrap().unwrap_err(), Failure::Down);
    }
    assert_eq!(cell.fetch().await.unwrap_err().as_ref(), &Failure::Down);
    assert_eq!(mint.loads(), 1, "a caller within the back-off caused a load");
    mint.fail(None);
    sleep(seconds(2)).await;
    assert_eq!(cell.fetch().await.unwrap().value, 2);
}

#[tokio::test(start_paused = true)]
async fn a_load_survives_the_caller_who_caused_it() {
    let (mint, cell) = Mint::cell(3600);
    assert!(tokio::time::timeout(Duration::from_millis(10), cell.fetch()).await.is_err());
    sleep(seconds(2)).await;
    assert_eq!(cell.peek().unwrap().value, 1);
    assert_eq!(mint.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_is_renewed_behind_the_back_of_its_users() {
    let (mint, cell) = Mint::cell(3600);
    cell.fetch().await.unwrap();
    sleep(seconds(2000)).await;
    assert_eq!(cell.fetch().await.unwrap().value, 1);
    sleep(seconds(600)).await;
    let asked = Instant::now();
    assert_eq!(cell.fetch().await.unwrap().value, 1, "the renewal made its first user wait");
    assert_eq!(asked.elapsed(), Duration::ZERO);
    sleep(seconds(2)).await;
    assert_eq!(cell.fetch().await.unwrap().value, 2);
    assert_eq!(mint.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_as_short_as_the_threshold_is_not_renewed_for_ever() {
    let (mint, cell) = Mint::cell(900);
    let keeper = tokio::spawn({
        let cell = cell.clone();
        async move { cell.keep().await }
    });
    sleep(seconds(9000)).await;
    keeper.abort();
    assert!((17..=21).contains(&mint.loads()), "{} loads in ten lifetimes", mint.loads());
}

#[tokio::test(start_paused = true)]
async fn kept_values_are_renewed_without_users_and_never_die() {
    let (mint, cell) = Mint::cell(3600);
    let keeper = tokio::spawn({
        let cell = cell.clone();
        async move { cell.keep().await }
    });
    sleep(seconds(5)).await;
    for _ in 0..24 * 60 {
        sleep(seconds(60)).await;
        assert!(cell.peek().is_some());
    }
    keeper.abort();
    // Every 60 to 70 % of an hour for a day.
    assert!((34..=41).contains(&mint.loads()), "{} loads in a day", mint.loads());
}

#[tokio::test(start_paused = true)]
async fn a_usable_value_is_served_through_an_outage_until_it_dies() {
    let (mint, cell) = Mint::cell(3600);
    let keeper = tokio::spawn({
        let cell = cell.clone();
        async move { cell.keep().await }
    });
    cell.fetch().await.unwrap();
    mint.fail(Some(Failure::Down));
    for _ in 0..3580 {
        sleep(seconds(1)).await;
        assert_eq!(cell.fetch().await.unwrap().value, 1);
    }
    let tries = mint.loads() - 1;
    assert!((10..=60).contains(&tries), "{tries} tries during the outage");
    sleep(seconds(30)).await;
    assert_eq!(cell.fetch().await.unwrap_err().as_ref(), &Failure::Down);
    mint.fail(None);
    sleep(seconds(50)).await;
    assert!(cell.fetch().await.is_ok(), "the keeper did not find that the outage was over");
    keeper.abort();
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_asked_for_is_kept() {
    let (mint, cell) = Mint::cell(3600);
    mint.fail(Some(Failure::Throttled(seconds(20))));
    cell.fetch().await.unwrap_err();
    sleep(seconds(19)).await;
    cell.fetch().await.unwrap_err();
    assert_eq!(mint.loads(), 1);
    // And up to eight seconds: nodes that were told the same do not come back together.
    sleep(seconds(10)).await;
    cell.fetch().await.unwrap_err();
    assert_eq!(mint.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_value_is_replaced_at_once_and_only_that_value() {
    let (mint, cell) = Mint::cell(3600);
    let first = cell.fetch().await.unwrap();
    cell.refused(&first, Arc::new(Failure::Refused));
    let second = cell.fetch().await.unwrap();
    assert_eq!(second.value, 2);
    cell.refused(&first, Arc::new(Failure::Refused));
    assert_eq!(cell.fetch().await.unwrap().value, 2, "a late refusal dropped the new value");
    assert_eq!(mint.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_child_is_bought_with_the_first_half_of_its_parent() {
    let (mint, cell) = Mint::cell(3600);
    cell.fetch().await.unwrap();
    sleep(seconds(1700)).await;
    assert_eq!(cell.renewed().await.unwrap().held.value, 1);
    sleep(seconds(200)).await;
    assert_eq!(cell.renewed().await.unwrap().held.value, 2);
    mint.fail(Some(Failure::Down));
    sleep(seconds(1900)).await;
    let renewal = cell.renewed().await.unwrap();
    assert_eq!((renewal.held.value, renewal.stale.as_deref()), (2, Some(&Failure::Down)));
}

#[tokio::test]
async fn a_load_that_panics_is_a_failure_like_any_other() {
    #[derive(Debug)]
    struct Broken;
    impl Load for Broken {
        type Value = ();
        type Error = Failure;
        async fn load(&self, _held: Option<Arc<Expiring<()>>>) -> Result<Expiring<()>, Arc<Failure>> {
            panic!("on purpose");
        }
    }
    let cell =
        RefreshCell::new(Broken, Policy::new(Duration::ZERO), PausedClock::shared(), Hop::Bearer, Arc::default());
    assert_eq!(*cell.fetch().await.unwrap_err(), Failure::Interrupted);
}
