//! One node with its tokens, before the simulated cloud.

use std::sync::Arc;
use std::time::Duration;

use cloudsim::CloudSim;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use http::{Request, StatusCode};

use crate::clock::SystemClock;
use crate::cloud::CloudClock;
use crate::cloud::endpoints::{self, Region};
use crate::credentials::plan::{self, Base, OidcProviderArn, RoleArn, SessionPolicy};
use crate::http::body::empty;
use crate::http::client::{self, Client, HostOverride, HostTarget, TargetHost};
use crate::oci::{InstanceId, RegistryHost, RepositoryName, Scope};
use crate::token::{Bearer, Edition, Params, ProvideBearer, TokenError, TokenSource};

pub(super) struct Node {
    pub(super) sim: CloudSim,
    pub(super) source: Arc<TokenSource>,
    pub(super) clock: Arc<CloudClock>,
    pub(super) client: Client,
    pub(super) host: RegistryHost,
}

pub(super) fn role(arn: &str) -> RoleArn {
    RoleArn::parse(arn).unwrap()
}

pub(super) fn rrsa(sim: &CloudSim) -> Base {
    Base::Rrsa {
        role: role(setup::CLUSTER_ROLE),
        provider: OidcProviderArn::parse(setup::OIDC_PROVIDER).unwrap(),
        token_file: sim.oidc_token_file(),
    }
}

pub(super) const fn ram_role() -> Base {
    Base::RamRole { name: None }
}

pub(super) fn access_key(sim: &CloudSim, user: &str) -> Base {
    let key = sim.directory().access_key(user).unwrap();
    Base::AccessKey { id: key.id, secret: key.secret.into() }
}

pub(super) fn client(sim: &CloudSim) -> Client {
    let target = |address: std::net::SocketAddr| HostTarget {
        host: TargetHost::Address(address.ip()),
        port: Some(address.port()),
    };
    let overrides = sim.hosts().into_iter();
    Client::new(client::Params {
        overrides: overrides.map(|(name, address)| HostOverride { name, targets: vec![target(address)] }).collect(),
        extra_roots: Some(sim.ca_pem().to_owned()),
        local_names: Vec::new(),
        blob_proxy: None,
        connect_timeout: Duration::from_secs(5),
    })
    .unwrap()
}

pub(super) fn endpoints(sim: &CloudSim) -> endpoints::Params {
    endpoints::Params { metadata: Some(sim.imds_url()), ..endpoints::Params::default() }
}

pub(super) fn params(base: Base, hops: &[&str]) -> Params {
    Params {
        instance: InstanceId::parse(setup::INSTANCE).unwrap(),
        edition: Edition::Enterprise(setup::INSTANCE.to_owned()),
        region: Some(Region::parse(setup::REGION).unwrap()),
        realms: Vec::new(),
        chain: plan::Params {
            bases: vec![base],
            hops: hops.iter().map(|arn| role(arn)).collect(),
            duration: Duration::from_secs(3600),
            session_name: "acr-pull-proxy-0123456789ab".into(),
            session_policy: SessionPolicy::PullOnly,
            external_id: None,
            expiring_threshold: Duration::from_secs(900),
        },
    }
}

impl Node {
    /// A node with RRSA and one hop, as most clusters have it.
    pub(super) async fn usual() -> Self {
        let sim = CloudSim::start().await.unwrap();
        let params = params(rrsa(&sim), &[setup::PULL_ROLE]);
        Self::new(sim, params)
    }

    pub(super) fn new(sim: CloudSim, params: Params) -> Self {
        let client = client(&sim);
        let clock = CloudClock::new(SystemClock::shared());
        let source =
            TokenSource::new(params, endpoints(&sim), client.clone(), Arc::clone(&clock), Arc::default()).unwrap();
        let host = RegistryHost::parse("demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com").unwrap();
        Self { sim, source, clock, client, host }
    }

    pub(super) async fn bearer(&self, repository: &str) -> Result<Arc<Bearer>, Arc<TokenError>> {
        self.source.bearer(&self.host, &scope(repository)).await
    }

    /// What the registry says to this bearer for a tag that does not exist: 404 where the bearer is good.
    pub(super) async fn registry(&self, repository: &str, bearer: &Bearer) -> (StatusCode, Option<String>) {
        let request = Request::get(format!("https://{}/v2/{repository}/manifests/absent", self.host))
            .header("authorization", format!("Bearer {}", bearer.token.expose()))
            .body(empty())
            .unwrap();
        let answer = self.client.send(request, Duration::from_secs(5)).await.unwrap();
        let challenge = answer.headers().get("www-authenticate").map(|line| line.to_str().unwrap().to_owned());
        (answer.status(), challenge)
    }

    /// Asserts that the registry takes a bearer for this repository.
    pub(super) async fn pulls(&self, repository: &str) {
        let bearer = self.bearer(repository).await.unwrap_or_else(|error| panic!("{}", crate::error::chain(&*error)));
        assert_eq!(self.registry(repository, &bearer).await.0, StatusCode::NOT_FOUND);
    }

    pub(super) fn calls(&self, action: &str) -> usize {
        self.sim.journal().count_action(action)
    }

    pub(super) fn bearer_calls(&self) -> usize {
        self.sim.journal().count(Service::Realm)
    }
}

pub(super) fn scope(repository: &str) -> Scope {
    Scope::pull(RepositoryName::parse(repository).unwrap())
}
