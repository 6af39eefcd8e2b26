//! The tokens of one instance: what `upstream` asks for, what keeps them fresh, what the status page shows.

mod hand_out;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use super::bearer::BearerSource;
use super::challenge::ChallengeSource;
use super::login::LoginSource;
use super::{Bearer, BoxFuture, Params, ProvideBearer, TokenError};
use crate::clock::{Clock, SharedClock, Timestamp, until};
use crate::cloud::endpoints::{self, Region};
use crate::cloud::{Cloud, CloudClock};
use crate::credentials::plan::{PlanError, plan};
use crate::credentials::{HopFailure, HopStatus, ProvideCredentials, PurchaseError, purchase, wire};
use crate::http::client::Client;
use crate::oci::{Challenge, InstanceId, RegistryHost, Scope};
use crate::refresh::{Expiring, Jitter, Policy, RefreshCell, START_SPREAD};
use crate::telemetry::metrics::{Hop, InstanceMetrics};

/// Most scopes remembered at once; a bearer takes about 2 KiB.
const MOST_BEARERS: usize = 4096;
/// Bearers of repositories that were pulled within this time are kept fresh.
const IN_USE: Duration = Duration::from_secs(15 * 60);
/// Bearers that nobody asked for in this time are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);
/// How often bearers are looked through: several times within the last third of a ten-minute life.
const SWEEP: Duration = Duration::from_secs(20);
/// How long a pull waits for faults to pass that pass by themselves: two silent calls and a pause. A pull request has 20 s
/// in all, so that the registry still gets its share.
const PATIENCE: Duration = Duration::from_secs(12);
/// Domains found by `ListInstanceEndpoint` are needed at start and rarely after.
const NO_HELD: Option<Timestamp> = None;

/// One scope at one registry host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key(RegistryHost, Scope);

#[derive(Debug)]
struct Entry {
    cell: RefreshCell<BearerSource>,
    /// When it was last asked for, in epoch milliseconds.
    used: AtomicI64,
}

/// All tokens of one instance, from the role chain to the bearers.
#[derive(Debug)]
pub struct TokenSource {
    instance: InstanceId,
    enterprise: Option<String>,
    cloud: Arc<Cloud>,
    chain: Arc<dyn ProvideCredentials>,
    login: RefreshCell<LoginSource>,
    challenges: DashMap<RegistryHost, RefreshCell<ChallengeSource>>,
    bearers: DashMap<Key, Arc<Entry>>,
    realms: Arc<[String]>,
    client: Client,
    clock: Arc<CloudClock>,
    metrics: Arc<InstanceMetrics>,
    jitter: Jitter,
}

impl TokenSource {
    /// Plans and wires everything; nothing is asked yet.
    ///
    /// # Errors
    /// [`PlanError`] where the role chain cannot work, with every reason.
    pub fn new(
        params: Params,
        endpoints: endpoints::Params,
        client: Client,
        clock: Arc<CloudClock>,
        metrics: Arc<InstanceMetrics>,
    ) -> Result<Arc<Self>, PlanError> {
        let chain = plan(&params.chain)?;
        tracing::info!(instance = %params.instance, %chain, "role chain planned");
        let tools = (client.clone(), Arc::clone(&clock), Arc::clone(&metrics));
        let cloud = Arc::new(Cloud::new(endpoints, params.region, tools.0, tools.1, tools.2));
        let chain = wire(&chain, &cloud, &metrics);
        let enterprise = match &params.edition {
            super::Edition::Enterprise(id) => Some(id.clone()),
            super::Edition::Personal => None,
        };
        let source = LoginSource {
            chain: Arc::clone(&chain),
            cloud: Arc::clone(&cloud),
            metrics: Arc::clone(&metrics),
            edition: params.edition,
            caller: params.chain.caller(params.chain.hops.len()),
        };
        let policy = Policy { expiring_threshold: params.chain.expiring_threshold };
        let shared = Arc::clone(&clock) as SharedClock;
        let login = RefreshCell::new(source, policy, shared, Hop::AuthorizationToken, Arc::clone(&metrics));
        Ok(Arc::new(Self {
            instance: params.instance,
            enterprise,
            cloud,
            chain,
            login,
            challenges: DashMap::new(),
            bearers: DashMap::new(),
            realms: params.realms.into(),
            client,
            clock,
            metrics,
            jitter: Jitter::random(),
        }))
    }

