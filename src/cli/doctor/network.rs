//! The way to one host: its name, a route to each of its addresses, TLS; each a step of its own, so that the one that is
//! missing is named with what to do about it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::finding::{Finding, Outcome};
use super::{Tools, tls};
use crate::error::diagnosis::{Names, Row, Sign};
use crate::http::origin::{Origin, SafeUri};

/// The port of everything that is asked; a host override may name another.
const HTTPS: u16 = 443;

/// How long one address is waited for: a lost SYN is sent again after one second.
const CONNECT_TIME: Duration = Duration::from_secs(3);

/// What a host is for; what is missing depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Registry,
    Realm,
    Bucket,
    Sts,
    Api,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Realm => "token realm",
            Self::Bucket => "blob host",
            Self::Sts => "STS endpoint",
            Self::Api => "API endpoint",
        }
    }

    /// What else helps where addresses of the cloud's own network clash with those of this one (the cross-account guide
    /// of the registry names both ways out).
    const fn way_out(self) -> &'static str {
        match self {
            Self::Realm => "let the instance take over the authentication domain, so that the realm is the registry",
            Self::Bucket => "reach OSS over PrivateLink and name the endpoint for the bucket in network.hosts",
            Self::Registry | Self::Sts | Self::Api => "name an address that is routed in network.hosts",
        }
    }
}

/// Walks the way to a host, `name` or `name:port`, and stops where it ends. Whether TLS stands in the end.
pub(super) async fn way(tools: &Tools<'_>, role: Role, host: &str, found: &mut Vec<Finding>) -> bool {
    let Ok(origin) = Origin::https(host) else { return false };
    let Some(addresses) = name(tools, role, &origin, found).await else { return false };
    if !route(role, &origin, &addresses, found).await {
        return false;
    }
    let greeting = tls::greeting(tools, role.as_str(), &origin).await;
    let stands = greeting.outcome == Outcome::Ok;
    found.push(greeting);
    stands
}

async fn name(tools: &Tools<'_>, role: Role, origin: &Origin, found: &mut Vec<Finding>) -> Option<Vec<SocketAddr>> {
    let step = format!("name of the {}", role.as_str());
    match tools.client.addresses(origin.host(), origin.port()).await {
        Ok(addresses) => {
            let shown: Vec<_> = addresses.iter().map(shown).collect();
            found.push(Finding::good(step, format!("{} is {}", origin.host(), shown.join(", "))));
            Some(addresses)
        }
        Err(error) => {
            found.push(Finding::error(step, &error));
            None
        }
    }
}

