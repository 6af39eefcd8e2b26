//! The role chain, from the first credential to the bearer, over real sockets and with real signatures.

use std::time::Duration;

use cloudsim::Method;
use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use futures_util::future::join_all;

use crate::support::{Node, TAG, manifest};

/// Cold requests that arrive at one moment; kubelets of a busy node do not come near it.
const CROWD: usize = 500;

/// Calls to STS and CR per method, for one instance.
fn expected_calls(method: Method) -> (&'static [(&'static str, usize)], usize) {
    match method {
        Method::Rrsa => (&[("AssumeRoleWithOIDC", 1), ("AssumeRole", 1)], 0),
        Method::MultiHop => (&[("AssumeRoleWithOIDC", 1), ("AssumeRole", 2)], 0),
        // Hardened mode first, role name, credentials.
        Method::WorkerRole => (&[("AssumeRoleWithOIDC", 0), ("AssumeRole", 1)], 3),
        Method::AccessKey => (&[("AssumeRoleWithOIDC", 0), ("AssumeRole", 0)], 0),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_reaches_the_registry_with_one_call_per_hop() {
    for method in Method::ALL {
        let node = Node::with_method(method).await;
        node.mirror.get(&manifest(TAG)).await.expect(200);
        let journal = node.cloud.journal();
        let (sts, metadata) = expected_calls(method);
        for (action, times) in sts {
            assert_eq!(journal.count_action(action), *times, "{action} with {}", method.name());
        }
        assert_eq!(journal.count(Service::Imds), metadata, "metadata calls with {}", method.name());
        assert_eq!(journal.count_action("GetAuthorizationToken"), 1);
        assert_eq!(journal.count(Service::Realm), 1, "{} bearers", method.name());
        node.finish().await;
    }
}

/// Check 6 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_cold_requests_causes_one_call_per_hop() {
    let node = Node::start().await;
    // The logins of the start are dropped, so that the crowd finds nothing warm; and the realm is slow enough that all
    // of them are waiting before the first has an answer.
    node.cloud.fault(Fault::on(Service::Realm, Effect::Delay(Duration::from_millis(300))));
    let path = manifest(TAG);
    let replies = join_all((0..CROWD).map(|_| node.mirror.get(&path))).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{:?}", replies.iter().find(|reply| reply.status != 200));
    let journal = node.cloud.journal();
    assert_eq!(journal.count_action("AssumeRoleWithOIDC"), 1);
    assert_eq!(journal.count_action("AssumeRole"), 1);
    assert_eq!(journal.count_action("GetAuthorizationToken"), 1);
    assert_eq!(journal.count(Service::Realm), 1);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_pull_asks_for_no_token() {
    let node = Node::start().await;
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.cloud.journal().clear();
    node.mirror.get(&manifest(TAG)).await.expect(200);
    let journal = node.cloud.journal();
    assert_eq!(journal.count(Service::Sts) + journal.count(Service::Cr) + journal.count(Service::Realm), 0);
    let tags = journal.count_where(|entry| entry.path.ends_with(&format!("/manifests/{TAG}")));
    assert_eq!(tags, 1, "a tag is always asked upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_name_tells_the_node_in_the_audit_log() {
    let node = Node::start().await;
    node.mirror.get(&manifest(TAG)).await.expect(200);
    let calls = node.cloud.journal().filter(|entry| entry.action.as_deref() == Some("AssumeRole"));
    let session =
        calls[0].query.split('&').find_map(|pair| pair.strip_prefix("RoleSessionName=")).expect("in the query");
    assert!(session.starts_with("acr-pull-proxy-") && session.len() <= 32, "{session}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_explained_to_the_person_who_can_add_it() {
    let cloud = cloudsim::CloudSim::start().await.expect("a cloud");
    let image = Image::random(1, 1024, 3);
    cloud.push(setup::INSTANCE, "team/app", TAG, &image).expect("pushed");
    cloud.directory().remove_permission(setup::CLUSTER_ROLE, "sts:AssumeRole");
    let node = Node::around(cloud, Method::Rrsa, image).await;
    let reply = node.mirror.get(&manifest(TAG)).await.expect(403);
    let (code, message) = reply.error();
    assert_eq!(code, "DENIED");
    assert_eq!(message, reply.reason, "a HEAD shows only the reason phrase");
    assert!(message.contains("NoPermission") && message.contains("AssumeRole"), "{message}");
    assert!(reply.headers.get("www-authenticate").is_none());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_pull_rights_is_403_and_never_a_challenge() {
    let cloud = cloudsim::CloudSim::start().await.expect("a cloud");
    let image = Image::random(1, 1024, 4);
    cloud.push(setup::INSTANCE, "team/app", TAG, &image).expect("pushed");
    cloud.directory().remove_permission(setup::PULL_ROLE, "cr:PullRepository");
    let node = Node::around(cloud, Method::Rrsa, image).await;
    let reply = node.mirror.get(&manifest(TAG)).await.expect(403);
    let (code, message) = reply.error();
    assert_eq!(code, "DENIED");
    assert!(message.contains("cr:PullRepository"), "{message}");
    assert!(reply.headers.get("www-authenticate").is_none());
    node.finish().await;
}

/// Check 5 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_that_is_revoked_early_costs_one_more_and_no_failed_pull() {
    let node = Node::start().await;
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.cloud.revoke_bearers();
    node.mirror.get(&manifest(TAG)).await.expect(200);
    assert_eq!(node.cloud.journal().count(Service::Realm), 2);
    assert_eq!(node.cloud.journal().count_action("GetAuthorizationToken"), 1, "the login was not at fault");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_revoked_heals_without_a_failed_pull() {
    let node = Node::start().await;
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.cloud.directory().revoke_logins(Some(setup::INSTANCE));
    node.cloud.revoke_bearers();
    node.mirror.get(&manifest(TAG)).await.expect(200);
    assert_eq!(node.cloud.journal().count_action("GetAuthorizationToken"), 2);
    node.finish().await;
}
