//! The RAM role of the ECS instance, from the metadata service.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Credentials, CredentialsError, Level, Session, outcome};
use crate::cloud::Cloud;
use crate::refresh::{Expiring, Load};
use crate::telemetry::metrics::{Hop, InstanceMetrics};

/// The session that the metadata service holds ready. It renews the session itself, so an old one is simply read again.
#[derive(Debug)]
pub(super) struct RamRole {
    pub(super) cloud: Arc<Cloud>,
    pub(super) metrics: Arc<InstanceMetrics>,
    /// The role's name where it is configured.
    pub(super) role: Option<String>,
}

impl Load for RamRole {
    type Value = Credentials;
    type Error = CredentialsError;

    async fn load(&self, _held: Option<Session>) -> Result<Expiring<Credentials>, Arc<CredentialsError>> {
        let started = Instant::now();
        let result = self.cloud.imds.credentials(self.role.as_deref()).await;
        self.metrics.token_request(Hop::Metadata, outcome(&result), started.elapsed());
        result.map_err(|error| {
            let hop = self.name();
            Arc::new(match error.status() {
                Some(404) => CredentialsError::NotConfigured { hop, what: "the node has no such role".to_owned() },
                _ => CredentialsError::from_cloud(hop, error),
            })
        })
    }
}

impl Level for RamRole {
    fn name(&self) -> String {
        match &self.role {
            Some(role) => format!("RAM role {role} of the node"),
            None => "RAM role of the node".to_owned(),
        }
    }

    fn hop(&self) -> Hop {
        Hop::Metadata
    }
}
