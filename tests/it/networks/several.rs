//! Several hosts and several addresses, of which one is there and of no use.

use cloudsim::CloudSim;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use http::StatusCode;
use tokio::time::Instant;

use super::{FOUND_OUT, QUICK, asked, pull, with_both};
use crate::support::network::{Network, PUBLIC, VPC, VPC_HOSTS};
use crate::support::path::{Path, Way};
use crate::support::{LIMIT, POLL, REPOSITORY, TAG};

fn manifest(domain: &str) -> String {
    format!("/v2/{REPOSITORY}/manifests/{TAG}?ns={domain}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_answers_and_is_of_no_use_gives_way_to_the_next() {
    let broken = |status| Effect::answer(status, String::new());
    let unavailable = broken(StatusCode::SERVICE_UNAVAILABLE);
    for fault in [
        Fault::on(Service::Registry, unavailable.clone()).host(VPC).path_contains("/manifests/"),
        Fault::on(Service::Registry, unavailable.clone()).host(VPC),
        Fault::on(Service::Registry, broken(StatusCode::FORBIDDEN)).host(VPC),
        Fault::on(Service::Realm, unavailable).host(VPC_HOSTS[1]),
    ] {
        let (node, _paths) = with_both().await.node().await;
        let told = format!("{fault:?}");
        node.cloud.fault(fault);
        let begun = Instant::now();
        pull(&node, VPC).await;
        assert!(begun.elapsed() < FOUND_OUT, "{told}: {:?}", begun.elapsed());
        assert!(asked(&node, Service::Registry).contains(&PUBLIC.to_owned()), "{told}");
        // It is remembered.
        node.cloud.journal().clear();
        let begun = Instant::now();
        pull(&node, VPC).await;
        assert!(begun.elapsed() < QUICK, "{told}: {:?}", begun.elapsed());
        assert_eq!(asked(&node, Service::Registry), [PUBLIC], "{told}");
        node.finish().await;
    }
}

/// A registry that takes connections and says nothing is given up after five seconds; nobody waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_pull_does_not_wait_for_a_host_that_says_nothing() {
    let (node, _paths) = with_both().await.node().await;
    node.cloud.fault(Fault::on(Service::Registry, Effect::Silence).host(VPC));
    pull(&node, VPC).await;
    let first = |host: &str| {
        let asked = node.cloud.journal().of(Service::Registry).into_iter().find(|entry| entry.host == host);
        asked.unwrap_or_else(|| panic!("{host} was not asked"))
    };
    assert!(first(PUBLIC).arrived.duration_since(first(VPC).arrived) < QUICK);
    // It is remembered: whatever is asked of the silent one from now on is asked beside the pulls.
    node.cloud.journal().clear();
    pull(&node, VPC).await;
    let silent = node.cloud.journal().filter(|entry| entry.host == VPC && entry.path != "/v2/");
    assert!(silent.is_empty(), "{silent:?}");
    assert!(asked(&node, Service::Registry).contains(&PUBLIC.to_owned()));
    node.finish().await;
}

/// What the registry denies to a login is denied, however many doors it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_denied_is_asked_of_nobody_else() {
    let (node, _paths) = with_both().await.node().await;
    let denied = Effect::answer(StatusCode::FORBIDDEN, String::new());
    node.cloud.fault(Fault::on(Service::Registry, denied).host(VPC).path_contains("/manifests/"));
    node.mirror.get(&manifest(VPC)).await.expect(403);
    let pulls = node.cloud.journal().filter(|entry| entry.path.contains("/manifests/"));
    assert!(!pulls.is_empty() && pulls.iter().all(|entry| entry.host == VPC), "{pulls:?}");
    node.finish().await;
}

/// A realm that stays away is found to stay away beside the pulls, each time that the host which names it has rested.
#[tokio::test(flavor = "multi_thread")]
async fn no_pull_finds_out_that_what_is_behind_a_host_is_still_away() {
    let network = with_both().await;
    network.cut(&[VPC_HOSTS[1]], Way::Silent).await;
    let (node, paths) = network.node().await;
    pull(&node, VPC).await;
    let realm = paths.to(VPC_HOSTS[1]);
    let before = realm.accepted();
    let pulled_meanwhile = async |until: usize| {
        while realm.accepted() < until {
            let begun = Instant::now();
            node.mirror.get(&manifest(VPC)).await.expect(200);
            assert!(begun.elapsed() < QUICK, "a pull waited {:?}", begun.elapsed());
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LIMIT, pulled_meanwhile(before + 1)).await.expect("the realm is tried after a rest");
    // The trial itself takes some seconds, and what comes of it is that the rest goes on.
    let begun = Instant::now();
    while begun.elapsed() < 2 * QUICK {
        let asked_at = Instant::now();
        node.mirror.get(&manifest(VPC)).await.expect(200);
        assert!(asked_at.elapsed() < QUICK, "a pull waited {:?}", asked_at.elapsed());
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(realm.accepted(), before + 1, "a pull asked the realm");
    node.finish().await;
}

/// One of two addresses takes connections and gets no further: it swallows, or is somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_addresses_those_without_tls_make_room_for_the_next() {
    let stranger = CloudSim::start().await.unwrap();
    for host in [VPC_HOSTS[0], VPC_HOSTS[2]] {
        let mut network = Network::new().await;
        network.instance = vec![format!("pullFrom: {VPC}")];
        let silent = Path::to(network.cloud.tls_addr()).await;
        silent.make(Way::Silent).await;
        let other = Path::to(stranger.tls_addr()).await;
        let targets = format!("[\"{}\", \"{}\", \"{}\"]", silent.address, other.address, network.path(host).address);
        network.instead = vec![(host.to_owned(), targets)];
        let (node, _paths) = network.node().await;
        let begun = Instant::now();
        pull(&node, VPC).await;
        assert!(begun.elapsed() < FOUND_OUT, "{host}: {:?}", begun.elapsed());
        assert!(silent.accepted() > 0 && other.accepted() > 0, "{host}");
        let before = (silent.accepted(), other.accepted());
        pull(&node, VPC).await;
        assert_eq!((silent.accepted(), other.accepted()), before, "{host}: what is of no use stands behind");
        node.finish().await;
    }
}
