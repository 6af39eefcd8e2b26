//! Why there is no bearer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::realm::RealmError;
use crate::cloud::CloudError;
use crate::credentials::CredentialsError;
use crate::error::diagnosis::{Names, Row, Sign};
use crate::error::{Explain, Retry};
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
                format!("the role lacks cr:PullRepository, or there is no {}", scope.repository())
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
        CredentialsError::TokenFile { .. } => "the RRSA token file cannot be read".to_owned(),
        other => other.to_string(),
    }
}

fn short_call(error: &CloudError) -> String {
    let action = error.action();
    match (error.code(), error.status()) {
        ("", Some(status)) => format!("{action} answered {status}"),
        ("", None) => match error.network() {
            Some(network) => format!("{action} {network}"),
            None => format!("{action} got no usable answer"),
        },
        // The longest of all codes begin so, and every other word of them says more.
        (code, _) => format!("{action}: {}", code.strip_prefix("AuthenticationFail.").unwrap_or(code)),
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
    fn row(&self) -> &'static Row {
        Row::of(match self {
            Self::Credentials(error) => return error.row(),
            Self::Login(error) => return error.row(),
            Self::Unreachable(error) => return error.row(),
            Self::LoginRefused { .. } => Sign::LoginRefused,
            Self::NoChallenge { .. } => Sign::NoChallenge,
            Self::Realm(_) => Sign::RealmForeign,
            Self::ChallengeChanged => Sign::ChallengeChanged,
            Self::RealmFailed { .. } => Sign::RealmFailed,
            Self::NotPermitted(_) => Sign::NotPermitted,
            Self::BearerRefused => Sign::BearerRefused,
            Self::Interrupted(_) => Sign::Interrupted,
        })
    }

    fn names(&self) -> Names<'_> {
        match self {
            Self::Credentials(error) => error.names(),
            Self::Login(error) => error.names(),
            Self::Unreachable(error) => error.names(),
            Self::NoChallenge { host, .. } => Names { host: Some(host.as_str()), ..Names::default() },
            Self::LoginRefused { realm } | Self::RealmFailed { realm, .. } => {
                Names { host: Some(realm), ..Names::default() }
            }
            Self::NotPermitted(scope) => Names { repository: Some(scope.repository().as_str()), ..Names::default() },
            _ => Names::default(),
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
            // Nobody has to grant anything for the next bearer to be taken: it is only not asked for at once.
            Self::NoChallenge { .. } | Self::Interrupted(_) | Self::BearerRefused => Retry::Later(None),
            Self::ChallengeChanged => Retry::Renewed,
            Self::NotPermitted(_) | Self::Realm(_) => Retry::Never,
        }
    }

    fn request_id(&self) -> Option<&str> {
        match self {
            Self::Credentials(error) => error.request_id(),
            Self::Login(error) => error.request_id(),
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
