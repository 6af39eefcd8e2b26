use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{REMEMBERED, Resolver, SILENT, Unresolved, admitted, by_family};
use crate::http::client::{HostOverride, HostTarget, TargetHost};

fn entry(name: &str, address: &str, port: Option<u16>) -> HostOverride {
    let host = TargetHost::Address(address.parse().unwrap());
    HostOverride { name: name.to_owned(), targets: vec![HostTarget { host, port }] }
}

async fn first(resolver: &Resolver, host: &str, port: u16) -> String {
    resolver.addresses(host, port).await.unwrap()[0].to_string()
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
    assert!(matches!(resolver.addresses("b.test", 443).await, Err(Unresolved::Unknown(_))));
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
    let refused = resolver.addresses("0x7f000001", 443).await;
    assert!(matches!(refused, Err(Unresolved::Forbidden(_))), "{refused:?}");
    assert_eq!(first(&resolver, "2130706433", 443).await, "127.0.0.1:443");
    assert!(first(&resolver, "localhost", 80).await.ends_with(":80"));
}

#[test]
fn the_families_take_turns_and_ipv4_begins() {
    let found = sockets(&["2408::1", "10.0.0.1", "2408::2", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(by_family(found), sockets(&["10.0.0.1", "2408::1", "10.0.0.2", "2408::2", "10.0.0.3"]));
}

#[tokio::test(start_paused = true)]
async fn a_silent_resolver_is_taken_at_its_last_word_and_an_answer_at_its_word() {
    let resolver = Resolver::default();
    let good = sockets(&["203.0.113.7"]);
    let silent = |host: &'static str| {
        let asked = resolver.or_remembered(host, std::future::pending());
        tokio::time::timeout(Duration::from_secs(5), asked)
    };
    assert!(silent("registry.test").await.is_err(), "nobody has ever told");
    let told = resolver.or_remembered("registry.test", std::future::ready(Ok(good.clone())));
    assert_eq!(told.await.unwrap(), good);
    assert!(silent("other.test").await.is_err());

    let begun = Instant::now();
    assert_eq!(silent("registry.test").await.unwrap().unwrap(), good);
    assert_eq!(begun.elapsed(), SILENT);
    // Late is better than what was said before.
    let moved = sockets(&["203.0.113.8"]);
    let soon = async {
        tokio::time::sleep(SILENT / 2).await;
        Ok(moved.clone())
    };
    assert_eq!(resolver.or_remembered("registry.test", soon).await.unwrap(), moved);
    assert_eq!(silent("registry.test").await.unwrap().unwrap(), moved);

    let nowhere = std::future::ready(Err(io::Error::other("no such name")));
    assert!(resolver.or_remembered("registry.test", nowhere).await.is_err());
    tokio::time::advance(REMEMBERED).await;
    assert!(silent("registry.test").await.is_err(), "that is too long ago");
}
