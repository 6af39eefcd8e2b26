//! Where a name leads to on this node, and what that says.

use std::net::{IpAddr, SocketAddr};

use super::Tools;
use super::report::Finding;
use crate::error::diagnosis::{Names, Row, Sign};

/// The port of everything that is asked; a host override may name another.
const HTTPS: u16 = 443;

/// Says where `host` leads to, and whether it leads anywhere.
pub(super) async fn name(tools: &Tools<'_>, what: &str, host: &str) -> Finding {
    let step = format!("name of the {what}");
    match tools.client.addresses(host, HTTPS).await {
        Ok(addresses) if !addresses.is_empty() => {
            let shown: Vec<_> = addresses.iter().map(shown).collect();
            let mut text = format!("{host} is {}", shown.join(", "));
            if addresses.iter().any(|address| is_shared(address.ip())) {
                text.push_str("; 100.64.0.0/10 is Alibaba Cloud's own network: this node needs a route to it");
            }
            Finding::good(step, text)
        }
        result => {
            let why = result.err().map_or_else(|| "no address".to_owned(), |error| error.to_string());
            let names = Names { host: Some(host), ..Names::default() };
            let finding = Finding::failed(step, format!("{host} does not resolve: {why}"), Sign::NameUnknown);
            finding.fix(Row::of(Sign::NameUnknown).fix(&names))
        }
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
    use super::is_shared;

    #[test]
    fn the_clouds_own_network_is_recognised() {
        for (address, expected) in
            [("100.103.7.181", true), ("100.64.0.1", true), ("100.128.0.1", false), ("10.0.0.1", false), ("::1", false)]
        {
            assert_eq!(is_shared(address.parse().unwrap()), expected, "{address}");
        }
    }
}
