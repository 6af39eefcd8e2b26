//! Logins for programs of this node that speak to a registry themselves: the kubelet, docker, podman.
//!
//! The one place where a login leaves the daemon, so everything about it is narrow. Promises: a Unix socket and never TCP;
//! only root and the daemon's own user are answered, as the kernel knows them (`SO_PEERCRED`, unix(7)); a login stands in
//! an answer and nowhere else, neither on disk nor in the log; a slow or greedy peer is bounded. Must not: ask the cloud
//! itself; the wiring says what there is through [`ProvideLogin`].
//!
//! One line of JSON asks, one line answers, and that is the end of the connection.

mod ask;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
mod serve;
mod wire;

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use ask::ask;
pub use serve::{Listener, serve};

use crate::oci::{RegistryHost, RepositoryName};
use crate::secret::Secret;

/// Where the socket is, unless somebody says otherwise. systemd makes the directory (`RuntimeDirectory=`); where nobody
/// has made it, there is no socket.
pub const SOCKET: &str = "/run/acr-pull-proxy/login.sock";

/// What a login is wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The registry, as the image names it.
    pub host: RegistryHost,
    /// The repository, where it is known; it decides where only some repositories may be pulled.
    pub repository: Option<RepositoryName>,
}

/// The login of an instance, for somebody outside of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// How long it is still good, by the cloud's clock.
    pub left: Duration,
    /// Whether it is for every repository of the registry, as far as the configuration goes.
    pub whole_registry: bool,
}

/// What there is to say to somebody who wants a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Here it is.
    Login(Login),
    /// The registry belongs to no instance, or the repository may not be pulled.
    NotServed,
    /// It cannot be told yet: the domains of an instance are still being asked for.
    NotKnown,
    /// It belongs to an instance, and there is no login.
    Failed {
        /// What failed, with its causes; no secret.
        what: String,
        /// The next step, imperative, without a full stop.
        next: String,
    },
}

/// Says what there is.
pub trait ProvideLogin: fmt::Debug + Send + Sync + 'static {
    /// The answer, after some seconds at most.
    fn login(&self, wanted: &Wanted) -> impl Future<Output = Answer> + Send;
}

#[cfg(test)]
mod tests;
