//! Settings: two file formats, the environment and flags become one [`Config`], which is the `Params` of every module
//! plus the instances.
//!
//! Promises: everything wrong with a configuration is reported at once, each with its place; a [`Config`] that exists
//! is complete, so nothing has to be checked later. Must not: start anything, or go to the network. Nobody below the
//! wiring imports this module; they are handed their `Params`.

mod acr_configuration;
mod client_token;
mod credential_source;
mod document;
mod effective;
mod environment;
mod file;
mod instance;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
mod load;
mod problem;
mod reader;
mod reload;
mod settings;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use client_token::{Unavailable, client_token};
pub use effective::Effective;
pub use environment::Environment;
pub use instance::personal_domains;
pub use load::{Loaded, Overlay, is_ours, load};
pub use problem::{Problem, Unusable};
pub use reload::Watch;
pub use value::address;

use crate::cloud::endpoints;
use crate::http::client;
use crate::oci::{InstanceId, RegistryHost};
use crate::telemetry::logs;
use crate::{token, upstream};

/// Where the configuration is looked for unless `--config` says otherwise (contract section 1).
pub const DEFAULT_PATH: &str = "/etc/acr-pull-proxy/config.yaml";

/// Default of `listen`: loopback, so that nobody but this node can spend its logins.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7080);

/// Default of `admin`, next to `listen`.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7081);

/// Default of `expiringThreshold`, the value the incumbent component has.
const EXPIRING_THRESHOLD: Duration = Duration::from_mins(15);

/// Default of `expireDuration`: what every role grants unless its `MaxSessionDuration` was lowered (STS, AssumeRole).
const EXPIRE_DURATION: Duration = Duration::from_hours(1);

/// Where the RRSA webhook of ACK mounts the service-account token.
const RRSA_TOKEN_FILE: &str = "/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token";

/// How long a TCP and TLS connection may take, the look-up of the name included. A lost SYN is sent again after 1 s and 3 s,
/// so this survives two losses and still leaves time for a second address within the 25 s that a response head may take.
/// It is less than the 5 s that any request waits for its answer, so that a missing connection is told from a missing answer.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(4_500);

/// Default of `blobs`. Four connections of 8 MiB parts hide a round trip of 50 ms at the speed limit that ACR signs
/// into its blob URLs (about 15 MB/s each); 128 MiB let four blobs do so at once.
const BLOBS: upstream::BlobParams =
    upstream::BlobParams { mode: upstream::BlobMode::Stream, connections: 4, part_size: 8 << 20, memory: 128 << 20 };

/// A complete, checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `listen`: where pulls come in.
    pub listen: SocketAddr,
    /// `admin`: where operators look.
    pub admin: SocketAddr,
    /// `log`.
    pub log: logs::Params,
    /// `clientAuth.tokenFile`; always set where `listen` is not loopback.
    pub client_token_file: Option<PathBuf>,
    /// `tls`; without it pulls come in plain HTTP.
    pub tls: Option<Tls>,
    /// `endpoints`.
    pub endpoints: endpoints::Params,
    /// `network`.
    pub network: Network,
    /// `blobs`, as each instance has it too.
    pub blobs: upstream::BlobParams,
    /// `expiringThreshold`, as each role chain has it too.
    pub expiring_threshold: Duration,
    /// `rrsa`.
    pub rrsa: Rrsa,
    /// `instances`; never empty, no domain twice, no id twice.
    pub instances: Vec<Instance>,
}

impl Config {
    /// What the outbound client is built from.
    #[must_use]
    pub fn client(&self) -> client::Params {
        client::Params {
            overrides: self.network.hosts.clone(),
            local_names: self.endpoints.metadata.as_deref().and_then(host_of).into_iter().collect(),
            blob_proxy: self.network.blob_proxy.clone(),
            extra_roots: self.network.extra_roots.clone(),
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

/// The host of a base URL.
fn host_of(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    uri.host().map(str::to_owned)
}

/// `tls` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `certFile`: PEM certificates, the daemon's own first.
    pub cert_file: PathBuf,
    /// `keyFile`: the PEM key of the first of them.
    pub key_file: PathBuf,
    /// `caFile`: what clients on this node verify it by, named in `hosts.toml`; `None`: the roots of the system.
    pub ca_file: Option<PathBuf>,
}

/// `network` of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// `hosts`: where the connection for a name goes.
    pub hosts: Vec<client::HostOverride>,
    /// `realms`: further hosts that may receive the login.
    pub realms: Vec<String>,
    /// `blobHosts`: further hosts that blobs may come from.
    pub blob_hosts: Vec<String>,
    /// `caFile`.
    pub ca_file: Option<PathBuf>,
    /// The PEM text that was found in `caFile`.
    pub extra_roots: Option<String>,
    /// `blobProxy`: a forward proxy for blob bytes, as `http://host:port`.
    pub blob_proxy: Option<String>,
}

/// `rrsa` of the configuration.
#[derive(Debug, Clone)]
pub struct Rrsa {
    /// `enable`; `None` where the file does not say.
    pub enable: Option<bool>,
    /// `tokenFile`.
    pub token_file: PathBuf,
}

impl Default for Rrsa {
    fn default() -> Self {
        Self { enable: None, token_file: Path::new(RRSA_TOKEN_FILE).to_path_buf() }
    }
}

/// One entry of `instances`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name in metrics, logs and on the status page.
    pub id: InstanceId,
    /// The domains it is served under.
    pub domains: Domains,
    /// What its tokens are built from.
    pub token: token::Params,
    /// What its upstream is built from.
    pub upstream: upstream::Params,
    /// Which of `credentialSource` was chosen, or `auto`.
    pub credential_source: CredentialSource,
}

/// `domains` of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domains {
    /// These; never empty.
    Named(Vec<RegistryHost>),
    /// Those that the cloud names for the instance (ListInstanceEndpoint).
    Discover,
}

impl Domains {
    /// The domains that are known without asking.
    #[must_use]
    pub fn named(&self) -> &[RegistryHost] {
        match self {
            Self::Named(domains) => domains,
            Self::Discover => &[],
        }
    }
}

/// `credentialSource` of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CredentialSource {
    /// The first one that is configured.
    #[default]
    Auto,
    /// RRSA.
    Rrsa,
    /// The RAM role of the ECS instance.
    RamRole,
    /// An AccessKey pair of the configuration.
    AccessKey,
    /// The environment.
    Environment,
    /// A profile of the Alibaba Cloud CLI.
    Profile,
    /// A local credentials service.
    CredentialsUri,
}

impl CredentialSource {
    const ALL: [Self; 7] = [
        Self::Auto,
        Self::Rrsa,
        Self::RamRole,
        Self::AccessKey,
        Self::Environment,
        Self::Profile,
        Self::CredentialsUri,
    ];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Rrsa => "rrsa",
            Self::RamRole => "ramRole",
            Self::AccessKey => "accessKey",
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::CredentialsUri => "credentialsUri",
        }
    }
}

#[cfg(test)]
mod tests;
