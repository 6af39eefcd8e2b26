//! The one outbound HTTP client: pool, TLS, name overrides, connect timeout.
//!
//! It follows no redirects, retries nothing that reached the other side, and reads no proxy from the environment; these
//! are decisions of its callers.

mod error;
mod greet;
mod tasks;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Body;
use super::connector::{Connector, Offer};
use super::dial::Dialer;
use super::forward::Forward;
use super::origin::{Origin, SafeUri, UriError};
use super::resolve::{Resolver, Unresolved};
use super::tried::Tried;
use super::{driven, tls};
use crate::error::{BoxError, cause_ref};
pub use error::{ClientError, is_certificate};

/// How long a connection may lie idle in the pool: below the 60 s after which common load balancers close theirs.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// Idle connections kept for one host; more than the parallel pulls of a node need.
const POOL_PER_HOST: usize = 32;
/// Most bytes that one HTTP/1.1 connection reads ahead of its reader. Large enough to keep a fast stream in few and large
/// frames, small enough that 64 slow readers stay within 4 MiB.
const H1_READ_AHEAD: usize = 64 * 1024;

/// What the client is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// `network.hosts`: where the connection for a name goes; `Host` and TLS name stay.
    pub overrides: Vec<HostOverride>,
    /// Names that the operator gave to services of this node (`endpoints.metadata`): these may lead to an address of the
    /// node itself, as the proxy's may, and no other beside what `overrides` says.
    pub local_names: Vec<String>,
    /// `network.blobProxy`, as `http://host:port`: the forward proxy that clients of [`Client::http1_only`] go through.
    pub blob_proxy: Option<String>,
    /// PEM text of certificates trusted beside the system's roots (`network.caFile`).
    pub extra_roots: Option<String>,
    /// How long a TCP and TLS connection may take.
    pub connect_timeout: Duration,
}

/// One entry of `network.hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOverride {
    /// A lower-case name, or `*.` followed by the suffix it stands for (one label).
    pub name: String,
    /// Where to connect instead, tried in this order.
    pub targets: Vec<HostTarget>,
}

/// Where a name is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTarget {
    /// An address, or a name to resolve instead.
    pub host: TargetHost,
    /// Another port than the one the URL says.
    pub port: Option<u16>,
}

/// An address or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetHost {
    /// Used as it is.
    Address(IpAddr),
    /// Resolved in place of the original name.
    Name(String),
}

/// The outbound client; cheap to clone. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool,
    connector: Connector,
    parts: Arc<Parts>,
}

/// Connections of one of the two kinds.
#[derive(Debug, Clone)]
enum Pool {
    /// Each connection has a task; HTTP/2 needs that.
    Tasks(tasks::Pool),
    /// Each connection is driven by who reads from it; HTTP/1.1 only.
    Driven(driven::Pool),
    /// The same behind a forward proxy, which they do without where it fails.
    Forward(Forward),
}

/// What every pool of one client is made of.
#[derive(Debug)]
struct Parts {
    tls: rustls::ClientConfig,
    resolver: Arc<Resolver>,
    tried: Arc<Tried>,
    blob_proxy: Option<Origin>,
    connect_timeout: Duration,
}

