//! A forward proxy of another make: nginx, which fetches each range of a blob once and gives it to all nodes.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use tokio::net::TcpStream;

use super::{pull, through};
use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::{LIMIT, Node, POLL, REPOSITORY, TAG};

/// Nodes that pull the same image.
const NODES: usize = 3;

struct Nginx {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// Serves requests in absolute form, for every host from `cloud`.
    async fn start(cloud: &CloudSim) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let place = dir.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {place}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n  access_log off;\n\
             {temporary}  proxy_cache_path {place}/cache keys_zone=blobs:1m;\n  server {{\n    listen {address};\n    \
             location / {{\n      proxy_pass https://{};\n      proxy_set_header Host $host;\n      proxy_set_header \
             Range $http_range;\n      proxy_ssl_server_name on;\n      proxy_ssl_name $host;\n      proxy_ssl_verify \
             on;\n      proxy_ssl_trusted_certificate {};\n      proxy_cache blobs;\n      proxy_cache_key \
             $host$uri$http_range;\n      proxy_cache_valid 200 206 10m;\n      proxy_ignore_headers Cache-Control \
             Expires;\n    }}\n  }}\n}}\n",
            cloud.tls_addr(),
            cloud.ca_file().display(),
        );
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(dir.path()).arg("-c").arg(&file).stderr(Stdio::inherit());
        let child = nginx.spawn().expect("nginx");
        let nginx = Self { child, address, _dir: dir };
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(LIMIT, listens).await.expect("nginx listens");
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_fetched_once_for_all_nodes() {
    let mut cloud = CloudSim::start().await.expect("the simulated cloud starts");
    let mut image = Image::random(2, 512 * 1024, 6);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    let nginx = Nginx::start(&cloud).await;
    let config = through(&cloud.node_config(Method::Rrsa), &nginx.address.to_string());
    let mut requests = Vec::new();
    for _ in 0..NODES {
        let daemon = Daemon::start(&config).await;
        let mirror = Mirror::at(daemon.listen);
        let node = Node { cloud, image, daemon, mirror };
        pull(&node).await;
        assert!(node.cloud.journal().authorizations_at(Service::Oss).is_empty());
        requests.push(node.cloud.journal().count(Service::Oss));
        (cloud, image) = (node.cloud, node.image);
    }
    // Each node has a signature of its own in its URLs.
    assert!(requests[0] >= 3, "{requests:?}");
    assert_eq!(requests, [requests[0]; NODES]);
}
