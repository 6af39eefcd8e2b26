//! What a registry request needs: the bearer of its scope, from the authorization token of its instance.
//!
//! The three levels below a request are the bearer of a scope, the login of the instance, and the role chain. Each is
//! kept by a refresh cell of its own; a refusal drops exactly the value that was refused, at the level that is at fault.

mod answer;
mod bearer;
mod bearers;
mod challenge;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
mod login;
mod realm;
mod source;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::{RegistryHost, Scope};
use crate::secret::Secret;

pub use error::TokenError;
pub use realm::RealmError;
pub use source::TokenSource;

/// A registry bearer.
#[derive(Debug)]
pub struct Bearer {
    /// The value for `Authorization: Bearer`.
    pub token: Secret,
    /// When it stops being good, by the node's clock.
    pub expires: Timestamp,
}

/// A future of one of the traits that are used as trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where `upstream` gets its bearers from.
pub trait ProvideBearer: fmt::Debug + Send + Sync {
    /// A bearer for `scope` at `host` that is good for at least the next moments.
    fn bearer<'a>(
        &'a self,
        host: &'a RegistryHost,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Arc<Bearer>, Arc<TokenError>>>;

    /// The registry refused exactly this bearer with 401 (or a 403 that says expired). `challenge` is the
    /// `WWW-Authenticate` value that came with it. The next [`bearer`](Self::bearer) must not return the same one.
    fn refused(&self, host: &RegistryHost, scope: &Scope, bearer: &Bearer, challenge: Option<&str>);

    /// Waits until `host` has said what it asks of its clients, if it has not before. No login is shown to anybody for
    /// this.
    fn challenged<'a>(&'a self, host: &'a RegistryHost) -> BoxFuture<'a, Result<(), Arc<TokenError>>>;

    /// Pulls from `host` are likely: what every bearer there needs is got ready, and a connection to where it is asked
    /// for. No login is shown to anybody for this. Needs a runtime.
    fn expect(&self, host: &RegistryHost);
}

/// Which edition an instance is, and so how its login is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edition {
    /// Enterprise Edition, by its `cri-…` id.
    Enterprise(String),
    /// Personal Edition, by region.
    Personal,
}

/// What the tokens of one instance are built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// The instance.
    pub instance: crate::oci::InstanceId,
    /// Its edition.
    pub edition: Edition,
    /// `regionId`; `None`: the node's region.
    pub region: Option<crate::cloud::endpoints::Region>,
    /// `network.realms`: further hosts that may receive the login, lower case.
    pub realms: Vec<String>,
    /// The role chain behind it.
    pub chain: crate::credentials::plan::Params,
}

#[cfg(test)]
mod tests;
