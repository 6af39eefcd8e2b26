//! What the integration tests share: the daemon as people run it, clients of it, a containerd.

pub(crate) mod client;
pub(crate) mod containerd;
pub(crate) mod cri;
pub(crate) mod daemon;
pub(crate) mod dns;
pub(crate) mod forward_proxy;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod path;
pub(crate) mod program;
pub(crate) mod puller;

use std::time::Duration;

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};

use client::Mirror;
use daemon::Daemon;

/// How long anything may take that a test waits for, on a machine with two processors.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How often a test looks whether what it waits for has happened, where nothing tells it.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// The domain that test images are named with.
pub(crate) const DOMAIN: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
/// The repository and tag that [`Node::start`] fills.
pub(crate) const REPOSITORY: &str = "team/app";
pub(crate) const TAG: &str = "v1";

/// A simulated cloud with one image in it, and a daemon of the real binary that pulls from it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) cloud: CloudSim,
    pub(crate) image: Image,
    pub(crate) daemon: Daemon,
    pub(crate) mirror: Mirror,
}

impl Node {
    /// The usual case: RRSA, and an image of three small layers.
    pub(crate) async fn start() -> Self {
        Self::with(Method::Rrsa, Image::random(3, 64 * 1024, 1)).await
    }

    /// A node whose chain starts in another way.
    pub(crate) async fn with_method(method: Method) -> Self {
        Self::with(method, Image::random(2, 16 * 1024, 2)).await
    }

    /// The same, where callers have to know the token in the file `client-token` beside the configuration.
    pub(crate) async fn guarded(method: Method) -> Self {
        let image = Image::random(2, 16 * 1024, 2);
        let cloud = CloudSim::start().await.expect("the simulated cloud starts");
        cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("the instance is there");
        let daemon = Daemon::guarded(&cloud.node_config(method)).await;
        let mirror = Mirror::at(daemon.listen);
        Self { cloud, image, daemon, mirror }
    }

    /// A node in front of a cloud that holds `image` as [`REPOSITORY`]`:`[`TAG`].
    pub(crate) async fn with(method: Method, image: Image) -> Self {
        let cloud = CloudSim::start().await.expect("the simulated cloud starts");
        cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("the instance is there");
        Self::around(cloud, method, image).await
    }

    /// A node in front of a cloud that was prepared by the test.
    pub(crate) async fn around(cloud: CloudSim, method: Method, image: Image) -> Self {
        let daemon = Daemon::start(&cloud.node_config(method)).await;
        let mirror = Mirror::at(daemon.listen);
        Self { cloud, image, daemon, mirror }
    }

    /// Ends the daemon and looks for every secret the cloud ever issued in everything it said.
    pub(crate) async fn finish(self) {
        let shown = [
            ("metrics", Mirror::at(self.daemon.admin).get("/metrics").await.text()),
            ("status", Mirror::at(self.daemon.admin).get("/status").await.text()),
            ("status page", node::get(self.daemon.admin, "/").await.1),
            ("log", self.daemon.stop()),
        ];
        for (place, text) in &shown {
            for secret in self.cloud.issued_secrets() {
                assert!(!text.contains(&secret), "a secret of {} characters is in the {place}", secret.len());
            }
        }
    }
}

/// Path of a manifest, named as containerd does.
pub(crate) fn manifest(reference: &str) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}?ns={DOMAIN}")
}

/// Path of a blob, named as containerd does.
pub(crate) fn blob(digest: &str) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}?ns={DOMAIN}")
}
