//! `network.blobProxy`: blob bytes, and only those, through a forward proxy; and without it where it fails.

mod nginx;

use std::time::Duration;

use cloudsim::Method;
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use tokio::time::{sleep, timeout};

use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::forward_proxy::{ForwardProxy, Manner};
use crate::support::{Node, POLL, REPOSITORY, TAG, blob, manifest};

/// How long a line of the log may be on its way.
const LOG_LIMIT: Duration = Duration::from_secs(10);

/// A layer that is fetched in several parts.
const LARGE: usize = 24 << 20;

async fn behind_proxy(layers: usize, size: usize) -> (Node, ForwardProxy) {
    let cloud = cloudsim::CloudSim::start().await.expect("the simulated cloud starts");
    let image = Image::random(layers, size, 4);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    let proxy = ForwardProxy::to(cloud.tls_addr(), cloud.ca_pem()).await;
    let daemon = Daemon::start(&through(&cloud.node_config(Method::Rrsa), &proxy.address.to_string())).await;
    let mirror = Mirror::at(daemon.listen);
    (Node { cloud, image, daemon, mirror }, proxy)
}

fn through(config: &str, proxy: &str) -> String {
    config.replace("network:\n", &format!("network:\n  blobProxy: http://{proxy}\n"))
}

async fn pull(node: &Node) {
    node.mirror.get(&manifest(TAG)).await.expect(200);
    for (digest, bytes) in &node.image.blobs {
        let reply = node.mirror.get(&blob(digest)).await.expect(200);
        assert!(reply.complete && reply.body == *bytes, "{digest}");
    }
}

/// The counter of requests that the proxy served or failed.
async fn counted(node: &Node, outcome: &str) -> f64 {
    let metrics = Mirror::at(node.daemon.admin).get("/metrics").await.text();
    let name =
        format!("acr_pull_proxy_blob_proxy_requests_total{{instance=\"{}\",outcome=\"{outcome}\"}} ", setup::INSTANCE);
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_bytes_of_blobs_and_nothing_else_go_through_the_proxy() {
    let (node, proxy) = behind_proxy(1, LARGE).await;
    pull(&node).await;
    let heads = proxy.heads();
    assert!(heads.len() > 2, "a large layer has several parts: {}", heads.len());
    for head in &heads {
        let lower = head.to_ascii_lowercase();
        assert!(head.starts_with("GET https://cri-abcd1234efgh5678-registry.oss-cn-hangzhou-internal."), "{head}");
        assert!(lower.contains("\r\nx-dragonfly-use-p2p: true\r\n"), "{head}");
        assert!(!lower.contains("authorization") && !lower.contains("bearer"), "a credential reached the proxy");
    }
    // The bucket saw the proxy's connections only.
    assert_eq!(node.cloud.journal().count(Service::Oss), heads.len());
    assert_eq!((counted(&node, "ok").await, counted(&node, "failed").await), (heads.len() as f64, 0.0));
    node.finish().await;
}

/// Waits until the log says so: its last lines may still be on their way.
async fn told(node: &Node, what: &str) {
    let said = async {
        while !node.daemon.log().contains(what) {
            sleep(POLL).await;
        }
    };
    timeout(LOG_LIMIT, said).await.unwrap_or_else(|_| panic!("no {what:?} in\n{}", node.daemon.log()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_fails_costs_no_pull_and_is_not_asked_again_at_once() {
    for manner in [Manner::Answers(502), Manner::Answers(400), Manner::Cuts(200_000), Manner::Cuts(10)] {
        let (node, proxy) = behind_proxy(2, 1 << 20).await;
        proxy.behave(manner);
        pull(&node).await;
        let asked = proxy.heads().len();
        assert!((1..=4).contains(&asked), "{manner:?}: asked {asked} times");
        pull(&node).await;
        assert_eq!(proxy.heads().len(), asked, "{manner:?}");
        told(&node, "the blob proxy failed; blobs come directly").await;
        assert!(node.cloud.journal().authorizations_at(Service::Oss).is_empty());
        node.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_not_there_costs_no_pull() {
    let (node, proxy) = behind_proxy(2, 64 * 1024).await;
    drop(proxy);
    pull(&node).await;
    assert!(counted(&node, "failed").await >= 1.0);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_falls_silent_within_a_body_is_left_and_the_body_continued() {
    let (node, proxy) = behind_proxy(1, 1 << 20).await;
    proxy.behave(Manner::Stalls(300_000));
    pull(&node).await;
    let asked = proxy.heads().len();
    pull(&node).await;
    assert_eq!(proxy.heads().len(), asked);
    node.finish().await;
}

/// It keeps its connections open and answers none, as one that waits for its own network does.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_takes_requests_and_says_nothing_costs_no_pull() {
    let (node, proxy) = behind_proxy(2, 1 << 20).await;
    proxy.behave(Manner::Silent);
    pull(&node).await;
    let asked = proxy.heads().len();
    assert!((1..=4).contains(&asked), "asked {asked} times");
    pull(&node).await;
    assert_eq!(proxy.heads().len(), asked, "it is left alone");
    told(&node, "the blob proxy failed; blobs come directly").await;
    node.finish().await;
}

/// What is larger than what can be held is on its way to the client before its digest is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_gives_wrong_bytes_fails_one_layer_once_and_is_left_alone() {
    for size in [1 << 20, LARGE] {
        let (node, proxy) = behind_proxy(1, size).await;
        pull(&node).await;
        proxy.behave(Manner::Spoils);
        let (layer, bytes) = node.image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
        let spoilt = node.mirror.get(&blob(layer)).await.expect(200);
        assert!(!spoilt.complete && spoilt.body.len() < bytes.len(), "{} bytes of {}", spoilt.body.len(), bytes.len());
        told(&node, "it gave bytes of another digest").await;
        // As the kubelet does it: the whole pull once more.
        let asked = proxy.heads().len();
        pull(&node).await;
        assert_eq!(proxy.heads().len(), asked, "{size}");
        node.finish().await;
    }
}

/// The config is held before it is given to anybody.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_of_what_is_fetched_ahead_cost_no_pull() {
    let (node, proxy) = behind_proxy(1, 1 << 20).await;
    proxy.behave(Manner::Spoils);
    node.mirror.get(&manifest(TAG)).await.expect(200);
    told(&node, "it gave bytes of another digest").await;
    let asked = proxy.heads().len();
    pull(&node).await;
    assert_eq!(proxy.heads().len(), asked);
    node.finish().await;
}
