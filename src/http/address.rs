//! Which addresses a name may lead to.
//!
//! A registry chooses the host of its realm and of its redirects, and whoever answers for a name chooses its address. So
//! no name leads to this node, to its link or to the metadata service, which hands out credentials. Private addresses
//! and 100.64.0.0/10 are what VPC domains, authentication hosts and internal buckets really resolve to (cloud fact
//! sheet, section 7.6), and are open to all: to refuse them would refuse every pull within a VPC. An address that an
//! operator wrote down is judged by nobody; a name is, since it is not the operator who answers for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The metadata service of an ECS instance (ECS instance metadata page).
const METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

/// The first half of an IPv4 address that is spelled for a translator (RFC 6052 section 2.1).
const TRANSLATED: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// The same for networks that chose a prefix of their own (RFC 8215), where the IPv4 address may stand in several places.
const TRANSLATED_HERE: [u16; 3] = [0x64, 0xff9b, 1];

/// The first group of an IPv4 address as a network of 6to4 (RFC 3056 section 2).
const SIX_TO_FOUR: u16 = 0x2002;

/// A name that leads to nowhere but places it must not lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its address {address} is {what}")]
pub struct Forbidden {
    /// The first such address.
    pub address: IpAddr,
    /// What kind of address that is.
    pub what: &'static str,
}

impl Forbidden {
    /// Judges an address that a resolver gave.
    pub(super) fn judge(address: IpAddr) -> Option<Self> {
        let what = match address.to_canonical() {
            IpAddr::V4(plain) => refused_v4(plain),
            IpAddr::V6(plain) => refused_v6(plain),
        };
        what.map(|what| Self { address, what })
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        METADATA => Some("the metadata service"),
        // Linux takes 0.0.0.0 for itself, and nothing else of 0.0.0.0/8 for anything.
        _ if address.is_loopback() || address.octets().starts_with(&[0]) => Some("this node"),
        _ if address.is_link_local() => Some("link-local"),
        _ if address.is_multicast() || address.is_broadcast() => Some("no single host"),
        // 240.0.0.0/4 (RFC 1112 section 4), which Linux routes nevertheless.
        _ if address.octets()[0] >= 240 => Some("reserved"),
        _ => None,
    }
}

/// The IPv4 address in two groups.
fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, second, third, ..] = address.segments();
    let [high @ .., seventh, eighth] = address.segments();
    match address {
        _ if address.is_loopback() || address.is_unspecified() => Some("this node"),
        _ if address.is_unicast_link_local() => Some("link-local"),
        _ if address.is_multicast() => Some("no single host"),
        // fec0::/10 (RFC 3879), once what fc00::/7 is now.
        _ if first & 0xffc0 == 0xfec0 => Some("site-local"),
        _ if [first, second, third] == TRANSLATED_HERE => Some("a translator's"),
        _ if first == SIX_TO_FOUR => refused_v4(embedded(second, third)),
        // The last two groups are an IPv4 address, in whatever spelling; the last is that of RFC 2765 section 2.1.
        _ if high == TRANSLATED || high == [0; 6] || high == [0, 0, 0, 0, 0xffff, 0] => {
            refused_v4(embedded(seventh, eighth))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Forbidden;

    fn judge(address: &str) -> Option<&'static str> {
        Forbidden::judge(address.parse().unwrap()).map(|forbidden| forbidden.what)
    }

    #[test]
    fn no_name_leads_to_this_node_its_link_or_the_metadata_service() {
        for (address, what) in [
            ("127.0.0.1", "this node"),
            ("127.255.0.9", "this node"),
            ("0.0.0.0", "this node"),
            ("0.1.2.3", "this node"),
            ("::1", "this node"),
            ("::", "this node"),
            ("169.254.169.254", "link-local"),
            ("fe80::1", "link-local"),
            ("100.100.100.200", "the metadata service"),
            ("224.0.0.1", "no single host"),
            ("255.255.255.255", "no single host"),
            ("ff02::1", "no single host"),
            // The same in the spellings of IPv6.
            ("::ffff:127.0.0.1", "this node"),
            ("::127.0.0.1", "this node"),
            ("64:ff9b::7f00:1", "this node"),
            ("::ffff:100.100.100.200", "the metadata service"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("::ffff:0:127.0.0.1", "this node"),
            ("2002:7f00:1::1", "this node"),
            ("2002:6464:64c8::", "the metadata service"),
            ("64:ff9b:1::a9fe:a9fe", "a translator's"),
            ("64:ff9b:1:7f00:0:100::", "a translator's"),
            ("fec0::1", "site-local"),
            ("feff::1", "site-local"),
            ("240.0.0.1", "reserved"),
            ("::ffff:250.1.2.3", "reserved"),
        ] {
            assert_eq!(judge(address), Some(what), "{address}");
        }
    }

    #[test]
    fn the_networks_of_the_cloud_and_of_a_vpc_are_open() {
        for address in [
            "100.103.7.181",
            "100.118.28.45",
            "10.0.0.1",
            "172.16.5.5",
            "192.168.0.10",
            "8.8.8.8",
            "fd00::1",
            "2408::1",
            "2002:808:808::1",
            "64:ff9b::808:808",
        ] {
            assert_eq!(judge(address), None, "{address}");
        }
    }
}
