//! What comes through the daemon, byte for byte, and what never leaves it.

use std::time::Duration;

use bytes::Bytes;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use cloudsim::settings::{RealmHost, UrlSignature};
use http::Method;

use crate::support::{DOMAIN, Node, REPOSITORY, TAG, blob, manifest};

/// The longest that a client may wait for a response head (contract section 3).
const HEAD_LIMIT: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_through_as_containerd_asks_for_it() {
    let node = Node::start().await;
    let head = node.mirror.head(&manifest(TAG)).await.expect(200);
    assert!(head.body.is_empty());
    let digest = head.header("docker-content-digest").to_owned();
    assert_eq!(digest, node.image.digest);
    let index = node.mirror.get(&manifest(&digest)).await.expect(200);
    assert_eq!(index.header("content-type"), head.header("content-type"));
    assert_eq!(index.body.len().to_string(), head.header("content-length"));
    for (digest, stored) in &node.image.manifests {
        let reply = node.mirror.get(&manifest(digest)).await.expect(200);
        assert_eq!(reply.body, stored.bytes);
        assert_eq!(reply.header("content-type"), stored.media_type);
    }
    for (digest, bytes) in &node.image.blobs {
        let reply = node.mirror.get(&blob(digest)).await.expect(200);
        assert!(reply.complete && reply.body == *bytes, "{digest}");
        assert_eq!(reply.header("content-length"), bytes.len().to_string());
    }
    assert!(node.cloud.journal().authorizations_at(Service::Oss).is_empty());
    node.finish().await;
}

/// Check 15 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn the_request_to_the_bucket_is_built_from_nothing() {
    let node = Node::start().await;
    let (digest, _) = layer(&node);
    let headers = [
        ("authorization", "Bearer of-the-client"),
        ("content-type", "text/plain"),
        ("x-oss-range-behavior", "standard"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "10.0.0.1"),
        ("accept-encoding", "zstd, gzip"),
    ];
    node.mirror.ask(Method::GET, &blob(&digest), &headers).await.expect(200);
    for entry in node.cloud.journal().of(Service::Oss) {
        for name in &entry.header_names {
            assert!(["host", "accept", "accept-encoding", "user-agent", "range"].contains(&name.as_str()), "{name}");
        }
    }
    let registry = node.cloud.journal().of(Service::Registry);
    assert!(
        registry
            .iter()
            .all(|entry| !entry.header_names.iter().any(|name| name == "cookie" || name == "x-forwarded-for"))
    );
}

