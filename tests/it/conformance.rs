//! The pull side of the OCI distribution spec v1.1.1, requirement by requirement, at each of the faces that clients use.
//! The sections are those of the spec ("Endpoints", "Pulling manifests", …); what it asks of a registry is asked of the
//! daemon here, since a client sees no other.

mod digests;
mod warnings;

use aws_lc_rs::digest::{SHA256, digest};
use cloudsim::ram::setup;
use http::Method;
use serde_json::Value;

use crate::support::client::Reply;
use crate::support::{DOMAIN, Node, REPOSITORY, TAG};

/// "Error Codes": all there are, and `UNAVAILABLE`, which containerd knows too.
const ERROR_CODES: [&str; 15] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "UNAVAILABLE",
];

/// How a client says which registry it means.
#[derive(Debug, Clone, Copy)]
enum Face {
    /// containerd, nerdctl, BuildKit, Docker Engine.
    Namespace,
    /// skopeo, podman, CRI-O, and the spec's own test programs.
    Path,
    /// A client that was led here under the registry's name.
    Host,
}

const FACES: [Face; 3] = [Face::Namespace, Face::Path, Face::Host];

/// A registry as seen through one face.
struct Registry<'a> {
    node: &'a Node,
    face: Face,
}

impl Registry<'_> {
    async fn ask(&self, method: Method, repository: &str, rest: &str, headers: &[(&str, &str)]) -> Reply {
        let query = if rest.contains('?') { '&' } else { '?' };
        let (path, host) = match self.face {
            Face::Namespace => (format!("/v2/{repository}/{rest}{query}ns={DOMAIN}"), None),
            Face::Path => (format!("/v2/{DOMAIN}/{repository}/{rest}"), None),
            Face::Host => (format!("/v2/{repository}/{rest}"), Some(("host", DOMAIN))),
        };
        let headers: Vec<_> = headers.iter().copied().chain(host).collect();
        self.node.mirror.ask(method, &path, &headers).await
    }

    async fn get(&self, rest: &str) -> Reply {
        self.ask(Method::GET, REPOSITORY, rest, &[]).await
    }

    async fn head(&self, rest: &str) -> Reply {
        self.ask(Method::HEAD, REPOSITORY, rest, &[]).await
    }
}

