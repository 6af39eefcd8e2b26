//! From the host of a URL to the addresses a connection is tried at.
//!
//! `network.hosts` is asked before the system's resolver. An override moves the connection only: `Host`, the TLS name and
//! the pool's key stay those of the URL. IPv4 comes first, since a token realm may publish AAAA records that a node
//! without IPv6 cannot reach (cloud fact sheet, section 2.8).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::client::{HostOverride, HostTarget, TargetHost};

/// A name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve")]
pub(super) struct Unresolved(#[source] pub(super) io::Error);

/// The overrides, ready to be asked, in front of the system's resolver.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    exact: HashMap<String, Vec<HostTarget>>,
    /// Keyed by the suffix after `*.`; stands for exactly one more label, as in a TLS certificate.
    wildcard: HashMap<String, Vec<HostTarget>>,
}

impl Resolver {
    /// Indexes the overrides; of two entries with one name the later wins.
    pub(super) fn new(overrides: &[HostOverride]) -> Self {
        let mut resolver = Self::default();
        for entry in overrides {
            let (map, name) = match entry.name.strip_prefix("*.") {
                Some(suffix) => (&mut resolver.wildcard, suffix),
                None => (&mut resolver.exact, entry.name.as_str()),
            };
            map.insert(name.to_ascii_lowercase(), entry.targets.clone());
        }
        resolver
    }

    /// Every address to try for `host`, in order. A port of an override wins over the URL's.
    ///
    /// # Errors
    /// The resolver's error, where no name could be resolved.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let Some(targets) = self.targets(host) else {
            return lookup(host, port).await;
        };
        let mut addresses = Vec::with_capacity(targets.len());
        let mut failure = None;
        for target in targets {
            let port = target.port.unwrap_or(port);
            match &target.host {
                TargetHost::Address(address) => addresses.push(SocketAddr::new(*address, port)),
                TargetHost::Name(name) => match lookup(name, port).await {
                    Ok(found) => addresses.extend(found),
                    Err(error) => failure = Some(error),
                },
            }
        }
        match failure {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }

    fn targets(&self, host: &str) -> Option<&[HostTarget]> {
        let host = host.to_ascii_lowercase();
        let wildcard = || host.split_once('.').and_then(|(_, suffix)| self.wildcard.get(suffix));
        self.exact.get(&host).or_else(wildcard).map(Vec::as_slice)
    }
}

/// Asks the system, and puts IPv4 first without disturbing the order otherwise.
async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = literal.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let mut addresses: Vec<_> = tokio::net::lookup_host((literal, port)).await?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::Resolver;
    use crate::http::client::{HostOverride, HostTarget, TargetHost};

    fn entry(name: &str, address: &str, port: Option<u16>) -> HostOverride {
        let host = TargetHost::Address(address.parse().unwrap());
        HostOverride { name: name.to_owned(), targets: vec![HostTarget { host, port }] }
    }

    async fn first(resolver: &Resolver, host: &str, port: u16) -> String {
        resolver.addresses(host, port).await.unwrap()[0].to_string()
    }

    #[tokio::test]
    async fn an_override_moves_the_connection_and_its_port_wins() {
        let resolver = Resolver::new(&[
            entry("registry.test", "127.0.0.2", Some(8443)),
            entry("*.oss.test", "127.0.0.3", None),
            entry("one.oss.test", "127.0.0.4", None),
        ]);
        assert_eq!(first(&resolver, "Registry.test", 443).await, "127.0.0.2:8443");
        assert_eq!(first(&resolver, "bucket.oss.test", 443).await, "127.0.0.3:443");
        assert_eq!(first(&resolver, "one.oss.test", 80).await, "127.0.0.4:80");
    }

    #[tokio::test]
    async fn a_wildcard_stands_for_one_label() {
        let resolver = Resolver::new(&[entry("*.test", "127.0.0.3", None)]);
        assert!(resolver.targets("a.b.test").is_none());
        assert!(resolver.targets("test").is_none());
        assert_eq!(first(&resolver, "[::1]", 80).await, "[::1]:80");
    }

    #[tokio::test]
    async fn a_name_that_fails_does_not_hide_an_address_beside_it() {
        let name = HostTarget { host: TargetHost::Name("no-such-name.invalid".to_owned()), port: None };
        let mut both = entry("a.test", "127.0.0.5", None);
        both.targets.insert(0, name.clone());
        let alone = HostOverride { name: "b.test".to_owned(), targets: vec![name] };
        let resolver = Resolver::new(&[both, alone]);
        assert_eq!(first(&resolver, "a.test", 443).await, "127.0.0.5:443");
        assert!(resolver.addresses("b.test", 443).await.is_err());
    }
}
