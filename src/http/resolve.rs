//! From the host of a URL to the addresses a connection is tried at.
//!
//! `network.hosts` is asked before the system's resolver. An override moves the connection only: `Host`, the TLS name and
//! the pool's key stay those of the URL. What the system's resolver says is held against [`Forbidden`], and exactly the
//! addresses that passed are dialled, so that a name cannot mean one thing when it is judged and another when it is used.
//!
//! Where the resolver is silent, a name leads where it led a while ago ([`said`]), judged anew. Where it says that a name
//! leads nowhere, it leads nowhere.

mod said;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::Forbidden;
use super::client::{HostOverride, HostTarget, TargetHost};
use said::Said;

/// How long one of several names is waited for: a resolver that does not answer must not keep the others waiting. It
/// leaves time for one repetition of the question by common resolvers' clients.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(2);

/// Why a name gives no address to dial.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unresolved {
    /// Nobody knows it.
    #[error("the name does not resolve")]
    Unknown(#[from] io::Error),
    /// Nobody said in time whether it is known, and it has not been asked for of late.
    #[error("no name server answers")]
    Silent,
    /// It leads to places only that no name may lead to.
    #[error(transparent)]
    Forbidden(Forbidden),
}

/// The overrides, ready to be asked, in front of the system's resolver.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    exact: HashMap<String, Vec<HostTarget>>,
    /// Keyed by the suffix after `*.`; stands for exactly one more label, as in a TLS certificate.
    wildcard: HashMap<String, Vec<HostTarget>>,
    /// Names of services on this node, by the operator's own word.
    local: HashSet<String>,
    said: Arc<Said>,
}

impl Resolver {
    /// Indexes the overrides; of two entries with one name the later wins. `local` are names that may lead anywhere.
    pub(super) fn new(overrides: &[HostOverride], local: &[String]) -> Self {
        let mut resolver =
            Self { local: local.iter().map(|name| name.to_ascii_lowercase()).collect(), ..Self::default() };
        for entry in overrides {
            let (map, name) = match entry.name.strip_prefix("*.") {
                Some(suffix) => (&mut resolver.wildcard, suffix),
                None => (&mut resolver.exact, entry.name.as_str()),
            };
            map.insert(name.to_ascii_lowercase(), entry.targets.clone());
        }
        resolver
    }

    /// The same, which knows what another has heard.
    #[must_use]
    pub(super) fn heir_of(mut self, other: &Self) -> Self {
        self.said = Arc::clone(&other.said);
        self
    }

    /// Every address to try for `host`, in order. A port of an override wins over the URL's.
    ///
    /// # Errors
    /// [`Unresolved`], where there is no address at all that may be dialled, or nobody has named one at the `deadline`.
    pub(super) async fn addresses(
        &self,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Unresolved> {
        timeout_at(deadline, self.find(host, port)).await.unwrap_or(Err(Unresolved::Silent))
    }

    async fn find(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
        let Some(targets) = self.targets(host) else {
            let found = self.lookup(host, port).await?;
            return self.judged(host, found);
        };
        let alone = targets.len() == 1;
        let asked = targets.iter().map(|target| async move {
            let port = target.port.unwrap_or(port);
            match &target.host {
                TargetHost::Address(address) => Ok(vec![SocketAddr::new(*address, port)]),
                // The operator's own words, like an address.
                TargetHost::Name(name) if alone => Ok(by_family(self.lookup(name, port).await?)),
                TargetHost::Name(name) => match timeout(ONE_OF_SEVERAL, self.lookup(name, port)).await {
                    Ok(found) => Ok(by_family(found?)),
                    Err(_) => Err(Unresolved::Silent),
                },
            }
        });
        let mut addresses = Vec::with_capacity(targets.len());
        let mut failure = None;
        for found in join_all(asked).await {
            match found {
                Ok(found) => addresses.extend(found),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }

    /// Asks the system, unless the host is an address.
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Some(address) = literal(host) {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let asked = async { Ok(tokio::net::lookup_host((host, port)).await?.collect()) };
        let mut found = self.said.or_last(host, asked).await?;
        found.iter_mut().for_each(|address| address.set_port(port));
        Ok(found)
    }

    /// What `host` was found to lead to, as far as it may. The operator answers for an address and for a name of this
    /// node; for any other name it is whoever answers for that name.
    fn judged(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Unresolved> {
        let trusted = literal(host).is_some() || self.is_local(host);
        if trusted { Ok(by_family(found)) } else { admitted(found).map_err(Unresolved::Forbidden) }
    }

    fn targets(&self, host: &str) -> Option<&[HostTarget]> {
        let host = host.to_ascii_lowercase();
        let wildcard = || host.split_once('.').and_then(|(_, suffix)| self.wildcard.get(suffix));
        self.exact.get(&host).or_else(wildcard).map(Vec::as_slice)
    }

    /// `localhost` means this node by definition (RFC 6761 section 6.3), and is on no list either.
    fn is_local(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name == "localhost" || self.local.contains(&name)
    }
}

/// An address in place of a name. It is on no list of Alibaba's hosts, so somebody configured it, and it is taken as it
/// is.
fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// Those addresses that a name may lead to; the first that it may not, where there is no other.
fn admitted(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
    let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| Forbidden::judge(address.ip()).is_none());
    match bad.first().and_then(|address| Forbidden::judge(address.ip())) {
        Some(forbidden) if good.is_empty() => Err(forbidden),
        _ => Ok(by_family(good)),
    }
}

/// The families in turn (RFC 8305 section 4), IPv4 first, since hosts of the cloud publish IPv6 addresses that many
/// nodes have no route to (cloud fact sheet, section 2.8). Within a family the order stays.
fn by_family(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (four, six): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    let (mut four, mut six) = (four.into_iter(), six.into_iter());
    let mut ordered = Vec::with_capacity(four.len() + six.len());
    while four.len() + six.len() > 0 {
        ordered.extend(four.next());
        ordered.extend(six.next());
    }
    ordered
}

#[cfg(test)]
mod tests;
