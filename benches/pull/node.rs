//! A node as a benchmark needs it: the cloud, a daemon that is warm, and a containerd that has nothing yet.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::pace::Pace;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use tempfile::TempDir;

use crate::containerd::Containerd;
use crate::daemon::Daemon;
use crate::part::LeftOut;
use crate::support::{DOMAIN, client};

/// The port of `https`: images, realms and signed URLs name none.
pub(crate) const HTTPS: u16 = 443;

/// What the daemon has pulled before anything is measured: a small image of another repository.
const EARLIER: &str = "team/earlier";

/// Layers and bytes of each of that image.
const EARLIER_IMAGE: (usize, usize) = (4, 1 << 20);

/// How often the metrics are read while a configuration is being read anew.
const RELOAD_POLL: Duration = Duration::from_millis(50);

/// The cloud and the daemon in front of it.
pub(crate) struct Node {
    pub(crate) cloud: CloudSim,
    pub(crate) daemon: Daemon,
    files: TempDir,
}

impl Node {
    /// A cloud on the port that real clients use, and a daemon as on a node in use: its login at hand, its connections
    /// made, another image pulled before.
    pub(crate) async fn on_https(pace: Pace) -> Result<Self, LeftOut> {
        Ok(Self::around(cloud_on_https().await?, pace, |config| config).await)
    }

    /// The same around any cloud, with another configuration if need be.
    pub(crate) async fn around(cloud: CloudSim, pace: Pace, adapt: impl FnOnce(String) -> String) -> Self {
        let (layers, bytes) = EARLIER_IMAGE;
        let earlier = Image::random(layers, bytes, 0);
        cloud.push(setup::INSTANCE, EARLIER, "v1", &earlier).expect("pushed");
        cloud.paces().set(pace);
        let daemon = Daemon::as_configured(&adapt(cloud.node_config(Method::Rrsa))).await;
        let node = Self { cloud, daemon, files: tempfile::tempdir().expect("a directory") };
        node.pull(EARLIER, &earlier).await;
        fs::write(node.hosts_file(), node.hosts()).expect("a file of names");
        node
    }

    /// Gives the daemon more configuration while it runs, and waits until it is in use.
    pub(crate) async fn configure_more(&self, more: &str) {
        let file = self.daemon.config_file();
        let config = fs::read_to_string(&file).expect("its configuration");
        let before = self.reloads().await;
        fs::write(&file, format!("{config}{more}")).expect("its configuration");
        self.daemon.signal("HUP");
        while self.reloads().await == before {
            tokio::time::sleep(RELOAD_POLL).await;
        }
    }

    /// When the configuration in use was read, as the daemon's metrics have it.
    async fn reloads(&self) -> Option<String> {
        let text = self.metrics().await;
        let line = text.lines().find(|line| line.starts_with("acr_pull_proxy_config_reload_timestamp_seconds"));
        line.map(str::to_owned)
    }

    /// How often the daemon has asked the registry so far, by its metrics.
    pub(crate) async fn asked_registry(&self) -> f64 {
        let text = self.metrics().await;
        let lines = text.lines().filter(|line| line.starts_with("acr_pull_proxy_upstream_requests_total{"));
        let registry = lines.filter(|line| line.contains(r#"target="registry""#));
        registry.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    async fn metrics(&self) -> String {
        String::from_utf8(self.read(&format!("http://{}/metrics", self.daemon.admin)).await).expect("text")
    }

    /// Pulls an image through the daemon, one request after the other.
    pub(crate) async fn pull(&self, repository: &str, image: &Image) {
        let manifests = image.manifests.iter().rev().map(|(digest, _)| format!("manifests/{digest}"));
        let blobs = image.blobs.iter().map(|(digest, _)| format!("blobs/{digest}"));
        for what in std::iter::once("manifests/v1".to_owned()).chain(manifests).chain(blobs) {
            let url = format!("http://{}/v2/{repository}/{what}?ns={DOMAIN}", self.daemon.listen);
            self.read(&url).await;
        }
    }

    /// Reads one good answer of the daemon.
    async fn read(&self, url: &str) -> Vec<u8> {
        let request = Request::get(url).body(Empty::new()).expect("a request");
        let mut response = client(&self.cloud).request(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{url}: {}", self.daemon.log());
        let mut body = Vec::new();
        while let Some(frame) = response.body_mut().frame().await {
            body.extend_from_slice(frame.expect("a whole body").data_ref().map_or(&[][..], |data| data));
        }
        body
    }

    /// A containerd with an empty content store that finds every name of the cloud on this machine and trusts it, as it
    /// would the real one. Nothing of that reaches beyond its own process.
    pub(crate) async fn containerd(&self) -> Containerd {
        Containerd::start_by(self.on_the_cloud("containerd")).await
    }

    /// A command that becomes `program`, which finds the cloud under its real names and trusts it.
    pub(crate) fn on_the_cloud(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", r#"mount --bind "$1" /etc/hosts && shift && exec "$@""#, "sh"]);
        command.arg(self.hosts_file()).arg(program).env("SSL_CERT_FILE", self.cloud.ca_file());
        command
    }

    fn hosts_file(&self) -> PathBuf {
        self.files.path().join("hosts")
    }

    /// The lines of `/etc/hosts`: a file of names knows no wildcard, so the bucket is named as the daemon has met it.
    fn hosts(&self) -> String {
        let names = self.cloud.hosts().into_iter().map(|(name, _)| name).filter(|name| !name.starts_with('*'));
        let buckets = self.cloud.journal().of(Service::Oss).into_iter().map(|entry| entry.host);
        let mut names: Vec<_> = names.chain(buckets).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().map(|name| format!("127.0.0.1 {name}\n")).collect()
    }
}

/// A cloud that real clients find under its real names.
pub(crate) async fn cloud_on_https() -> Result<CloudSim, LeftOut> {
    let cloud = CloudSim::builder().port(HTTPS).start().await;
    cloud.map_err(|error| LeftOut(format!("port {HTTPS} of 127.0.0.1 cannot be had: {error}")))
}
