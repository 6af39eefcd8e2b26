//! `ALIBABA_CLOUD_CREDENTIALS_URI`: a local service that answers like the metadata service.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Credentials, CredentialsError, Level, Session, outcome};
use crate::cloud::Cloud;
use crate::refresh::{Expiring, Load};
use crate::telemetry::metrics::{Hop, InstanceMetrics};

/// The session that the service holds ready.
#[derive(Debug)]
pub(super) struct CredentialsUri {
    pub(super) cloud: Arc<Cloud>,
    pub(super) metrics: Arc<InstanceMetrics>,
    pub(super) uri: String,
}

impl Load for CredentialsUri {
    type Value = Credentials;
    type Error = CredentialsError;

    async fn load(&self, _held: Option<Session>) -> Result<Expiring<Credentials>, Arc<CredentialsError>> {
        let started = Instant::now();
        let result = self.cloud.imds.credentials_at(&self.uri).await;
        self.metrics.token_request(Hop::Metadata, outcome(&result), started.elapsed());
        result.map_err(|error| Arc::new(CredentialsError::from_cloud(self.name(), error)))
    }
}

impl Level for CredentialsUri {
    fn name(&self) -> String {
        // The URI itself may carry a token in its path.
        "credentials URI".to_owned()
    }

    fn hop(&self) -> Hop {
        Hop::Metadata
    }
}
