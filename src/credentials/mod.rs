//! The role chain of an instance: a first credential (the base), then AssumeRole hops.
//!
//! The chain is planned as data before any I/O ([`plan`]), then wired with one refresh cell per level. Providers never
//! cache. Each level dies with its parent, and is renewed from the top: a child is bought only with a parent in the first
//! half of its life, so that nothing is bought late in a dying session.

mod assume_role;
mod chain;
mod credentials_uri;
mod error;
mod oidc;
pub mod plan;
mod policy;
mod profile;
mod ram_role;
mod session;
mod static_keys;
mod wire;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use crate::cloud::Credentials;
pub use error::CredentialsError;
pub use wire::wire;

use crate::clock::Timestamp;
use crate::cloud::CloudError;
use crate::error::diagnosis::Row;
use crate::error::{Explain, Retry};
use crate::refresh::{Expiring, Load, RefreshCell};
use crate::telemetry::metrics::{Hop, Outcome};

/// Credentials with their life; the pointer is their identity.
pub type Session = Arc<Expiring<Credentials>>;

/// Credentials for buying something that will last.
pub type Renewal = crate::refresh::Renewal<Credentials, CredentialsError>;

/// A boxed future, for the trait that is used as an object.
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A level of the chain, or a whole chain.
pub trait ProvideCredentials: fmt::Debug + Send + Sync {
    /// Credentials in the first half of their life where these can be had, else what is still good.
    fn credentials(&self) -> BoxFuture<'_, Result<Renewal, Arc<CredentialsError>>>;

    /// The cloud refused exactly these, so they must not be handed out again.
    fn refused(&self, session: &Session, why: &Arc<CredentialsError>);

    /// How long until asking again may bring another answer.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }

    /// Appends what there is to say about each level, the base first.
    fn report(&self, into: &mut Vec<HopStatus>);
}

/// What the status page tells about one level; no secret.
#[derive(Debug, Clone)]
pub struct HopStatus {
    /// What the level is: a role, a source, an instance.
    pub name: String,
    /// Its kind.
    pub hop: Hop,
    /// When the held value was issued and when it dies; `None` where nothing is held.
    pub held: Option<(Timestamp, Timestamp)>,
    /// The failure since the last success.
    pub failure: Option<HopFailure>,
    /// Something the operator should know although it works.
    pub note: Option<String>,
}

/// The last failure of a level.
#[derive(Debug, Clone)]
pub struct HopFailure {
    /// When it happened.
    pub at: Timestamp,
    /// The error with its causes.
    pub text: String,
    /// What to do.
    pub advice: Option<String>,
    /// The same failure in the table of all failures.
    pub row: &'static Row,
    /// The cloud's id of the failed call.
    pub request_id: Option<String>,
}

impl HopFailure {
    /// What is to be shown of `error`.
    pub(crate) fn new(at: Timestamp, error: &(impl Explain + 'static)) -> Self {
        Self {
            at,
            text: crate::error::chain(error),
            row: error.row(),
            advice: error.advice().map(std::borrow::Cow::into_owned),
            request_id: error.request_id().map(str::to_owned),
        }
    }
}

/// A loader of credentials that can say what it is.
trait Level: Load<Value = Credentials, Error = CredentialsError> {
    /// Its name on the status page.
    fn name(&self) -> String;
    /// Its kind.
    fn hop(&self) -> Hop;
    /// Something the operator should know although it works.
    fn note(&self) -> Option<String> {
        None
    }
    /// The levels it is bought with.
    fn report_parents(&self, _into: &mut Vec<HopStatus>) {}
}

impl<L: Level> ProvideCredentials for RefreshCell<L> {
    fn credentials(&self) -> BoxFuture<'_, Result<Renewal, Arc<CredentialsError>>> {
        Box::pin(self.renewed())
    }

    fn refused(&self, session: &Session, why: &Arc<CredentialsError>) {
        Self::refused(self, session, Arc::clone(why));
    }

    fn pause(&self) -> Duration {
        Self::pause(self)
    }

    fn report(&self, into: &mut Vec<HopStatus>) {
        let source = self.source();
        source.report_parents(into);
        let status = self.status();
        let failure = status.failure.map(|(at, error)| HopFailure::new(at, &*error));
        into.push(HopStatus {
            name: source.name(),
            hop: source.hop(),
            held: status.held,
            failure,
            note: source.note(),
        });
    }
}

/// Why something could not be bought with credentials.
#[derive(Debug)]
pub(crate) enum PurchaseError {
    /// There are none.
    Credentials(Arc<CredentialsError>),
    /// The cloud would not sell.
    Cloud(CloudError),
}

/// Buys a value with credentials of `parent` and lets it die with them.
///
/// Credentials that are refused are dropped by identity and the purchase is tried once more with new ones. Where the
/// parent could not be renewed and what the caller holds lives as long, buying would bring nothing, so that the parent's
/// failure is returned.
pub(crate) async fn purchase<T, F>(
    parent: &dyn ProvideCredentials,
    held_until: Option<Timestamp>,
    buy: impl Fn(Session) -> F + Send,
) -> Result<Expiring<T>, PurchaseError>
where
    F: Future<Output = Result<Expiring<T>, CloudError>> + Send,
{
    let Renewal { held, stale } = parent.credentials().await.map_err(PurchaseError::Credentials)?;
    if let Some(failure) = stale
        && held_until.is_some_and(|until| until >= held.expires)
    {
        return Err(PurchaseError::Credentials(failure));
    }
    let expires = held.expires;
    match buy(Arc::clone(&held)).await {
        Err(error) if refuses_credentials(&error) => {
            parent.refused(&held, &Arc::new(CredentialsError::from_cloud("these credentials", error)));
            let Renewal { held, .. } = parent.credentials().await.map_err(PurchaseError::Credentials)?;
            let expires = held.expires;
            buy(held).await.map(|value| value.bounded_by(expires)).map_err(PurchaseError::Cloud)
        }
        result => result.map(|value| value.bounded_by(expires)).map_err(PurchaseError::Cloud),
    }
}

fn refuses_credentials(error: &CloudError) -> bool {
    error.retry() == Retry::Renewed
        && (error.code().starts_with("InvalidSecurityToken") || error.code().starts_with("InvalidAccessKeyId"))
}

/// How a call ended, for the metrics.
pub(crate) fn outcome<T>(result: &Result<T, CloudError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(error) if matches!(error.retry(), Retry::Later(_)) => Outcome::Failed,
        Err(_) => Outcome::Refused,
    }
}

#[cfg(test)]
mod tests;