/// Tries every address, since the daemon does; one that answers is enough.
async fn route(role: Role, origin: &Origin, addresses: &[SocketAddr], found: &mut Vec<Finding>) -> bool {
    let step = format!("route to the {}", role.as_str());
    let tries = join_all(addresses.iter().map(|address| async move {
        let begun = Instant::now();
        let connected = timeout(CONNECT_TIME, TcpStream::connect(address)).await;
        let result = match connected {
            Ok(Ok(_)) => Ok(begun.elapsed()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {CONNECT_TIME:?}")),
        };
        (*address, result)
    }));
    let tries = tries.await;
    let best = tries.iter().find_map(|(address, result)| Some((address, result.as_ref().ok()?)));
    let dead: Vec<_> = tries.iter().filter_map(|(address, result)| Some((address, result.as_ref().err()?))).collect();
    let why: Vec<_> = dead.iter().map(|(address, why)| format!("{}: {why}", shown(address))).collect();
    let names = Names { host: Some(origin.host()), ..Names::default() };
    match (best, dead.first()) {
        (Some((address, took)), None) => {
            found.push(Finding::good(step, format!("{} answers", shown(address))).asked(origin.host(), Some(*took)));
        }
        (Some((address, took)), Some((lost, _))) => {
            let text = format!("{} answers, but not {}", shown(address), why.join("; "));
            let finding = Finding::warning(step, text, Sign::NoConnection).fix(missing(role, lost.ip()));
            found.push(finding.asked(origin.host(), Some(*took)));
        }
        (None, Some((lost, _))) => {
            let text = format!("cannot connect to {}: {}", origin.host(), why.join("; "));
            let finding = Finding::failed(step, text, Sign::NoConnection);
            found.push(finding.fix(missing(role, lost.ip())));
        }
        (None, None) => {
            let fix = Row::of(Sign::NameUnknown).fix(&names).into_owned();
            found.push(Finding::failed(step, "there is no address", Sign::NameUnknown).fix(fix));
        }
    }
    best.is_some()
}

/// Whether the blob proxy answers, where one is configured. Blobs come without it too, so nothing fails.
pub(super) async fn blob_proxy(tools: &Tools<'_>) -> Option<Finding> {
    let url = tools.config.network.blob_proxy.as_deref()?;
    let origin = SafeUri::parse(url).ok()?.origin().clone();
    let addresses = tools.client.addresses(origin.host(), origin.port()).await.unwrap_or_default();
    for address in &addresses {
        let begun = Instant::now();
        if let Ok(Ok(_)) = timeout(CONNECT_TIME, TcpStream::connect(address)).await {
            let finding = Finding::good("blob proxy", format!("{address} answers"));
            return Some(finding.asked(origin.host(), Some(begun.elapsed())));
        }
    }
    let text = format!("nothing answers at {url}: blobs come directly");
    let fix = "start the proxy, or take network.blobProxy out of the configuration";
    Some(Finding::warning("blob proxy", text, Sign::NoConnection).fix(fix))
}

/// The same findings for a host that others can stand in for.
pub(super) fn softened(found: Vec<Finding>) -> impl Iterator<Item = Finding> {
    found.into_iter().map(Finding::softened)
}

/// What is missing for an address to answer.
fn missing(role: Role, address: IpAddr) -> String {
    match address {
        IpAddr::V4(plain) if is_shared(address) => {
            let [a, b, c, _] = plain.octets();
            format!(
                "{address} is in Alibaba Cloud's own network (100.64.0.0/10): route {a}.{b}.{c}.0/24 to a VPC that \
                 reaches it (VPC peering or CEN, on both sides); where this network uses such addresses itself, {}",
                role.way_out()
            )
        }
        IpAddr::V4(plain) if plain.is_private() => format!(
            "{address} is an address of a VPC: route it there (VPC peering or CEN, on both sides), and let the security \
             group behind it accept port 443 from this node"
        ),
        IpAddr::V4(plain) if !plain.is_loopback() => {
            let more = match role {
                Role::Registry => ", and add this node to the access list of the instance's public endpoint",
                _ => "",
            };
            format!("{address} is public: give this node a way out (NAT gateway or EIP){more}, or use the VPC domain")
        }
        IpAddr::V6(plain) if !plain.is_loopback() => {
            format!(
                "{address} is IPv6: route it, or name the IPv4 address in network.hosts; another address serves meanwhile"
            )
        }
        _ => format!("nothing listens at {address}, an address of this node: check network.hosts"),
    }
}

fn shown(address: &SocketAddr) -> String {
    if address.port() == HTTPS { address.ip().to_string() } else { address.to_string() }
}

/// The address block in which the cloud keeps its internal services (RFC 6598; OSS endpoints page).
fn is_shared(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            first == 100 && (64..128).contains(&second)
        }
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Role, is_shared, missing};

    #[test]
    fn the_clouds_own_network_is_recognised() {
        for (address, expected) in
            [("100.103.7.181", true), ("100.64.0.1", true), ("100.128.0.1", false), ("10.0.0.1", false), ("::1", false)]
        {
            assert_eq!(is_shared(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn what_is_missing_depends_on_the_network_and_on_what_the_host_is_for() {
        for (role, address, parts) in [
            (Role::Bucket, "100.118.28.45", ["route 100.118.28.0/24", "PrivateLink"]),
            (Role::Realm, "100.103.7.181", ["route 100.103.7.0/24", "take over the authentication domain"]),
            (Role::Registry, "192.168.0.10", ["VPC peering or CEN", "security group"]),
            (Role::Registry, "47.96.1.1", ["NAT gateway or EIP", "access list"]),
            (Role::Sts, "2408::1", ["IPv6", "network.hosts"]),
            (Role::Sts, "127.0.0.1", ["127.0.0.1", "network.hosts"]),
        ] {
            let text = missing(role, address.parse().unwrap());
            assert!(parts.iter().all(|part| text.contains(part)), "{address}: {text}");
        }
    }
}
