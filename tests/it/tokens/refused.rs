//! Bearers that the registry refuses: some that were taken back, and all of them.

use std::time::Duration;

use bytes::Bytes;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use http::{StatusCode, header};
use tokio::time::Instant;

use crate::support::{DOMAIN, Node, TAG, manifest};

/// More than are renewed without a pause.
const TAKEN_BACK: usize = 6;
/// Pulls that all fail; the first of them wait for the daemon's patience, and the others for nothing.
const PULLS: usize = 100;
/// Bearers that are asked for before the pauses are this long, and so at most one comes with each.
const AT_FIRST: u64 = 10;
const LATER: Duration = Duration::from_secs(15);

/// Check 5 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn bearers_that_are_taken_back_one_after_the_other_fail_no_pull() {
    let node = Node::start().await;
    for _ in 0..TAKEN_BACK {
        node.mirror.get(&manifest(TAG)).await.expect(200);
        node.cloud.revoke_bearers();
    }
    node.mirror.get(&manifest(TAG)).await.expect(200);
    assert_eq!(node.cloud.journal().count_action("GetAuthorizationToken"), 1);
    node.finish().await;
}

/// Check 5 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_every_bearer_is_told_of_and_costs_no_storm() {
    let node = Node::start().await;
    // The registry's own, so that there is no news in it.
    let (region, instance) = (setup::REGION, setup::INSTANCE);
    let challenge = format!(
        r#"Bearer realm="https://dockerauth-vpc.{region}.aliyuncs.com/auth",service="registry.aliyuncs.com:{region}:china:{instance}",error="invalid_token""#
    );
    let refusal = Effect::Answer {
        status: StatusCode::UNAUTHORIZED,
        headers: vec![(header::WWW_AUTHENTICATE, challenge.parse().expect("a header"))],
        body: Bytes::new(),
    };
    node.cloud.fault(Fault::on(Service::Registry, refusal).path_contains("/manifests/"));
    let begun = Instant::now();
    for _ in 0..PULLS {
        let reply = node.mirror.get(&manifest(TAG)).await.expect(503);
        assert!(reply.reason.contains("the registry refuses the bearer"), "{}", reply.reason);
    }
    let asked = node.cloud.journal().count(Service::Realm) as u64;
    let most = AT_FIRST + begun.elapsed().as_secs() / LATER.as_secs();
    assert!(asked <= most, "{asked} bearers for {PULLS} pulls in {:?}", begun.elapsed());
    for action in ["AssumeRole", "GetAuthorizationToken"] {
        assert_eq!(node.cloud.journal().count_action(action), 1, "{action}");
    }
    let other = format!("/v2/team/other/manifests/{TAG}?ns={DOMAIN}");
    node.cloud.faults().clear();
    node.cloud.push(setup::INSTANCE, "team/other", TAG, &node.image).expect("pushed");
    node.mirror.get(&other).await.expect(200);
    node.finish().await;
}
