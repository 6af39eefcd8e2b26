use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{Resolver, Unresolved, admitted, by_family};
use crate::http::client::{HostOverride, HostTarget, TargetHost};

fn entry(name: &str, address: &str, port: Option<u16>) -> HostOverride {
    let host = TargetHost::Address(address.parse().unwrap());
    HostOverride { name: name.to_owned(), targets: vec![HostTarget { host, port }] }
}

async fn find(resolver: &Resolver, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    resolver.addresses(host, port, Instant::now() + Duration::from_secs(30)).await
}

async fn first(resolver: &Resolver, host: &str, port: u16) -> String {
    find(resolver, host, port).await.unwrap()[0].to_string()
}

fn sockets(addresses: &[&str]) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443)).collect()
}

#[tokio::test]
async fn an_override_moves_the_connection_and_its_port_wins() {
    let overrides = [
        entry("registry.test", "127.0.0.2", Some(8443)),
        entry("*.oss.test", "127.0.0.3", None),
        entry("one.oss.test", "127.0.0.4", None),
    ];
    let resolver = Resolver::new(&overrides, &[]);
    assert_eq!(first(&resolver, "Registry.test", 443).await, "127.0.0.2:8443");
    assert_eq!(first(&resolver, "bucket.oss.test", 443).await, "127.0.0.3:443");
    assert_eq!(first(&resolver, "one.oss.test", 80).await, "127.0.0.4:80");
}

#[tokio::test]
async fn a_wildcard_stands_for_one_label() {
    let resolver = Resolver::new(&[entry("*.test", "127.0.0.3", None)], &[]);
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
    let resolver = Resolver::new(&[both, alone], &[]);
    assert_eq!(first(&resolver, "a.test", 443).await, "127.0.0.5:443");
    assert!(matches!(find(&resolver, "b.test", 443).await, Err(Unresolved::Unknown(_))));
}

/// The peers' check 10, and the rebinding of names: the address that was judged is the one that is handed out.
#[test]
fn of_what_a_name_leads_to_only_what_is_allowed_is_dialled() {
    let mixed = sockets(&["169.254.169.254", "100.103.7.181", "127.0.0.1"]);
    assert_eq!(admitted(mixed).unwrap(), sockets(&["100.103.7.181"]));
    let refused = admitted(sockets(&["100.100.100.200", "127.0.0.1"])).unwrap_err();
    assert_eq!(refused.to_string(), "its address 100.100.100.200 is the metadata service");
    assert!(admitted(Vec::new()).unwrap().is_empty());
}

#[tokio::test]
async fn a_name_of_this_node_is_good_only_where_the_operator_gave_it() {
    // Spellings of 127.0.0.1 that are no address to this program and one to the C library.
    let resolver = Resolver::new(&[], &["2130706433".to_owned()]);
    let refused = find(&resolver, "0x7f000001", 443).await;
    assert!(matches!(refused, Err(Unresolved::Forbidden(_))), "{refused:?}");
    assert_eq!(first(&resolver, "2130706433", 443).await, "127.0.0.1:443");
    assert!(first(&resolver, "localhost", 80).await.ends_with(":80"));
}

#[test]
fn the_families_take_turns_and_ipv4_begins() {
    let found = sockets(&["2408::1", "10.0.0.1", "2408::2", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(by_family(found), sockets(&["10.0.0.1", "2408::1", "10.0.0.2", "2408::2", "10.0.0.3"]));
}

#[tokio::test]
async fn what_was_said_is_known_to_the_heir() {
    let before = Resolver::default();
    let found = sockets(&["203.0.113.7"]);
    before.said.or_last("registry.test", std::future::ready(Ok(found.clone()))).await.unwrap();
    let heir = Resolver::new(&[entry("other.test", "127.0.0.5", None)], &[]).heir_of(&before);
    assert_eq!(heir.said.or_last("registry.test", std::future::pending()).await.unwrap(), found);
    assert_eq!(first(&heir, "other.test", 443).await, "127.0.0.5:443");
}
