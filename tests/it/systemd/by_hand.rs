//! The service put onto a node by hand, with the very commands of its README, and taken off it again.

use std::fs;
use std::net::SocketAddr;

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use tokio::time::{sleep, timeout};

use super::machine::Machine;
use super::{CERTS_DIR, HOSTS, SERVICE, SOCKET, free_address, key_from_files, read};
use crate::readme::blocks::{self, Block};
use crate::support::node::get;
use crate::support::{DOMAIN, LIMIT, POLL, REPOSITORY, TAG};

/// Where the files lie before they are installed, as after unpacking a release.
const UNPACKED: &str = "root/acr-pull-proxy";

/// A configuration of containerd in which it reads `hosts.toml`.
const CONTAINERD: &str =
    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n";

/// The authorities of the machine: those of the simulated cloud.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// A fresh node with what a release holds, and an address for operators that is free on the machine it shares.
struct Site {
    machine: Machine,
    admin: SocketAddr,
}

impl Site {
    async fn boot(cloud: &CloudSim, config: &str, listen: SocketAddr, admin: SocketAddr) -> Self {
        let key = cloud.directory().access_key(setup::USER_B).expect("a user with a key");
        let mut files = vec![
            ("etc/containerd/config.toml".to_owned(), CONTAINERD.to_owned()),
            (AUTHORITIES.to_owned(), fs::read_to_string(cloud.ca_file()).unwrap()),
            (format!("{UNPACKED}/{SOCKET}"), read(SOCKET).replace("127.0.0.1:7080", &listen.to_string())),
            (format!("{UNPACKED}/config.yaml"), config.to_owned()),
            (format!("{UNPACKED}/access-key-id"), key.id),
            (format!("{UNPACKED}/access-key-secret"), key.secret),
        ];
        for name in [SERVICE, HOSTS, "sysusers.conf", "tmpfiles.conf", "access-key.conf", "credential-provider.yaml"] {
            files.push((format!("{UNPACKED}/{name}"), read(name)));
        }
        let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_bytes())).collect();
        let machine = Machine::boot(&files).await;
        machine.run("mv", &["/usr/local/bin/acr-pull-proxy", &format!("/{UNPACKED}/")]);
        machine.run("mkdir", &["-p", CERTS_DIR]);
        Self { machine, admin }
    }

    /// Runs the commands of a block where the files lie, with the addresses and the image of this test.
    fn follow(&self, block: &Block) -> String {
        let commands = block.text().replace("127.0.0.1:7081", &self.admin.to_string());
        let commands = commands.replace("DOMAIN/REPOSITORY:TAG", &format!("{DOMAIN}/{REPOSITORY}:{TAG}"));
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
        self.machine.run("bash", &["-euo", "pipefail", "-c", &format!("{path}; cd /{UNPACKED}; {commands}")])
    }
}

async fn wait_until_ready(admin: SocketAddr) {
    let ready = async {
        while get(admin, "/readyz").await.0 != 200 {
            sleep(POLL).await;
        }
    };
    timeout(LIMIT, ready).await.expect("the daemon becomes ready");
}

/// The entry follows the first login.
async fn wait_for_entry(machine: &Machine) {
    let file = machine.path(&format!("{}/{DOMAIN}/hosts.toml", CERTS_DIR.trim_start_matches('/')));
    let written = async {
        while !file.exists() {
            sleep(POLL).await;
        }
    };
    timeout(LIMIT, written).await.expect("containerd is sent to the daemon");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_installed_verified_upgraded_and_removed_as_its_readme_says() {
    let cloud = CloudSim::start().await.expect("a cloud");
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &Image::random(2, 32 * 1024, 8)).expect("pushed");
    let [listen, admin] = [free_address(), free_address()];
    let config = |method| {
        let config = cloud.node_config_at(method, &listen.to_string(), &admin.to_string());
        config.replace(&cloud.ca_file().display().to_string(), &format!("/{AUTHORITIES}"))
    };
    let site = Site::boot(&cloud, &config(Method::WorkerRole), listen, admin).await;
    let machine = &site.machine;

    site.follow(&blocks::INSTALL);
    wait_until_ready(admin).await;
    wait_for_entry(machine).await;
    let told = site.follow(&blocks::VERIFY);
    for said in ["serving pulls", "\nok\n", &format!("{DOMAIN}: ours"), "Everything that was looked at works."] {
        assert!(told.contains(said), "'{said}' is not in {told}");
    }

    // docker, beside the kubelet, gets the login of the daemon.
    site.follow(&blocks::KUBELET);
    assert!(machine.path("etc/kubernetes/credential-provider.yaml").is_file());
    let ask = format!("echo {DOMAIN} | docker-credential-acr-pull-proxy get");
    assert!(machine.run("sh", &["-c", &ask]).contains("\"Secret\":"));

    // The key in files, which systemd hands over at the next start.
    site.follow(&blocks::ACCESS_KEY);
    let config = key_from_files(&config(Method::AccessKey), &cloud.ca_file());
    fs::write(machine.path("etc/acr-pull-proxy/config.yaml"), config).unwrap();
    machine.run("systemctl", &["daemon-reload"]);
    let before = machine.property("MainPID");
    site.follow(&blocks::UPGRADE);
    assert_ne!(machine.property("MainPID"), before);
    wait_until_ready(admin).await;
    let told = site.follow(&blocks::VERIFY);
    assert!(told.contains("AccessKey") && told.contains("Everything that was looked at works."), "{told}");

    site.follow(&blocks::REMOVE);
    let left = machine.run("find", &["/etc", "/var", "/usr/local", CERTS_DIR, "-name", "*acr-pull-proxy*"]);
    assert_eq!(left, "");
    assert_eq!(machine.run("ls", &["-A", CERTS_DIR]), "");
    assert!(!fs::read_to_string(machine.path("etc/passwd")).unwrap().contains("acr-pull-proxy"));
    assert!(tokio::net::TcpStream::connect(listen).await.is_err(), "nobody listens");

    // The key on a node of a cluster, where the daemon's user has no name.
    site.follow(&blocks::KEY_FILES);
    let files = "/etc/acr-pull-proxy/credentials";
    let modes = machine.run("stat", &["-c", "%u %a", files, &format!("{files}/access-key-id")]);
    assert_eq!(modes, "65521 500\n65521 400");
}
