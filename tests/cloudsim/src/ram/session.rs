//! Who is asking: keys, STS sessions, and what they may do at this moment.
//!
//! A permission is looked up when it is used, as RAM does: taking one away from a role works on its living sessions too.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::role::parse_arn;
use super::{Directory, Policy, Role, State};
use crate::call::Call;
use crate::date;
use crate::issue;
use crate::sign::{CLOCK_WINDOW, Claim, Refusal};

/// A long-term key pair of a RAM user or of an account itself.
#[derive(Clone)]
pub struct AccessKey {
    /// `LTAI5t…`.
    pub id: String,
    /// The secret; `Debug` does not show it.
    pub secret: String,
}

/// The triple that STS gives, with its end.
#[derive(Clone)]
pub struct Credentials {
    /// `STS.…`.
    pub access_key_id: String,
    /// The secret; `Debug` does not show it.
    pub access_key_secret: String,
    /// The token; `Debug` does not show it.
    pub security_token: String,
    /// When the session ends.
    pub expiration: Timestamp,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Credentials");
        text.field("access_key_id", &self.access_key_id).field("expiration", &self.expiration).finish_non_exhaustive()
    }
}

/// A long-term key as the directory holds it.
pub(super) struct StoredKey {
    pub(super) secret: String,
    pub(super) active: bool,
    pub(super) owner: Owner,
}

/// Whose long-term key it is.
#[derive(Clone)]
pub(super) enum Owner {
    /// The account itself, which may do everything but assume roles.
    Root(String),
    /// A RAM user, by ARN.
    User(String),
}

impl Owner {
    pub(super) fn is_user(&self, arn: &str) -> bool {
        matches!(self, Self::User(user) if user == arn)
    }
}

/// A living or lately ended STS session.
pub(super) struct Session {
    pub(super) credentials: Credentials,
    pub(super) role_arn: String,
    pub(super) name: String,
    /// Narrows the role's rights; nothing means all of them.
    pub(super) policy: Option<Policy>,
}

/// An identity that has proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The account it belongs to.
    pub(crate) account: String,
    pub(crate) identity: Identity,
    pub(crate) access_key_id: String,
    /// When its session ends; long-term keys have no end.
    pub(crate) expires: Option<Timestamp>,
}

/// What kind of identity a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    Root,
    User { arn: String },
    Session { role_arn: String, name: String },
}

impl Caller {
    /// ARN of the user or role; an account is named by its root ARN.
    pub(crate) fn arn(&self) -> String {
        match &self.identity {
            Identity::Root => format!("acs:ram::{}:root", self.account),
            Identity::User { arn } => arn.clone(),
            Identity::Session { role_arn, .. } => role_arn.clone(),
        }
    }
}

impl Directory {
    /// Finds out who signed a request, and that it was signed now, for the first time, with the right key.
    pub(crate) fn authenticate(&self, call: &Call) -> Result<(Claim, Caller), Refusal> {
        let claim = Claim::parse(call)?;
        claim.verify_time(call.now)?;
        let mut state = self.lock();
        let (caller, secret) = state.identify(&claim, call.now)?;
        claim.verify_signature(&secret)?;
        state.remember_nonce(&claim, call.now)?;
        Ok((claim, caller))
    }

    /// Whether the caller may do this, there, now.
    pub(crate) fn allows(&self, caller: &Caller, action: &str, resource: &str) -> bool {
        self.lock().allows(caller, &|policy| policy.allows(action, resource))
    }
}

