//! A day of a whole chain on paper: paused time, no sockets, faults of every class at every hop.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use super::{Credentials, CredentialsError, HopStatus, Level, ProvideCredentials, PurchaseError, Session, purchase};
use crate::clock::{SharedClock, SystemClock, Timestamp, later};
use crate::cloud::{CloudClock, CloudError};
use crate::refresh::{Expiring, Jitter, Load, Policy, RefreshCell};
use crate::telemetry::metrics::Hop;

/// The cloud of the test: what it was asked, what it refuses, how often it fails.
#[derive(Debug)]
struct Cloud {
    clock: SharedClock,
    dice: Jitter,
    /// Share of calls that fail.
    fault_rate: f64,
    down: Mutex<bool>,
    revoked: Mutex<HashSet<String>>,
    served: [AtomicUsize; 3],
    failed: AtomicUsize,
}

impl Cloud {
    fn new(seed: u64, fault_rate: f64) -> Arc<Self> {
        Arc::new(Self {
            clock: CloudClock::new(SystemClock::shared()),
            dice: Jitter::seeded(seed),
            fault_rate,
            down: Mutex::default(),
            revoked: Mutex::default(),
            served: Default::default(),
            failed: AtomicUsize::default(),
        })
    }

    /// One call at `level`, with the key of the level above.
    async fn call(&self, level: usize, key: Option<&str>) -> Result<(String, Timestamp), CloudError> {
        sleep(Duration::from_millis(40)).await;
        if *self.down.lock().unwrap() || self.dice.throw() < self.fault_rate {
            self.failed.fetch_add(1, Ordering::SeqCst);
            let (status, code) = [(503, ""), (302, ""), (400, "Throttling.User"), (500, "InternalError")]
                [self.failed.load(Ordering::SeqCst) % 4];
            return Err(CloudError::refused("call", status, code));
        }
        if key.is_some_and(|key| self.revoked.lock().unwrap().contains(key)) {
            return Err(CloudError::refused("call", 400, "InvalidSecurityToken.Expired"));
        }
        let number = self.served[level].fetch_add(1, Ordering::SeqCst);
        Ok((format!("level {level} number {number}"), self.clock.now()))
    }

    fn served(&self, level: usize) -> usize {
        self.served[level].load(Ordering::SeqCst)
    }
}

/// A level with a life of its own: the base, or a hop over another level.
#[derive(Debug)]
struct Paper {
    cloud: Arc<Cloud>,
    level: usize,
    seconds: u64,
    parent: Option<Arc<dyn ProvideCredentials>>,
}

async fn buy(
    cloud: Arc<Cloud>,
    level: usize,
    seconds: u64,
    key: Option<String>,
) -> Result<Expiring<Credentials>, CloudError> {
    let (access_key_id, issued) = cloud.call(level, key.as_deref()).await?;
    let value = Credentials { access_key_id, access_key_secret: "secret".into(), security_token: None };
    Ok(Expiring { value, issued, expires: later(issued, Duration::from_secs(seconds)) })
}

impl Load for Paper {
    type Value = Credentials;
    type Error = CredentialsError;

    async fn load(&self, held: Option<Session>) -> Result<Expiring<Credentials>, Arc<CredentialsError>> {
        let cloud_error = |error| Arc::new(CredentialsError::from_cloud(self.name(), error));
        let Some(parent) = &self.parent else {
            return buy(Arc::clone(&self.cloud), self.level, self.seconds, None).await.map_err(cloud_error);
        };
        let bought = purchase(&**parent, held.map(|held| held.expires), |session| {
            buy(Arc::clone(&self.cloud), self.level, self.seconds, Some(session.value.access_key_id.clone()))
        });
        bought.await.map_err(|error| match error {
            PurchaseError::Credentials(error) => error,
            PurchaseError::Cloud(error) => cloud_error(error),
        })
    }
}

impl Level for Paper {
    fn name(&self) -> String {
        format!("level {}", self.level)
    }
    fn hop(&self) -> Hop {
        Hop::AssumeRole
    }
    fn report_parents(&self, into: &mut Vec<HopStatus>) {
        if let Some(parent) = &self.parent {
            parent.report(into);
        }
    }
}

