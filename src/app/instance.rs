//! One instance while it runs: its tokens, its upstream, the tasks that keep both going, and how it is.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::Task;
use super::fleet::Fleet;
use crate::admin::status::{ErrorStatus, HopStatus, InstanceStatus, Moment};
use crate::clock::{SharedClock, Timestamp};
use crate::cloud::CloudClock;
use crate::config::{Domains, Instance, personal_domains};
use crate::credentials::plan::PlanError;
use crate::error::chain;
use crate::http::client::Client;
use crate::oci::RegistryHost;
use crate::telemetry::metrics::{InstanceMetrics, Metrics};
use crate::token::{Edition, TokenSource};
use crate::upstream::{Memory, Parts, Upstream};
use crate::{cloud, upstream};

/// How often the domains of an instance are asked for that the configuration does not name. Endpoints change when
/// somebody changes them in the console.
const ASK_AGAIN: Duration = Duration::from_hours(1);

/// The first pause after a failure to learn them; doubled while failures go on.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What all instances are built with.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) client: Client,
    /// For blob hosts: HTTP/1.1 only, so that each stream has a TCP connection.
    pub(super) blob_client: Client,
    pub(super) endpoints: cloud::endpoints::Params,
    pub(super) clock: Arc<CloudClock>,
    pub(super) metrics: Metrics,
    /// What all pulls together may hold.
    pub(super) memory: Arc<Memory>,
}

/// A running instance. Its tasks end with it; pulls under way hold its upstream themselves.
#[derive(Debug)]
pub(super) struct Running {
    config: Instance,
    tokens: Arc<Tokens>,
    upstream: Arc<Upstream>,
    metrics: Arc<InstanceMetrics>,
    _warmth: Task,
}

/// The tokens and what keeps them, which a reload hands on while their settings stay the same.
#[derive(Debug)]
struct Tokens {
    source: Arc<TokenSource>,
    /// Those that were asked for; empty until then.
    discovered: Arc<ArcSwap<Vec<RegistryHost>>>,
    _keeper: Task,
    _scout: Option<Task>,
}

impl Running {
    /// Builds an instance with what of `before` is still right. Nothing is waited for.
    pub(super) fn build(
        config: &Instance,
        before: Option<&Self>,
        tools: &Tools,
        fleet: &Weak<Fleet>,
    ) -> Result<Self, PlanError> {
        let metrics = match before {
            Some(before) => Arc::clone(&before.metrics),
            None => tools.metrics.instance(&config.id),
        };
        let same = |before: &&Self| before.config.token == config.token && before.asks() == asks(&config.domains);
        let tokens = match before.filter(same) {
            Some(before) => Arc::clone(&before.tokens),
            None => Arc::new(Tokens::start(config, &metrics, tools, fleet)?),
        };
        let parts = Parts {
            tokens: Arc::clone(&tokens.source) as Arc<dyn crate::token::ProvideBearer>,
            client: tools.client.clone(),
            blob_client: tools.blob_client.clone(),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&tools.clock) as SharedClock,
            memory: Arc::clone(&tools.memory),
        };
        let upstream = upstream::Upstream::new(config.upstream.clone(), parts);
        let warmth = Task(tokio::spawn({
            let upstream = Arc::clone(&upstream);
            async move {
                loop {
                    tokio::time::sleep(upstream::RENEWAL).await;
                    upstream.stay_warm();
                }
            }
        }));
        Ok(Self { config: config.clone(), tokens, upstream, metrics, _warmth: warmth })
    }

    pub(super) fn config(&self) -> &Instance {
        &self.config
    }

    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    pub(super) fn tokens(&self) -> &TokenSource {
        &self.tokens.source
    }

    /// The domains it is served under; empty while they are not known.
    pub(super) fn domains(&self) -> Vec<RegistryHost> {
        match &self.config.domains {
            Domains::Named(domains) => domains.clone(),
            Domains::Discover => self.tokens.discovered.load().to_vec(),
        }
    }

    /// Whether its domains are asked of the cloud.
    pub(super) fn asks(&self) -> bool {
        asks(&self.config.domains)
    }

    /// Whether its pulls can be served, without causing anything.
    pub(super) fn serves(&self) -> bool {
        self.tokens.source.has_login() && !self.domains().is_empty()
    }

    /// What operators are told. That they ask is reason enough to get a login.
    pub(super) fn status(&self) -> InstanceStatus {
        let domains: Vec<_> = self.domains().iter().map(ToString::to_string).collect();
        let levels = self.tokens.source.hops();
        // A level fails with those before it, and says so with all causes: the last one has the whole story.
        let failed = levels.iter().rev().find_map(|level| Some((level, level.failure.as_ref()?)));
        let last_error = failed.map(|(level, failure)| ErrorStatus {
            hop: level.hop.as_str().to_owned(),
            text: failure.text.clone(),
            who: failure.row.who.as_str(),
            cause: failure.row.cause,
            advice: failure.advice.clone(),
            request_id: failure.request_id.clone(),
            at: Moment(failure.at),
        });
        let hops = levels.iter().map(|level| HopStatus {
            hop: level.hop.as_str().to_owned(),
            name: level.name.clone(),
            issued: level.held.map(|(issued, _)| Moment(issued)),
            expires: level.held.map(|(_, expires)| expires).filter(|expires| *expires != Timestamp::MAX).map(Moment),
            failing: level.failure.is_some(),
            note: level.note.clone(),
        });
        let last_pull = self.metrics.last_success();
        InstanceStatus {
            id: self.config.id.to_string(),
            ready: self.tokens.source.is_ready() && !domains.is_empty(),
            domains,
            role: self.upstream.role().to_owned(),
            hops: hops.collect(),
            last_error,
            last_pull: last_pull.map(Moment),
        }
    }
}