impl State {
    fn identify(&self, claim: &Claim, now: Timestamp) -> Result<(Caller, String), Refusal> {
        let id = claim.access_key_id.as_str();
        if let Some(session) = self.sessions.get(id) {
            let secret = session.credentials.access_key_secret.clone();
            return session.admit(claim.security_token.as_deref(), now, self).map(|caller| (caller, secret));
        }
        let key = self.keys.get(id).ok_or(Refusal::AccessKeyUnknown)?;
        if !key.active {
            return Err(Refusal::AccessKeyInactive);
        }
        if let Some(token) = &claim.security_token {
            return Err(self.wrong_token(token));
        }
        let (account, identity) = match &key.owner {
            Owner::Root(account) => (account.clone(), Identity::Root),
            Owner::User(arn) => (account_of(arn), Identity::User { arn: arn.clone() }),
        };
        Ok((Caller { account, identity, access_key_id: id.to_owned(), expires: None }, key.secret.clone()))
    }

    /// A token that belongs to another key, or to none.
    fn wrong_token(&self, token: &str) -> Refusal {
        match self.sessions.values().any(|session| session.credentials.security_token == token) {
            true => Refusal::SecurityTokenMismatch,
            false => Refusal::SecurityTokenMalformed,
        }
    }

    fn remember_nonce(&mut self, claim: &Claim, now: Timestamp) -> Result<(), Refusal> {
        let Some(nonce) = &claim.nonce else { return Ok(()) };
        // Older than both windows of a clock: its request would be refused for its date.
        self.nonces.retain(|_, seen| now.duration_since(*seen) <= CLOCK_WINDOW * 2);
        match self.nonces.insert((claim.access_key_id.clone(), nonce.clone()), now) {
            None => Ok(()),
            Some(_) => Err(Refusal::NonceUsed),
        }
    }

    /// Asks every policy that has a say: the user's or role's, and the session's.
    pub(super) fn allows(&self, caller: &Caller, asks: &dyn Fn(&Policy) -> bool) -> bool {
        match &caller.identity {
            Identity::Root => true,
            Identity::User { arn } => self.users.get(arn).is_some_and(asks),
            Identity::Session { role_arn, .. } => {
                let narrowed = self.sessions.get(&caller.access_key_id).and_then(|session| session.policy.as_ref());
                self.roles.get(role_arn).is_some_and(|role| asks(&role.policy)) && narrowed.is_none_or(asks)
            }
        }
    }

    /// Opens a session of a role.
    pub(super) fn open_session(
        &mut self,
        role_arn: &str,
        name: &str,
        policy: Option<Policy>,
        duration: SignedDuration,
        now: Timestamp,
    ) -> Credentials {
        let credentials = Credentials {
            access_key_id: issue::session_key_id(),
            access_key_secret: issue::secret(),
            security_token: issue::security_token(),
            // STS writes whole seconds; the session must not outlive what it says.
            expiration: date::whole_seconds(now + duration),
        };
        self.issued.extend([credentials.access_key_secret.clone(), credentials.security_token.clone()]);
        let session =
            Session { credentials: credentials.clone(), role_arn: role_arn.to_owned(), name: name.to_owned(), policy };
        self.sessions.insert(credentials.access_key_id.clone(), session);
        credentials
    }
}

impl Session {
    fn admit(&self, token: Option<&str>, now: Timestamp, state: &State) -> Result<Caller, Refusal> {
        let token = token.filter(|token| !token.is_empty()).ok_or(Refusal::SecurityTokenMissing)?;
        if token != self.credentials.security_token {
            return Err(state.wrong_token(token));
        }
        if self.credentials.expiration <= now {
            return Err(Refusal::SecurityTokenExpired);
        }
        // Deleting a role kills its sessions.
        let role: &Role = state.roles.get(&self.role_arn).ok_or(Refusal::AccessKeyUnknown)?;
        Ok(Caller {
            account: account_of(&role.arn),
            identity: Identity::Session { role_arn: self.role_arn.clone(), name: self.name.clone() },
            access_key_id: self.credentials.access_key_id.clone(),
            expires: Some(self.credentials.expiration),
        })
    }
}

fn account_of(arn: &str) -> String {
    let account = parse_arn(arn, "role").or_else(|| parse_arn(arn, "user")).map(|(account, _)| account);
    account.unwrap_or_default().to_owned()
}
