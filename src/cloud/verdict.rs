//! What each error code means: who has to act, whether trying again helps, what to do.
//!
//! Codes and their meaning are those of the error pages of STS and of the Container Registry API. Nothing branches on a
//! message.

use std::borrow::Cow;
use std::time::Duration;

use super::error::{CloudError, Problem};
use crate::error::{Blame, Explain, Retry};

/// The pause after throttling that names none: the quota is one of calls per second, so most of it is free again.
pub(crate) const THROTTLED_PAUSE: Duration = Duration::from_secs(2);

impl Explain for CloudError {
    fn blame(&self) -> Blame {
        match self.problem() {
            Problem::Unreachable(error) => error.blame(),
            Problem::Unreadable(_) => Blame::Cloud,
            Problem::Impossible(_) => Blame::Node,
            Problem::Refused { .. } if matches!(self.retry(), Retry::Later(_)) => Blame::Cloud,
            Problem::Refused { code, .. } => match code.as_str() {
                code if code.starts_with("InvalidTimeStamp") => Blame::Node,
                code if code.starts_with("InvalidAccessKeyId") || code.contains("AccessKeyDisabled") => Blame::Node,
                "AuthenticationFail.OIDCToken.Expired" | "AuthenticationFail.OIDCToken.AudienceNotMatch" => Blame::Node,
                code if code.starts_with("AuthenticationFail") => Blame::NodeAccount,
                "NoPermission" | "EntityNotExist.Role" if self.action() == "AssumeRoleWithOIDC" => Blame::NodeAccount,
                code if code.starts_with("InvalidParameter") => Blame::Node,
                "NoPermission" | "EntityNotExist.Role" | "NoPrivilege" | "INSTANCE_NOT_EXIST" | "USER_NOT_EXIST" => {
                    Blame::RegistryAccount
                }
                _ => Blame::Cloud,
            },
        }
    }

    fn retry(&self) -> Retry {
        match self.problem() {
            Problem::Unreachable(_) | Problem::Unreadable(_) => Retry::Later(None),
            Problem::Impossible(_) => Retry::Never,
            Problem::Refused { status, code, asked, .. } => match code.as_str() {
                _ if self.is_throttled() => Retry::Later(Some(asked.unwrap_or(THROTTLED_PAUSE))),
                _ if asked.is_some() || *status >= 500 => Retry::Later(*asked),
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
        self.id()
    }

    fn advice(&self) -> Option<Cow<'_, str>> {
        let Problem::Refused { code, .. } = self.problem() else {
            return match self.problem() {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::THROTTLED_PAUSE;
    use crate::cloud::error::{CloudError, Details, Problem};
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
            (400, "Throttling.User", Retry::Later(Some(THROTTLED_PAUSE))),
            (302, "", Retry::Later(Some(THROTTLED_PAUSE))),
            (429, "", Retry::Later(Some(THROTTLED_PAUSE))),
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