fn asks(domains: &Domains) -> bool {
    matches!(domains, Domains::Discover)
}

impl Tokens {
    fn start(
        config: &Instance,
        metrics: &Arc<InstanceMetrics>,
        tools: &Tools,
        fleet: &Weak<Fleet>,
    ) -> Result<Self, PlanError> {
        let source = TokenSource::new(
            config.token.clone(),
            tools.endpoints.clone(),
            tools.client.clone(),
            Arc::clone(&tools.clock),
            Arc::clone(metrics),
        )?;
        let discovered = Arc::new(ArcSwap::default());
        let keeper = Task(tokio::spawn({
            let source = Arc::clone(&source);
            async move { source.run().await }
        }));
        let scout = asks(&config.domains).then(|| {
            let scout = Scout {
                source: Arc::clone(&source),
                edition: config.token.edition.clone(),
                discovered: Arc::clone(&discovered),
                fleet: Weak::clone(fleet),
            };
            Task(tokio::spawn(scout.run()))
        });
        Ok(Self { source, discovered, _keeper: keeper, _scout: scout })
    }
}

/// Learns the domains of an instance that are not configured.
struct Scout {
    source: Arc<TokenSource>,
    edition: Edition,
    discovered: Arc<ArcSwap<Vec<RegistryHost>>>,
    fleet: Weak<Fleet>,
}

impl Scout {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match learn_domains(&self.source, &self.edition).await {
                Ok(domains) => {
                    self.publish(domains);
                    pause = FIRST_PAUSE;
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(why) => {
                    let instance = self.source.instance();
                    tracing::warn!(%instance, why, ?pause, "the domains are not known; set 'domains' or wait");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn publish(&self, domains: Vec<RegistryHost>) {
        if **self.discovered.load() == domains {
            return;
        }
        let learnt = Arc::new(domains);
        self.discovered.store(Arc::clone(&learnt));
        if let Some(fleet) = self.fleet.upgrade() {
            fleet.publish();
        }
        // Said once they are served: who reads the line may ask for one at once.
        tracing::info!(instance = %self.source.instance(), domains = ?learnt, "the domains were learnt");
    }
}

/// Asks for the domains of an instance that the configuration does not name; never none.
pub(crate) async fn learn_domains(source: &TokenSource, edition: &Edition) -> Result<Vec<RegistryHost>, String> {
    let domains: Vec<RegistryHost> = match edition {
        Edition::Enterprise(_) => {
            let named = source.domains().await.map_err(|error| chain(&*error))?;
            named.iter().filter_map(|domain| RegistryHost::parse(domain).ok()).collect()
        }
        Edition::Personal => {
            let region = source.node_region().await;
            personal_domains(&region.ok_or("the region of this node is not known")?)
        }
    };
    if domains.is_empty() { Err("the instance has no enabled endpoint".to_owned()) } else { Ok(domains) }
}
