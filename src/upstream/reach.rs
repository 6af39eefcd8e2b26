//! Which failures speak against the host of `pullFrom` that was asked, and how the way back to it is found.

use std::sync::Arc;

use super::{Upstream, UpstreamError};
use crate::error::Explain;
use crate::http::client::ClientError;
use crate::http::origin::Origin;
use crate::oci::RegistryHost;
use crate::token::TokenError;

impl Upstream {
    /// Connects to hosts that were of no use some time ago, and to what they led to, beside whatever is asked now. One
    /// that takes connections has to say what it asks of its clients, too.
    pub(super) fn try_hosts_that_are_due(&self) {
        while let Some((host, behind)) = self.hosts.due() {
            let (hosts, client) = (Arc::clone(&self.hosts), self.parts.client.clone());
            let tokens = Arc::clone(&self.parts.tokens);
            tokio::spawn(async move {
                let mut reached = false;
                for origin in Origin::https(host.as_str()).into_iter().chain(behind) {
                    reached = client.reach(&origin).await.is_ok();
                    if !reached {
                        break;
                    }
                }
                let of_use = reached && tokens.challenged(&host).await.is_ok();
                hosts.tried(&host, of_use);
            });
        }
    }
}

/// Whether it is the registry host, or the realm that it names, that cannot be reached or is of no use. The role chain has
/// other ways, and what a realm refuses is refused.
pub(super) fn is_host(error: &UpstreamError) -> bool {
    let UpstreamError::Token(error) = error else { return false };
    match &**error {
        TokenError::Unreachable(_) | TokenError::NoChallenge { .. } => true,
        TokenError::RealmFailed { status, .. } => *status >= 500,
        _ => false,
    }
}

/// The realm, where it is what could not be reached.
pub(super) fn behind(error: &UpstreamError, host: &RegistryHost) -> Option<Origin> {
    let UpstreamError::Token(error) = error else { return None };
    let TokenError::Unreachable(error) = &**error else { return None };
    error.names().host.filter(|name| *name != host.host()).and_then(|name| Origin::https(name).ok())
}

/// Whether whoever was asked cannot be reached, or says nothing.
pub(super) fn is_out_of_reach(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::Unreachable(error) if error.is_connect() || matches!(error, ClientError::Timeout { .. }))
}
