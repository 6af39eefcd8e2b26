//! "Digests" of the image spec, to which the distribution spec refers: SHA-512 names content as well as SHA-256 does.

use bytes::Bytes;
use cloudsim::Manifest;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use http::Method;
use serde_json::json;

use super::{FACES, Registry, expect_error};
use crate::support::{Node, REPOSITORY};

const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Where everything is named by SHA-512.
const LONG: &str = "long";

/// Larger than what is fetched ahead of its request.
const LAYER: usize = 700_000;

/// Bytes that no two places of a layer share.
fn layer() -> Bytes {
    (0..LAYER / 4).flat_map(|number| u32::try_from(number).unwrap().to_be_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_named_by_sha512_is_pulled_like_any_other() {
    let node = Node::start().await;
    let (config, layer) = (Bytes::from_static(b"{}"), layer());
    let push = |bytes: &Bytes| node.cloud.push_blob_by_sha512(setup::INSTANCE, REPOSITORY, bytes.clone()).unwrap();
    let blobs = [(push(&config), config), (push(&layer), layer)];
    let [config, layer] =
        blobs.each_ref().map(|(digest, bytes)| json!({"mediaType": "a/b", "digest": digest, "size": bytes.len()}));
    let manifest = json!({"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config, "layers": [layer]});
    let manifest = Manifest { media_type: IMAGE_MANIFEST.to_owned(), bytes: manifest.to_string().into() };
    let body = manifest.bytes.clone();
    let digest = node.cloud.push_manifest_by_sha512(setup::INSTANCE, REPOSITORY, LONG, manifest).unwrap();
    assert!(digest.starts_with("sha512:"), "{digest}");
    for face in FACES {
        let registry = Registry { node: &node, face };
        for reference in [LONG, &digest] {
            let reply = registry.get(&format!("manifests/{reference}")).await.expect(200);
            assert_eq!((reply.header("docker-content-digest"), &reply.body), (&*digest, &body), "{face:?}");
            let head = registry.head(&format!("manifests/{reference}")).await.expect(200);
            assert_eq!(head.header("docker-content-digest"), digest);
        }
        for (digest, bytes) in &blobs {
            let reply = registry.get(&format!("blobs/{digest}")).await.expect(200);
            assert!(reply.complete && reply.body == *bytes, "{face:?} {digest}");
            assert_eq!(reply.header("docker-content-digest"), digest);
            let head = registry.head(&format!("blobs/{digest}")).await.expect(200);
            assert_eq!(head.header("content-length"), bytes.len().to_string());
        }
        let (digest, bytes) = &blobs[1];
        let range = [("range", "bytes=5-9")];
        let part = registry.ask(Method::GET, REPOSITORY, &format!("blobs/{digest}"), &range).await.expect(206);
        assert_eq!(part.body, bytes.slice(5..10));
        // As long as the other kind's is none of this kind's.
        for kind in ["manifests", "blobs"] {
            expect_error(&registry.get(&format!("{kind}/sha512:{}", "0".repeat(64))).await, &[400, 404]);
            expect_error(&registry.get(&format!("{kind}/sha512:{}", "0".repeat(128))).await, &[404]);
        }
    }
    node.finish().await;
}

/// What a digest names is told by the digest, whichever kind it is of.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_whose_sha512_is_another_is_not_handed_on() {
    let node = Node::start().await;
    let manifest =
        Manifest { media_type: IMAGE_MANIFEST.to_owned(), bytes: Bytes::from_static(b"{\"schemaVersion\":2}") };
    let digest = node.cloud.push_manifest_by_sha512(setup::INSTANCE, REPOSITORY, LONG, manifest).unwrap();
    let wrong = node.cloud.fault(Fault::on(Service::Registry, Effect::WrongBytes).path_contains("/manifests/"));
    for reference in [LONG, &digest] {
        let reply = Registry { node: &node, face: FACES[0] }.get(&format!("manifests/{reference}")).await;
        assert!(reply.status.is_server_error(), "{reply:?}");
    }
    assert!(node.cloud.faults().struck(wrong) >= 2);
    node.finish().await;
}
