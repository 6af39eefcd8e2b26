//! A simulated cloud, a face in front of it, and a client.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use cloudsim::CloudSim;
use cloudsim::image::Image;
use cloudsim::jwt::SigningKey;
use cloudsim::ram::setup as ram;
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::{Callers, Params, Rules, Table, serve, visits};
use crate::clock::{SystemClock, Timestamp, later};
use crate::error::BoxError;
use crate::http::Body;
use crate::http::body::{collect_limited, empty};
use crate::http::client::{self, Client, HostOverride, HostTarget, TargetHost};
use crate::http::listen::Listener;
use crate::oci::error_body::{UpstreamMessage, first};
use crate::oci::{InstanceId, RegistryHost, Scope};
use crate::telemetry::metrics::Metrics;
use crate::token::{Bearer, BoxFuture, ProvideBearer, TokenError};
use crate::upstream::{self, BlobMode, BlobParams, Memory, Upstream};

pub(super) const VPC: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
pub(super) const PUBLIC: &str = "demo-registry.cn-hangzhou.cr.aliyuncs.com";
pub(super) const REPOSITORY: &str = "team/app";
/// Larger than every buffer of the daemon.
const LAYER: usize = 3 * 1024 * 1024;
const LARGEST: usize = 64 * 1024 * 1024;

/// Makes bearers that the simulated registry accepts, as its realm would.
#[derive(Debug, Default)]
pub(super) struct Forged {
    generation: AtomicU32,
    /// The generation of each bearer that was handed out.
    issued: Mutex<HashMap<String, u32>>,
    /// How often a bearer was asked for.
    pub(super) asked: AtomicUsize,
    /// How often one was refused.
    pub(super) refused: AtomicUsize,
    pub(super) expected: Mutex<Vec<String>>,
}

impl ProvideBearer for Forged {
    fn bearer<'a>(
        &'a self,
        _host: &'a RegistryHost,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Arc<Bearer>, Arc<TokenError>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = crate::clock::Clock::now(&SystemClock).as_second();
        let generation = self.generation.load(Ordering::SeqCst);
        let actions = if scope.repository().as_str().starts_with("forbidden/") { "push" } else { "pull" };
        let token = SigningKey::shared().sign(&serde_json::json!({
            "iss": "dockerauth.aliyuncs.com",
            "aud": format!("registry.aliyuncs.com:{}:china:{}", ram::REGION, ram::INSTANCE),
            "sub": "cr_temp_user",
            "iat": now,
            "nbf": now - 300,
            "exp": now + 600,
            "jti": format!("{generation:08X}test"),
            "access": [{ "type": "repository", "name": scope.repository().as_str(), "actions": [actions] }],
        }));
        self.issued.lock().unwrap().insert(token.clone(), generation);
        let expires = later(Timestamp::UNIX_EPOCH, Duration::from_secs(now.unsigned_abs() + 600));
        Box::pin(async move { Ok(Arc::new(Bearer { token: token.into(), expires })) })
    }

    fn challenged<'a>(&'a self, _host: &'a RegistryHost) -> BoxFuture<'a, Result<(), Arc<TokenError>>> {
        Box::pin(async { Ok(()) })
    }

    fn refused(&self, _host: &RegistryHost, _scope: &Scope, bearer: &Bearer, challenge: Option<&str>) {
        assert!(challenge.is_none_or(|challenge| challenge.contains("Bearer realm=")), "{challenge:?}");
        if challenge.is_some_and(|challenge| challenge.contains("insufficient_scope")) {
            // It is as good as it was, and so is the next.
            self.refused.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let generation = self.issued.lock().unwrap()[bearer.token.expose()];
        let next = self.generation.compare_exchange(generation, generation + 1, Ordering::SeqCst, Ordering::SeqCst);
        // One that several requests had is refused to each of them, and renewed once.
        if next.is_ok() {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn expect(&self, host: &RegistryHost) {
        self.expected.lock().unwrap().push(host.to_string());
    }
}

/// What can be set up differently.
pub(super) struct Setup {
    pub(super) face: Params,
    pub(super) mode: BlobMode,
    pub(super) repositories: Vec<String>,
    pub(super) pull_from: Vec<RegistryHost>,
    /// Bytes of each layer.
    pub(super) layer: usize,
    /// `blobs.memory`.
    pub(super) memory: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            face: Params::default(),
            mode: BlobMode::Stream,
            repositories: Vec::new(),
            pull_from: Vec::new(),
            layer: LAYER,
            memory: 128 << 20,
        }
    }
}

