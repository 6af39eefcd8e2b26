//! Days of a whole chain on paper: base, hop, login and bearer, with a pull every second.
//!
//! What the ideal number of calls is: at each level, the calls that succeed in the same day without faults (with the same
//! keys rotated and the same values revoked), and one more for each call that a fault hit, since that has to be repeated.

mod paper;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::CredentialsError;
use crate::refresh::RefreshCell;
use paper::{Cloud, LEVELS, PaperBearer, bearer, chain};

const DAY: u64 = 86_400;
const HOUR: [u64; 3] = [3600; 3];
/// How long a pull waits for a fault of a moment, as in `token::source`.
const PATIENCE: Duration = Duration::from_secs(12);

/// What became of one day.
struct Day {
    cloud: Arc<Cloud>,
    failed_pulls: usize,
}

/// One pull: a bearer that the registry refuses is dropped, and one more tried.
async fn pulls(cloud: &Cloud, bearer: &RefreshCell<PaperBearer>) -> bool {
    for _ in 0..2 {
        let Ok(held) = bearer.fetch_within(PATIENCE).await else { return false };
        if !cloud.is_revoked(&held.value.access_key_id) {
            return true;
        }
        bearer.refused(&held, Arc::new(CredentialsError::Exhausted { attempts: Vec::new() }));
    }
    false
}

/// Pulls every second of a day, from the first bearer on; `at` may do something to the cloud before each.
async fn day(seed: u64, fault_rate: f64, seconds: [u64; 3], at: impl Fn(&Cloud, u64)) -> Day {
    let cloud = Cloud::new(seed, fault_rate);
    let bearer = bearer(&cloud, seconds);
    let keeper = tokio::spawn({
        let bearer = bearer.clone();
        async move { tokio::join!(bearer.source().login.keep(), bearer.keep()) }
    });
    while bearer.peek().is_none() {
        sleep(Duration::from_secs(1)).await;
    }
    let mut failed_pulls = 0;
    for second in 0..DAY {
        at(&cloud, second);
        sleep(Duration::from_secs(1)).await;
        failed_pulls += usize::from(!pulls(&cloud, &bearer).await);
    }
    keeper.abort();
    Day { cloud, failed_pulls }
}

/// Keys rotate, sessions, logins and bearers are revoked, each at its own hours.
///
/// For ten minutes after that, in which all of it is found out, no fault strikes: values that are gone and calls that fail
/// again and again in the same seconds are more than one pull can bridge for certain.
fn rotate(cloud: &Cloud, second: u64) {
    cloud.calm.store((1000..1600).contains(&(second % 3600)), Ordering::SeqCst);
    let hours = [(3, 0), (5, 1), (7, 2), (2, 3)];
    for (_, level) in hours.into_iter().filter(|(hours, _)| second % (hours * 3600) == 1000) {
        // What was bought with a session dies with it.
        (level..3.max(level + 1)).for_each(|level| cloud.revoke(level));
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_of_every_fault_at_every_hop_fails_no_pull_and_makes_no_call_too_many() {
    let (mut ideal, mut made) = ([0; LEVELS], [0; LEVELS]);
    for seed in 0..4 {
        let quiet = day(seed, 0.0, HOUR, rotate).await;
        assert_eq!(quiet.failed_pulls, 0, "seed {seed}, without faults");
        let rough = day(seed, 0.2, HOUR, rotate).await;
        assert_eq!(rough.failed_pulls, 0, "seed {seed}");
        for level in 0..LEVELS {
            let failed = rough.cloud.failed(level);
            ideal[level] += quiet.cloud.served(level) + failed;
            made[level] += rough.cloud.served(level) + failed;
        }
    }
    println!("calls of four days at each level: {made:?}, ideal {ideal:?}");
    for level in 0..LEVELS {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let share = made[level] as f64 / ideal[level] as f64;
        assert!((0.95..=1.05).contains(&share), "level {level}: {made:?} calls, ideal {ideal:?}");
    }
}

/// Check 7 (`tests/it/peers.rs`).
#[tokio::test(start_paused = true)]
async fn outages_above_the_login_fail_no_pull_and_are_not_hammered() {
    for seed in 0..3 {
        let rough = day(seed, 0.1, HOUR, |cloud, second| {
            // Ten minutes every two hours.
            cloud.down.store(second % 7200 >= 6600, Ordering::SeqCst);
        });
        let rough = rough.await;
        assert_eq!(rough.failed_pulls, 0, "seed {seed}");
        for level in 0..3 {
            let (served, failed) = (rough.cloud.served(level), rough.cloud.failed(level));
            assert!(failed < 60, "seed {seed}, level {level}: {failed} failed calls and {served} others in a day");
        }
    }
}

/// Renewals of a lifetime that ends in 60 to 70 % of it, over a day.
fn renewals(seconds: u64) -> std::ops::RangeInclusive<u64> {
    DAY * 10 / (seconds * 7)..=DAY * 10 / (seconds * 6) + 2
}

#[tokio::test(start_paused = true)]
async fn all_levels_are_renewed_together_and_no_more_than_needed() {
    let day = day(1, 0.0, HOUR, |_, _| ()).await;
    assert_eq!(day.failed_pulls, 0);
    for level in 0..3 {
        let served = day.cloud.served(level);
        assert!(renewals(3600).contains(&(served as u64)), "level {level}: {served} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_base_is_not_asked_for_more_often_than_its_own_life_demands() {
    let day = day(2, 0.0, [43_200, 3600, 3600], |_, _| ()).await;
    assert_eq!(day.failed_pulls, 0);
    assert!(day.cloud.served(0) <= 5, "{} calls of the base", day.cloud.served(0));
    assert!(renewals(3600).contains(&(day.cloud.served(2) as u64)), "{} logins", day.cloud.served(2));
}

/// Check 8 (`tests/it/peers.rs`).
#[tokio::test(start_paused = true)]
async fn sessions_of_a_quarter_of_an_hour_survive_a_day_of_faults() {
    let day = day(7, 0.2, [900; 3], rotate).await;
    assert_eq!(day.failed_pulls, 0);
    for level in 0..3 {
        assert!(day.cloud.served(level) < 230, "level {level}: {} calls", day.cloud.served(level));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_revoked_at_any_time_is_bought_again_from_the_level_at_fault() {
    let cloud = Cloud::new(3, 0.0);
    let login = chain(&cloud, HOUR);
    login.fetch().await.unwrap();
    cloud.revoke(1);
    let held = login.fetch().await.unwrap();
    login.refused(&held, Arc::new(CredentialsError::Exhausted { attempts: Vec::new() }));
    login.fetch().await.unwrap();
    assert_eq!([cloud.served(0), cloud.served(1), cloud.served(2)], [1, 2, 2]);
}
