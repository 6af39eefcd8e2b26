//! The access key triple that signs a call.
//!
//! It is one value that is swapped whole: a secret of one session with the token of another is refused by the cloud as
//! `InvalidSecurityToken.MismatchWithAccessKey`.

use crate::secret::Secret;

/// An AccessKey pair, with a security token where it belongs to an STS session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AccessKeyId`; begins with `STS.` for a session. Not secret.
    pub access_key_id: String,
    /// `AccessKeySecret`.
    pub access_key_secret: Secret,
    /// `SecurityToken` of an STS session; it has no documented longest length.
    pub security_token: Option<Secret>,
}
