//! HTTP tools shared by everything that talks to the outside: the one client, the one TLS configuration, the one
//! comparison of origins, bodies and header rules.

pub mod client;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::error::BoxError;

/// The one body type of the daemon, towards both sides.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;
