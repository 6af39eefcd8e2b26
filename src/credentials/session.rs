//! What the hops of one chain are asked with, and the length of session that each role really grants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::{Credentials, outcome};
use crate::cloud::{Cloud, CloudError, SessionRequest};
use crate::refresh::Expiring;
use crate::secret::Secret;
use crate::telemetry::metrics::{Hop, InstanceMetrics};

/// What a role's `MaxSessionDuration` is unless somebody raised it, and the shortest that STS grants to anybody.
const STEPS: [u32; 2] = [3600, 900];

/// What a session is asked with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proof<'a> {
    /// The session before it, or a key.
    Credentials(&'a Credentials),
    /// A service-account token that the role's account trusts.
    Token {
        /// The ARN of the OIDC provider.
        provider: &'a str,
        /// The token, as it stood in its file just now.
        token: &'a Secret,
    },
}

/// The settings of one hop.
#[derive(Debug)]
pub(super) struct SessionSettings {
    pub(super) cloud: Arc<Cloud>,
    pub(super) metrics: Arc<InstanceMetrics>,
    pub(super) role: String,
    pub(super) session_name: String,
    pub(super) policy: Option<String>,
    pub(super) external_id: Option<String>,
    /// `expireDuration` as configured, in seconds.
    pub(super) asked_seconds: u32,
    /// What the role was found to grant.
    granted_seconds: AtomicU32,
}

impl SessionSettings {
    pub(super) fn new(
        (cloud, metrics): (&Arc<Cloud>, &Arc<InstanceMetrics>),
        role: &str,
        session_name: &str,
        asked_seconds: u32,
        policy: Option<String>,
        external_id: Option<String>,
    ) -> Self {
        Self {
            cloud: Arc::clone(cloud),
            metrics: Arc::clone(metrics),
            role: role.to_owned(),
            session_name: session_name.to_owned(),
            policy,
            external_id,
            asked_seconds,
            granted_seconds: AtomicU32::new(asked_seconds),
        }
    }

    /// Asks with the longest duration that has not been refused yet.
    ///
    /// A refused duration is lowered step by step; what was granted is remembered and reported, since a role's maximum
    /// is easily forgotten and a shorter session is still a session.
    pub(super) async fn ask(&self, proof: Proof<'_>) -> Result<Expiring<Credentials>, CloudError> {
        loop {
            let seconds = self.granted_seconds.load(Ordering::Relaxed);
            let started = Instant::now();
            let (hop, result) = self.call(seconds, proof).await;
            self.metrics.token_request(hop, outcome(&result), started.elapsed());
            let lower = STEPS.into_iter().find(|step| *step < seconds);
            match (result, lower) {
                (Err(error), Some(lower)) if error.code() == "InvalidParameter.DurationSeconds" => {
                    tracing::warn!(
                        role = %self.role, asked = seconds, next = lower,
                        "expireDuration is above the role's MaxSessionDuration: a shorter session is asked for"
                    );
                    self.granted_seconds.store(lower, Ordering::Relaxed);
                }
                (result, _) => return result,
            }
        }
    }

    async fn call(&self, duration_seconds: u32, proof: Proof<'_>) -> (Hop, Result<Expiring<Credentials>, CloudError>) {
        let request = SessionRequest {
            role: &self.role,
            session_name: &self.session_name,
            duration_seconds,
            policy: self.policy.as_deref(),
            external_id: self.external_id.as_deref(),
        };
        let sts = &self.cloud.sts;
        match proof {
            Proof::Credentials(credentials) => (Hop::AssumeRole, sts.assume_role(request, credentials).await),
            Proof::Token { provider, token } => (Hop::Oidc, sts.assume_role_with_oidc(request, provider, token).await),
        }
    }

    /// Says when sessions are shorter than configured.
    pub(super) fn note(&self) -> Option<String> {
        let granted = self.granted_seconds.load(Ordering::Relaxed);
        (granted < self.asked_seconds).then(|| {
            format!(
                "expireDuration {} s is above the role's MaxSessionDuration: {granted} s is used",
                self.asked_seconds
            )
        })
    }
}
