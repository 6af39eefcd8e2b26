//! Roles and whom they trust.
//!
//! A role is a policy that others may borrow; its trust policy says who. Nothing here knows sessions or keys.

use super::policy::Policy;
use crate::issue;

/// The shortest session, in seconds, whatever the role (AssumeRole page).
pub const MIN_SESSION_DURATION: u32 = 900;
/// Seconds that a role allows unless it is set otherwise, and that AssumeRole gives unless it is asked otherwise.
pub const DEFAULT_SESSION_DURATION: u32 = 3600;
/// The most a role can be set to, in seconds.
pub const MAX_SESSION_DURATION: u32 = 43_200;

/// A RAM role.
#[derive(Debug, Clone)]
pub struct Role {
    /// `acs:ram::<account>:role/<name>`.
    pub arn: String,
    /// Who may assume it.
    pub trust: Vec<Principal>,
    /// What it may do.
    pub policy: Policy,
    /// The longest session in seconds.
    pub max_session_duration: u32,
    /// What the caller has to show beside its own identity, as the trust policy's condition.
    pub external_id: Option<String>,
    pub(crate) id: String,
}

/// One entry of a trust policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A role, by ARN.
    Role(String),
    /// A RAM user, by ARN.
    User(String),
    /// Every identity of an account that its own account lets assume roles.
    Account(String),
    /// Tokens of an OIDC provider that fulfil the conditions.
    Oidc(OidcPrincipal),
}

/// An OIDC provider in a trust policy, with the three usual conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcPrincipal {
    /// ARN of the provider.
    pub provider: String,
    /// The token's `iss`.
    pub issuer: String,
    /// One of the token's `aud`.
    pub audience: String,
    /// The token's `sub`.
    pub subject: String,
}

impl Role {
    /// A role that trusts nobody and may do nothing.
    #[must_use]
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            arn: arn.into(),
            trust: Vec::new(),
            policy: Policy::default(),
            max_session_duration: DEFAULT_SESSION_DURATION,
            external_id: None,
            id: issue::numeric_id(),
        }
    }

    /// Adds an entry to the trust policy.
    #[must_use]
    pub fn trusting(mut self, principal: Principal) -> Self {
        self.trust.push(principal);
        self
    }

    /// Adds permissions.
    #[must_use]
    pub fn allowed(mut self, policy: Policy) -> Self {
        self.policy = self.policy.and(policy);
        self
    }

    /// Sets the longest session, in seconds.
    #[must_use]
    pub fn lasting_at_most(mut self, seconds: u32) -> Self {
        self.max_session_duration = seconds;
        self
    }

    /// Demands an ExternalId.
    #[must_use]
    pub fn requiring_external_id(mut self, external_id: impl Into<String>) -> Self {
        self.external_id = Some(external_id.into());
        self
    }

    /// Whether the trust policy names this identity (ARN of a user or role) of this account.
    pub(crate) fn trusts(&self, account: &str, arn: &str) -> bool {
        self.trust.iter().any(|principal| match principal {
            Principal::Role(trusted) | Principal::User(trusted) => trusted == arn,
            Principal::Account(trusted) => trusted == account,
            Principal::Oidc(_) => false,
        })
    }

    /// Whether the trust policy accepts this token of this provider.
    pub(crate) fn trusts_token(&self, provider: &str, issuer: &str, audiences: &[String], subject: &str) -> bool {
        self.trust.iter().any(|principal| match principal {
            Principal::Oidc(trusted) => {
                trusted.provider == provider
                    && trusted.issuer == issuer
                    && audiences.contains(&trusted.audience)
                    && trusted.subject == subject
            }
            _ => false,
        })
    }
}

/// Account and name of `acs:ram::<account>:<kind>/<name>`, or `None` where the text is no such ARN.
pub(crate) fn parse_arn<'a>(arn: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (account, resource) = arn.strip_prefix("acs:ram::")?.split_once(':')?;
    let name = resource.strip_prefix(kind)?.strip_prefix('/')?;
    let numeric = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    (numeric && named).then_some((account, name))
}
