//! HTTP tools shared by everything that talks to the outside: the one client, the one TLS configuration, the one
//! comparison of origins, bodies and header rules.
//!
//! Nothing here knows a registry, a token or a retry: this module moves bytes and says how that went.

pub mod address;
pub mod body;
pub mod certificate;
pub mod client;
mod connector;
mod dial;
mod driven;
pub mod forward;
pub mod headers;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
pub mod listen;
pub mod origin;
mod ready;
mod resolve;
pub mod signed_url;
mod tls;
mod tried;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::error::BoxError;

/// The one body type of the daemon, towards both sides.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// `User-Agent` of every request that the daemon makes.
pub const USER_AGENT: &str = concat!("acr-pull-proxy/", env!("CARGO_PKG_VERSION"));