/// Base, hop and login, each living so many seconds by its own account.
fn chain(cloud: &Arc<Cloud>, seconds: [u64; 3]) -> RefreshCell<Paper> {
    let cell = |level, parent| {
        let paper = Paper { cloud: Arc::clone(cloud), level, seconds: seconds[level], parent };
        let policy = Policy { expiring_threshold: Duration::from_secs(900) };
        RefreshCell::new(paper, policy, Arc::clone(&cloud.clock), Hop::AssumeRole, Arc::default())
            .with_jitter(Jitter::seeded(level as u64))
    };
    let base: Arc<dyn ProvideCredentials> = Arc::new(cell(0, None));
    let hop: Arc<dyn ProvideCredentials> = Arc::new(cell(1, Some(base)));
    cell(2, Some(hop))
}

/// Keeps the login and pulls every second of a day; says how many pulls failed after the first minute.
async fn day(login: &RefreshCell<Paper>, mut at: impl FnMut(u64)) -> usize {
    let keeper = tokio::spawn({
        let login = login.clone();
        async move { login.keep().await }
    });
    sleep(Duration::from_secs(60)).await;
    let mut failed = 0;
    for second in 0..86_400 {
        at(second);
        sleep(Duration::from_secs(1)).await;
        failed += usize::from(login.fetch().await.is_err());
    }
    keeper.abort();
    failed
}

/// Renewals of a lifetime that ends in 60 to 70 % of it, over a day.
fn ideal(seconds: u64) -> std::ops::RangeInclusive<usize> {
    let day = 86_400.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
    let renewals = |share: f64| (day / (seconds as f64 * share)) as usize;
    renewals(0.70)..=renewals(0.60) + 2
}

#[tokio::test(start_paused = true)]
async fn all_levels_are_renewed_together_and_no_more_than_needed() {
    let cloud = Cloud::new(1, 0.0);
    assert_eq!(day(&chain(&cloud, [3600; 3]), |_| ()).await, 0);
    for level in 0..3 {
        assert!(ideal(3600).contains(&cloud.served(level)), "level {level}: {} calls", cloud.served(level));
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_base_is_not_asked_for_more_often_than_its_own_life_demands() {
    let cloud = Cloud::new(2, 0.0);
    assert_eq!(day(&chain(&cloud, [43_200, 3600, 3600]), |_| ()).await, 0);
    assert!(cloud.served(0) <= 5, "{} calls of the base", cloud.served(0));
    assert!(ideal(3600).contains(&cloud.served(2)), "{} logins", cloud.served(2));
}

#[tokio::test(start_paused = true)]
async fn a_day_of_faults_at_every_hop_fails_no_pull() {
    for seed in 0..5 {
        let cloud = Cloud::new(seed, 0.2);
        let login = chain(&cloud, [3600; 3]);
        let failed = day(&login, |second| {
            // Ten minutes of outage every two hours.
            *cloud.down.lock().unwrap() = second % 7200 >= 6600;
        });
        assert_eq!(failed.await, 0, "seed {seed}");
        for level in 0..3 {
            let calls = cloud.served(level);
            assert!((33..=44).contains(&calls), "seed {seed}, level {level}: {calls} successful calls");
        }
        let failed_calls = cloud.failed.load(Ordering::SeqCst);
        assert!(failed_calls < 250, "seed {seed}: {failed_calls} failed calls in a day");
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_of_a_quarter_of_an_hour_survive_a_day_of_faults() {
    let cloud = Cloud::new(7, 0.2);
    assert_eq!(day(&chain(&cloud, [900; 3]), |_| ()).await, 0);
    for level in 0..3 {
        assert!(cloud.served(level) < 230, "level {level}: {} calls", cloud.served(level));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_revoked_at_any_time_is_bought_again_from_the_level_at_fault() {
    let cloud = Cloud::new(3, 0.0);
    let login = chain(&cloud, [3600; 3]);
    login.fetch().await.unwrap();
    cloud.revoked.lock().unwrap().insert("level 1 number 0".into());
    let held = login.fetch().await.unwrap();
    login.refused(&held, Arc::new(CredentialsError::Exhausted { attempts: Vec::new() }));
    login.fetch().await.unwrap();
    assert_eq!([cloud.served(0), cloud.served(1), cloud.served(2)], [1, 2, 2]);
}
