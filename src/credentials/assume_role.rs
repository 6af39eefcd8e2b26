//! One AssumeRole hop over any other provider.

use std::sync::Arc;
use std::time::Duration;

use super::session::{Proof, SessionSettings};
use super::{Credentials, CredentialsError, HopStatus, Level, ProvideCredentials, PurchaseError, Session, purchase};
use crate::refresh::{Expiring, Load};
use crate::telemetry::metrics::Hop;

/// A session of a role, bought with the credentials of `parent`.
#[derive(Debug)]
pub(super) struct AssumedRole {
    pub(super) parent: Arc<dyn ProvideCredentials>,
    pub(super) settings: Arc<SessionSettings>,
    /// Whom RAM sees asking, for the advice of a refusal.
    pub(super) caller: String,
    /// Whether the role is one before the registry's account is reached, for the same.
    pub(super) before_registry: bool,
}

impl Load for AssumedRole {
    type Value = Credentials;
    type Error = CredentialsError;

    async fn load(&self, held: Option<Session>) -> Result<Expiring<Credentials>, Arc<CredentialsError>> {
        let held_until = held.map(|held| held.expires);
        let bought = purchase(&*self.parent, held_until, |parent| {
            let settings = Arc::clone(&self.settings);
            async move { settings.ask(Proof::Credentials(&parent.value)).await }
        });
        bought.await.map_err(|error| match error {
            PurchaseError::Credentials(error) => error,
            PurchaseError::Cloud(error) => {
                let error = error.called_by(self.caller.as_str()).before_registry(self.before_registry);
                Arc::new(CredentialsError::from_cloud(self.name(), error))
            }
        })
    }

    fn inherited(&self, error: &CredentialsError) -> Option<Duration> {
        (error.hop() != Some(&*self.name())).then(|| self.parent.pause())
    }
}

impl Level for AssumedRole {
    fn name(&self) -> String {
        format!("AssumeRole {}", self.settings.role)
    }

    fn hop(&self) -> Hop {
        Hop::AssumeRole
    }

    fn note(&self) -> Option<String> {
        self.settings.note()
    }

    fn report_parents(&self, into: &mut Vec<HopStatus>) {
        self.parent.report(into);
    }
}
