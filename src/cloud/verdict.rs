//! Which row of the table of failures a failed call belongs to, and whether trying again helps.
//!
//! Codes are those of the error pages of STS and of the Container Registry API. Nothing branches on a message.

use std::time::Duration;

use super::error::{CloudError, Problem};
use crate::error::diagnosis::{Names, Row, Sign};
use crate::error::{Explain, Retry};

/// The pause after throttling that names none: the quota is one of calls per second, so most of it is free again.
pub(crate) const THROTTLED_PAUSE: Duration = Duration::from_secs(2);

impl Explain for CloudError {
    fn row(&self) -> &'static Row {
        match self.problem() {
            Problem::Unreachable(error) => error.row(),
            Problem::Unreadable(_) => Row::of(Sign::CloudUnreadable),
            Problem::Impossible(_) => Row::of(Sign::CallImpossible),
            Problem::Refused { .. } if self.is_throttled() => Row::of(Sign::Throttled),
            Problem::Refused { .. } if matches!(self.retry(), Retry::Later(_)) => Row::of(Sign::CloudFailed),
            Problem::Refused { code, .. } => Row::of_code(self.listed_action(), code),
        }
    }

    fn names(&self) -> Names<'_> {
        Names { role: self.subject(), caller: self.caller(), host: Some(self.host()), repository: None }
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
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::THROTTLED_PAUSE;
    use crate::cloud::error::{CloudError, Details, Problem};
    use crate::error::diagnosis::{Row, Sign};
    use crate::error::{Blame, Explain, Retry};

    /// Every code of the error pages of STS, of RRSA, of the gateway before all APIs and of the Container Registry, with
    /// the API that answers it where others share it, and a status that it comes with (cloud fact sheet, sections 1.8
    /// and 2.4).
    const DOCUMENTED: [(&str, u16, &str); 50] = [
        ("AssumeRole", 403, "NoPermission"),
        ("AssumeRoleWithOIDC", 403, "NoPermission"),
        ("GetAuthorizationToken", 403, "NoPermission"),
        ("ListInstanceEndpoint", 403, "NoPermission"),
        ("AssumeRole", 404, "EntityNotExist.Role"),
        ("AssumeRoleWithOIDC", 404, "EntityNotExist.Role"),
        ("AssumeRole", 400, "InvalidParameter"),
        ("AssumeRole", 400, "InvalidParameter.RoleArn"),
        ("AssumeRole", 400, "InvalidParameter.RoleSessionName"),
        ("AssumeRole", 400, "InvalidParameter.PolicyGrammar"),
        ("AssumeRole", 400, "InvalidParameter.PolicySize"),
        ("AssumeRole", 400, "InvalidParameter.DurationSeconds"),
        ("AssumeRole", 500, "InternalError"),
        ("AssumeRoleWithOIDC", 400, "AuthenticationFail.OIDCToken.Expired"),
        ("AssumeRoleWithOIDC", 400, "AuthenticationFail.OIDCToken.AudienceNotMatch"),
        ("AssumeRoleWithOIDC", 400, "AuthenticationFail.OIDCToken.IssuerNotMatch"),
        ("AssumeRoleWithOIDC", 400, "AuthenticationFail.OIDCToken.IssuerConfigurationBroken"),
        ("AssumeRoleWithOIDC", 400, "AuthenticationFail.OIDCToken.Invalid"),
        ("AssumeRoleWithOIDC", 400, "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch"),
        ("AssumeRoleWithOIDC", 403, "AuthenticationFail.NoPermission"),
        ("AssumeRole", 400, "Throttling"),
        ("AssumeRole", 400, "Throttling.User"),
        ("AssumeRole", 429, "Throttling.Api"),
        ("AssumeRole", 400, "MissingSecurityToken"),
        ("AssumeRole", 400, "InvalidSecurityToken.Expired"),
        ("AssumeRole", 400, "InvalidSecurityToken.Malformed"),
        ("AssumeRole", 400, "InvalidSecurityToken.MismatchWithAccessKey"),
        ("AssumeRole", 404, "InvalidAccessKeyId.NotFound"),
        ("AssumeRole", 400, "InvalidAccessKeyId.Inactive"),
        ("AssumeRole", 403, "Forbidden.AccessKeyDisabled"),
        ("AssumeRole", 400, "InvalidTimeStamp.Expired"),
        ("AssumeRole", 400, "InvalidTimeStamp.Format"),
        ("AssumeRole", 400, "SignatureNonceUsed"),
        ("AssumeRole", 400, "SignatureDoesNotMatch"),
        ("AssumeRole", 400, "IncompleteSignature"),
        ("AssumeRole", 400, "InvalidVersion"),
        ("AssumeRole", 404, "InvalidAction.NotFound"),
        ("AssumeRole", 404, "InvalidApi.NotFound"),
        ("AssumeRole", 400, "UnsupportedHTTPMethod"),
        ("AssumeRole", 400, "InvalidSignatureMethod"),
        ("AssumeRole", 400, "InvalidProtocol.NeedSsl"),
        ("AssumeRole", 503, "ServiceUnavailable"),
        ("AssumeRole", 503, "ServiceUnavailableTemporary"),
        ("GetAuthorizationToken", 403, "NoPrivilege"),
        ("GetAuthorizationToken", 500, "SystemError"),
        ("GetAuthorizationToken", 200, "INSTANCE_NOT_EXIST"),
        ("GetAuthorizationToken", 200, "NAMESPACE_NOT_EXIST"),
        ("GetAuthorizationToken", 200, "REPO_NOT_EXIST"),
        ("GetAuthorizationToken", 200, "VSWITCH_NOT_EXIST"),
        ("GetAuthorizationToken", 404, "USER_NOT_EXIST"),
    ];

    fn refused(status: u16, code: &str, asked: Option<Duration>) -> CloudError {
        let details = Details {
            action: "AssumeRole",
            host: "sts.aliyuncs.com".into(),
            subject: Some("acs:ram::222222222222:role/acr-pull".into()),
            caller: None,
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
    fn every_documented_code_has_a_row_that_names_it() {
        for (action, status, code) in DOCUMENTED {
            let row = CloudError::refused(action, status, code).row();
            let named = code
                .strip_prefix("AuthenticationFail.OIDCToken")
                .map_or(code, |_| code.trim_start_matches("AuthenticationFail."));
            let named = [format!("`{named}`"), format!(": {named}`")];
            assert!(named.iter().any(|named| row.seen.contains(named)), "{action}: {code} is told as {}", row.seen);
            assert!(!std::ptr::eq(row, Row::of(Sign::UnknownCode)), "{code}");
        }
    }

    #[test]
    fn a_pause_that_was_asked_for_makes_any_error_a_throttling() {
        let asked = Some(Duration::from_millis(1500));
        assert_eq!(refused(400, "Whatever", asked).retry(), Retry::Later(asked));
    }

    #[test]
    fn no_permission_names_both_halves_and_both_arns() {
        let error = refused(403, "NoPermission", None).called_by("acs:ram::111111111111:role/cluster-a");
        let advice = error.advice().unwrap();
        for part in [
            "account A: allow sts:AssumeRole on acs:ram::222222222222:role/acr-pull",
            "trust policy of acs:ram::222222222222:role/acr-pull under Principal.RAM: acs:ram::111111111111:role/cluster-a",
        ] {
            assert!(advice.contains(part), "{advice}");
        }
        assert_eq!(error.blame(), Blame::EitherAccount);
        assert_eq!(error.to_string(), "AssumeRole at sts.aliyuncs.com: 403 NoPermission (request id 6894B13B)");
    }
}
