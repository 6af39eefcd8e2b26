//! From a planned chain to providers: one refresh cell for every level that expires.

use std::sync::Arc;

use super::assume_role::AssumedRole;
use super::chain::FirstConfigured;
use super::credentials_uri::CredentialsUri;
use super::oidc::OidcRole;
use super::plan::{Base, RoleArn, RoleChain};
use super::profile::Profile;
use super::ram_role::RamRole;
use super::session::SessionSettings;
use super::static_keys::{KeyFiles, StaticKeys};
use super::{Credentials, Level, ProvideCredentials, policy};
use crate::clock::SharedClock;
use crate::cloud::Cloud;
use crate::refresh::{Policy, RefreshCell};
use crate::telemetry::metrics::InstanceMetrics;

/// The provider of a chain's last credentials. Nothing is asked yet.
#[must_use]
pub fn wire(chain: &RoleChain, cloud: &Arc<Cloud>, metrics: &Arc<InstanceMetrics>) -> Arc<dyn ProvideCredentials> {
    let wiring = Wiring { chain, cloud, metrics, clock: Arc::clone(&cloud.clock) as SharedClock };
    let params = &chain.params;
    let bases: Vec<_> = params.bases.iter().map(|base| wiring.base(base)).collect();
    let base: Arc<dyn ProvideCredentials> = match <[_; 1]>::try_from(bases) {
        Ok([only]) => only,
        Err(sources) => Arc::new(FirstConfigured { sources }),
    };
    params.hops.iter().enumerate().fold(base, |parent, (index, role)| {
        let next = params.hops.get(index + 1);
        let external_id = params.external_id.clone().filter(|_| next.is_none());
        let (caller, before_registry) = (params.caller(index), params.is_before_registry(role));
        let settings = wiring.settings(role, next, external_id);
        wiring.cell(AssumedRole { parent, settings, caller, before_registry })
    })
}

struct Wiring<'a> {
    chain: &'a RoleChain,
    cloud: &'a Arc<Cloud>,
    metrics: &'a Arc<InstanceMetrics>,
    clock: SharedClock,
}

impl Wiring<'_> {
    fn base(&self, base: &Base) -> Arc<dyn ProvideCredentials> {
        let (cloud, metrics) = (Arc::clone(self.cloud), Arc::clone(self.metrics));
        match base {
            Base::Rrsa { role, provider, token_file } => self.cell(OidcRole {
                settings: self.settings(role, self.chain.params.hops.first(), None),
                provider: provider.as_str().to_owned(),
                token_file: token_file.clone(),
            }),
            Base::RamRole { name } => self.cell(RamRole { cloud, metrics, role: name.clone() }),
            Base::CredentialsUri { uri } => self.cell(CredentialsUri { cloud, metrics, uri: uri.clone() }),
            Base::Profile { file, name } => self.cell(Profile {
                cloud,
                file: file.clone(),
                profile: name.clone(),
                session_name: self.chain.params.session_name.clone(),
            }),
            Base::AccessKeyFile { id, secret } => {
                Arc::new(KeyFiles { id: id.clone(), secret: secret.clone(), clock: Arc::clone(&self.clock) })
            }
            Base::AccessKey { id, secret } => {
                let credentials =
                    Credentials { access_key_id: id.clone(), access_key_secret: secret.clone(), security_token: None };
                Arc::new(StaticKeys::new("AccessKey pair in the configuration", credentials, &self.clock))
            }
            Base::Environment { id, secret, token } => {
                let credentials = Credentials {
                    access_key_id: id.clone(),
                    access_key_secret: secret.clone(),
                    security_token: token.clone(),
                };
                Arc::new(StaticKeys::new("AccessKey pair in the environment", credentials, &self.clock))
            }
        }
    }

    fn settings(&self, role: &RoleArn, next: Option<&RoleArn>, external_id: Option<String>) -> Arc<SessionSettings> {
        let params = &self.chain.params;
        // Checked by the plan to be within 43200.
        let seconds = u32::try_from(params.duration.as_secs()).unwrap_or(u32::MAX);
        let policy = policy::of_hop(&params.session_policy, next);
        let tools = (self.cloud, self.metrics);
        Arc::new(SessionSettings::new(tools, role.as_str(), &params.session_name, seconds, policy, external_id))
    }

    fn cell(&self, level: impl Level) -> Arc<dyn ProvideCredentials> {
        let policy = Policy::new(self.chain.params.expiring_threshold);
        let hop = level.hop();
        Arc::new(RefreshCell::new(level, policy, Arc::clone(&self.clock), hop, Arc::clone(self.metrics)))
    }
}
