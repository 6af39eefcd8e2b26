//! Tokens through the real binary: how many calls pulls cost, what heals, where the cloud is asked.

mod refused;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::{self, Instance, setup};
use cloudsim::{CloudSim, Method};
use http::StatusCode;
use jiff::SignedDuration;

use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::node::{self, get};
use crate::support::{DOMAIN, Node, TAG, manifest};

/// How long anything in these tests may take that is waited for.
const LIMIT: Duration = Duration::from_secs(30);
/// How often a face of the daemon is asked meanwhile; nothing tells us when it changes.
const POLL: Duration = Duration::from_millis(50);

/// The repositories of each instance.
const REPOSITORIES: usize = 20;
/// Two more instances beside the usual one, as (id, name).
const MORE: [(&str, &str); 2] = [("cri-second0000000000", "second"), ("cri-third00000000000", "third")];

fn image() -> Image {
    Image::random(1, 1024, 11)
}

/// Each logs in at a moment of its own within two minutes and a half, and which one is left to chance: so what is told is
/// that most of them have not, though they have looked ten times whether they are ready.
#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_start_together_and_are_asked_by_nobody_do_not_log_in_together() {
    let cloud = CloudSim::start().await.unwrap();
    let config = cloud.node_config(Method::WorkerRole);
    let mut daemons = Vec::new();
    for _ in 0..8 {
        daemons.push(Daemon::as_configured(&config).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let logins = cloud.journal().count_action("GetAuthorizationToken");
    assert!(logins < daemons.len() / 2, "{logins} of {} logged in at once", daemons.len());
    // Who is asked does so at once.
    let asked = async {
        while get(daemons[0].admin, "/readyz").await.0 != StatusCode::OK {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LIMIT, asked).await.expect("a login for who is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_cold_pulls_cost_one_call_per_hop_and_instance_and_one_per_scope() {
    let directory = setup::directory();
    for (id, name) in MORE {
        directory.add_instance(Instance::new(id, name, setup::REGION, setup::ACCOUNT_B));
    }
    let cloud = CloudSim::builder().directory(directory).start().await.unwrap();
    let instances = cloud.directory().instances();
    for instance in &instances {
        for repository in 0..REPOSITORIES {
            cloud.push(&instance.id, &format!("team/app-{repository}"), TAG, &image()).unwrap();
        }
    }
    let domains: Vec<_> = instances.iter().map(Instance::vpc_domain).collect();
    let node = Node::around(cloud, Method::Rrsa, image()).await;
    let pulls: Vec<_> = (0..1000)
        .map(|number| {
            let (mirror, domain) = (node.mirror.clone(), &domains[number % domains.len()]);
            let repository = number / domains.len() % REPOSITORIES;
            let path = format!("/v2/team/app-{repository}/manifests/{TAG}?ns={domain}");
            tokio::spawn(async move { mirror.get(&path).await.status })
        })
        .collect();
    for pull in pulls {
        assert_eq!(pull.await.unwrap(), StatusCode::OK);
    }
    let journal = node.cloud.journal();
    for action in ["AssumeRoleWithOIDC", "AssumeRole", "GetAuthorizationToken"] {
        assert_eq!(journal.count_action(action), domains.len(), "{action}");
    }
    assert_eq!(journal.count(Service::Realm), domains.len() * REPOSITORIES);
    let challenges = journal.filter(|entry| entry.service == Service::Registry && entry.path == "/v2/");
    assert_eq!(challenges.len(), domains.len());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_pull_makes_no_token_call_and_a_new_repository_makes_one() {
    let node = Node::start().await;
    node.cloud.push(setup::INSTANCE, "team/other", TAG, &node.image).unwrap();
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.cloud.journal().clear();
    node.mirror.get(&manifest(TAG)).await.expect(200);
    assert_eq!(calls(&node.cloud), BTreeMap::new());
    node.mirror.get(&format!("/v2/team/other/manifests/{TAG}?ns={DOMAIN}")).await.expect(200);
    assert_eq!(calls(&node.cloud), BTreeMap::from([(Service::Realm, 1)]));
    node.finish().await;
}

/// What was asked for tokens; reading ahead from the registry and the bucket is none of it.
fn calls(cloud: &CloudSim) -> BTreeMap<Service, usize> {
    let mut calls = BTreeMap::new();
    let content = [Service::Registry, Service::Oss];
    for entry in cloud.journal().entries().into_iter().filter(|entry| !content.contains(&entry.service)) {
        *calls.entry(entry.service).or_default() += 1;
    }
    calls
}

/// Check 5 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_403_of_the_registry_that_says_expired_costs_a_bearer_and_no_failed_pull() {
    let node = Node::start().await;
    node.mirror.get(&manifest(TAG)).await.expect(200);
    let body = r#"{"errors":[{"code":"DENIED","message":"token has expired"}]}"#;
    // The tag itself: what is asked ahead of the client may still be under way.
    let refused = Fault::on(Service::Registry, Effect::answer(StatusCode::FORBIDDEN, body));
    node.cloud.fault(refused.path_contains(&format!("manifests/{TAG}")).once());
    node.mirror.get(&manifest(TAG)).await.expect(200);
    assert_eq!(node.cloud.journal().count(Service::Realm), 2);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_a_moment_at_any_hop_costs_no_cold_pull() {
    let node = Node::start().await;
    for (service, action) in
        [(Service::Sts, "AssumeRoleWithOIDC"), (Service::Sts, "AssumeRole"), (Service::Cr, "GetAuthorizationToken")]
    {
        let busy = Effect::answer(StatusCode::SERVICE_UNAVAILABLE, "");
        node.cloud.fault(Fault::on(service, busy).action(action).once());
    }
    node.cloud.fault(Fault::on(Service::Realm, Effect::CloseBeforeHead).once());
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.finish().await;
}

/// As behind a gateway that has forgotten it: what is sent is taken, and nothing comes back, no answer to a probe either.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_dead_and_not_closed_costs_no_cold_pull() {
    for service in [Service::Sts, Service::Cr, Service::Realm, Service::Registry] {
        let cloud = cloud().await;
        let dead = Fault::on(service, Effect::Frames { first: Bytes::new(), again: Bytes::new() }).once();
        let dead = cloud.fault(dead);
        let node = Node::around(cloud, Method::Rrsa, image()).await;
        node.mirror.get(&manifest(TAG)).await.expect(200);
        assert_eq!(node.cloud.faults().struck(dead), 1, "{service:?}");
        node.finish().await;
    }
}

/// Check 7 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_login_serves_new_repositories_through_an_outage_of_the_cloud() {
    let node = Node::start().await;
    node.cloud.push(setup::INSTANCE, "team/other", TAG, &node.image).unwrap();
    node.mirror.get(&manifest(TAG)).await.expect(200);
    for service in [Service::Sts, Service::Cr] {
        node.cloud.fault(Fault::on(service, Effect::Silence));
    }
    node.mirror.get(&format!("/v2/team/other/manifests/{TAG}?ns={DOMAIN}")).await.expect(200);
    node.finish().await;
}

/// A configuration whose endpoints follow the region.
fn following_the_region(cloud: &CloudSim) -> String {
    let config = cloud.node_config(Method::Rrsa);
    let own = |line: &&str| !line.starts_with("  sts:") && !line.starts_with("  cr:");
    config.lines().filter(own).map(|line| format!("{line}\n")).collect()
}

async fn cloud() -> CloudSim {
    let cloud = CloudSim::start().await.unwrap();
    cloud.push(setup::INSTANCE, "team/app", TAG, &image()).unwrap();
    cloud
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_cannot_be_reached_are_passed_over_and_the_choice_is_remembered() {
    let cloud = cloud().await;
    let unreachable =
        ["sts-vpc.cn-hangzhou.aliyuncs.com", "sts.cn-hangzhou.aliyuncs.com", "cr-vpc.cn-hangzhou.aliyuncs.com"]
            .map(|host| cloud.fault(Fault::on_any(Effect::RefuseConnection).host(host)));
    let daemon = Daemon::start(&following_the_region(&cloud)).await;
    let mirror = Mirror::at(daemon.listen);
    mirror.get(&manifest(TAG)).await.expect(200);
    let tries = unreachable.map(|fault| cloud.faults().struck(fault));
    assert!(tries.iter().all(|tries| *tries > 0), "{tries:?}: the VPC and the regional names come first");
    assert_eq!(hosts(&cloud, Service::Sts), ["sts.aliyuncs.com"; 2]);
    assert_eq!(hosts(&cloud, Service::Cr), ["cr.cn-hangzhou.aliyuncs.com"]);

    cloud.directory().revoke_sessions(setup::CLUSTER_ROLE);
    cloud.directory().revoke_sessions(setup::PULL_ROLE);
    cloud.revoke_bearers();
    mirror.get(&manifest(TAG)).await.expect(200);
    assert!(hosts(&cloud, Service::Sts).len() > 2 && hosts(&cloud, Service::Cr).len() > 1);
    assert_eq!(unreachable.map(|fault| cloud.faults().struck(fault)), tries, "they were tried again");
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_without_vpc_endpoints_is_asked_over_the_public_ones() {
    let directory = setup::directory();
    let home = directory.node().unwrap();
    directory.set_node(ram::Node { region: "ap-southeast-6".to_owned(), ..home });
    let cloud = CloudSim::builder().directory(directory).start().await.unwrap();
    cloud.push(setup::INSTANCE, "team/app", TAG, &image()).unwrap();
    let daemon = Daemon::start(&following_the_region(&cloud)).await;
    Mirror::at(daemon.listen).get(&manifest(TAG)).await.expect(200);
    assert_eq!(hosts(&cloud, Service::Sts), ["sts.ap-southeast-6.aliyuncs.com"; 2]);
    // The instance lives in another region, whose VPC names have no route from here.
    assert_eq!(hosts(&cloud, Service::Cr), ["cr.cn-hangzhou.aliyuncs.com"]);
    daemon.stop();
}

fn hosts(cloud: &CloudSim, service: Service) -> Vec<String> {
    cloud.journal().of(service).into_iter().map(|entry| entry.host).collect()
}

/// A configuration that leaves the domains to `ListInstanceEndpoint`.
fn without_domains(cloud: &CloudSim) -> String {
    let config = cloud.node_config(Method::Rrsa);
    config.lines().filter(|line| !line.contains("domains:")).map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_that_are_not_configured_are_learnt_also_after_a_failure() {
    let cloud = cloud().await;
    let busy = Effect::answer(StatusCode::INTERNAL_SERVER_ERROR, r#"{"Code":"SystemError"}"#);
    let failure = cloud.fault(Fault::on(Service::Cr, busy).action("ListInstanceEndpoint").once());
    let mut daemon = Daemon::start(&without_domains(&cloud)).await;
    daemon.wait_for_line(LIMIT, |line| line["msg"] == "the domains were learnt").await;
    assert_eq!(cloud.faults().struck(failure), 1);
    for domain in [DOMAIN, setup::CUSTOM_DOMAIN] {
        let path = format!("/v2/team/app/manifests/{TAG}?ns={domain}");
        Mirror::at(daemon.listen).get(&path).await.expect(200);
    }
    daemon.stop();
}

/// In this process, where an hour can be made to pass.
#[tokio::test]
async fn domains_that_were_learnt_are_asked_for_again_within_the_hour() {
    let cloud = cloud().await;
    let node = node::Node::start(&without_domains(&cloud)).await;
    node.ready().await;
    let usual = Instance::new(setup::INSTANCE, setup::INSTANCE_NAME, setup::REGION, setup::ACCOUNT_B);
    cloud.directory().add_instance(usual.with_custom_domain("new.example.com"));
    assert!(!status(&node).await.contains("new.example.com"));

    cloud.clock().advance(SignedDuration::from_secs(3600));
    cloud.rotate_oidc_token().unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3601)).await;
    tokio::time::resume();
    let learnt = async {
        while !status(&node).await.contains("new.example.com") {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LIMIT, learnt).await.unwrap();
    assert!(!status(&node).await.contains(setup::CUSTOM_DOMAIN), "a domain that is gone is still served");
    let (answer, _) = get(node.app.listen_addr(), &format!("/v2/team/app/manifests/{TAG}?ns={DOMAIN}")).await;
    assert_eq!(answer, StatusCode::OK);
    node.app.shutdown().await;
}

async fn status(node: &node::Node) -> String {
    get(node.app.admin_addr(), "/status").await.1
}
