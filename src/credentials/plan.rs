//! The role chain as data, checked before any I/O.
//!
//! What STS would refuse after a round trip (AssumeRole: session name, duration, policy, external id) and what it would
//! never notice (a circle of roles) is refused here, all at once.

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

    /// The id of the account it belongs to.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.0.strip_prefix("acs:ram::")?.split_once(':').map(|(account, _)| account)
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

impl Base {
    /// Whom RAM sees: the ARN of a role where it is known, else words that name the identity.
    #[must_use]
    pub fn identity(&self) -> String {
        match self {
            Self::Rrsa { role, .. } => role.to_string(),
            Self::RamRole { name: Some(name) } => format!("the node's RAM role {name}"),
            Self::RamRole { name: None } => "the node's RAM role".to_owned(),
            Self::AccessKey { id, .. } | Self::Environment { id, .. } => format!("the owner of AccessKey {id}"),
            Self::AccessKeyFile { id, .. } => format!("the owner of the AccessKey in {}", id.display()),
            Self::Profile { file, .. } => format!("the identity of the profile in {}", file.display()),
            // The URI itself may carry a token in its path.
            Self::CredentialsUri { .. } => "the identity of the credentials URI".to_owned(),
        }
    }
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// The first credential. With several, the first that is configured wins (`credentialSource: auto`).
    pub bases: Vec<Base>,
    /// `assumeRoleARN`: the hops after the base, in order; may be empty.
    pub hops: Vec<RoleArn>,
    /// `expireDuration`: 900 s to 43200 s.
    pub duration: Duration,
    /// `RoleSessionName`: at most 32 characters, tells cluster and node apart in the audit log.
    pub session_name: String,
    /// Narrows the last hop; those before it are narrowed to the next step unless it is `None`.
    pub session_policy: SessionPolicy,
    /// `externalId`, sent with the last hop.
    pub external_id: Option<String>,
    /// `expiringThreshold`.
    pub expiring_threshold: Duration,
}

impl Params {
    /// Who asks for the hop at `index`; behind the last hop, who asks for the login.
    #[must_use]
    pub fn caller(&self, index: usize) -> String {
        match index.checked_sub(1).and_then(|before| self.hops.get(before)) {
            Some(role) => role.to_string(),
            None => self.bases.iter().map(Base::identity).collect::<Vec<_>>().join(" or "),
        }
    }

    /// Whether a hop is a role of another account than the last one, which is the registry's.
    #[must_use]
    pub fn is_before_registry(&self, role: &RoleArn) -> bool {
        self.hops.last().is_some_and(|last| last.account() != role.account())
    }
}

/// The shortest session of any role, in seconds (AssumeRole, `DurationSeconds`).
const SHORTEST_SESSION: u64 = 900;
/// The longest session of any role, in seconds (AssumeRole, `DurationSeconds`).
const LONGEST_SESSION: u64 = 43_200;
/// The longest session name: the page says 64, an older page and the error's own text say 32.
const LONGEST_SESSION_NAME: usize = 32;
/// The longest session policy in characters.
const LONGEST_POLICY: usize = 2048;
/// The longest external id.
const LONGEST_EXTERNAL_ID: usize = 1224;

/// A chain that was checked: one base or more, then hops.
#[derive(Debug, Clone)]
pub struct RoleChain {
    pub(super) params: Params,
}

/// Everything that is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the role chain cannot work: {}", .problems.join("; "))]
pub struct PlanError {
    /// One sentence for each problem, naming the configuration key.
    pub problems: Vec<String>,
}

/// Checks a chain.
///
/// # Errors
/// [`PlanError`] with every problem at once.
pub fn plan(params: &Params) -> Result<RoleChain, PlanError> {
    let mut problems = Vec::new();
    if params.bases.is_empty() {
        problems.push("there is no first credential: set rrsaRoleARN, customAccessKey or credentialSource".to_owned());
    }
    for (index, role) in params.hops.iter().enumerate() {
        let before = params.hops.iter().take(index);
        let is_base = |base: &Base| matches!(base, Base::Rrsa { role: first, .. } if first == role);
        if before.into_iter().any(|earlier| earlier == role) || params.bases.iter().any(is_base) {
            problems.push(format!("assumeRoleARN leads back to {role}"));
        }
    }
    if !(SHORTEST_SESSION..=LONGEST_SESSION).contains(&params.duration.as_secs()) {
        problems.push(format!("expireDuration must be {SHORTEST_SESSION} to {LONGEST_SESSION} seconds"));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'@' | b'_' | b'-');
    if !(2..=LONGEST_SESSION_NAME).contains(&params.session_name.len()) || !params.session_name.bytes().all(fits) {
        problems.push("the session name must be 2 to 32 letters, digits, '.', '@', '_' or '-'".to_owned());
    }
    if let SessionPolicy::Inline(text) = &params.session_policy {
        if text.chars().count() > LONGEST_POLICY {
            problems.push("sessionPolicy must have at most 2048 characters".to_owned());
        }
        if !serde_json::from_str::<serde_json::Value>(text).is_ok_and(|policy| policy.get("Statement").is_some()) {
            problems.push("sessionPolicy must be pullOnly, none, or JSON with a Statement".to_owned());
        }
    }
    if let Some(id) = &params.external_id {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
        if !(2..=LONGEST_EXTERNAL_ID).contains(&id.len()) || !id.bytes().all(fits) {
            problems.push("externalId must be 2 to 1224 letters, digits or _+=,.@:/-".to_owned());
        }
        if params.hops.is_empty() {
            problems.push("externalId needs assumeRoleARN".to_owned());
        }
    }
    if problems.is_empty() { Ok(RoleChain { params: params.clone() }) } else { Err(PlanError { problems }) }
}

impl fmt::Display for RoleChain {
    /// The steps in words, for people: `RRSA acs:…:role/a -> acs:…:role/b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, base) in self.params.bases.iter().enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            write!(f, "{separator}{base}")?;
        }
        for role in &self.params.hops {
            write!(f, " -> {role}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rrsa { role, .. } => write!(f, "RRSA {role}"),
            Self::RamRole { name: Some(name) } => write!(f, "RAM role {name} of the node"),
            Self::RamRole { name: None } => f.write_str("RAM role of the node"),
            Self::AccessKey { .. } => f.write_str("AccessKey pair in the configuration"),
            Self::AccessKeyFile { id, .. } => write!(f, "AccessKey pair in {}", id.display()),
            Self::Environment { .. } => f.write_str("AccessKey pair in the environment"),
            Self::Profile { file, .. } => write!(f, "CLI profile in {}", file.display()),
            Self::CredentialsUri { .. } => f.write_str("credentials URI"),
        }
    }
}

#[cfg(test)]
mod tests;