/// Check 11 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_passed_through() {
    let node = Node::start().await;
    let (digest, bytes) = layer(&node);
    let path = blob(&digest);
    let middle = node.mirror.get_range(&path, "bytes=100-199").await.expect(206);
    assert_eq!(middle.body, bytes.slice(100..200));
    assert_eq!(middle.header("content-range"), format!("bytes 100-199/{}", bytes.len()));
    let rest = node.mirror.get_range(&path, "bytes=1000-").await.expect(206);
    assert_eq!(rest.body, bytes.slice(1000..));
    let last = node.mirror.get_range(&path, "bytes=-10").await.expect(206);
    assert_eq!(last.body, bytes.slice(bytes.len() - 10..));
    node.mirror.get_range(&path, &format!("bytes={}-", bytes.len())).await.expect(416);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_found_by_namespace_by_host_and_by_the_first_path_component() {
    let node = Node::start().await;
    let plain = format!("/v2/{REPOSITORY}/manifests/{TAG}");
    node.mirror.get(&format!("{plain}?ns={DOMAIN}")).await.expect(200);
    node.mirror.ask(Method::GET, &plain, &[("host", DOMAIN)]).await.expect(200);
    node.mirror.get(&format!("/v2/{DOMAIN}/{REPOSITORY}/manifests/{TAG}")).await.expect(200);
    node.mirror.get(&plain).await.expect(404);
    // The named domain decides where the daemon goes.
    let hosts = node.cloud.journal().of(Service::Registry);
    assert!(hosts.iter().all(|entry| entry.host == DOMAIN));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_referrers_are_answered_as_the_registry_does() {
    let node = Node::start().await;
    for tag in ["v2", "v3"] {
        node.cloud.push(cloudsim::ram::setup::INSTANCE, REPOSITORY, tag, &node.image).expect("pushed");
    }
    let first = node.mirror.get(&format!("/v2/{REPOSITORY}/tags/list?n=2&ns={DOMAIN}")).await.expect(200);
    assert_eq!(first.text().matches("\"v").count(), 2, "{}", first.text());
    let link = first.header("link").to_owned();
    let next = link.split(['<', '>']).nth(1).expect("a link").to_owned();
    assert!(next.starts_with("/v2/") && next.contains("last=v2"), "{next}");
    node.mirror.get(&format!("{next}&ns={DOMAIN}")).await.expect(200);

    let referrers = format!("/v2/{REPOSITORY}/referrers/{}?ns={DOMAIN}", node.image.digest);
    node.mirror.get(&referrers).await.expect(404);
    node.cloud.configure(|settings| settings.referrers = true);
    let list = node.mirror.get(&referrers).await.expect(200);
    assert_eq!(list.header("content-type"), "application/vnd.oci.image.index.v1+json");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_upstream_is_missing_here() {
    let node = Node::start().await;
    let unknown = format!("sha256:{}", "0".repeat(64));
    for path in [manifest("no-such-tag"), manifest(&unknown), blob(&unknown)] {
        let reply = node.mirror.get(&path).await.expect(404);
        assert!(!reply.error().0.is_empty());
        node.mirror.head(&path).await.expect(404);
    }
}

/// Check 10 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_realm_gets_nothing() {
    let node = Node::start().await;
    node.cloud
        .configure(|settings| settings.realm.host = RealmHost::Url("https://collector.example.com/auth".to_owned()));
    let reply = node.mirror.get(&manifest(TAG)).await;
    assert!(reply.status.is_server_error(), "{reply:?}");
    assert!(reply.error().1.contains("realm"), "{}", reply.reason);
    assert_eq!(node.cloud.journal().count(Service::Realm) + node.cloud.journal().count(Service::Stranger), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_realm_and_blob_url_of_the_cloud_works() {
    for realm in [RealmHost::Enterprise, RealmHost::Hyphen, RealmHost::RegistryItself, RealmHost::Legacy] {
        let node = Node::start().await;
        node.cloud.configure(|settings| {
            settings.realm.host = realm;
            settings.realm.says_expiry = true;
            settings.blob_url.plain_http = true;
            settings.blob_url.signature = UrlSignature::V4;
        });
        let (digest, bytes) = layer(&node);
        assert_eq!(node.mirror.get(&blob(&digest)).await.expect(200).body, bytes);
    }
}

/// Check 10 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn blobs_come_only_from_where_they_may() {
    let node = Node::start().await;
    let (digest, _) = layer(&node);
    for target in [
        "https://elsewhere.example.com/x?sig=1",
        "http://169.254.169.254/latest",
        "https://u:p@b.oss-cn-hangzhou.aliyuncs.com/",
    ] {
        node.cloud
            .fault(Fault::on(Service::Registry, Effect::Redirect(target.to_owned())).path_contains("/blobs/").once());
        let reply = node.mirror.get(&blob(&digest)).await.expect(502);
        assert!(!reply.reason.contains("sig="), "{}", reply.reason);
    }
    assert_eq!(node.cloud.journal().count(Service::Oss), 0);
    node.mirror.get(&blob(&digest)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_a_moment_do_not_reach_the_client() {
    let faults = [
        Fault::on(Service::Oss, Effect::answer(http::StatusCode::SERVICE_UNAVAILABLE, "")),
        Fault::on(Service::Oss, Effect::CloseBeforeHead),
        Fault::on(Service::Oss, Effect::ExpiredSignature),
        Fault::on(Service::Oss, Effect::CutAfter(10_000)),
        Fault::on(Service::Oss, Effect::ResetAfter(10_000)),
        Fault::on(Service::Registry, Effect::answer(http::StatusCode::BAD_GATEWAY, "")),
        Fault::on(Service::Registry, Effect::answer(http::StatusCode::TOO_MANY_REQUESTS, "")),
        Fault::on(Service::Registry, Effect::CloseBeforeHead),
    ];
    for fault in faults {
        let node = Node::start().await;
        let (digest, bytes) = layer(&node);
        // The tokens are warm, so that the fault meets the request it is meant for.
        node.mirror.head(&manifest(TAG)).await.expect(200);
        let id = node.cloud.fault(fault.clone().once());
        let reply = node.mirror.get(&blob(&digest)).await.expect(200);
        assert!(reply.complete && reply.body == bytes, "{fault:?}");
        assert_eq!(node.cloud.faults().struck(id), 1, "{fault:?}");
    }
}

/// Check 3 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_completed_is_cut_and_never_ended() {
    let node = Node::start().await;
    let (digest, bytes) = layer(&node);
    node.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(10_000)).once());
    node.cloud.fault(Fault::on(Service::Oss, Effect::answer(http::StatusCode::NOT_FOUND, "")));
    let reply = node.mirror.get(&blob(&digest)).await.expect(200);
    assert!(!reply.complete, "a short body looked complete");
    assert!(bytes.starts_with(&reply.body));
    node.cloud.faults().clear();
    assert_eq!(node.mirror.get(&blob(&digest)).await.expect(200).body, bytes);
}

/// Check 2 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_registry_is_answered_for_in_time() {
    let node = Node::start().await;
    node.mirror.head(&manifest(TAG)).await.expect(200);
    node.cloud.fault(Fault::on(Service::Registry, Effect::Silence));
    let begun = tokio::time::Instant::now();
    let reply = node.mirror.get(&manifest(TAG)).await.expect(504);
    assert!(begun.elapsed() < HEAD_LIMIT, "{:?}", begun.elapsed());
    assert_eq!(reply.error().1, reply.reason);
}

/// The largest blob of the image, and its content.
fn layer(node: &Node) -> (String, Bytes) {
    let (digest, bytes) = node.image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).expect("a layer");
    (digest.clone(), bytes.clone())
}
