//! The tokens of one instance: what `upstream` asks for, what keeps them fresh, what the status page shows.

mod hand_out;

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::bearer::BearerSource;
use super::bearers::Bearers;
use super::challenge::ChallengeSource;
use super::login::LoginSource;
use super::{Bearer, BoxFuture, Params, ProvideBearer, TokenError};
use crate::clock::{Clock, SharedClock, Timestamp};
use crate::cloud::endpoints::{self, Region};
use crate::cloud::{Cloud, CloudClock};
use crate::credentials::plan::{PlanError, plan};
use crate::credentials::{HopFailure, HopStatus, ProvideCredentials, PurchaseError, purchase, wire};
use crate::http::client::Client;
use crate::oci::{Challenge, InstanceId, RegistryHost, Scope};
use crate::refresh::{Expiring, Jitter, Policy, RefreshCell, START_SPREAD};
use crate::telemetry::metrics::{Hop, InstanceMetrics};

/// How often bearers are looked through: several times within the last third of a ten-minute life.
const SWEEP: Duration = Duration::from_secs(20);
/// How long a pull waits for faults to pass that pass by themselves: two silent calls and a pause. A pull request has 20 s
/// in all, so that the registry still gets its share.
const PATIENCE: Duration = Duration::from_secs(12);
/// Domains found by `ListInstanceEndpoint` are needed at start and rarely after.
const NO_HELD: Option<Timestamp> = None;

/// All tokens of one instance, from the role chain to the bearers.
#[derive(Debug)]
pub struct TokenSource {
    instance: InstanceId,
    enterprise: Option<String>,
    cloud: Arc<Cloud>,
    chain: Arc<dyn ProvideCredentials>,
    login: RefreshCell<LoginSource>,
    challenges: DashMap<RegistryHost, RefreshCell<ChallengeSource>>,
    bearers: Bearers,
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
        let policy = Policy::new(params.chain.expiring_threshold);
        let shared = Arc::clone(&clock) as SharedClock;
        let login = RefreshCell::new(source, policy, shared, Hop::AuthorizationToken, Arc::clone(&metrics));
        Ok(Arc::new(Self {
            instance: params.instance,
            enterprise,
            cloud,
            chain,
            login,
            challenges: DashMap::new(),
            bearers: Bearers::default(),
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
                self.bearers.sweep(self.clock.now());
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
        let ready = self.has_login();
        if !ready {
            self.login.nudge();
        }
        ready
    }

    /// The same without asking for one.
    #[must_use]
    pub fn has_login(&self) -> bool {
        self.login.peek().is_some()
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
            Err(PurchaseError::Cloud(error)) => {
                let caller = self.login.source().caller.as_str();
                Err(Arc::new(TokenError::Login(error.called_by(caller))))
            }
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

    fn cell_of(&self, host: &RegistryHost, scope: &Scope) -> RefreshCell<BearerSource> {
        let key = (host.clone(), scope.clone());
        self.bearers.find_or_insert(key, self.clock.now(), || {
            let tools = (&self.client, &self.clock, &self.metrics);
            self.cell(BearerSource::new(scope.clone(), self.challenge(host), self.login.clone(), tools))
        })
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
        RefreshCell::new(load, Policy::of_pulls(), clock, Hop::Bearer, Arc::clone(&self.metrics))
    }
}

impl ProvideBearer for TokenSource {
    fn bearer<'a>(
        &'a self,
        host: &'a RegistryHost,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Arc<Bearer>, Arc<TokenError>>> {
        Box::pin(async move { Ok(Arc::clone(&self.cell_of(host, scope).fetch_within(PATIENCE).await?.value)) })
    }

    fn challenged<'a>(&'a self, host: &'a RegistryHost) -> BoxFuture<'a, Result<(), Arc<TokenError>>> {
        Box::pin(async move {
            let cell = self.challenge(host);
            // What is known is no use of it that counts.
            if cell.peek().is_some() {
                return Ok(());
            }
            // The login is what will be needed next.
            self.login.nudge();
            cell.fetch().await.map(drop)
        })
    }

    fn refused(&self, host: &RegistryHost, scope: &Scope, bearer: &Bearer, challenge: Option<&str>) {
        let Some(asked) = self.bearers.find(&(host.clone(), scope.clone())) else { return };
        if let Some(held) = asked.peek().filter(|held| std::ptr::eq(&*held.value, bearer)) {
            asked.refused(&held, Arc::new(TokenError::BearerRefused));
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

    fn expect(&self, host: &RegistryHost) {
        let (challenge, client) = (self.challenge(host), self.client.clone());
        tokio::spawn(async move {
            // What fails here is asked again by the pull that needs it.
            if let Ok(realm) = challenge.fetch().await {
                client.warm(realm.value.uri.origin(), 1);
            }
        });
    }
}
