//! What is not every day's work: faults of a moment, clocks that jump, values that are dead on arrival, loads that hang.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Failure, Mint, RefreshCell, callers, seconds};
use crate::clock::{ManualClock, SharedClock, Timestamp, later};
use crate::refresh::{Expiring, Jitter, Load, Policy};
use crate::telemetry::metrics::Hop;

#[tokio::test(start_paused = true)]
async fn a_patient_caller_outlasts_a_fault_of_a_moment() {
    let (mint, cell) = Mint::cell(3600);
    mint.0.script.lock().unwrap().extend([Some(Failure::Down), Some(Failure::Down)]);
    assert_eq!(cell.fetch_within(seconds(10)).await.unwrap().value, 3);
}

#[tokio::test(start_paused = true)]
async fn a_patient_caller_does_not_wait_for_what_comes_too_late() {
    let (mint, cell) = Mint::cell(3600);
    mint.fail(Some(Failure::Throttled(seconds(60))));
    let asked = Instant::now();
    assert!(cell.fetch_within(seconds(10)).await.is_err());
    assert_eq!(asked.elapsed(), seconds(1), "it waited although the pause was known to be longer");
    assert!(cell.fetch_within(seconds(10)).await.is_err());
    assert_eq!((asked.elapsed(), mint.loads()), (seconds(1), 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_in_an_outage_that_everybody_knows_of() {
    let (mint, cell) = Mint::cell(3600);
    mint.fail(Some(Failure::Down));
    assert!(cell.fetch_within(seconds(10)).await.is_err());
    sleep(seconds(10)).await;
    for _ in 0..60 {
        let asked = Instant::now();
        assert!(cell.fetch_within(seconds(10)).await.is_err());
        assert!(asked.elapsed() <= seconds(1), "a caller waited for {:?}", asked.elapsed());
        sleep(seconds(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn patient_callers_share_each_load() {
    let (mint, cell) = Mint::cell(3600);
    mint.0.script.lock().unwrap().push_back(Some(Failure::Down));
    let patient = |cell: RefreshCell<Mint>| tokio::spawn(async move { cell.fetch_within(seconds(10)).await });
    let patient: Vec<_> = (0..100).map(|_| patient(cell.clone())).collect();
    for caller in patient {
        assert_eq!(caller.await.unwrap().unwrap().value, 2);
    }
    assert_eq!(mint.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn values_that_are_dead_on_arrival_do_not_make_a_load_of_every_caller() {
    let (mint, cell) = Mint::cell(0);
    for caller in callers(&cell, 50) {
        assert_eq!(caller.await.unwrap().unwrap().value, 1);
    }
    for _ in 0..50 {
        assert!(cell.fetch().await.is_ok(), "whoever it is shown to must be able to refuse it");
    }
    assert_eq!(mint.loads(), 1);
}

/// Fails, or never ends.
#[derive(Debug)]
struct Scripted {
    clock: SharedClock,
    hang: bool,
}

impl Load for Scripted {
    type Value = ();
    type Error = Failure;

    async fn load(&self, held: Option<Arc<Expiring<()>>>) -> Result<Expiring<()>, Arc<Failure>> {
        let issued = self.clock.now();
        match (held, self.hang) {
            (None, true) => Ok(Expiring { value: (), issued, expires: later(issued, seconds(20)) }),
            (Some(_), true) => std::future::pending().await,
            (_, false) => Err(Arc::new(Failure::Down)),
        }
    }
}

fn scripted(clock: SharedClock, hang: bool) -> RefreshCell<Scripted> {
    let load = Scripted { clock: Arc::clone(&clock), hang };
    RefreshCell::new(load, Policy::new(Duration::ZERO), clock, Hop::Bearer, Arc::default())
        .with_jitter(Jitter::seeded(1))
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_does_not_take_the_last_seconds_of_a_value_from_its_users() {
    let cell = scripted(super::PausedClock::shared(), true);
    cell.fetch().await.unwrap();
    sleep(seconds(16)).await;
    let asked = Instant::now();
    cell.fetch().await.unwrap();
    assert_eq!(asked.elapsed(), seconds(2));
}

#[tokio::test(start_paused = true)]
async fn a_back_off_ends_when_the_clock_goes_back_behind_its_beginning() {
    let clock = ManualClock::at(later(Timestamp::UNIX_EPOCH, seconds(86_400)));
    let cell = scripted(Arc::clone(&clock) as SharedClock, false);
    cell.fetch().await.unwrap_err();
    assert!(cell.pause() > Duration::ZERO);
    clock.set(Timestamp::UNIX_EPOCH);
    assert_eq!(cell.pause(), Duration::ZERO);
    let failed = cell.status().failure.unwrap().0;
    cell.fetch().await.unwrap_err();
    assert!(cell.status().failure.unwrap().0 < failed, "no new load was made");
}

#[derive(Debug)]
struct Child(RefreshCell<Mint>);

impl Load for Child {
    type Value = usize;
    type Error = Failure;

    async fn load(&self, _held: Option<Arc<Expiring<usize>>>) -> Result<Expiring<usize>, Arc<Failure>> {
        self.0.fetch().await.map(|parent| Expiring::clone(&parent))
    }

    fn inherited(&self, _error: &Failure) -> Option<Duration> {
        Some(self.0.pause())
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_does_not_sleep_on_after_its_parent_has_healed() {
    let (mint, parent) = Mint::cell(3600);
    mint.fail(Some(Failure::Down));
    let clock = Arc::clone(&mint.0.clock);
    let cell = RefreshCell::new(Child(parent.clone()), Policy::new(Duration::ZERO), clock, Hop::Bearer, Arc::default());
    let keeper = tokio::spawn({
        let parent = parent.clone();
        async move { parent.keep().await }
    });
    for _ in 0..300 {
        sleep(seconds(1)).await;
        cell.fetch().await.unwrap_err();
    }
    let tries = mint.loads();
    mint.fail(None);
    while parent.peek().is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(cell.fetch_within(seconds(4)).await.is_ok(), "the child sleeps on");
    assert!(tries < 25, "{tries} tries in five minutes: the child hammers its parent");
    keeper.abort();
}
