//! The simulated cloud behind a network: one path for each host that a pull needs, in the configuration of a daemon.

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};

use super::client::Mirror;
use super::daemon::Daemon;
use super::path::{Path, Way};
use super::{Node, REPOSITORY, TAG};

/// The public domain of the instance, and the one for VPCs.
pub(crate) const PUBLIC: &str = "demo-registry.cn-hangzhou.cr.aliyuncs.com";
pub(crate) const VPC: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";

/// What a pull needs on each network: registry, token realm, buckets.
pub(crate) const PUBLIC_HOSTS: [&str; 3] =
    [PUBLIC, "dockerauth.cn-hangzhou.aliyuncs.com", "*.oss-cn-hangzhou.aliyuncs.com"];
pub(crate) const VPC_HOSTS: [&str; 3] =
    [VPC, "dockerauth-vpc.cn-hangzhou.aliyuncs.com", "*.oss-cn-hangzhou-internal.aliyuncs.com"];

/// Where the APIs are, in VPCs and in public.
pub(crate) const VPC_APIS: [&str; 2] = ["sts-vpc.cn-hangzhou.aliyuncs.com", "cr-vpc.cn-hangzhou.aliyuncs.com"];
pub(crate) const PUBLIC_APIS: [&str; 2] = ["sts.cn-hangzhou.aliyuncs.com", "cr.cn-hangzhou.aliyuncs.com"];

/// A cloud with an image, and the paths to it.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) cloud: CloudSim,
    pub(crate) image: Image,
    pub(crate) paths: Vec<(String, Path)>,
    /// Lines below the `domains` of each instance.
    pub(crate) instance: Vec<String>,
    /// What to write for a name instead of its path.
    pub(crate) instead: Vec<(String, String)>,
}

impl Network {
    /// All paths open.
    pub(crate) async fn new() -> Self {
        let cloud = CloudSim::start().await.expect("the simulated cloud starts");
        let image = Image::random(2, 64 * 1024, 8);
        cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("the instance is there");
        let mut paths = Vec::new();
        for host in PUBLIC_HOSTS.iter().chain(&VPC_HOSTS).chain(&VPC_APIS).chain(&PUBLIC_APIS) {
            paths.push(((*host).to_owned(), Path::to(cloud.tls_addr()).await));
        }
        Self { cloud, image, paths, instance: Vec::new(), instead: Vec::new() }
    }

    /// The path to a host.
    pub(crate) fn path(&self, host: &str) -> &Path {
        &self.paths.iter().find(|(name, _)| name == host).expect("a host with a path").1
    }

    pub(crate) async fn cut(&self, hosts: &[&str], way: Way) {
        for host in hosts {
            self.path(host).make(way).await;
        }
    }

    /// The configuration of a daemon on this network.
    pub(crate) fn config(&self, method: Method) -> String {
        let mut text = String::new();
        for line in self.cloud.node_config(method).lines() {
            let name = line.trim().strip_prefix('"').and_then(|rest| rest.split('"').next());
            let instead = self.instead.iter().find(|(host, _)| Some(host.as_str()) == name);
            let path = self.paths.iter().find(|(host, _)| Some(host.as_str()) == name);
            match (instead, path) {
                (Some((host, targets)), _) => text.push_str(&format!("    \"{host}\": {targets}\n")),
                (None, Some((host, path))) => text.push_str(&format!("    \"{host}\": {}\n", path.address)),
                (None, None) => text.push_str(&format!("{line}\n")),
            }
            // The instance of the Enterprise Edition, which has these domains.
            if line.trim().starts_with("domains:") && line.contains(PUBLIC) {
                for key in &self.instance {
                    text.push_str(&format!("    {key}\n"));
                }
            }
        }
        text
    }

    /// A node on this network.
    pub(crate) async fn node(self) -> (Node, Paths) {
        let daemon = Daemon::start(&self.config(Method::Rrsa)).await;
        let mirror = Mirror::at(daemon.listen);
        (Node { cloud: self.cloud, image: self.image, daemon, mirror }, Paths(self.paths))
    }
}

/// The paths of a node.
#[derive(Debug)]
pub(crate) struct Paths(Vec<(String, Path)>);

impl Paths {
    pub(crate) fn to(&self, host: &str) -> &Path {
        &self.0.iter().find(|(name, _)| name == host).expect("a host with a path").1
    }
}
