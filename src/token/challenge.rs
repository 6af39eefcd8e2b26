//! What a registry host asks for: learned once by `GET /v2/`, which never carries a credential.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{USER_AGENT, WWW_AUTHENTICATE};
use tokio::time::Instant;

use super::TokenError;
use super::realm::Realm;
use crate::clock::Clock;
use crate::cloud::CloudClock;
use crate::http::body::empty;
use crate::http::client::{Client, ClientError};
use crate::http::origin::SafeUri;
use crate::oci::{Challenge, RegistryHost};
use crate::refresh::{Expiring, Load};
use crate::telemetry::calls;
use crate::telemetry::metrics::{InstanceMetrics, Outcome, Target};

/// How long the registry may take to say no: a pull that waits must outlast a silent one.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Learns the realm of one registry host.
#[derive(Debug)]
pub(super) struct ChallengeSource {
    pub(super) host: RegistryHost,
    pub(super) client: Client,
    pub(super) clock: Arc<CloudClock>,
    pub(super) metrics: Arc<InstanceMetrics>,
    pub(super) realms: Arc<[String]>,
}

impl Load for ChallengeSource {
    type Value = Realm;
    type Error = TokenError;

    async fn load(&self, _held: Option<Arc<Expiring<Realm>>>) -> Result<Expiring<Realm>, Arc<TokenError>> {
        let realm = match self.ask().await {
            // The usual cause is a pooled connection that the other side had closed: no reason to keep pulls waiting.
            Err(TokenError::Unreachable(ClientError::Closed { .. })) => self.ask().await,
            outcome => outcome,
        };
        let realm = realm.map_err(Arc::new)?;
        Ok(Expiring::lasting(realm, self.clock.now()))
    }
}

impl ChallengeSource {
    async fn ask(&self) -> Result<Realm, TokenError> {
        let unusable = |status| TokenError::NoChallenge { host: self.host.clone(), status };
        let uri = SafeUri::parse(&format!("https://{}/v2/", self.host)).map_err(|_| unusable(0))?;
        let request = uri.request(Method::GET).header(USER_AGENT, crate::http::USER_AGENT).body(empty());
        let started = Instant::now();
        let answer = self.client.send(request.map_err(|_| unusable(0))?, ANSWER_TIME).await;
        let outcome = match &answer {
            Ok(answer) if answer.status().is_server_error() => Outcome::Failed,
            Ok(_) => Outcome::Ok,
            Err(_) => Outcome::Failed,
        };
        self.metrics.upstream_request(Target::Registry, outcome, started.elapsed());
        let answer = answer.map_err(TokenError::Unreachable)?;
        calls::made("challenge", self.host.as_str(), None, started.elapsed());
        let lines = answer.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
        match Challenge::bearer(lines) {
            Some(challenge) => self.accept(&challenge),
            None => Err(unusable(answer.status().as_u16())),
        }
    }

    /// The realm that a challenge names, where it may receive the login.
    pub(super) fn accept(&self, challenge: &Challenge) -> Result<Realm, TokenError> {
        Realm::accept(challenge, &self.host, &self.realms).map_err(TokenError::Realm)
    }
}
