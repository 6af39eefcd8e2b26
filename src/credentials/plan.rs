//! The role chain as data, checked before any I/O.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

/// The name of a role: `acs:ram::<account id>:role/<role name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleArn(Arc<str>);

impl RoleArn {
    /// Parses an ARN of a role; surrounding spaces are no part of it.
    ///
    /// # Errors
    /// A sentence that says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        parse_arn(text, ":role/").map(Self)
    }

    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an OIDC provider: `acs:ram::<account id>:oidc-provider/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OidcProviderArn(Arc<str>);

impl OidcProviderArn {
    /// Parses an ARN of an OIDC provider; surrounding spaces are no part of it.
    ///
    /// # Errors
    /// A sentence that says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        parse_arn(text, ":oidc-provider/").map(Self)
    }

    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parse_arn(text: &str, kind: &str) -> Result<Arc<str>, &'static str> {
    let text = text.trim();
    let rest = text.strip_prefix("acs:ram::").ok_or("it must start with 'acs:ram::'")?;
    let (account, name) = rest.split_once(kind).ok_or(match kind {
        ":role/" => "it must be 'acs:ram::<account id>:role/<role name>'",
        _ => "it must be 'acs:ram::<account id>:oidc-provider/<provider name>'",
    })?;
    if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the account id must be digits only");
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err("the name must be 1 to 64 letters, digits, '.', '-' or '_'");
    }
    Ok(text.into())
}

/// Where the first credential comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// RRSA: the projected service-account token is exchanged for a session of a role of account A.
    Rrsa {
        /// `rrsaRoleARN`.
        role: RoleArn,
        /// `rrsaOIDCProviderRoleARN`.
        provider: OidcProviderArn,
        /// Read at every use; never cached.
        token_file: PathBuf,
    },
    /// The RAM role of the ECS instance, from the metadata service; `None`: its name is asked for.
    RamRole {
        /// The role's name where it is configured.
        name: Option<String>,
    },
    /// An AccessKey pair in the configuration.
    AccessKey {
        /// `customAccessKey`.
        id: String,
        /// `customAccessKeySecret`.
        secret: Secret,
    },
    /// An AccessKey pair in two files, read at every use.
    AccessKeyFile {
        /// `customAccessKeyFile`.
        id: PathBuf,
        /// `customAccessKeySecretFile`.
        secret: PathBuf,
    },
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID` and its companions, as they were at start.
    Environment {
        /// The key id.
        id: String,
        /// The key secret.
        secret: Secret,
        /// The security token of an STS triple.
        token: Option<Secret>,
    },
    /// A profile of the Alibaba Cloud CLI.
    Profile {
        /// `~/.aliyun/config.json` or the file named in its place.
        file: PathBuf,
        /// The profile; `None`: the current one.
        name: Option<String>,
    },
    /// `ALIBABA_CLOUD_CREDENTIALS_URI`: a local service that answers like the metadata service.
    CredentialsUri {
        /// An http URL.
        uri: String,
    },
}

/// The session policy sent with every AssumeRole towards the registry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SessionPolicy {
    /// The three actions that a pull needs and nothing else.
    #[default]
    PullOnly,
    /// The role's own rights, unnarrowed.
    None,
    /// The operator's own policy, as JSON text.
    Inline(String),
}

/// The role chain of one instance.
#[derive(Debug, Clone)]
pub struct Params {
    /// The first credential. With several, the first that is configured wins (`credentialSource: auto`).
    pub bases: Vec<Base>,
    /// `assumeRoleARN`: the hops after the base, in order; may be empty.
    pub hops: Vec<RoleArn>,
    /// `expireDuration`: 900 s to 43200 s.
    pub duration: Duration,
    /// `RoleSessionName`: at most 32 characters, tells cluster and node apart in the audit log.
    pub session_name: String,
    /// Narrows every hop.
    pub session_policy: SessionPolicy,
    /// `externalId`, sent with the last hop.
    pub external_id: Option<String>,
    /// `expiringThreshold`.
    pub expiring_threshold: Duration,
}
