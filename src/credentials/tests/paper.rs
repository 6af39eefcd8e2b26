//! A cloud and a chain on paper: paused time, no sockets; calls that fail by dice, and values that are revoked.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use crate::clock::{SharedClock, SystemClock, Timestamp, later};
use crate::cloud::{CloudClock, CloudError};
use crate::credentials::{
    Credentials, CredentialsError, HopStatus, Level, ProvideCredentials, PurchaseError, Session, purchase,
};
use crate::refresh::{Expiring, Jitter, Load, Policy, RefreshCell};
use crate::telemetry::metrics::Hop;

/// Base, hop, login, bearer.
pub(super) const LEVELS: usize = 4;
/// A round trip that succeeds, or is refused.
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// How long a silent service is waited for, as in `cloud::call`.
const SILENCE: Duration = Duration::from_secs(5);
/// What a bearer of ten minutes is used for.
const BEARER_LIFE: u64 = 540;

/// What the cloud was asked, what it refuses, how often it fails.
#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) clock: SharedClock,
    dice: Jitter,
    /// Share of calls that fail.
    fault_rate: f64,
    /// STS and the Container Registry API do not answer; the realm does.
    pub(super) down: AtomicBool,
    /// No faults for now.
    pub(super) calm: AtomicBool,
    /// The keys of values that are no longer taken.
    revoked: Mutex<HashSet<String>>,
    served: [AtomicUsize; LEVELS],
    failed: [AtomicUsize; LEVELS],
}

impl Cloud {
    pub(super) fn new(seed: u64, fault_rate: f64) -> Arc<Self> {
        Arc::new(Self {
            clock: CloudClock::new(SystemClock::shared()),
            dice: Jitter::seeded(seed),
            fault_rate,
            down: AtomicBool::default(),
            calm: AtomicBool::default(),
            revoked: Mutex::default(),
            served: Default::default(),
            failed: Default::default(),
        })
    }

    /// One call at `level`, with the key of the level above; a fault of every class in turn.
    async fn call(&self, level: usize, key: Option<&str>) -> Result<(String, Timestamp), CloudError> {
        sleep(ROUND_TRIP).await;
        let outage = level < 3 && self.down.load(Ordering::SeqCst);
        if outage || (self.dice.throw() < self.fault_rate && !self.calm.load(Ordering::SeqCst)) {
            let number = self.failed[level].fetch_add(1, Ordering::SeqCst);
            return Err(match number % 6 {
                0 => CloudError::refused("call", 503, ""),
                1 => CloudError::refused("call", 302, ""),
                2 => CloudError::refused("call", 400, "Throttling.User"),
                3 => CloudError::refused("call", 500, "InternalError"),
                4 => CloudError::unreadable("call"),
                _ => {
                    sleep(SILENCE).await;
                    CloudError::silent("call")
                }
            });
        }
        if key.is_some_and(|key| self.is_revoked(key)) {
            return Err(CloudError::refused("call", 400, "InvalidSecurityToken.Expired"));
        }
        let number = self.served[level].fetch_add(1, Ordering::SeqCst);
        Ok((format!("level {level} number {number}"), self.clock.now()))
    }

    /// Ends the newest value of a level early.
    pub(super) fn revoke(&self, level: usize) {
        let newest = self.served(level).saturating_sub(1);
        self.revoked.lock().unwrap().insert(format!("level {level} number {newest}"));
    }

    pub(super) fn is_revoked(&self, key: &str) -> bool {
        self.revoked.lock().unwrap().contains(key)
    }

    /// Calls that succeeded.
    pub(super) fn served(&self, level: usize) -> usize {
        self.served[level].load(Ordering::SeqCst)
    }

    /// Calls that a fault hit.
    pub(super) fn failed(&self, level: usize) -> usize {
        self.failed[level].load(Ordering::SeqCst)
    }
}

/// A level with a life of its own: the base, or a hop over another level.
#[derive(Debug)]
pub(super) struct Paper {
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

    fn inherited(&self, error: &CredentialsError) -> Option<Duration> {
        let parent = self.parent.as_ref()?;
        (error.hop() != Some(&*self.name())).then(|| parent.pause())
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

/// The bearer of one repository: a login that is refused is dropped, and a new one tried once.
#[derive(Debug)]
pub(super) struct PaperBearer {
    cloud: Arc<Cloud>,
    pub(super) login: RefreshCell<Paper>,
}

impl Load for PaperBearer {
    type Value = Credentials;
    type Error = CredentialsError;

    async fn load(&self, _held: Option<Session>) -> Result<Expiring<Credentials>, Arc<CredentialsError>> {
        let mut tries = 0;
        loop {
            let login = self.login.fetch().await?;
            let key = Some(login.value.access_key_id.clone());
            match buy(Arc::clone(&self.cloud), 3, BEARER_LIFE, key).await {
                Ok(bearer) => return Ok(bearer.bounded_by(login.expires)),
                Err(error) if tries == 0 && error.code().starts_with("InvalidSecurityToken") => {
                    tries += 1;
                    self.login.refused(&login, Arc::new(CredentialsError::from_cloud("level 2", error)));
                }
                Err(error) => return Err(Arc::new(CredentialsError::from_cloud("level 3", error))),
            }
        }
    }

    fn inherited(&self, error: &CredentialsError) -> Option<Duration> {
        (error.hop() != Some("level 3")).then(|| self.login.pause())
    }
}

/// Base, hop and login, each living so many seconds by its own account.
pub(super) fn chain(cloud: &Arc<Cloud>, seconds: [u64; 3]) -> RefreshCell<Paper> {
    let level = |level, parent| Paper { cloud: Arc::clone(cloud), level, seconds: seconds[level], parent };
    let base: Arc<dyn ProvideCredentials> = Arc::new(cell(cloud, level(0, None), 900, 0));
    let hop: Arc<dyn ProvideCredentials> = Arc::new(cell(cloud, level(1, Some(base)), 900, 1));
    cell(cloud, level(2, Some(hop)), 900, 2)
}

/// The bearer over such a chain.
pub(super) fn bearer(cloud: &Arc<Cloud>, seconds: [u64; 3]) -> RefreshCell<PaperBearer> {
    let login = chain(cloud, seconds);
    cell(cloud, PaperBearer { cloud: Arc::clone(cloud), login }, 0, 3)
}

fn cell<L: Load>(cloud: &Arc<Cloud>, load: L, threshold: u64, seed: u64) -> RefreshCell<L> {
    let policy = Policy::new(Duration::from_secs(threshold));
    RefreshCell::new(load, policy, Arc::clone(&cloud.clock), Hop::Bearer, Arc::default())
        .with_jitter(Jitter::seeded(seed))
}
