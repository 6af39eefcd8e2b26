//! Why there is no bearer.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::realm::RealmError;
use crate::cloud::CloudError;
use crate::credentials::CredentialsError;
use crate::error::{Blame, Explain, Retry};
use crate::http::client::ClientError;
use crate::oci::{RegistryHost, Scope};
use crate::refresh::Interrupted;

/// `Display` becomes the reason phrase of an HTTP answer, so it is short.
const LONGEST_TEXT: usize = 90;

/// Why there is no bearer.
#[derive(Debug)]
pub enum TokenError {
    /// The role chain gave no credentials.
    Credentials(Arc<CredentialsError>),
    /// `GetAuthorizationToken` failed.
    Login(CloudError),
    /// The token realm refuses the login, also after a new one was fetched.
    LoginRefused {
        /// The realm's host.
        realm: String,
    },
    /// The registry did not say where bearers come from.
    NoChallenge {
        /// The registry.
        host: RegistryHost,
        /// Its status for `/v2/`.
        status: u16,
    },
    /// The registry sends the login to somebody who must not have it.
    Realm(RealmError),
    /// The registry no longer asks what it asked; its challenge is read again.
    ChallengeChanged,
    /// The registry, or its token realm, did not answer.
    Unreachable(ClientError),
    /// The token realm answered with an error, or with no token.
    RealmFailed {
        /// The realm's host.
        realm: String,
        /// Its status.
        status: u16,
        /// The pause it asked for.
        asked: Option<Duration>,
    },
    /// The realm gave a token that may not pull.
    NotPermitted(Scope),
    /// The registry refuses one new bearer after the other.
    BearerRefused,
    /// The daemon is going down.
    Interrupted(Interrupted),
}

impl From<Interrupted> for TokenError {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Credentials(error) => short_credentials(error),
            Self::Login(error) => short_call(error),
            Self::LoginRefused { realm } => format!("{realm} refuses the login"),
            Self::NoChallenge { host, status } => format!("{host} answers {status} and no challenge"),
            Self::Realm(error) => error.to_string(),
            Self::ChallengeChanged => "the registry changed its challenge".to_owned(),
            Self::Unreachable(error) => error.to_string(),
            Self::RealmFailed { realm, status, .. } => format!("{realm} answers {status} and no token"),
            Self::NotPermitted(scope) => {
                format!("the role lacks cr:PullRepository, or {} does not exist", scope.repository())
            }
            Self::BearerRefused => "the registry refuses the bearer".to_owned(),
            Self::Interrupted(error) => error.to_string(),
        };
        for char in text.chars().take(LONGEST_TEXT) {
            fmt::Write::write_char(f, if matches!(char, ' '..='~') { char } else { '?' })?;
        }
        Ok(())
    }
}

/// What went wrong in the chain, in a few words: the call and its code tell most.
fn short_credentials(error: &CredentialsError) -> String {
    match error {
        CredentialsError::Denied { error, .. } | CredentialsError::Unavailable { error, .. } => short_call(error),
        CredentialsError::Exhausted { .. } => "no source of a first credential is configured".to_owned(),
        other => other.to_string(),
    }
}

fn short_call(error: &CloudError) -> String {
    match (error.code(), error.status()) {
        ("", None) => format!("{} got no usable answer", error.action()),
        ("", Some(status)) => format!("{} answered {status}", error.action()),
        (code, _) => format!("{} answered {code}", error.action()),
    }
}

impl std::error::Error for TokenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Credentials(error) => Some(&**error),
            Self::Login(error) => Some(error),
            Self::Realm(error) => Some(error),
            Self::Unreachable(error) => Some(error),
            _ => None,
        }
    }
}

impl Explain for TokenError {
    fn blame(&self) -> Blame {
        match self {
            Self::Credentials(error) => error.blame(),
            Self::Login(error) => error.blame(),
            Self::Unreachable(error) => error.blame(),
            Self::NotPermitted(_) | Self::BearerRefused => Blame::RegistryAccount,
            Self::LoginRefused { .. } | Self::NoChallenge { .. } | Self::RealmFailed { .. } => Blame::Cloud,
            Self::ChallengeChanged => Blame::Cloud,
            Self::Realm(_) | Self::Interrupted(_) => Blame::Node,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Credentials(error) => error.retry(),
            Self::Login(error) => error.retry(),
            Self::Unreachable(error) => error.retry(),
            // The realm has decided, and would decide the same a moment later.
            Self::RealmFailed { status: 400..=407, .. } | Self::LoginRefused { .. } => Retry::Never,
            Self::RealmFailed { asked, .. } => Retry::Later(*asked),
            Self::NoChallenge { .. } | Self::Interrupted(_) => Retry::Later(None),
            Self::ChallengeChanged => Retry::Renewed,
            Self::NotPermitted(_) | Self::BearerRefused | Self::Realm(_) => Retry::Never,
        }
    }

    fn request_id(&self) -> Option<&str> {
        match self {
            Self::Credentials(error) => error.request_id(),
            Self::Login(error) => error.request_id(),
            _ => None,
        }
    }

    fn advice(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Credentials(error) => error.advice(),
            Self::Login(error) => error.advice(),
            Self::Unreachable(error) => error.advice(),
            Self::NotPermitted(scope) => Some(Cow::Owned(format!(
                "allow cr:PullRepository to the last role, and check that {} exists; a public repository still needs it",
                scope.repository()
            ))),
            Self::BearerRefused => {
                Some(Cow::Borrowed("check the rights of the last role and the instance's access control"))
            }
            Self::Realm(_) => Some(Cow::Borrowed("if the host is yours, name it in network.realms")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TokenError;
    use crate::oci::{RepositoryName, Scope};

    #[test]
    fn every_text_fits_a_reason_phrase() {
        let long = RepositoryName::parse(&"a".repeat(255)).unwrap();
        let text = TokenError::NotPermitted(Scope::pull(long)).to_string();
        assert!(text.len() <= 90 && text.is_ascii());
        let text = TokenError::LoginRefused { realm: "x\r\ny\u{e9}".into() }.to_string();
        assert_eq!(text, "x??y? refuses the login");
    }
}
