//! What no client should send: each answered with the right status and the spec's error JSON, without a request to the
//! outside, and with the daemon alive afterwards.

use cloudsim::journal::Service;
use http::Method;

use crate::support::{DOMAIN, Node, REPOSITORY, TAG, manifest};

/// Answers of one request: path without `ns`, status, error code.
const PATHS: &[(&str, u16, &str)] = &[
    ("/v2/team/app/manifests/.INVALID", 404, "MANIFEST_UNKNOWN"),
    ("/v2/team/app/manifests/sha256:totallywrong", 404, "MANIFEST_UNKNOWN"),
    ("/v2/team/app/blobs/sha256:totallywrong", 404, "DIGEST_INVALID"),
    ("/v2/team/app/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 404, "DIGEST_INVALID"),
    ("/v2/Team/App/manifests/v1", 404, "NAME_INVALID"),
    ("/v2/team/../app/manifests/v1", 400, "NAME_INVALID"),
    ("/v2/team/%2e%2e/app/manifests/v1", 400, "NAME_INVALID"),
    ("/v2/team%2fapp/manifests/v1", 400, "NAME_INVALID"),
    ("/v2/team/app%zz/manifests/v1", 400, "NAME_INVALID"),
    ("/v2/team/app%00/manifests/v1", 400, "NAME_INVALID"),
    ("/v2/_catalog", 404, "NAME_UNKNOWN"),
    ("/v2/team/app/uploads/", 404, "NAME_UNKNOWN"),
    ("/v1/team/app", 404, "NAME_UNKNOWN"),
    ("/", 404, "NAME_UNKNOWN"),
];

#[tokio::test(flavor = "multi_thread")]
async fn malformed_paths_are_refused_here() {
    let node = Node::start().await;
    for (path, status, code) in PATHS {
        let reply = node.mirror.get(&format!("{path}?ns={DOMAIN}")).await;
        assert_eq!((reply.status.as_u16(), reply.error().0.as_str()), (*status, *code), "{path}: {}", reply.text());
        assert_eq!(reply.error().1, reply.reason, "{path}");
        assert!(reply.reason.is_ascii() && reply.reason.len() <= 100, "{}", reply.reason);
    }
    assert_untouched(&node).await;
}

/// Check 13 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn unknown_namespaces_are_somebody_elses() {
    let node = Node::start().await;
    let foreign = [
        "docker.io",
        "registry.example.com%3A5000",
        "",
        "..",
        "demo-registry.cn-hangzhou.cr.aliyuncs.com.evil.example",
    ];
    for namespace in foreign {
        let reply = node.mirror.get(&format!("/v2/{REPOSITORY}/manifests/{TAG}?ns={namespace}")).await.expect(404);
        assert_eq!(reply.error().0, "NAME_UNKNOWN", "{namespace}");
    }
    node.mirror.get(&format!("/v2/{REPOSITORY}/manifests/{TAG}?ns=a%00b")).await.expect(400);
    assert_untouched(&node).await;
}

/// Check 14 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn writes_are_refused_by_method() {
    let node = Node::start().await;
    for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
        for path in [manifest(TAG), format!("/v2/{REPOSITORY}/blobs/uploads/?ns={DOMAIN}")] {
            let reply = node.mirror.ask(method.clone(), &path, &[]).await.expect(405);
            assert_eq!(reply.error().0, "UNSUPPORTED");
            assert_eq!(reply.header("allow"), "GET, HEAD");
        }
    }
    assert_untouched(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_answered_and_closed() {
    let node = Node::start().await;
    let endless = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(1 << 20));
    assert!(node.mirror.raw(endless.as_bytes()).await.starts_with("HTTP/1.1 431"));
    // The first bytes of a TLS handshake: containerd goes on in plain HTTP when it is answered in plain HTTP.
    assert!(node.mirror.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.starts_with("HTTP/1.1 400"));
    assert!(node.mirror.raw(b"GET /v2/ HTTP/1.1\r\nHost x\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert_untouched(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ping_needs_no_namespace_and_never_challenges() {
    let node = Node::start().await;
    for path in ["/v2/", "/v2"] {
        let reply = node.mirror.get(path).await.expect(200);
        assert_eq!(reply.text(), "{}");
        assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");
    }
    assert_untouched(&node).await;
}

/// Nothing was asked of the registry or the bucket, and a proper pull still works.
async fn assert_untouched(node: &Node) {
    let journal = node.cloud.journal();
    assert_eq!(journal.count(Service::Registry) + journal.count(Service::Realm) + journal.count(Service::Oss), 0);
    node.mirror.get(&manifest(TAG)).await.expect(200);
}
