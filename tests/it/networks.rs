//! The networks that people have: public endpoint, VPC, peered VPC; several ways at once, one of them cut at a time.

mod doctor;
mod matrix;
mod several;

use std::net::IpAddr;
use std::time::Duration;

use cloudsim::Method;
use cloudsim::journal::Service;
use cloudsim::settings::RealmHost;
use http::StatusCode;

use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::network::{Network, PUBLIC, PUBLIC_HOSTS, VPC, VPC_HOSTS};
use crate::support::node::get;
use crate::support::path::Way;
use crate::support::{LIMIT, Node, REPOSITORY, TAG};

/// Less than it takes to give up one connection.
const QUICK: Duration = Duration::from_secs(4);

/// What it may take to find out that a way is cut: one connection that is given up after 4.5 seconds, on a machine that
/// runs other tests beside this one.
const FOUND_OUT: Duration = Duration::from_secs(15);

/// A whole image, named with `domain`, must come through.
async fn pull(node: &Node, domain: &str) {
    let manifest = format!("/v2/{REPOSITORY}/manifests/{TAG}?ns={domain}");
    node.mirror.get(&manifest).await.expect(200);
    for (digest, bytes) in &node.image.blobs {
        let reply = node.mirror.get(&format!("/v2/{REPOSITORY}/blobs/{digest}?ns={domain}")).await.expect(200);
        assert!(reply.complete && reply.body == *bytes, "{digest}");
    }
}

