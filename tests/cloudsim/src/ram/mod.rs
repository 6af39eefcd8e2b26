//! The accounts of the simulated cloud: users, keys, roles, providers, sessions, logins, instances and one node.
//!
//! [`Directory`] is the only holder of state, a handle that every service shares; all of it stands behind one lock,
//! held for the length of a look-up. Nothing here reads a clock: the time comes with each call. The services decide
//! what a request means, the directory decides who may do it.

mod assume;
mod instance;
mod login;
mod node;
mod oidc;
mod policy;
mod role;
mod session;
pub mod setup;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

pub(crate) use assume::{Assumed, SessionRequest};
pub use instance::Instance;
pub use login::Login;
pub(crate) use login::LoginScope;
pub use node::Node;
pub(crate) use node::{NodeCredentials, TokenRefused};
pub(crate) use oidc::OidcToken;
pub use oidc::{OidcProvider, ProviderHealth};
pub use policy::{Policy, PolicyGrammar};
pub(crate) use role::parse_arn;
pub use role::{DEFAULT_SESSION_DURATION, MAX_SESSION_DURATION, MIN_SESSION_DURATION, OidcPrincipal, Principal, Role};
pub use session::{AccessKey, Credentials};
pub(crate) use session::{Caller, Identity};

use crate::issue;
use session::{Owner, Session, StoredKey};

/// The shared state of all accounts. Clones are handles on the same state.
#[derive(Clone, Default)]
pub struct Directory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Long-term keys by id.
    keys: HashMap<String, StoredKey>,
    /// RAM users by ARN, with what they may do.
    users: HashMap<String, Policy>,
    roles: HashMap<String, Role>,
    providers: BTreeMap<String, OidcProvider>,
    /// STS sessions by key id; ended ones stay, so that their end can be told from a key that never was.
    sessions: HashMap<String, Session>,
    /// Registry logins by password.
    logins: HashMap<String, login::StoredLogin>,
    instances: BTreeMap<String, Instance>,
    /// Accounts that have a Personal Edition, and where.
    personal: HashSet<(String, String)>,
    metadata: node::Metadata,
    /// Signature nonces with the time they were seen.
    nonces: HashMap<(String, String), Timestamp>,
    calls: HashMap<String, u64>,
    issued: Vec<String>,
}

impl Directory {
    /// An empty cloud; [`setup::directory`] gives a furnished one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a RAM user (`acs:ram::<account>:user/<name>`) with a new key.
    pub fn add_user(&self, arn: &str, policy: Policy) -> AccessKey {
        self.lock().users.insert(arn.to_owned(), policy);
        self.add_key(Owner::User(arn.to_owned()))
    }

    /// Adds a key of an account itself, which may do everything but assume roles.
    pub fn add_root_key(&self, account: &str) -> AccessKey {
        self.add_key(Owner::Root(account.to_owned()))
    }

    /// Adds or replaces a role.
    pub fn add_role(&self, role: Role) {
        self.lock().roles.insert(role.arn.clone(), role);
    }

    /// Adds or replaces an instance. Its custom domains are the business of whoever serves them.
    pub fn add_instance(&self, instance: Instance) {
        self.lock().instances.insert(instance.id.clone(), instance);
    }

    /// Gives an account a Personal Edition in a region.
    pub fn add_personal_edition(&self, account: &str, region: &str) {
        self.lock().personal.insert((account.to_owned(), region.to_owned()));
    }

    /// The active key of a user.
    #[must_use]
    pub fn access_key(&self, user_arn: &str) -> Option<AccessKey> {
        let state = self.lock();
        let mut keys = state.keys.iter().filter(|(_, key)| key.active && key.owner.is_user(user_arn));
        keys.next().map(|(id, key)| AccessKey { id: id.clone(), secret: key.secret.clone() })
    }

    /// Deletes a user's keys and makes a new one.
    pub fn rotate_key(&self, user_arn: &str) -> AccessKey {
        self.lock().keys.retain(|_, key| !key.owner.is_user(user_arn));
        self.add_key(Owner::User(user_arn.to_owned()))
    }

    /// Disables a long-term key; its use is answered with `InvalidAccessKeyId.Inactive`.
    pub fn disable_key(&self, access_key_id: &str) {
        if let Some(key) = self.lock().keys.get_mut(access_key_id) {
            key.active = false;
        }
    }

    /// Deletes a role, and with it all its sessions and their logins.
    pub fn delete_role(&self, arn: &str) {
        self.lock().roles.remove(arn);
        self.revoke_sessions(arn);
    }

    /// Ends every session of a role at once, and their logins.
    pub fn revoke_sessions(&self, role_arn: &str) {
        self.lock().sessions.retain(|_, session| session.role_arn != role_arn);
    }

    /// Ends every login for one instance (`None`: Personal Edition) at once.
    pub fn revoke_logins(&self, instance_id: Option<&str>) {
        self.lock().logins.retain(|_, login| login.instance_id.as_deref() != instance_id);
    }

    /// Takes `action` out of the permissions of a role or user, where it is named word for word.
    pub fn remove_permission(&self, arn: &str, action: &str) {
        let mut state = self.lock();
        if let Some(role) = state.roles.get_mut(arn) {
            role.policy.remove(action);
        }
        if let Some(policy) = state.users.get_mut(arn) {
            policy.remove(action);
        }
    }

    /// Adds permissions to a role or user.
    pub fn add_permission(&self, arn: &str, policy: &Policy) {
        let mut state = self.lock();
        if let Some(role) = state.roles.get_mut(arn) {
            role.policy = std::mem::take(&mut role.policy).and(policy.clone());
        }
        if let Some(held) = state.users.get_mut(arn) {
            *held = std::mem::take(held).and(policy.clone());
        }
    }

    /// Changes a role in place: its trust, its longest session, its ExternalId.
    pub fn edit_role(&self, arn: &str, edit: impl FnOnce(&mut Role)) {
        if let Some(role) = self.lock().roles.get_mut(arn) {
            edit(role);
        }
    }

    /// How often an API action was called, refused calls included.
    #[must_use]
    pub fn calls(&self, action: &str) -> u64 {
        self.lock().calls.get(action).copied().unwrap_or_default()
    }

    pub(crate) fn count_call(&self, action: &str) {
        *self.lock().calls.entry(action.to_owned()).or_default() += 1;
    }

    /// Every secret this cloud ever gave out or was set up with: none of them may show up in a log.
    #[must_use]
    pub fn issued_secrets(&self) -> Vec<String> {
        self.lock().issued.clone()
    }

    /// Adds a secret that another service gave out, such as a registry bearer.
    pub fn note_secret(&self, secret: impl Into<String>) {
        self.lock().issued.push(secret.into());
    }

    fn add_key(&self, owner: Owner) -> AccessKey {
        let key = AccessKey { id: issue::access_key_id(), secret: issue::secret() };
        let mut state = self.lock();
        state.issued.push(key.secret.clone());
        state.keys.insert(key.id.clone(), StoredKey { secret: key.secret.clone(), active: true, owner });
        key
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere is a failed test already; the state is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}
