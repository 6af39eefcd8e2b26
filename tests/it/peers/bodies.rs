//! Checks of what a client gets when a bucket breaks off, falls silent, or answers in an unusual form.

use std::time::Duration;

use bytes::Bytes;
use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup::INSTANCE;
use http::Version;
use tokio::time::Instant;

use super::metric;
use crate::support::{Node, TAG, blob, manifest};

/// The longest that a client may wait for a response head: containerd gives up after a minute at the earliest.
const HEAD_LIMIT: Duration = Duration::from_secs(25);

/// A node with one layer of 1 MB, and tokens at hand.
async fn warm_node() -> (Node, String, Bytes) {
    let node = Node::with(cloudsim::Method::WorkerRole, Image::random(1, 1_000_000, 21)).await;
    node.mirror.head(&manifest(TAG)).await.expect(200);
    let (digest, bytes) = node.image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).cloned().expect("a layer");
    (node, digest, bytes)
}

/// Check 1.
#[tokio::test(flavor = "multi_thread")]
async fn a_blob_cut_at_seventy_percent_comes_whole_and_counts_as_one_resume() {
    let (node, digest, bytes) = warm_node().await;
    let cut = bytes.len() as u64 * 7 / 10;
    for effect in [Effect::CutAfter(cut), Effect::ResetAfter(cut)] {
        let before = metric(&node, "blob_resumes_total", &[("instance", INSTANCE)]).await;
        let fault = node.cloud.fault(Fault::on(Service::Oss, effect.clone()).once());
        let reply = node.mirror.get(&blob(&digest)).await.expect(200);
        assert!(reply.complete && reply.body == bytes, "{effect:?}: {} of {}", reply.body.len(), bytes.len());
        assert_eq!(node.cloud.faults().struck(fault), 1);
        let after = metric(&node, "blob_resumes_total", &[("instance", INSTANCE)]).await;
        assert!((after - before - 1.0).abs() < f64::EPSILON, "{effect:?}: {before} resumes, then {after}");
    }
    node.finish().await;
}

/// Check 2.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_never_sends_a_byte_is_a_504_in_time_and_never_a_200() {
    let (node, digest, _) = warm_node().await;
    node.cloud.fault(Fault::on(Service::Oss, Effect::Silence));
    let asked = Instant::now();
    node.mirror.get(&blob(&digest)).await.expect(504);
    assert!(asked.elapsed() < HEAD_LIMIT, "{:?}", asked.elapsed());
    node.finish().await;
}

/// Check 4.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_expires_in_the_middle_of_a_body_is_asked_for_again() {
    let (node, digest, bytes) = warm_node().await;
    node.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(600_000)).once());
    // The request that continues the body meets the next fault: the first one is used up.
    let expired = node.cloud.fault(Fault::on(Service::Oss, Effect::ExpiredSignature).once());
    node.cloud.journal().clear();
    let reply = node.mirror.get(&blob(&digest)).await.expect(200);
    assert!(reply.complete && reply.body == bytes);
    assert_eq!(node.cloud.faults().struck(expired), 1);
    let urls = node.cloud.journal();
    let urls = urls.count_where(|entry| entry.service == Service::Registry && entry.path.contains("/blobs/"));
    assert_eq!(urls, 2, "one URL that expired, and one more");
    node.finish().await;
}

/// Check 12.
#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_length_come_whole() {
    let (node, digest, bytes) = warm_node().await;
    let chunked = node.cloud.fault(Fault::on(Service::Oss, Effect::NoLength).once());
    let reply = node.mirror.get(&blob(&digest)).await.expect(200);
    assert!(reply.complete && reply.body == bytes, "{} of {}", reply.body.len(), bytes.len());
    assert_eq!(node.cloud.faults().struck(chunked), 1);
    let (index, stored) = node.image.manifests.last().expect("an index");
    node.cloud.fault(Fault::on(Service::Registry, Effect::NoLength));
    let reply = node.mirror.get(&manifest(index)).await.expect(200);
    assert!(reply.complete && reply.body == stored.bytes);
    node.finish().await;
}

/// Check 12.
#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_asked_over_http2_and_the_head_of_everything_tells_its_length() {
    let (node, digest, bytes) = warm_node().await;
    let head = node.mirror.head(&blob(&digest)).await.expect(200);
    assert_eq!(head.header("content-length"), bytes.len().to_string());
    assert!(head.body.is_empty());
    for (digest, stored) in &node.image.manifests {
        let head = node.mirror.head(&manifest(digest)).await.expect(200);
        assert_eq!(head.header("content-length"), stored.bytes.len().to_string());
        assert_eq!(head.header("docker-content-digest"), digest);
    }
    let asked = node.cloud.journal().of(Service::Registry);
    assert!(asked.iter().all(|entry| entry.version == Version::HTTP_2), "{asked:#?}");
    node.finish().await;
}
