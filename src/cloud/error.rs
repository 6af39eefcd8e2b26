//! Why a call to the cloud failed, who has to act, and what to do.
//!
//! Codes and their meaning are those of the error pages of STS and of the Container Registry API. Nothing branches on a
//! message, and no message of a signature error is kept, since it echoes the string that was signed.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::error::{Blame, Explain, Retry};
use crate::http::client::ClientError;

/// A failed call; as small as a pointer, since every success carries room for it.
#[derive(Debug)]
pub struct CloudError(Box<Details>);

/// What there is to know about a failed call.
#[derive(Debug)]
pub(crate) struct Details {
    /// The API's name, such as `AssumeRole`.
    pub(crate) action: &'static str,
    /// The host that was asked.
    pub(crate) host: String,
    /// What the call was about: a role or an instance.
    pub(crate) subject: Option<String>,
    /// The cloud's id of the call.
    pub(crate) request_id: Option<String>,
    /// What happened.
    pub(crate) problem: Problem,
}

/// What happened to a call.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The cloud answered with an error.
    Refused {
        /// The HTTP status; 200 where the failure stood in the body only.
        status: u16,
        /// `Code`, or empty where the answer had none.
        code: String,
        /// `Message`, where it can be shown.
        message: Option<String>,
        /// The pause that was asked for.
        asked: Option<Duration>,
    },
    /// No answer came.
    Unreachable(ClientError),
    /// The answer is not what is documented.
    Unreadable(&'static str),
    /// The call could not be made.
    Impossible(&'static str),
}

impl From<Details> for CloudError {
    fn from(details: Details) -> Self {
        Self(Box::new(details))
    }
}

impl CloudError {
    /// What happened.
    pub(crate) const fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// The same with the cloud's id of the call, where the answer had one.
    pub(crate) fn with_request_id(mut self, request_id: Option<String>) -> Self {
        self.0.request_id = request_id;
        self
    }

    /// An error answer, for tests of those who have to cope with it.
    #[cfg(test)]
    pub(crate) fn refused(action: &'static str, status: u16, code: &str) -> Self {
        let problem = Problem::Refused { status, code: code.to_owned(), message: None, asked: None };
        Details { action, host: "sts.aliyuncs.com".to_owned(), subject: None, request_id: None, problem }.into()
    }

    /// The API's name, such as `AssumeRole`.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        self.0.action
    }

    /// The cloud's error code; empty where there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        match &self.0.problem {
            Problem::Refused { code, .. } => code,
            _ => "",
        }
    }

    /// The HTTP status of the answer, where one came.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match &self.0.problem {
            Problem::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the cloud's answer was a decision about rights, names or input, not a failure on the way to one.
    #[must_use]
    pub fn is_decision(&self) -> bool {
        self.retry() == Retry::Never && matches!(self.0.problem, Problem::Refused { .. })
    }

    fn is_throttled(&self) -> bool {
        match &self.0.problem {
            // STS throttles with a bare redirect, too (STS FAQ).
            Problem::Refused { status, code, .. } => {
                code.starts_with("Throttling") || matches!(status, 300..=399 | 429)
            }
            _ => false,
        }
    }

    fn subject(&self) -> &str {
        self.0.subject.as_deref().unwrap_or("the role")
    }
}

impl Explain for CloudError {
    fn blame(&self) -> Blame {
        match &self.0.problem {
            Problem::Unreachable(error) => error.blame(),
            Problem::Unreadable(_) => Blame::Cloud,
            Problem::Impossible(_) => Blame::Node,
            Problem::Refused { .. } if matches!(self.retry(), Retry::Later(_)) => Blame::Cloud,
            Problem::Refused { code, .. } => match code.as_str() {
                code if code.starts_with("InvalidTimeStamp") => Blame::Node,
                code if code.starts_with("InvalidAccessKeyId") || code.contains("AccessKeyDisabled") => Blame::Node,
                "AuthenticationFail.OIDCToken.Expired" | "AuthenticationFail.OIDCToken.AudienceNotMatch" => Blame::Node,
                code if code.starts_with("AuthenticationFail") => Blame::NodeAccount,
                "NoPermission" | "EntityNotExist.Role" if self.0.action == "AssumeRoleWithOIDC" => Blame::NodeAccount,
                code if code.starts_with("InvalidParameter") => Blame::Node,
                "NoPermission" | "EntityNotExist.Role" | "NoPrivilege" | "INSTANCE_NOT_EXIST" | "USER_NOT_EXIST" => {
                    Blame::RegistryAccount
                }
                _ => Blame::Cloud,
            },
        }
    }

    fn retry(&self) -> Retry {
        match &self.0.problem {
            Problem::Unreachable(_) | Problem::Unreadable(_) => Retry::Later(None),
            Problem::Impossible(_) => Retry::Never,
            Problem::Refused { status, code, asked, .. } => match code.as_str() {
                _ if self.is_throttled() || asked.is_some() || *status >= 500 => Retry::Later(*asked),
                "InternalError" | "SystemError" | "ServiceUnavailable" | "ServiceUnavailableTemporary" => {
                    Retry::Later(*asked)
                }
                "InvalidAccessKeyId.NotFound"
                | "InvalidTimeStamp.Expired"
                | "SignatureNonceUsed"
                | "AuthenticationFail.OIDCToken.Expired"
                | "InvalidParameter.DurationSeconds" => Retry::Renewed,
                code if code.starts_with("InvalidSecurityToken") => Retry::Renewed,
                _ => Retry::Never,
            },
        }
    }

    fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    fn advice(&self) -> Option<Cow<'_, str>> {
        let Problem::Refused { code, .. } = &self.0.problem else {
            return match &self.0.problem {
                Problem::Unreachable(error) => error.advice(),
                _ => None,
            };
        };
        let role = self.subject();
        Some(match code.as_str() {
            _ if self.is_throttled() => "wait: the account's limit of calls is reached, the daemon tries again".into(),
            "NoPermission" => format!(
                "allow sts:AssumeRole on {role} in the caller's policy, and name the caller in the trust policy of \
                 {role}: the cloud does not tell which of the two is missing; keys of a root account cannot assume roles"
            )
            .into(),
            "AuthenticationFail.NoPermission" => format!(
                "enable RRSA and check the provider ARN, and let issuer, audience and subject of the token match the \
                 trust policy of {role}"
            )
            .into(),
            "EntityNotExist.Role" => format!("create {role} or correct its ARN").into(),
            "NoPrivilege" => {
                "allow cr:GetAuthorizationToken, cr:ListInstanceEndpoint and cr:PullRepository to the last role".into()
            }
            "INSTANCE_NOT_EXIST" => "check instanceId and regionId: an instance is known in its own region only".into(),
            "USER_NOT_EXIST" => "activate the Personal Edition for this user once in the console".into(),
            "AuthenticationFail.OIDCToken.AudienceNotMatch" => {
                "project the service-account token with audience sts.aliyuncs.com".into()
            }
            "AuthenticationFail.OIDCToken.IssuerNotMatch" | "AuthenticationFail.OIDCToken.IssuerConfigurationBroken" => {
                "recreate the pod: its token is older than RRSA on this cluster".into()
            }
            "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch" => {
                "renew the fingerprint of the OIDC provider in RAM".into()
            }
            "AuthenticationFail.OIDCToken.Expired" => {
                "check that kubelet renews the token file and that it is mounted as a projected volume".into()
            }
            "InvalidTimeStamp.Expired" => "set the node's clock right".into(),
            "InvalidParameter.DurationSeconds" => format!("raise MaxSessionDuration of {role}").into(),
            code if code.starts_with("InvalidAccessKeyId") || code.contains("AccessKeyDisabled") => {
                "replace the AccessKey pair: this one is unknown, disabled or deleted".into()
            }
            code if code.starts_with("InvalidParameter") => "correct the value that the code names".into(),
            code if code.starts_with("Signature") || code == "IncompleteSignature" => {
                "check that AccessKey id and secret belong together and that nothing rewrites requests on the way".into()
            }
            _ => return None,
        })
    }
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: ", self.0.action, self.0.host)?;
        match &self.0.problem {
            Problem::Refused { status, code, message, .. } => {
                if self.is_throttled() {
                    f.write_str("throttled, ")?;
                }
                write!(f, "{status}")?;
                if !code.is_empty() {
                    write!(f, " {code}")?;
                }
                if let Some(message) = message {
                    write!(f, " \"{message}\"")?;
                }
            }
            Problem::Unreachable(_) => f.write_str("no answer")?,
            Problem::Unreadable(what) | Problem::Impossible(what) => f.write_str(what)?,
        }
        match &self.0.request_id {
            Some(id) => write!(f, " (request id {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CloudError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.problem {
            Problem::Unreachable(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CloudError, Details, Problem};
    use crate::error::{Blame, Explain, Retry};

    fn refused(status: u16, code: &str, asked: Option<Duration>) -> CloudError {
        let details = Details {
            action: "AssumeRole",
            host: "sts.aliyuncs.com".into(),
            subject: Some("acs:ram::222222222222:role/acr-pull".into()),
            request_id: Some("6894B13B".into()),
            problem: Problem::Refused { status, code: code.into(), message: None, asked },
        };
        details.into()
    }

    #[test]
    fn codes_say_whether_trying_again_helps() {
        for (status, code, expected) in [
            (403, "NoPermission", Retry::Never),
            (404, "EntityNotExist.Role", Retry::Never),
            (400, "Throttling.User", Retry::Later(None)),
            (302, "", Retry::Later(None)),
            (429, "", Retry::Later(None)),
            (500, "InternalError", Retry::Later(None)),
            (503, "", Retry::Later(None)),
            (400, "InvalidSecurityToken.Expired", Retry::Renewed),
            (400, "InvalidSecurityToken.MismatchWithAccessKey", Retry::Renewed),
            (404, "InvalidAccessKeyId.NotFound", Retry::Renewed),
            (400, "InvalidTimeStamp.Expired", Retry::Renewed),
            (200, "INSTANCE_NOT_EXIST", Retry::Never),
        ] {
            assert_eq!(refused(status, code, None).retry(), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_pause_that_was_asked_for_makes_any_error_a_throttling() {
        let asked = Some(Duration::from_millis(1500));
        assert_eq!(refused(400, "Whatever", asked).retry(), Retry::Later(asked));
    }

    #[test]
    fn no_permission_names_both_halves_and_the_role() {
        let error = refused(403, "NoPermission", None);
        let advice = error.advice().unwrap();
        assert!(advice.contains("caller's policy") && advice.contains("trust policy of acs:ram::222222222222"));
        assert_eq!(error.blame(), Blame::RegistryAccount);
        assert_eq!(error.to_string(), "AssumeRole at sts.aliyuncs.com: 403 NoPermission (request id 6894B13B)");
    }
}
