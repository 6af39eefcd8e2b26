//! Why the daemon does not start, or does not take a configuration, and what to do about it.

use std::net::SocketAddr;

use crate::credentials::plan::PlanError;
use crate::http::client::BuildError;
use crate::http::listen::tls::CertificateError;
use crate::oci::InstanceId;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({key})")]
    Bind {
        /// `listen` or `admin`.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The outbound client cannot be built.
    #[error("the connection to the outside cannot be set up")]
    Client(#[from] BuildError),
    /// A role chain cannot work, which the configuration should have said.
    #[error("instance {0} cannot be set up")]
    Plan(InstanceId, #[source] PlanError),
    /// The certificate for `listen` cannot be used.
    #[error("tls")]
    Certificate(#[from] CertificateError),
    /// Strangers can reach the address for pulls, and nothing keeps them out.
    #[error("{0} can be reached from outside this node, and clientAuth is not set")]
    ClientAuth(SocketAddr),
}

impl StartError {
    /// The next step, as one short imperative sentence without a full stop.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "choose a free address of this node, or end what listens there",
            Self::Client(_) => "install ca-certificates or set network.caFile",
            Self::Plan(..) => "correct the instance in the configuration",
            Self::Certificate(_) => {
                "correct tls.certFile and tls.keyFile, which the daemon's user must be able to read"
            }
            Self::ClientAuth(_) => "listen on 127.0.0.1, or set clientAuth.tokenFile",
        }
    }
}