    /// Keeps the login fresh, and the bearers of repositories in use, for as long as the future is polled.
    ///
    /// The first login is fetched at a moment of this node's own within `START_SPREAD`, so that a fleet that starts at
    /// once does not ask at once. Whoever cannot wait for that does not: a pull asks now, and so does
    /// [`is_ready`](Self::is_ready).
    pub async fn run(&self) {
        let keep = async {
            tokio::time::sleep(START_SPREAD.mul_f64(self.jitter.throw())).await;
            self.login.keep().await;
        };
        let sweep = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                self.sweep();
            }
        };
        tokio::join!(keep, sweep);
    }

    /// Fetches the login, where there is none yet.
    ///
    /// # Errors
    /// [`TokenError`] of the first step that failed.
    pub async fn prewarm(&self) -> Result<(), Arc<TokenError>> {
        self.login.fetch().await.map(drop)
    }

    /// Whether pulls can be served now: there is a usable login. To be asked is reason enough to get one. Needs a runtime.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let ready = self.login.peek().is_some();
        if !ready {
            self.login.nudge();
        }
        ready
    }

    /// Every level from the base to the login, for the status page; no secret.
    #[must_use]
    pub fn hops(&self) -> Vec<HopStatus> {
        let mut hops = Vec::new();
        self.chain.report(&mut hops);
        let status = self.login.status();
        let failure = status.failure.map(|(at, error)| HopFailure::new(at, &*error));
        let (name, hop) = (self.login.source().name(), Hop::AuthorizationToken);
        hops.push(HopStatus { name, hop, held: status.held, failure, note: None });
        hops
    }

    /// What `host` asks of its clients: where bearers come from. The login is not shown to anybody for this.
    ///
    /// # Errors
    /// [`TokenError`] where the registry gives no challenge, or one that may not be followed.
    pub async fn realm(&self, host: &RegistryHost) -> Result<String, Arc<TokenError>> {
        Ok(self.challenge(host).fetch().await?.value.uri.origin().host().to_owned())
    }

    /// The domains of the instance, VPC ones first, for a configuration that names none. Empty for the Personal Edition,
    /// whose domains follow from its region.
    ///
    /// # Errors
    /// [`TokenError`] where the chain or `ListInstanceEndpoint` failed.
    pub async fn domains(&self) -> Result<Vec<String>, Arc<TokenError>> {
        let Some(instance) = &self.enterprise else { return Ok(Vec::new()) };
        let bought = purchase(&*self.chain, NO_HELD, |session| {
            let cloud = Arc::clone(&self.cloud);
            async move {
                let domains = cloud.cr.domains(instance, &session.value).await?;
                Ok(Expiring::lasting(domains, cloud.clock.now()))
            }
        });
        match bought.await {
            Ok(domains) => Ok(domains.value),
            Err(PurchaseError::Credentials(error)) => Err(Arc::new(TokenError::Credentials(error))),
            Err(PurchaseError::Cloud(error)) => Err(Arc::new(TokenError::Login(error))),
        }
    }

    /// The region of this node, configured or asked of the metadata service.
    pub async fn node_region(&self) -> Option<Region> {
        self.cloud.endpoints.node_region().await
    }

    /// The instance.
    #[must_use]
    pub const fn instance(&self) -> &InstanceId {
        &self.instance
    }

    fn entry(&self, host: &RegistryHost, scope: &Scope) -> Arc<Entry> {
        let key = Key(host.clone(), scope.clone());
        let now = self.clock.now().as_millisecond();
        if let Some(entry) = self.bearers.get(&key).map(|entry| Arc::clone(&entry)) {
            entry.used.store(now, Ordering::Relaxed);
            return entry;
        }
        if self.bearers.len() >= MOST_BEARERS {
            self.make_room();
        }
        let challenge = self.challenge(host);
        let entry = self.bearers.entry(key).or_insert_with(|| {
            let tools = (&self.client, &self.clock, &self.metrics);
            let source = BearerSource::new(scope.clone(), challenge, self.login.clone(), tools);
            Arc::new(Entry { cell: self.cell(source), used: AtomicI64::new(now) })
        });
        Arc::clone(&entry)
    }

    fn challenge(&self, host: &RegistryHost) -> RefreshCell<ChallengeSource> {
        let cell = self.challenges.entry(host.clone()).or_insert_with(|| {
            self.cell(ChallengeSource {
                host: host.clone(),
                client: self.client.clone(),
                clock: Arc::clone(&self.clock),
                metrics: Arc::clone(&self.metrics),
                realms: Arc::clone(&self.realms),
            })
        });
        cell.clone()
    }

    /// Bearers live for minutes, so `expiringThreshold` is nothing to them.
    fn cell<L: crate::refresh::Load>(&self, load: L) -> RefreshCell<L> {
        let clock = Arc::clone(&self.clock) as SharedClock;
        RefreshCell::new(load, Policy::default(), clock, Hop::Bearer, Arc::clone(&self.metrics))
    }

    /// Renews what is in use and forgets what is not.
    fn sweep(&self) {
        let now = self.clock.now();
        let idle = |entry: &Entry| {
            let used = Timestamp::from_millisecond(entry.used.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX);
            until(used, now)
        };
        self.bearers.retain(|_, entry| idle(entry) < FORGOTTEN);
        // Nothing is started while the map is locked.
        let entries: Vec<_> = self.bearers.iter().map(|entry| Arc::clone(&entry)).collect();
        for entry in entries {
            // A bearer that was never got is asked for by pulls only: a repository may simply not exist.
            if idle(&entry) < IN_USE && entry.cell.has_held() {
                entry.cell.nudge();
            }
        }
    }

    /// Forgets the quarter that was not asked for the longest.
    fn make_room(&self) {
        let mut used: Vec<i64> = self.bearers.iter().map(|entry| entry.used.load(Ordering::Relaxed)).collect();
        let quarter = used.len() / 4;
        if quarter < used.len() {
            let (_, limit, _) = used.select_nth_unstable(quarter);
            let limit = *limit;
            self.bearers.retain(|_, entry| entry.used.load(Ordering::Relaxed) > limit);
        }
    }
}

impl ProvideBearer for TokenSource {
    fn bearer<'a>(
        &'a self,
        host: &'a RegistryHost,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Arc<Bearer>, Arc<TokenError>>> {
        Box::pin(async move { Ok(Arc::clone(&self.entry(host, scope).cell.fetch_within(PATIENCE).await?.value)) })
    }

    fn refused(&self, host: &RegistryHost, scope: &Scope, bearer: &Bearer, challenge: Option<&str>) {
        let key = Key(host.clone(), scope.clone());
        let Some(entry) = self.bearers.get(&key).map(|entry| Arc::clone(&entry)) else { return };
        if let Some(held) = entry.cell.peek().filter(|held| std::ptr::eq(&*held.value, bearer)) {
            entry.cell.refused(&held, Arc::new(TokenError::BearerRefused));
        }
        let cell = self.challenge(host);
        let new = challenge.and_then(|line| Challenge::bearer([line]));
        if let (Some(new), Some(known)) = (new, cell.peek())
            && cell.source().accept(&new).is_ok_and(|realm| realm != known.value)
        {
            tracing::info!(instance = %self.instance, %host, "the registry changed its challenge");
            cell.refused(&known, Arc::new(TokenError::ChallengeChanged));
        }
    }
}
