//! The node that the metadata service answers for: where it is, its role, its credentials.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{Credentials, Directory};
use crate::date;
use crate::issue;

/// How long credentials of the metadata service last, as in the documented sample.
const LIFETIME: SignedDuration = SignedDuration::from_hours(6);
/// New ones appear when less than this remains of the old ones.
const ROTATE_BEFORE: SignedDuration = SignedDuration::from_mins(30);
/// The longest life of a metadata token, in seconds.
const MAX_TOKEN_TTL: u32 = 21_600;

/// An ECS instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `i-…`.
    pub instance_id: String,
    /// The account it runs in.
    pub account: String,
    /// Its region.
    pub region: String,
    /// Its zone.
    pub zone: String,
    /// Its VPC.
    pub vpc_id: String,
    /// ARN of the role attached to it.
    pub role: Option<String>,
}

#[derive(Default)]
pub(super) struct Metadata {
    node: Option<Node>,
    hardened: bool,
    /// What `Code` says instead of `Success`.
    failure: Option<String>,
    /// Session tokens with their end.
    tokens: HashMap<String, Timestamp>,
    served: Option<Served>,
}

/// Credentials with the time they were put up.
#[derive(Clone)]
struct Served {
    role: String,
    credentials: Credentials,
    updated: Timestamp,
}

/// What the metadata service says about the credentials of a role.
pub(crate) enum NodeCredentials {
    Given { credentials: Credentials, updated: Timestamp },
    Failing { code: String },
}

/// Why a metadata token is not given or not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenRefused {
    /// The life asked for is not 1 to 21 600 seconds.
    Ttl,
    /// The node is hardened and the request carries no token.
    Missing,
    /// The token is unknown or has ended.
    Invalid,
}

impl Directory {
    /// Puts a node behind the metadata service.
    pub fn set_node(&self, node: Node) {
        let mut state = self.lock();
        state.metadata.node = Some(node);
        state.metadata.served = None;
    }

    /// The node behind the metadata service.
    #[must_use]
    pub fn node(&self) -> Option<Node> {
        self.lock().metadata.node.clone()
    }

    /// Attaches a role to the node, or takes it off.
    pub fn attach_role(&self, arn: Option<&str>) {
        if let Some(node) = &mut self.lock().metadata.node {
            node.role = arn.map(str::to_owned);
        }
    }

    /// Switches the hardened mode: every read needs a token.
    pub fn harden_metadata(&self, hardened: bool) {
        self.lock().metadata.hardened = hardened;
    }

    /// Makes the credentials answer carry this `Code` instead of `Success`; `None` mends it.
    pub fn fail_metadata(&self, code: Option<&str>) {
        self.lock().metadata.failure = code.map(str::to_owned);
    }

    pub(crate) fn metadata_hardened(&self) -> bool {
        self.lock().metadata.hardened
    }

    /// A new metadata token that lasts `ttl` seconds.
    pub(crate) fn issue_metadata_token(&self, ttl: u32, now: Timestamp) -> Result<String, TokenRefused> {
        if !(1..=MAX_TOKEN_TTL).contains(&ttl) {
            return Err(TokenRefused::Ttl);
        }
        let token = issue::metadata_token();
        let mut state = self.lock();
        state.issued.push(token.clone());
        state.metadata.tokens.insert(token.clone(), now + SignedDuration::from_secs(i64::from(ttl)));
        Ok(token)
    }

    /// Lets a read pass, with the token it needs.
    pub(crate) fn admit_metadata_read(&self, token: Option<&str>, now: Timestamp) -> Result<(), TokenRefused> {
        let state = self.lock();
        match token {
            None if state.metadata.hardened => Err(TokenRefused::Missing),
            None => Ok(()),
            Some(token) => match state.metadata.tokens.get(token) {
                Some(end) if *end > now => Ok(()),
                _ => Err(TokenRefused::Invalid),
            },
        }
    }

    /// The credentials of the node's role; `None` where that role is not the node's.
    pub(crate) fn node_credentials(&self, role_name: &str, now: Timestamp) -> Option<NodeCredentials> {
        let mut state = self.lock();
        let node = state.metadata.node.clone()?;
        let role = node.role.filter(|arn| arn.ends_with(&format!("/{role_name}")))?;
        if let Some(code) = state.metadata.failure.clone() {
            return Some(NodeCredentials::Failing { code });
        }
        let fresh = state.metadata.served.clone().filter(|served| {
            let remaining = served.credentials.expiration.duration_since(now);
            let alive = state.sessions.contains_key(&served.credentials.access_key_id);
            served.role == role && remaining >= ROTATE_BEFORE && alive
        });
        let Served { credentials, updated, .. } = fresh.unwrap_or_else(|| {
            let credentials = state.open_session(&role, &node.instance_id, None, LIFETIME, now);
            let served = Served { role, credentials, updated: date::whole_seconds(now) };
            state.metadata.served = Some(served.clone());
            served
        });
        Some(NodeCredentials::Given { credentials, updated })
    }
}
