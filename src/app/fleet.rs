//! All instances together: built from a configuration, swapped for those of another, found by domain.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::StartError;
use super::instance::{Running, Tools};
use crate::admin::status::InstanceStatus;
use crate::clock::SharedClock;
use crate::cloud::CloudClock;
use crate::config::Config;
use crate::http::client::{self, Client};
use crate::oci::RegistryHost;
use crate::proxy::Table;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Memory;

/// Which instance a registry belongs to.
pub(super) enum Found {
    /// This one.
    Instance(Arc<Running>),
    /// None.
    None,
    /// None that is known; the domains of some are still being asked for.
    NotKnown,
}

/// The instances. Pulls read the table and take no lock; the lock is for reloads and for operators.
#[derive(Debug)]
pub(super) struct Fleet {
    table: Arc<ArcSwap<Table>>,
    state: Mutex<State>,
    clock: Arc<CloudClock>,
    myself: Weak<Self>,
}

#[derive(Debug)]
struct State {
    tools: Tools,
    /// What the clients among the tools were built from.
    client: client::Params,
    running: Vec<Arc<Running>>,
}

impl Fleet {
    /// Builds every instance of a configuration and sets it going. Needs a runtime.
    pub(super) fn start(config: &Config, node: SharedClock, metrics: Metrics) -> Result<Arc<Self>, StartError> {
        let clock = CloudClock::new(node);
        let client = Client::new(config.client())?;
        let blob_client = client.http1_only();
        let endpoints = config.endpoints.clone();
        let memory = Memory::new(config.blobs.memory);
        let tools = Tools { client, blob_client, endpoints, clock: Arc::clone(&clock), metrics, memory };
        let state = Mutex::new(State { tools, client: config.client(), running: Vec::new() });
        let fleet = Arc::new_cyclic(|myself| Self { table: Arc::default(), state, clock, myself: Weak::clone(myself) });
        fleet.reload(config)?;
        Ok(fleet)
    }

    /// Goes over to another configuration: what did not change stays as it is, tokens above all.
    pub(super) fn reload(&self, config: &Config) -> Result<(), StartError> {
        let mut state = self.state();
        let mut tools = state.tools.clone();
        let same_tools = state.client == config.client() && tools.endpoints == config.endpoints;
        if tools.memory.size() != config.blobs.memory {
            tools.memory = Memory::new(config.blobs.memory);
        }
        if state.client != config.client() {
            tools.client = tools.client.heir(config.client())?;
            tools.blob_client = tools.client.http1_only();
        }
        tools.endpoints = config.endpoints.clone();
        let mut running = Vec::with_capacity(config.instances.len());
        for wanted in &config.instances {
            let before = state.running.iter().find(|running| running.config().id == wanted.id).filter(|_| same_tools);
            running.push(match before {
                Some(before) if before.config() == wanted => Arc::clone(before),
                before => {
                    let before = before.map(|before| &**before);
                    let built = Running::build(wanted, before, &tools, &self.myself);
                    Arc::new(built.map_err(|error| StartError::Plan(wanted.id.clone(), error))?)
                }
            });
        }
        for gone in &state.running {
            if !running.iter().any(|stays| stays.config().id == gone.config().id) {
                tools.metrics.forget(&gone.config().id);
            }
        }
        *state = State { tools, client: config.client(), running };
        self.publish_of(&state);
        Ok(())
    }

    /// Publishes the domains that are known now.
    pub(super) fn publish(&self) {
        self.publish_of(&self.state());
    }

    fn publish_of(&self, state: &State) {
        // Configured domains come first: the table gives a domain to the first that claims it, and what somebody wrote
        // down outranks what the cloud said.
        for running in &state.running {
            running.upstream().warm_up(&running.domains());
        }
        let (asked, named): (Vec<_>, Vec<_>) = state.running.iter().partition(|running| running.asks());
        let entries = named.into_iter().chain(asked);
        let table = Table::build(entries.map(|running| (running.domains(), Arc::clone(running.upstream()))));
        self.table.store(Arc::new(table));
    }

    /// The table that pulls are routed by.
    pub(super) fn table(&self) -> Arc<ArcSwap<Table>> {
        Arc::clone(&self.table)
    }

    pub(super) fn len(&self) -> usize {
        self.state().running.len()
    }

    /// Whether pulls of every instance can be served, without causing anything.
    pub(super) fn serves(&self) -> bool {
        self.state().running.iter().all(|running| running.serves())
    }

    pub(super) fn statuses(&self) -> Vec<InstanceStatus> {
        let running = self.state().running.clone();
        running.iter().map(|running| running.status()).collect()
    }

    /// The instance of a registry. Configured domains come first, as in the table.
    pub(super) fn find(&self, host: &RegistryHost) -> Found {
        let running = self.state().running.clone();
        let serves = |running: &&Arc<Running>| running.domains().contains(host);
        let named = running.iter().filter(|running| !running.asks()).find(serves);
        match named.or_else(|| running.iter().find(serves)) {
            Some(found) => Found::Instance(Arc::clone(found)),
            None if running.iter().any(|running| running.domains().is_empty()) => Found::NotKnown,
            None => Found::None,
        }
    }

    /// Every domain that is served now.
    pub(super) fn domains(&self) -> Vec<RegistryHost> {
        self.state().running.iter().flat_map(|running| running.domains()).collect()
    }

    /// How far the node's clock is ahead of the cloud's.
    pub(super) fn skew_seconds(&self) -> f64 {
        self.clock.skew_seconds()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is replaced as a whole, so a poisoned lock guards a whole state too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
