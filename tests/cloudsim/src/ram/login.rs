//! Registry logins: the user and password that GetAuthorizationToken gives.
//!
//! A login has the rights of whoever asked for it, and ends no later than the session it was asked with.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Caller, Directory, Identity, Policy};
use crate::date;
use crate::issue;

/// The user name that today's instances give; documents show another one, so no client may rely on it.
const USER: &str = "cr_temp_user";
/// How long a login of a long-term key lasts.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// What a pull needs.
const PULL: &str = "cr:PullRepository";

/// A login that was presented and found good.
#[derive(Debug, Clone)]
pub struct Login {
    /// The instance it opens; `None` is Personal Edition.
    pub instance_id: Option<String>,
    /// The region it opens it in.
    pub region: String,
    /// The account it belongs to.
    pub account: String,
    /// The ARN of the user or role that asked for it.
    pub identity: String,
    /// Whether it may pull anything at all.
    pub can_pull: bool,
    /// When it ends.
    pub expires: Timestamp,
    policies: Vec<Policy>,
}

/// What a login is asked for.
pub(crate) struct LoginScope {
    /// `None` is Personal Edition.
    pub(crate) instance_id: Option<String>,
    pub(crate) region: String,
    /// The wish of the caller; a session's end comes first.
    pub(crate) lifetime: Option<SignedDuration>,
}

/// A login as given out.
pub(crate) struct IssuedLogin {
    pub(crate) user: &'static str,
    pub(crate) password: String,
    pub(crate) expires: Timestamp,
}

/// A login as the directory holds it.
pub(super) struct StoredLogin {
    pub(super) instance_id: Option<String>,
    region: String,
    caller: Caller,
    expires: Timestamp,
}

impl Login {
    /// Whether the login may pull from this repository (`<namespace>/<name>`).
    #[must_use]
    pub fn may_pull(&self, repository: &str) -> bool {
        let path = match &self.instance_id {
            Some(instance) => format!("{instance}/{repository}"),
            None => repository.to_owned(),
        };
        let resource = format!("acs:cr:{}:{}:repository/{path}", self.region, self.account);
        self.policies.iter().all(|policy| policy.allows(PULL, &resource))
    }
}

impl Directory {
    /// Gives out a login.
    pub(crate) fn issue_login(&self, caller: &Caller, scope: LoginScope, now: Timestamp) -> IssuedLogin {
        let wished = date::whole_seconds(now + scope.lifetime.unwrap_or(LIFETIME));
        let expires = match (caller.expires, scope.lifetime) {
            (Some(session), None) => session,
            (Some(session), Some(_)) => session.min(wished),
            (None, _) => wished,
        };
        let mut head = json!({
            "time": expires.as_millisecond().to_string(),
            "type": "sub",
            "userId": caller.account,
        });
        if let Some(instance) = &scope.instance_id {
            head["instanceId"] = instance.as_str().into();
        }
        let password = issue::password(&head);
        let mut state = self.lock();
        state.issued.push(password.clone());
        let LoginScope { instance_id, region, .. } = scope;
        state.logins.insert(password.clone(), StoredLogin { instance_id, region, caller: caller.clone(), expires });
        IssuedLogin { user: USER, password, expires }
    }

    /// Checks a login: `None` where it is unknown, ended, or revoked together with its key or session.
    #[must_use]
    pub fn login(&self, user: &str, password: &str, now: Timestamp) -> Option<Login> {
        let state = self.lock();
        let login = state.logins.get(password).filter(|login| user == USER && login.expires > now)?;
        let caller = &login.caller;
        let policies = match &caller.identity {
            Identity::Root => vec![Policy::allow(&["*"], "*")],
            Identity::User { arn } => vec![state.users.get(arn)?.clone()],
            Identity::Session { role_arn, .. } => {
                let session = state.sessions.get(&caller.access_key_id)?;
                let role = state.roles.get(role_arn)?;
                [Some(role.policy.clone()), session.policy.clone()].into_iter().flatten().collect()
            }
        };
        if caller.expires.is_none() && !state.keys.get(&caller.access_key_id).is_some_and(|key| key.active) {
            return None;
        }
        Some(Login {
            instance_id: login.instance_id.clone(),
            region: login.region.clone(),
            account: caller.account.clone(),
            identity: caller.arn(),
            can_pull: policies.iter().all(|policy| policy.allows_somewhere(PULL)),
            expires: login.expires,
            policies,
        })
    }
}