fn sha256(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn absent() -> String {
    sha256(b"nobody pushed this")
}

/// "Error Codes": 4xx, and where there is a body, JSON with codes of the list.
fn expect_error(reply: &Reply, statuses: &[u16]) {
    assert!(statuses.contains(&reply.status.as_u16()), "{reply:?}");
    let (code, _) = reply.error();
    assert!(ERROR_CODES.contains(&code.as_str()), "{code}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_determining_support() {
    let node = Node::start().await;
    for path in ["/v2/".to_owned(), "/v2".to_owned(), format!("/v2/?ns={DOMAIN}")] {
        node.mirror.get(&path).await.expect(200);
        node.mirror.head(&path).await.expect(200);
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pulling_manifests() {
    let node = Node::start().await;
    for face in FACES {
        let registry = Registry { node: &node, face };
        for (reference, stored) in node
            .image
            .manifests
            .iter()
            .map(|(digest, stored)| (digest.as_str(), stored))
            .chain([(TAG, &node.image.manifests[0].1)])
        {
            let reply = registry.get(&format!("manifests/{reference}")).await.expect(200);
            let named = if reference == TAG { &node.image.digest } else { reference };
            assert_eq!(sha256(&reply.body), *named, "{face:?}");
            assert_eq!(reply.header("docker-content-digest"), named);
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(
                body["mediaType"],
                reply.header("content-type"),
                "Content-Type is the mediaType of the manifest"
            );
            assert!(reference == TAG || reply.header("content-type") == stored.media_type);

            // "Checking if content exists in the registry"
            let head = registry.head(&format!("manifests/{reference}")).await.expect(200);
            assert!(head.body.is_empty());
            assert_eq!(head.header("content-length"), reply.body.len().to_string());
            for name in ["content-type", "docker-content-digest"] {
                assert_eq!(head.header(name), reply.header(name), "{name}");
            }
        }
        for reference in ["no-such-tag", &absent()] {
            expect_error(&registry.get(&format!("manifests/{reference}")).await, &[404]);
            registry.head(&format!("manifests/{reference}")).await.expect(404);
        }
        expect_error(&registry.get("manifests/sha256:totallywrong").await, &[400, 404]);
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pulling_blobs() {
    let node = Node::start().await;
    for face in FACES {
        let registry = Registry { node: &node, face };
        for (digest, bytes) in &node.image.blobs {
            let reply = registry.get(&format!("blobs/{digest}")).await.expect(200);
            assert!(reply.complete && sha256(&reply.body) == *digest, "{face:?}");
            assert_eq!(reply.header("content-length"), bytes.len().to_string());
            assert_eq!(reply.header("docker-content-digest"), digest);
            let head = registry.head(&format!("blobs/{digest}")).await.expect(200);
            assert!(head.body.is_empty());
            for name in ["content-length", "docker-content-digest"] {
                assert_eq!(head.header(name), reply.header(name), "{name}");
            }
        }
        expect_error(&registry.get(&format!("blobs/{}", absent())).await, &[404]);
        registry.head(&format!("blobs/{}", absent())).await.expect(404);
        expect_error(&registry.get("blobs/sha256:totallywrong").await, &[400, 404]);
    }
    node.finish().await;
}

/// "Pulling blobs": a registry should support `Range`, as RFC 9110 has it.
/// Check 11 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn pulling_blobs_in_ranges() {
    let node = Node::start().await;
    let (digest, bytes) = node.image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let (path, length) = (format!("blobs/{digest}"), bytes.len());
    for face in FACES {
        let registry = Registry { node: &node, face };
        let range = async |value: &str| registry.ask(Method::GET, REPOSITORY, &path, &[("range", value)]).await;
        for (value, first, end) in [
            ("bytes=0-0", 0, 1),
            ("bytes=0-", 0, length),
            ("bytes=100-199", 100, 200),
            ("bytes=-5", length - 5, length),
            (&format!("bytes=1000-{}", length * 2), 1000, length),
        ] {
            let reply = range(value).await.expect(206);
            assert_eq!(reply.header("content-range"), format!("bytes {first}-{}/{length}", end - 1), "{value}");
            assert_eq!(reply.header("content-length"), (end - first).to_string());
            assert_eq!(reply.body, bytes.slice(first..end), "{value}");
        }
        let beyond = range(&format!("bytes={length}-")).await.expect(416);
        assert_eq!(beyond.header("content-range"), format!("bytes */{length}"));
        // RFC 9110 section 14.2: what is no range of bytes is ignored.
        for value in ["bytes=5-2", "bytes=", "lines=1-2", "bytes=a-b"] {
            assert_eq!(range(value).await.expect(200).body, bytes, "{value}");
        }
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_discovery_of_tags() {
    let node = Node::start().await;
    for tag in ["v2", "v3", "v4"] {
        node.cloud.push(setup::INSTANCE, REPOSITORY, tag, &node.image).unwrap();
    }
    for face in FACES {
        let registry = Registry { node: &node, face };
        let tags = |reply: &Reply| -> Vec<String> {
            let list: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(list["name"], REPOSITORY, "{face:?}");
            serde_json::from_value(list["tags"].clone()).unwrap()
        };
        assert_eq!(tags(&registry.get("tags/list").await.expect(200)), ["v1", "v2", "v3", "v4"]);
        assert_eq!(tags(&registry.get("tags/list?last=v3").await.expect(200)), ["v4"]);
        let page = registry.get("tags/list?n=2&last=v1").await.expect(200);
        assert_eq!(tags(&page), ["v2", "v3"]);
        // The link leads on, at this very face (RFC 5988).
        let link = page.header("link").to_owned();
        assert!(link.ends_with("rel=\"next\""), "{link}");
        let next = link.split(['<', '>']).nth(1).unwrap();
        let headers: &[_] = if matches!(face, Face::Host) { &[("host", DOMAIN)] } else { &[] };
        assert_eq!(tags(&node.mirror.ask(Method::GET, next, headers).await.expect(200)), ["v4"]);
        // "n=0" is an empty list and has no link, even where the registry gives it one.
        let none = registry.get("tags/list?n=0").await.expect(200);
        assert!(tags(&none).is_empty() && !none.headers.contains_key("link"), "{none:?}");
        expect_error(&registry.ask(Method::GET, "team/absent", "tags/list", &[]).await, &[403, 404]);
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_discovery_of_referrers() {
    let node = Node::start().await;
    for face in FACES {
        node.cloud.configure(|settings| settings.referrers = true);
        let registry = Registry { node: &node, face };
        // A digest that nothing refers to has an empty list.
        for digest in [&node.image.digest, &absent()] {
            let list = registry.get(&format!("referrers/{digest}")).await.expect(200);
            assert_eq!(list.header("content-type"), "application/vnd.oci.image.index.v1+json");
            let index: Value = serde_json::from_slice(&list.body).unwrap();
            assert_eq!((&index["schemaVersion"], index["manifests"].as_array().map(Vec::len)), (&2.into(), Some(0)));
        }
        let filtered = registry.get(&format!("referrers/{}?artifactType=a/b", node.image.digest)).await.expect(200);
        assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
        expect_error(&registry.get("referrers/sha256:totallywrong").await, &[400]);
        // A registry without the API says 404, and clients go on to the tag of the digest.
        node.cloud.configure(|settings| settings.referrers = false);
        registry.get(&format!("referrers/{}", node.image.digest)).await.expect(404);
    }
    node.finish().await;
}

/// "Push" and "Content Management" belong to the registry itself; the daemon refuses them and asks nobody.
/// Check 14 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_pulling_is_refused() {
    let node = Node::start().await;
    for face in FACES {
        let registry = Registry { node: &node, face };
        for (method, rest) in [
            (Method::POST, "blobs/uploads/".to_owned()),
            (Method::PATCH, "blobs/uploads/1".to_owned()),
            (Method::PUT, "blobs/uploads/1".to_owned()),
            (Method::PUT, format!("manifests/{TAG}")),
            (Method::DELETE, format!("manifests/{TAG}")),
            (Method::DELETE, format!("blobs/{}", absent())),
        ] {
            let reply = registry.ask(method, REPOSITORY, &rest, &[]).await;
            expect_error(&reply, &[405]);
            assert_eq!(reply.error().0, "UNSUPPORTED");
        }
    }
    let asked = node.cloud.journal().filter(|entry| entry.path.contains(REPOSITORY));
    assert!(asked.is_empty(), "{asked:?}");
    expect_error(&node.mirror.get("/v1/_ping").await, &[404]);
    node.finish().await;
}