impl Parts {
    fn connector(&self, offer: Offer) -> Connector {
        let dialer = Dialer::new(Arc::clone(&self.resolver), Arc::clone(&self.tried));
        Connector::new(self.tls.clone(), dialer, self.connect_timeout, offer)
    }
}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `network.caFile` holds no certificate.
    #[error("the extra root certificates are not usable: {0}")]
    Roots(String),
    /// Neither the system nor `network.caFile` gives a root.
    #[error("there are no root certificates: install the system's (ca-certificates) or set network.caFile")]
    NoRoots,
    /// The cryptography provider supports no TLS version that is wanted.
    #[error("TLS cannot be set up")]
    Provider(#[source] rustls::Error),
    /// `network.blobProxy` is no URL.
    #[error("network.blobProxy cannot be used")]
    Proxy(#[source] UriError),
}

impl Client {
    /// Builds the client with its pool. HTTP/2 is used where the other side offers it.
    ///
    /// # Errors
    /// [`BuildError`] where the extra roots are no certificates, or there are no roots at all.
    pub fn new(params: Params) -> Result<Self, BuildError> {
        Self::build(params, |resolver| resolver)
    }

    fn build(params: Params, finish: impl FnOnce(Resolver) -> Resolver) -> Result<Self, BuildError> {
        let proxy = params.blob_proxy.as_deref().map(SafeUri::parse).transpose().map_err(BuildError::Proxy)?;
        let blob_proxy = proxy.map(|uri| uri.origin().clone());
        let mut local = params.local_names;
        local.extend(blob_proxy.iter().map(|proxy| proxy.host().to_owned()));
        let parts = Arc::new(Parts {
            tls: tls::client_config(params.extra_roots.as_deref())?,
            resolver: Arc::new(finish(Resolver::new(&params.overrides, &local))),
            tried: Arc::default(),
            blob_proxy,
            connect_timeout: params.connect_timeout,
        });
        let connector = parts.connector(Offer::Http2AndHttp1);
        let pool = Pool::Tasks(tasks::Pool::new(connector.clone(), POOL_IDLE, POOL_PER_HOST));
        Ok(Self { pool, connector, parts })
    }

    /// A client with a pool of its own that speaks HTTP/1.1 only: for large bodies, which then have a TCP connection
    /// each, driven by their readers. Roots, sessions and overrides are shared. It goes through the forward proxy, where
    /// one is configured.
    #[must_use]
    pub fn http1_only(&self) -> Self {
        let limits = driven::Limits { idle: POOL_IDLE, per_origin: POOL_PER_HOST, read_ahead: H1_READ_AHEAD };
        let connector = self.parts.connector(Offer::Http1);
        let direct = driven::Pool::new(connector.clone(), limits);
        let pool = match &self.parts.blob_proxy {
            Some(proxy) => Pool::Forward(Forward::new(proxy.clone(), direct)),
            None => Pool::Driven(direct),
        };
        Self { pool, connector, parts: Arc::clone(&self.parts) }
    }

    /// Opens connections to `origin` ahead of need, so that `wanted` lie ready beside those that are in use; needs a
    /// runtime. What stands in the way is left to the request that will meet it.
    pub fn warm(&self, origin: &Origin, wanted: usize) {
        if self.is_proxied() {
            return;
        }
        let Ok(uri) = http::Uri::try_from(format!("{origin}/")) else { return };
        self.connector.warm(&uri, wanted);
    }

    /// Whether requests go through the forward proxy now.
    #[must_use]
    pub fn is_proxied(&self) -> bool {
        matches!(&self.pool, Pool::Forward(forward) if forward.is_used())
    }

    /// Leaves the forward proxy alone for a while, since it gave other bytes than the bucket has.
    pub fn distrust_proxy(&self) {
        if let Pool::Forward(forward) = &self.pool {
            forward.distrust();
        }
    }

    /// Closes connections that have lain idle too long. For a client of [`Client::http1_only`], whose connections have no
    /// task that could, somebody has to call it from time to time; others do it by themselves.
    pub fn close_idle(&self) {
        match &self.pool {
            Pool::Tasks(_) => {}
            Pool::Driven(pool) => pool.prune(),
            Pool::Forward(forward) => forward.prune(),
        }
    }

    /// The same for other parameters. Connections are new, and what the name servers have said is known.
    ///
    /// # Errors
    /// As of [`Client::new`].
    pub fn heir(&self, params: Params) -> Result<Self, BuildError> {
        Self::build(params, |resolver| resolver.heir_of(&self.parts.resolver))
    }

    /// Where a connection to `host` would be tried, in order.
    ///
    /// # Errors
    /// [`ClientError::Unresolved`], [`ClientError::NoNameServer`] and [`ClientError::Forbidden`].
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ClientError> {
        let deadline = Instant::now() + self.parts.connect_timeout;
        let found = self.parts.resolver.addresses(host, port, deadline).await;
        found.map_err(|error| unreachable(host.to_owned(), error.into()))
    }

    /// Opens a connection to `origin`, TLS included, and keeps it for the next request. No request is made.
    ///
    /// # Errors
    /// [`ClientError`], as of a request that got no connection.
    pub async fn reach(&self, origin: &Origin) -> Result<(), ClientError> {
        let host = || origin.host().to_owned();
        let uri = http::Uri::try_from(format!("{origin}/"))
            .map_err(|source| ClientError::Connect { host: host(), source: source.into() })?;
        self.connector.reach(&uri).await.map_err(|error| unreachable(host(), error))
    }

    /// Sends one request with an absolute URL and waits for the response head, at most `within`.
    ///
    /// A request that was never written, because its pooled connection had gone, is sent again on another one; nothing
    /// else is. A connection on which an answer was waited for in vain carries no further request: it may be dead, and the
    /// next must not find out by waiting as long again. The URL is shown in no error.
    ///
    /// # Errors
    /// [`ClientError`] where no response head came.
    pub async fn send(
        &self,
        mut request: http::Request<Body>,
        within: Duration,
    ) -> Result<http::Response<Body>, ClientError> {
        let uri = request.uri().clone();
        let host = uri.host().unwrap_or("the URL without a host").to_owned();
        let carrier = tasks::Carrier::of(&mut request);
        let answer = async {
            match &self.pool {
                Pool::Tasks(pool) => pool.request(request).await,
                Pool::Driven(pool) => pool.request(request).await,
                Pool::Forward(forward) => forward.request(request).await,
            }
        };
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(driven::Failure::Connect(source))) => Err(unreachable(host, source)),
            Ok(Err(driven::Failure::Closed(source))) => {
                self.connector.forget(&uri);
                Err(ClientError::Closed { host, source })
            }
            Err(_) => {
                carrier.retire();
                Err(ClientError::Timeout { host, after: within })
            }
        }
    }
}

/// Why there is no connection.
fn unreachable(host: String, source: BoxError) -> ClientError {
    match cause_ref::<Unresolved>(&*source) {
        Some(Unresolved::Forbidden(forbidden)) => ClientError::Forbidden { host, source: *forbidden },
        Some(Unresolved::Unknown(_)) => ClientError::Unresolved { host, source },
        Some(Unresolved::Silent) => ClientError::NoNameServer { host },
        None => ClientError::Connect { host, source },
    }
}

#[cfg(test)]
mod tests;
