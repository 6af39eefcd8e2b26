//! Every metric name and label of the daemon, in one file (contract section 5).
//!
//! Labels come from the closed sets below, never from a request. Families are created once over an owned registry;
//! label children are resolved when an instance is built, so that counting costs an atomic add.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::oci::InstanceId;

/// A step of the role chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hop {
    /// AssumeRoleWithOIDC.
    Oidc,
    /// The metadata service, and every other source of a first credential that is not a role.
    Metadata,
    /// AssumeRole.
    AssumeRole,
    /// GetAuthorizationToken.
    AuthorizationToken,
    /// The registry bearer of one scope.
    Bearer,
}

/// Whom the daemon asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The registry of the instance.
    Registry,
    /// The token realm.
    Auth,
    /// The bucket.
    Oss,
    /// The Security Token Service.
    Sts,
    /// The Container Registry API.
    Cr,
    /// The metadata service of the node.
    Metadata,
}

/// What a request to the daemon is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A manifest, by tag or digest.
    Manifest,
    /// A blob.
    Blob,
    /// `/v2/`.
    Ping,
    /// The list of tags.
    Tags,
    /// The list of referrers.
    Referrers,
}

/// The method of a client's request; nothing else is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
}

/// One request of a client, once the last byte of its answer has gone or its reader has left.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// What it was about.
    pub kind: Kind,
    /// How it was asked.
    pub method: Method,
    /// The status of the answer; exported as its class.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub bytes: u64,
    /// From the request head to the end of the answer.
    pub took: Duration,
    /// From the request head to the first byte of the body, or to the head where there is no body.
    pub first_byte: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what it was for.
    Ok,
    /// The other side refused (4xx).
    Refused,
    /// The other side failed, throttled or could not be reached.
    Failed,
}

/// How a token was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheResult {
    /// It was there.
    Hit,
    /// It had to be fetched, by this caller.
    Miss,
    /// Another caller was already fetching it.
    Shared,
}

/// All metrics of the daemon.
#[derive(Debug, Clone, Default)]
pub struct Metrics {}

impl Metrics {
    /// All families, over a registry of their own.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }

    /// The children of one instance, each label set started at zero.
    #[must_use]
    pub fn instance(&self, _instance: &InstanceId) -> Arc<InstanceMetrics> {
        Arc::new(InstanceMetrics {})
    }

    /// The children for requests that belong to no instance: pings, and registries that are not served.
    #[must_use]
    pub fn unrouted(&self) -> Arc<InstanceMetrics> {
        Arc::new(InstanceMetrics {})
    }
}

/// The metrics of one instance.
#[derive(Debug, Default)]
pub struct InstanceMetrics {}

impl InstanceMetrics {
    /// A client's request came in; every call is followed by one of [`request_ended`](Self::request_ended).
    pub fn request_began(&self, _kind: Kind, _method: Method) {}
    /// It was answered, in full or as far as its reader wanted.
    pub fn request_ended(&self, _answered: &Answered) {}
    /// One call for a credential or token ended.
    pub fn token_request(&self, _hop: Hop, _outcome: Outcome, _took: Duration) {}
    /// A credential or token is now held; not called for bearers.
    pub fn token_held(&self, _hop: Hop, _issued: Timestamp, _expires: Timestamp) {}
    /// A credential or token was asked for inside the daemon.
    pub fn token_cache(&self, _hop: Hop, _result: CacheResult) {}
    /// One request to the outside ended with its response head.
    pub fn upstream_request(&self, _target: Target, _outcome: Outcome, _took: Duration) {}
    /// A request to the outside is tried again.
    pub fn upstream_retry(&self, _target: Target) {}
    /// A broken blob body was continued.
    pub fn blob_resumed(&self) {}
    /// The registry sent a blob request on to the bucket.
    pub fn blob_redirected(&self) {}
    /// One part of a blob was fetched.
    pub fn blob_part(&self) {}
    /// A pull request was answered in full at this time.
    pub fn succeeded(&self, _at: Timestamp) {}
}
