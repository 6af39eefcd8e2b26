//! What a token costs a pull when it is at hand: one look-up of a bearer, at rest and while its renewal is under way.
//!
//! `cargo bench --bench tokens`. The simulated cloud runs in this process. Its bearers live for so short a time that the
//! first one is soon due; then its realm falls silent, so that the renewal is under way for as long as the second
//! measurement takes.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use acr_pull_proxy::clock::SystemClock;
use acr_pull_proxy::cloud::CloudClock;
use acr_pull_proxy::cloud::endpoints::{self, Region};
use acr_pull_proxy::credentials::plan::{self, Base, RoleArn, SessionPolicy};
use acr_pull_proxy::http::client::{self, Client, HostOverride, HostTarget, TargetHost};
use acr_pull_proxy::oci::{InstanceId, RegistryHost, RepositoryName, Scope};
use acr_pull_proxy::telemetry::metrics::Metrics;
use acr_pull_proxy::token::{Edition, Params, ProvideBearer, TokenSource};
use cloudsim::CloudSim;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use tokio::time::Instant;

const DOMAIN: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
/// Look-ups that are timed together; one is shorter than the timer is exact.
const BATCH: u32 = 1_000;
/// Batches of one measurement.
const BATCHES: usize = 1_000;
/// What the realm says a bearer lives, in seconds: half of it is used, and two thirds of that pass until it is due.
const BEARER_LIFE: i64 = 40;
/// Bearers held beside the one that is looked up, as on a busy node.
const OTHERS: usize = 200;
/// The bar.
const BAR: Duration = Duration::from_micros(1);

#[tokio::main]
async fn main() {
    let cloud = CloudSim::start().await.expect("the simulated cloud");
    cloud.configure(|settings| settings.realm.bearer_lifetime = jiff::SignedDuration::from_secs(BEARER_LIFE));
    let source = source(&cloud);
    let host = RegistryHost::parse(DOMAIN).expect("a host");
    for number in 0..OTHERS {
        source.bearer(&host, &scope(&format!("team/other-{number}"))).await.expect("a bearer");
    }
    let scope = scope("team/app");
    source.bearer(&host, &scope).await.expect("a bearer");

    let rest = measure(&source, &host, &scope).await;
    tell("at rest", &rest);

    cloud.fault(Fault::on(Service::Realm, Effect::Silence));
    let before = cloud.journal().count(Service::Realm);
    while cloud.journal().count(Service::Realm) == before {
        source.bearer(&host, &scope).await.expect("a bearer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let renewed = measure(&source, &host, &scope).await;
    let unanswered = |entry: &cloudsim::journal::Entry| entry.service == Service::Realm && !entry.over;
    assert!(cloud.journal().count_where(unanswered) > 0, "the renewal ended before the measurement");
    tell("while its renewal is under way", &renewed);
}

fn tell(when: &str, batches: &[Duration]) {
    let of = |share: usize| batches[(batches.len() - 1) * share / 1000] / BATCH;
    println!(
        "look-up {when}: median {:?}, 99.9 % {:?}, mean of the slowest {BATCH} {:?} (bar: below {BAR:?})",
        of(500),
        of(999),
        of(1000)
    );
}

/// The times of all batches, sorted.
async fn measure(source: &TokenSource, host: &RegistryHost, scope: &Scope) -> Vec<Duration> {
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let begun = Instant::now();
        for _ in 0..BATCH {
            black_box(source.bearer(black_box(host), black_box(scope)).await.expect("a bearer"));
        }
        batches.push(begun.elapsed());
    }
    batches.sort_unstable();
    batches
}

fn scope(repository: &str) -> Scope {
    Scope::pull(RepositoryName::parse(repository).expect("a repository"))
}

/// The tokens of the usual instance, with the node's role and one hop.
fn source(cloud: &CloudSim) -> Arc<TokenSource> {
    let params = Params {
        instance: InstanceId::parse(setup::INSTANCE).expect("an id"),
        edition: Edition::Enterprise(setup::INSTANCE.to_owned()),
        region: Some(Region::parse(setup::REGION).expect("a region")),
        realms: Vec::new(),
        chain: plan::Params {
            bases: vec![Base::RamRole { name: None }],
            hops: vec![RoleArn::parse(setup::PULL_ROLE).expect("an ARN")],
            duration: Duration::from_secs(3600),
            session_name: "acr-pull-proxy-bench".to_owned(),
            session_policy: SessionPolicy::PullOnly,
            external_id: None,
            expiring_threshold: Duration::from_secs(900),
        },
    };
    let endpoints = endpoints::Params { metadata: Some(cloud.imds_url()), ..endpoints::Params::default() };
    let metrics = Metrics::new().instance(&params.instance);
    let clock = CloudClock::new(SystemClock::shared());
    TokenSource::new(params, endpoints, client(cloud), clock, metrics).expect("a chain that can work")
}

fn client(cloud: &CloudSim) -> Client {
    let target =
        |address: SocketAddr| HostTarget { host: TargetHost::Address(address.ip()), port: Some(address.port()) };
    let overrides = cloud.hosts().into_iter();
    Client::new(client::Params {
        overrides: overrides.map(|(name, address)| HostOverride { name, targets: vec![target(address)] }).collect(),
        extra_roots: Some(cloud.ca_pem().to_owned()),
        local_names: Vec::new(),
        blob_proxy: None,
        connect_timeout: Duration::from_secs(5),
    })
    .expect("a client")
}
