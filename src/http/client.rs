//! The one outbound HTTP client: pool, TLS, name overrides, connect timeout.
//!
//! It follows no redirects and reads no proxy from the environment; both are decisions of its callers.

use std::net::IpAddr;
use std::time::Duration;

use super::Body;

/// What the client is built from.
#[derive(Debug, Clone)]
pub struct Params {
    /// `network.hosts`: where the connection for a name goes; `Host` and TLS name stay.
    pub overrides: Vec<HostOverride>,
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

/// The outbound client; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `network.caFile` holds no certificate.
    #[error("the extra root certificates are not usable: {0}")]
    Roots(String),
}

/// Why no response head came.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection: name, route, refused, TLS.
    #[error("cannot connect to {host}")]
    Connect {
        /// The name that was dialled.
        host: String,
        /// What stood in the way.
        #[source]
        source: crate::error::BoxError,
    },
    /// The connection broke before the response head.
    #[error("{host} closed the connection without an answer")]
    Closed {
        /// The name that was asked.
        host: String,
        /// What was seen.
        #[source]
        source: crate::error::BoxError,
    },
    /// The response head did not come in time.
    #[error("{host} did not answer within {after:?}")]
    Timeout {
        /// The name that was asked.
        host: String,
        /// How long was waited.
        after: Duration,
    },
}

impl Client {
    /// Builds the client with its pool.
    ///
    /// # Errors
    /// [`BuildError`] where the extra roots are no certificates.
    pub fn new(_params: Params) -> Result<Self, BuildError> {
        Ok(Self {})
    }

    /// Sends one request with an absolute URL and waits for the response head, at most `within`.
    ///
    /// # Errors
    /// [`ClientError`] where no response head came.
    pub async fn send(
        &self,
        _request: http::Request<Body>,
        _within: Duration,
    ) -> Result<http::Response<Body>, ClientError> {
        unimplemented!()
    }
}