/// The hosts that were asked at a service, each once.
fn asked(node: &Node, service: Service) -> Vec<String> {
    let mut hosts: Vec<_> = node.cloud.journal().of(service).into_iter().map(|entry| entry.host).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

async fn with_both() -> Network {
    let mut network = Network::new().await;
    network.instance = vec![format!("pullFrom: [{VPC}, {PUBLIC}]")];
    network
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vpc_domain_is_used_whatever_domain_the_image_names() {
    let mut network = Network::new().await;
    network.instance = vec![format!("pullFrom: {VPC}")];
    network.cut(&PUBLIC_HOSTS, Way::Refused).await;
    let (node, _paths) = network.node().await;
    for domain in [PUBLIC, VPC, "images.example.com"] {
        pull(&node, domain).await;
    }
    assert_eq!(asked(&node, Service::Registry), [VPC]);
    assert_eq!(asked(&node, Service::Realm), ["dockerauth-vpc.cn-hangzhou.aliyuncs.com"]);
    assert!(asked(&node, Service::Oss).iter().all(|host| host.ends_with(".oss-cn-hangzhou-internal.aliyuncs.com")));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_part_of_the_better_way_is_cut_the_other_way_serves_and_is_remembered() {
    let mut cases = tokio::task::JoinSet::new();
    for host in VPC_HOSTS {
        cases.spawn(without(host, Way::Refused));
        cases.spawn(without(host, Way::Silent));
    }
    cases.join_all().await;
}

async fn without(host: &str, way: Way) {
    let network = with_both().await;
    network.cut(&[host], way).await;
    let (node, paths) = network.node().await;
    let begun = tokio::time::Instant::now();
    pull(&node, VPC).await;
    assert!(begun.elapsed() < FOUND_OUT, "{host} {way:?}: {:?}", begun.elapsed());
    assert!(asked(&node, Service::Registry).contains(&PUBLIC.to_owned()), "{host} {way:?}");
    // From then on no pull waits for the way that is cut.
    let before = paths.to(host).accepted();
    let begun = tokio::time::Instant::now();
    pull(&node, PUBLIC).await;
    assert!(begun.elapsed() < QUICK, "{host} {way:?}: {:?}", begun.elapsed());
    // One more at most, beside the pulls, to see whether it is back.
    assert!(paths.to(host).accepted() <= before + 1, "{host} was tried by a pull");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_no_way_either() {
    let mut network = with_both().await;
    network.instead = vec![(VPC.to_owned(), "no-such-name.invalid".to_owned())];
    let (node, _paths) = network.node().await;
    pull(&node, VPC).await;
    assert_eq!(asked(&node, Service::Registry), [PUBLIC]);
    node.finish().await;
}

/// Check 19: what a node has before its network and the cluster's DNS are there is the metadata service, by its address.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_boots_before_its_network_serves_as_soon_as_there_is_one() {
    let mut network = Network::new().await;
    let apis = ["sts-vpc.cn-hangzhou.aliyuncs.com", "cr-vpc.cn-hangzhou.aliyuncs.com"];
    let all = [&PUBLIC_HOSTS[..], &VPC_HOSTS, &apis].concat();
    network.cut(&all, Way::Refused).await;
    // The public names of the APIs are those that nobody resolves.
    let unknown = ["sts.cn-hangzhou.aliyuncs.com", "cr.cn-hangzhou.aliyuncs.com"];
    network.instead = unknown.map(|name| (name.to_owned(), "no-such-name.invalid".to_owned())).to_vec();
    let daemon = Daemon::start(&network.config(Method::WorkerRole)).await;
    let mirror = Mirror::at(daemon.listen);
    let node = Node { cloud: network.cloud, image: network.image, daemon, mirror };

    let manifest = format!("/v2/{REPOSITORY}/manifests/{TAG}?ns={VPC}");
    let refused = node.mirror.get(&manifest).await;
    assert!(refused.status.is_server_error(), "{}", refused.text());
    assert_eq!(get(node.daemon.admin, "/livez").await.0, StatusCode::OK);
    assert_eq!(get(node.daemon.admin, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let metadata = node.cloud.journal().of(Service::Imds);
    assert!(!metadata.is_empty() && metadata.iter().all(|entry| entry.host.parse::<IpAddr>().is_ok()));

    for (_, path) in &network.paths {
        path.make(Way::Open).await;
    }
    let pulled = async {
        while node.mirror.get(&manifest).await.status != StatusCode::OK {
            tokio::time::sleep(crate::support::POLL).await;
        }
    };
    tokio::time::timeout(LIMIT, pulled).await.expect("it heals by itself");
    pull(&node, VPC).await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_better_way_is_taken_again_once_it_works() {
    let network = with_both().await;
    network.cut(&[VPC], Way::Refused).await;
    let (node, paths) = network.node().await;
    pull(&node, VPC).await;
    paths.to(VPC).make(Way::Open).await;
    node.cloud.journal().clear();
    let back = async {
        while !asked(&node, Service::Registry).contains(&VPC.to_owned()) {
            // Manifests by tag are asked for anew each time.
            node.mirror.get(&format!("/v2/{REPOSITORY}/manifests/{TAG}?ns={PUBLIC}")).await.expect(200);
            tokio::time::sleep(crate::support::POLL).await;
        }
    };
    tokio::time::timeout(LIMIT, back).await.expect("the VPC domain is asked again");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_is_cut_while_nodes_pull_fails_no_pull() {
    for way in [Way::Refused, Way::Silent] {
        let network = with_both().await;
        let (node, paths) = network.node().await;
        pull(&node, VPC).await;
        for host in VPC_HOSTS {
            paths.to(host).make(way).await;
        }
        pull(&node, VPC).await;
        // What is remembered of the bucket that is gone is not tried again.
        let bucket = paths.to(VPC_HOSTS[2]);
        let before = bucket.accepted();
        let begun = tokio::time::Instant::now();
        pull(&node, VPC).await;
        assert!(begun.elapsed() < QUICK, "{way:?}: {:?}", begun.elapsed());
        assert!(bucket.accepted() <= before + 1, "{way:?}: the bucket was tried by a pull");
        node.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_addresses_those_that_do_not_answer_cost_a_moment() {
    let mut network = Network::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Nobody listens, an address for documentation that no route leads to, and a name of nobody.
    let dead = format!("\"{closed}\", \"[2001:db8::1]:443\", no-such-name.invalid");
    for host in VPC_HOSTS.into_iter().chain(["sts-vpc.cn-hangzhou.aliyuncs.com", "cr-vpc.cn-hangzhou.aliyuncs.com"]) {
        let living = network.path(host).address;
        network.instead.push((host.to_owned(), format!("[{dead}, \"{living}\"]")));
    }
    let (node, _paths) = network.node().await;
    let begun = tokio::time::Instant::now();
    pull(&node, VPC).await;
    // Five hosts one after the other, each with a name that may take two seconds to be unknown.
    assert!(begun.elapsed() < QUICK * 3, "{:?}", begun.elapsed());
    node.finish().await;
}

/// OSS over PrivateLink: a CNAME to the name of an endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_in_place_of_the_bucket_keeps_host_header_and_tls_name() {
    let mut network = Network::new().await;
    let tls = network.cloud.tls_addr();
    network.instead = vec![(VPC_HOSTS[2].to_owned(), format!("localhost:{}", tls.port()))];
    network.cut(&[VPC_HOSTS[2]], Way::Refused).await;
    let (node, _paths) = network.node().await;
    pull(&node, VPC).await;
    let bucket = "cri-abcd1234efgh5678-registry.oss-cn-hangzhou-internal.aliyuncs.com";
    for entry in node.cloud.journal().of(Service::Oss) {
        assert_eq!((entry.host.as_str(), entry.tls_name.as_deref()), (bucket, Some(bucket)));
    }
    node.finish().await;
}

/// Instance takeover of the authentication domain: the realm is the registry itself.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_takeover_no_authentication_host_is_needed() {
    let network = Network::new().await;
    network.cloud.configure(|settings| settings.realm.host = RealmHost::RegistryItself);
    network.cut(&[PUBLIC_HOSTS[1], VPC_HOSTS[1]], Way::Refused).await;
    let (node, _paths) = network.node().await;
    pull(&node, VPC).await;
    assert_eq!(asked(&node, Service::Realm), [VPC]);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apis_without_a_vpc_way_are_asked_at_their_public_names() {
    let network = Network::new().await;
    network.cut(&["sts-vpc.cn-hangzhou.aliyuncs.com", "cr-vpc.cn-hangzhou.aliyuncs.com"], Way::Refused).await;
    let config = network.config(Method::Rrsa);
    let named = |line: &&str| !line.starts_with("  sts: ") && !line.starts_with("  cr: ");
    let config: String = config.lines().filter(named).map(|line| format!("{line}\n")).collect();
    let daemon = crate::support::daemon::Daemon::start(&config).await;
    let mirror = crate::support::client::Mirror::at(daemon.listen);
    let node = Node { cloud: network.cloud, image: network.image, daemon, mirror };
    pull(&node, VPC).await;
    assert_eq!(asked(&node, Service::Sts), ["sts.cn-hangzhou.aliyuncs.com"]);
    assert_eq!(asked(&node, Service::Cr), ["cr.cn-hangzhou.aliyuncs.com"]);
    node.finish().await;
}
