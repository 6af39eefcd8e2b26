//! The login of an instance: user and password for the token realm.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Edition, TokenError};
use crate::cloud::{AuthorizationToken, Cloud};
use crate::credentials::{ProvideCredentials, PurchaseError, Session, outcome, purchase};
use crate::refresh::{Expiring, Load};
use crate::telemetry::metrics::{Hop, InstanceMetrics};

/// A login together with what it was bought with, so that a login that never works leads to the session at fault.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) token: AuthorizationToken,
    pub(super) session: Session,
}

/// Gets logins with the last credentials of the role chain.
#[derive(Debug)]
pub(super) struct LoginSource {
    pub(super) chain: Arc<dyn ProvideCredentials>,
    pub(super) cloud: Arc<Cloud>,
    pub(super) metrics: Arc<InstanceMetrics>,
    pub(super) edition: Edition,
    /// Whom RAM sees asking, for the advice of a refusal.
    pub(super) caller: String,
}

impl Load for LoginSource {
    type Value = Login;
    type Error = TokenError;

    async fn load(&self, held: Option<Arc<Expiring<Login>>>) -> Result<Expiring<Login>, Arc<TokenError>> {
        let held_until = held.map(|held| held.expires);
        let bought = purchase(&*self.chain, held_until, |session| self.buy(session));
        bought.await.map_err(|error| {
            Arc::new(match error {
                PurchaseError::Credentials(error) => TokenError::Credentials(error),
                PurchaseError::Cloud(error) => TokenError::Login(error.called_by(self.caller.as_str())),
            })
        })
    }

    fn inherited(&self, error: &TokenError) -> Option<Duration> {
        matches!(error, TokenError::Credentials(_)).then(|| self.chain.pause())
    }
}

impl LoginSource {
    async fn buy(&self, session: Session) -> Result<Expiring<Login>, crate::cloud::CloudError> {
        let started = Instant::now();
        let result = match &self.edition {
            Edition::Enterprise(instance) => self.cloud.cr.authorization_token(instance, &session.value).await,
            Edition::Personal => self.cloud.cr.personal_authorization_token(&session.value).await,
        };
        self.metrics.token_request(Hop::AuthorizationToken, outcome(&result), started.elapsed());
        let Expiring { value: token, issued, expires } = result?;
        Ok(Expiring { value: Login { token, session }, issued, expires })
    }

    /// What the login is called on the status page.
    pub(super) fn name(&self) -> String {
        match &self.edition {
            Edition::Enterprise(instance) => format!("GetAuthorizationToken {instance}"),
            Edition::Personal => "GetAuthorizationToken of the Personal Edition".to_owned(),
        }
    }
}
