//! Assuming a role: who may, for how long, and with what rights.
//!
//! The rules of AssumeRole and AssumeRoleWithOIDC that need the directory. Whether a parameter is well formed has been
//! decided before.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::oidc::OidcToken;
use super::{Caller, Credentials, DEFAULT_SESSION_DURATION, Directory, Identity, MIN_SESSION_DURATION};
use super::{Policy, Role, State, parse_arn};
use crate::openapi::Fault;

/// What a caller asks of STS.
pub(crate) struct SessionRequest {
    pub(crate) role_arn: String,
    pub(crate) session_name: String,
    /// Seconds; nothing means the default.
    pub(crate) duration: Option<u32>,
    pub(crate) policy: Option<Policy>,
    pub(crate) external_id: Option<String>,
}

/// A session as its role names it.
pub(crate) struct Assumed {
    /// `acs:ram::<account>:role/<role>/<session>`.
    pub(crate) arn: String,
    /// `<role id>:<session>`.
    pub(crate) id: String,
    pub(crate) credentials: Credentials,
}

impl Directory {
    /// Opens a session for a caller who has proved its identity.
    ///
    /// Both accounts have a say: the caller's own must allow `sts:AssumeRole`, the role's must trust the caller. The
    /// answer to either refusal is the same, as on the STS error page.
    pub(crate) fn assume_role(
        &self,
        caller: &Caller,
        request: &SessionRequest,
        now: Timestamp,
    ) -> Result<Assumed, Fault> {
        if caller.identity == Identity::Root {
            return Err(no_permission("Roles may not be assumed by root accounts."));
        }
        let denied = || no_permission("You are not authorized to do this action. You should be authorized by RAM.");
        let mut state = self.lock();
        if !state.allows(caller, &|policy| policy.allows("sts:AssumeRole", &request.role_arn)) {
            return Err(denied());
        }
        let role = state.roles.get(&request.role_arn).cloned().ok_or_else(|| {
            Fault::new(StatusCode::NOT_FOUND, "EntityNotExist.Role", "The specified Role not exists .")
        })?;
        let identified = role.external_id.is_none() || role.external_id == request.external_id;
        if !role.trusts(&caller.account, &caller.arn()) || !identified {
            return Err(denied());
        }
        state.grant(&role, request, now)
    }

    /// Opens a session for the bearer of a provider's token.
    pub(crate) fn assume_role_with_oidc(
        &self,
        provider_arn: &str,
        jwt: &str,
        request: &SessionRequest,
        now: Timestamp,
    ) -> Result<(Assumed, OidcToken), Fault> {
        let mut state = self.lock();
        let provider = state.providers.get(provider_arn);
        let provider = provider.ok_or_else(|| unauthenticated("No such OIDC Provider registered."))?;
        let token = OidcToken::verify(provider, jwt, now)?;
        let role = state.roles.get(&request.role_arn).cloned().ok_or_else(|| {
            let message = format!("The role not exists: {}.", request.role_arn);
            Fault::new(StatusCode::NOT_FOUND, "EntityNotExist.Role", message)
        })?;
        let account = |arn, kind| parse_arn(arn, kind).map(|(account, _)| account.to_owned());
        let same_account = account(provider_arn, "oidc-provider") == account(&role.arn, "role");
        if !same_account || !role.trusts_token(provider_arn, &token.issuer, &token.audiences, &token.subject) {
            return Err(unauthenticated("There is no permission."));
        }
        state.grant(&role, request, now).map(|assumed| (assumed, token))
    }
}

impl State {
    fn grant(&mut self, role: &Role, request: &SessionRequest, now: Timestamp) -> Result<Assumed, Fault> {
        let seconds = request.duration.unwrap_or(DEFAULT_SESSION_DURATION);
        if !(MIN_SESSION_DURATION..=role.max_session_duration).contains(&seconds) {
            let message = format!(
                "The Min/Max value of DurationSeconds is {}min/{}hr.",
                MIN_SESSION_DURATION / 60,
                role.max_session_duration / 3600
            );
            return Err(Fault::bad_request("InvalidParameter.DurationSeconds", message));
        }
        let (name, duration) = (&request.session_name, SignedDuration::from_secs(i64::from(seconds)));
        let credentials = self.open_session(&role.arn, name, request.policy.clone(), duration, now);
        Ok(Assumed { arn: format!("{}/{name}", role.arn), id: format!("{}:{name}", role.id), credentials })
    }
}

fn no_permission(message: &str) -> Fault {
    Fault::new(StatusCode::FORBIDDEN, "NoPermission", message)
}

/// The status of the `AuthenticationFail` codes is documented nowhere; clients must not depend on which 4xx it is.
fn unauthenticated(message: &str) -> Fault {
    Fault::new(StatusCode::FORBIDDEN, "AuthenticationFail.NoPermission", message)
}
