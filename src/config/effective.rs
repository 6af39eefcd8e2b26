//! The configuration as it takes effect, in the words of our own format, secrets masked.
//!
//! What it prints can be read again, but for the masks: the mirror below has the names of the format and no secret in it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::value::{duration_text, size_text, target_text};
use super::{Config, Domains, Instance, Network};
use crate::credentials::plan::{Base, SessionPolicy};
use crate::token::Edition;
use crate::upstream::{BlobMode, BlobParams};

/// Stands in place of a secret.
const MASK: &str = "***";

/// The effective configuration.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    listen: String,
    admin: String,
    expiring_threshold: String,
    rrsa: Rrsa,
    instances: Vec<Entry>,
    endpoints: Endpoints,
    network: NetworkSection,
    blobs: Blobs,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_auth: Option<ClientAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsSection>,
    log: Log,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rrsa {
    #[serde(skip_serializing_if = "Option::is_none")]
    enable: Option<bool>,
    token_file: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    instance_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    region_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    domains: Vec<String>,
    #[serde(rename = "rrsaRoleARN", skip_serializing_if = "Option::is_none")]
    rrsa_role_arn: Option<String>,
    #[serde(rename = "rrsaOIDCProviderRoleARN", skip_serializing_if = "Option::is_none")]
    rrsa_oidc_provider_role_arn: Option<String>,
    #[serde(rename = "assumeRoleARN", skip_serializing_if = "Vec::is_empty")]
    assume_role_arn: Vec<String>,
    expire_duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_access_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_access_key_secret: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_access_key_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_access_key_secret_file: Option<String>,
    credential_source: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pull_from: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<String>,
    session_policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct Endpoints {
    #[serde(skip_serializing_if = "Option::is_none")]
    sts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NetworkSection {
    hosts: BTreeMap<String, Vec<String>>,
    realms: Vec<String>,
    blob_hosts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_proxy: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blobs {
    mode: &'static str,
    connections: usize,
    part_size: String,
    memory: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientAuth {
    token_file: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TlsSection {
    cert_file: String,
    key_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
}

#[derive(Debug, Serialize)]
struct Log {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    level: &'static str,
}

impl Config {
    /// The configuration as it takes effect, without secrets.
    #[must_use]
    pub fn effective(&self) -> Effective {
        Effective {
            listen: self.listen.to_string(),
            admin: self.admin.to_string(),
            expiring_threshold: duration_text(self.expiring_threshold),
            rrsa: Rrsa { enable: self.rrsa.enable, token_file: self.rrsa.token_file.display().to_string() },
            instances: self.instances.iter().map(entry).collect(),
            endpoints: Endpoints {
                sts: self.endpoints.sts.clone(),
                cr: self.endpoints.cr.clone(),
                metadata: self.endpoints.metadata.clone(),
            },
            network: network(&self.network),
            blobs: blobs(&self.blobs),
            client_auth: self
                .client_token_file
                .as_ref()
                .map(|path| ClientAuth { token_file: path.display().to_string() }),
            tls: self.tls.as_ref().map(|tls| TlsSection {
                cert_file: tls.cert_file.display().to_string(),
                key_file: tls.key_file.display().to_string(),
                ca_file: tls.ca_file.as_ref().map(|path| path.display().to_string()),
            }),
            log: Log { format: self.log.format.map(|format| format.as_str()), level: self.log.level.as_str() },
        }
    }
}

impl Effective {
    /// As YAML.
    ///
    /// # Errors
    /// A sentence, should a value have no form in YAML; none of ours is known to.
    pub fn to_yaml(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|error| error.to_string())
    }
}

fn entry(instance: &Instance) -> Entry {
    let chain = &instance.token.chain;
    let mut entry = Entry {
        instance_id: match &instance.token.edition {
            Edition::Enterprise(id) => id.clone(),
            Edition::Personal => String::new(),
        },
        region_id: instance.token.region.as_ref().map(ToString::to_string),
        domains: match &instance.domains {
            Domains::Named(domains) => domains.iter().map(ToString::to_string).collect(),
            Domains::Discover => Vec::new(),
        },
        assume_role_arn: chain.hops.iter().map(ToString::to_string).collect(),
        expire_duration: chain.duration.as_secs(),
        credential_source: instance.credential_source.as_str(),
        pull_from: instance.upstream.pull_from.iter().map(ToString::to_string).collect(),
        repositories: instance.upstream.repositories.clone(),
        session_policy: match &chain.session_policy {
            SessionPolicy::PullOnly => "pullOnly".to_owned(),
            SessionPolicy::None => "none".to_owned(),
            SessionPolicy::Inline(policy) => policy.clone(),
        },
        external_id: chain.external_id.clone(),
        ..Entry::default()
    };
    for base in &chain.bases {
        match base {
            Base::Rrsa { role, provider, .. } => {
                entry.rrsa_role_arn = Some(role.to_string());
                entry.rrsa_oidc_provider_role_arn = Some(provider.as_str().to_owned());
            }
            Base::AccessKey { id, .. } => {
                entry.custom_access_key = Some(id.clone());
                entry.custom_access_key_secret = Some(MASK);
            }
            Base::AccessKeyFile { id, secret } => {
                entry.custom_access_key_file = Some(id.display().to_string());
                entry.custom_access_key_secret_file = Some(secret.display().to_string());
            }
            // These come from the environment or the node, and have no key in the file.
            Base::RamRole { .. } | Base::Environment { .. } | Base::Profile { .. } | Base::CredentialsUri { .. } => {}
        }
    }
    entry
}

fn network(network: &Network) -> NetworkSection {
    let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for host in &network.hosts {
        hosts.entry(host.name.clone()).or_default().extend(host.targets.iter().map(target_text));
    }
    NetworkSection {
        hosts,
        realms: network.realms.clone(),
        blob_hosts: network.blob_hosts.clone(),
        ca_file: network.ca_file.as_ref().map(|path| path.display().to_string()),
        blob_proxy: network.blob_proxy.clone(),
    }
}

fn blobs(blobs: &BlobParams) -> Blobs {
    Blobs {
        mode: match blobs.mode {
            BlobMode::Stream => "stream",
            BlobMode::Redirect => "redirect",
        },
        connections: blobs.connections,
        part_size: size_text(blobs.part_size),
        memory: size_text(blobs.memory),
    }
}