pub(super) struct World {
    pub(super) cloud: CloudSim,
    pub(super) tokens: Arc<Forged>,
    pub(super) image: Image,
    pub(super) upstream: Arc<Upstream>,
    pub(super) memory: Arc<Memory>,
    pub(super) address: SocketAddr,
    client: Client,
    shutdown: watch::Sender<bool>,
    pub(super) served: JoinHandle<()>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Bytes, String>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn bytes(&self) -> &Bytes {
        self.body.as_ref().unwrap()
    }

    pub(super) fn error(&self) -> UpstreamMessage {
        first(self.bytes()).unwrap_or_else(|| panic!("{} without an error body", self.status))
    }
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(super) async fn with(setup: Setup) -> Self {
        let cloud = CloudSim::start().await.unwrap();
        let image = Image::random(2, setup.layer, 7);
        cloud.push(ram::INSTANCE, REPOSITORY, "v1", &image).unwrap();
        let overrides = cloud
            .hosts()
            .into_iter()
            .map(|(name, at)| HostOverride {
                name,
                targets: vec![HostTarget { host: TargetHost::Address(at.ip()), port: Some(at.port()) }],
            })
            .collect();
        let client = Client::new(client::Params {
            overrides,
            extra_roots: Some(cloud.ca_pem().to_owned()),
            local_names: Vec::new(),
            blob_proxy: None,
            connect_timeout: Duration::from_secs(5),
        })
        .unwrap();
        let tokens = Arc::new(Forged::default());
        let metrics = Metrics::new();
        let memory = Memory::new(setup.memory);
        let instance = InstanceId::parse(ram::INSTANCE).unwrap();
        let upstream = Upstream::new(
            upstream::Params {
                instance: instance.clone(),
                pull_from: setup.pull_from,
                repositories: setup.repositories,
                blob_hosts: Vec::new(),
                blobs: BlobParams { mode: setup.mode, connections: 4, part_size: 8 << 20, memory: setup.memory },
                role: "acs:ram::222222222222:role/acr-pull".to_owned(),
            },
            upstream::Parts {
                tokens: Arc::clone(&tokens) as Arc<dyn ProvideBearer>,
                client: client.clone(),
                blob_client: client.http1_only(),
                metrics: metrics.instance(&instance),
                clock: SystemClock::shared(),
                memory: Arc::clone(&memory),
            },
        );
        let domains = [VPC, PUBLIC].map(|domain| RegistryHost::parse(domain).unwrap()).to_vec();
        let table = Arc::new(ArcSwap::from_pointee(Table::build([(domains, Arc::clone(&upstream))])));
        let rules = Rules { callers: Callers::everybody(), table };
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, mut stopped) = watch::channel(false);
        let served = tokio::spawn(async move {
            let shutdown = async move {
                drop(stopped.wait_for(|stopped| *stopped).await);
            };
            serve(listener, visits().1, rules, &metrics, setup.face, (std::future::ready(()), shutdown)).await;
        });
        Self { cloud, tokens, image, upstream, memory, address, client, shutdown, served }
    }

    pub(super) fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// A path and query that names the instance by `ns`.
    pub(super) fn target(&self, rest: &str) -> String {
        let separator = if rest.contains('?') { '&' } else { '?' };
        format!("/v2/{REPOSITORY}/{rest}{separator}ns={VPC}")
    }

    pub(super) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[]).await
    }

    pub(super) async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let (head, body) = self.begin(method, target, headers).await.into_parts();
        let body = collect_limited(body, LARGEST).await.map_err(|error| crate::error::chain(&error));
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Asks, and leaves the body to be read.
    pub(super) async fn begin(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{target}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(empty()).unwrap();
        self.client.send(request, Duration::from_secs(30)).await.unwrap()
    }

    /// Sends bytes and reads until the other side closes.
    pub(super) async fn raw(&self, bytes: &[u8]) -> Result<Vec<u8>, BoxError> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    pub(super) fn layer(&self) -> (&str, &Bytes) {
        let digest = &self.image.layers[0];
        let (_, bytes) = self.image.blobs.iter().find(|(name, _)| name == digest).unwrap();
        (digest, bytes)
    }
}
