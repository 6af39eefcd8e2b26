//! A profile of the Alibaba Cloud CLI (`~/.aliyun/config.json`), read at every use.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::{BoxFuture, Credentials, CredentialsError, Level, Session};
use crate::clock::{Clock, Timestamp};
use crate::cloud::{Cloud, SessionRequest};
use crate::refresh::{Expiring, Load};
use crate::secret::Secret;
use crate::telemetry::metrics::Hop;

/// Longest file that is read.
const LONGEST_FILE: u64 = 1024 * 1024;
/// A profile may build on another; more than this is a loop.
const DEEPEST: usize = 4;
/// What the CLI uses where a profile says nothing.
const DEFAULT_SECONDS: u32 = 3600;

/// The session or pair of one profile.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) cloud: Arc<Cloud>,
    pub(super) file: PathBuf,
    pub(super) profile: Option<String>,
    pub(super) session_name: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    current: String,
    #[serde(default)]
    profiles: Vec<Entry>,
}

/// The keys of the CLI that matter here; an absent one is empty.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    name: String,
    mode: String,
    access_key_id: String,
    #[serde(deserialize_with = "secret")]
    access_key_secret: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    sts_token: Option<Secret>,
    /// Epoch seconds; 0 where the CLI does not know it.
    sts_expiration: i64,
    ram_role_name: String,
    ram_role_arn: String,
    ram_session_name: String,
    expired_seconds: u32,
    external_id: String,
    source_profile: String,
    credentials_uri: String,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.is_empty()).map(Secret::new))
}

impl Load for Profile {
    type Value = Credentials;
    type Error = CredentialsError;

    async fn load(&self, _held: Option<Session>) -> Result<Expiring<Credentials>, Arc<CredentialsError>> {
        let file = self.read().await?;
        let name = self.profile.as_deref().unwrap_or(&file.current);
        self.resolve(&file, name, DEEPEST).await.map_err(Arc::new)
    }
}

impl Profile {
    async fn read(&self) -> Result<File, Arc<CredentialsError>> {
        let path = self.file.display();
        let problem = match tokio::fs::metadata(&self.file).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let what = format!("there is no {path}");
                return Err(Arc::new(CredentialsError::NotConfigured { hop: self.name(), what }));
            }
            Err(error) => format!("{path} cannot be read: {error}"),
            Ok(metadata) if metadata.len() > LONGEST_FILE => format!("{path} is too long"),
            Ok(_) => match tokio::fs::read(&self.file).await.map(zeroize::Zeroizing::new) {
                Err(error) => format!("{path} cannot be read: {error}"),
                Ok(bytes) => match serde_json::from_slice(&bytes) {
                    Ok(file) => return Ok(file),
                    // The parser's own words could repeat a value.
                    Err(error) => format!("{path} is no valid profile file, line {}", error.line()),
                },
            },
        };
        Err(Arc::new(self.invalid(problem)))
    }

    fn resolve<'a>(
        &'a self,
        file: &'a File,
        name: &'a str,
        depth: usize,
    ) -> BoxFuture<'a, Result<Expiring<Credentials>, CredentialsError>> {
        Box::pin(async move {
            let Some(entry) = file.profiles.iter().find(|entry| entry.name == name) else {
                return Err(self.invalid(format!("there is no profile '{name}'")));
            };
            let cloud_failure = |error| CredentialsError::from_cloud(self.name(), error);
            let now = self.cloud.clock.now();
            match entry.mode.as_str() {
                "AK" | "" => self.pair(entry, now),
                "StsToken" => {
                    let expires = Timestamp::from_second(entry.sts_expiration).ok().filter(|_| entry.sts_expiration > 0);
                    Ok(self.pair(entry, now)?.bounded_by(expires.unwrap_or(Timestamp::MAX)))
                }
                "EcsRamRole" => {
                    let role = Some(entry.ram_role_name.as_str()).filter(|role| !role.is_empty());
                    self.cloud.imds.credentials(role).await.map_err(cloud_failure)
                }
                "CredentialsURI" => self.cloud.imds.credentials_at(&entry.credentials_uri).await.map_err(cloud_failure),
                "RamRoleArn" => self.assume(entry, self.pair(entry, now)?).await,
                "ChainableRamRoleArn" if depth > 0 => {
                    let source = self.resolve(file, &entry.source_profile, depth - 1).await?;
                    self.assume(entry, source).await
                }
                "ChainableRamRoleArn" => Err(self.invalid("the profiles refer to each other in a circle".to_owned())),
                _ => Err(self.invalid(format!(
                    "the mode of profile '{name}' cannot be used by a daemon: use AK, StsToken, RamRoleArn, EcsRamRole, \
                     ChainableRamRoleArn or CredentialsURI"
                ))),
            }
        })
    }

    fn pair(&self, entry: &Entry, now: Timestamp) -> Result<Expiring<Credentials>, CredentialsError> {
        let Some(secret) = entry.access_key_secret.clone().filter(|_| !entry.access_key_id.is_empty()) else {
            return Err(self.invalid(format!("profile '{}' holds no AccessKey pair", entry.name)));
        };
        let credentials = Credentials {
            access_key_id: entry.access_key_id.clone(),
            access_key_secret: secret,
            security_token: entry.sts_token.clone(),
        };
        Ok(Expiring::lasting(credentials, now))
    }

    async fn assume(
        &self,
        entry: &Entry,
        source: Expiring<Credentials>,
    ) -> Result<Expiring<Credentials>, CredentialsError> {
        let given = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        let external_id = given(&entry.external_id);
        let session_name = given(&entry.ram_session_name).unwrap_or_else(|| self.session_name.clone());
        let request = SessionRequest {
            role: &entry.ram_role_arn,
            session_name: &session_name,
            duration_seconds: if entry.expired_seconds == 0 { DEFAULT_SECONDS } else { entry.expired_seconds },
            policy: None,
            external_id: external_id.as_deref(),
        };
        let session = self.cloud.sts.assume_role(request, &source.value).await;
        let session = session.map_err(|error| CredentialsError::from_cloud(self.name(), error))?;
        Ok(session.bounded_by(source.expires))
    }

    fn invalid(&self, what: String) -> CredentialsError {
        CredentialsError::Invalid { hop: self.name(), what }
    }
}

impl Level for Profile {
    fn name(&self) -> String {
        match &self.profile {
            Some(profile) => format!("CLI profile '{profile}'"),
            None => "current CLI profile".to_owned(),
        }
    }

    fn hop(&self) -> Hop {
        Hop::Metadata
    }
}
