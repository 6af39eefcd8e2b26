//! The units of `systemd/`, held by `systemd-analyze` and by a systemd that has really booted.

mod by_hand;
mod machine;
mod with_containerd;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use tokio::time::{sleep, timeout};

use crate::readme::blocks;
use crate::support::client::Mirror;
use crate::support::puller::Pulls;
use crate::support::{DOMAIN, LIMIT, POLL, REPOSITORY, TAG};
use machine::Machine;

const SERVICE: &str = "acr-pull-proxy.service";
const SOCKET: &str = "acr-pull-proxy.socket";
const HOSTS: &str = "acr-pull-proxy-hosts.service";

/// Most that `systemd-analyze security` may find exposed; 0 is nothing, 10 everything. What is left: it talks to the
/// network, and systemd does not know to whom.
const EXPOSURE: f64 = 1.5;

/// Pulls while the service is restarted.
const PULLS: usize = 100;

/// A watchdog that is due within a test.
const SHORT_WATCHDOG: &str = "[Service]\nWatchdogSec=2s\n";

/// Where the containerd of the machine would look.
const CERTS_DIR: &str = "/etc/containerd/certs.d";

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

#[test]
fn the_service_is_exposed_to_next_to_nothing() {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(unit(SERVICE))
        .output()
        .expect("systemd-analyze (Debian package systemd)");
    let told = String::from_utf8(output.stdout).unwrap();
    let overall = told.lines().find_map(|line| line.split("Overall exposure level").nth(1));
    let number = overall.and_then(|line| line.split(": ").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    assert!(number.is_some_and(|number| number <= EXPOSURE), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

/// A booted machine, and the cloud that its daemon pulls from with the AccessKey that systemd hands it.
struct Node {
    cloud: CloudSim,
    image: Image,
    machine: Machine,
    listen: SocketAddr,
    operators: Mirror,
}

impl Node {
    async fn boot() -> Self {
        Self::boot_with(|config| config).await
    }

    /// The same with a configuration that is changed first.
    async fn boot_with(change: impl FnOnce(String) -> String) -> Self {
        let cloud = CloudSim::start().await.expect("a cloud");
        let image = Image::random(2, 96 * 1024, 8);
        cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
        let [listen, admin] = [free_address(), free_address()];
        let config = change(cloud.node_config_at(Method::AccessKey, &listen.to_string(), &admin.to_string()));
        let key = cloud.directory().access_key(setup::USER_B).expect("a user with a key");
        let ca = fs::read(cloud.ca_file()).expect("the CA");
        let socket = read(SOCKET).replace("127.0.0.1:7080", &listen.to_string());
        let units = "etc/systemd/system";
        let files = [
            (format!("{units}/{SERVICE}"), read(SERVICE)),
            (format!("{units}/{SOCKET}"), socket),
            (format!("{units}/{HOSTS}"), read(HOSTS)),
            (format!("{units}/{SERVICE}.d/access-key.conf"), read("access-key.conf")),
            (format!("{units}/{SERVICE}.d/withdraw.conf"), blocks::WITHDRAW.text()),
            ("etc/acr-pull-proxy/environment".to_owned(), format!("ACR_PULL_PROXY_CERTS_DIR={CERTS_DIR}\n")),
            (format!("{units}/{SERVICE}.d/test.conf"), SHORT_WATCHDOG.to_owned()),
            ("usr/local/lib/sysusers.d/acr-pull-proxy.conf".to_owned(), read("sysusers.conf")),
            ("usr/local/lib/tmpfiles.d/acr-pull-proxy.conf".to_owned(), read("tmpfiles.conf")),
            ("etc/acr-pull-proxy/config.yaml".to_owned(), key_from_files(&config, &cloud.ca_file())),
            ("etc/acr-pull-proxy/ca.pem".to_owned(), String::from_utf8(ca).unwrap()),
            ("etc/acr-pull-proxy/credentials/access-key-id".to_owned(), key.id),
            ("etc/acr-pull-proxy/credentials/access-key-secret".to_owned(), key.secret),
        ];
        let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_bytes())).collect();
        let machine = Machine::boot(&files).await;
        machine.run("systemctl", &["enable", HOSTS]);
        machine.run("chgrp", &["-R", "acr-pull-proxy", "/etc/acr-pull-proxy"]);
        machine.run("chmod", &["-R", "u=rwX,g=rX,o=", "/etc/acr-pull-proxy"]);
        machine.run("chmod", &["-R", "g=", "/etc/acr-pull-proxy/credentials"]);
        Self { cloud, image, machine, listen, operators: Mirror::at(admin) }
    }

    async fn wait_until_ready(&self) {
        let ready = async {
            while self.operators.get("/readyz").await.status != 200 {
                sleep(POLL).await;
            }
        };
        timeout(LIMIT, ready).await.expect("the daemon becomes ready");
    }

    /// Waits until containerd is sent to the daemon, or no longer.
    async fn wait_for_entry(&self, is_there: bool) {
        let listen = self.listen.to_string();
        let reached = async {
            while fs::read_to_string(self.hosts_file()).is_ok_and(|text| text.contains(&listen)) != is_there {
                sleep(POLL).await;
            }
        };
        if timeout(LIMIT, reached).await.is_err() {
            panic!("{is_there}: {}", self.machine.run("journalctl", &["--no-pager", "--lines=80"]));
        }
    }

    /// The file of containerd for the domain.
    fn hosts_file(&self) -> PathBuf {
        self.machine.path(&format!("{}/{DOMAIN}/hosts.toml", CERTS_DIR.trim_start_matches('/')))
    }

    /// Pulls while `act` is done. None may fail.
    async fn pull_while(&self, act: impl AsyncFnOnce()) {
        let pulls = Pulls::start(self.listen, &self.image, PULLS);
        pulls.more(PULLS).await;
        act().await;
        pulls.more(PULLS).await;
        let outcome = pulls.end().await;
        assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(unit(name)).expect(name)
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// The same configuration with the key in files, and the CA where the daemon of the machine sees it.
fn key_from_files(config: &str, ca: &Path) -> String {
    let credentials = format!("/run/credentials/{SERVICE}");
    let lines = config.lines().map(|line| {
        let indent = line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
        match line.trim_start().split(": ").next() {
            Some("customAccessKey") => format!("{indent}customAccessKeyFile: {credentials}/access-key-id\n"),
            Some("customAccessKeySecret") => {
                format!("{indent}customAccessKeySecretFile: {credentials}/access-key-secret\n")
            }
            _ => format!("{line}\n"),
        }
    });
    lines.collect::<String>().replace(&ca.display().to_string(), "/etc/acr-pull-proxy/ca.pem")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_lives_through_start_restart_reload_and_a_daemon_that_hangs() {
    let node = Node::boot().await;
    let machine = &node.machine;

    // The socket starts the daemon, which is ready only once it serves; the key comes from systemd.
    machine.run("systemctl", &["start", SOCKET]);
    assert_eq!(machine.property("ActiveState"), "inactive");
    node.pull_while(async || {}).await;
    node.wait_until_ready().await;
    assert_eq!(machine.property("StatusText"), "serving pulls");
    let process = machine.property("MainPID");
    assert_eq!(machine.run("stat", &["-c", "%U", &format!("/proc/{process}")]), "acr-pull-proxy");

    // A restart loses no pull: who comes meanwhile waits in systemd's queue.
    node.pull_while(async || {
        machine.run("systemctl", &["restart", SERVICE]);
    })
    .await;
    assert_ne!(machine.property("MainPID"), process);

    reloads(&node).await;

    // A daemon that does not answer itself is ended and started anew.
    let process = machine.property("MainPID");
    machine.run("systemctl", &["kill", "--signal=STOP", "--kill-who=main", SERVICE]);
    machine.wait_for("NRestarts", |count| count == "1").await;
    machine.wait_for("ActiveState", |state| state == "active").await;
    assert_ne!(machine.property("MainPID"), process);
    node.pull_while(async || {}).await;

    let journal = machine.run("journalctl", &["--no-pager", "--unit", SERVICE]);
    assert!(journal.contains("Watchdog timeout"), "{journal}");
    for secret in node.cloud.issued_secrets() {
        assert!(!journal.contains(&secret), "a secret is in the journal");
    }
}

/// A reload takes a good configuration, and says of a bad one that it was refused.
async fn reloads(node: &Node) {
    let file = node.machine.path("etc/acr-pull-proxy/config.yaml");
    let process = node.machine.property("MainPID");
    let good = fs::read_to_string(&file).expect("the configuration");
    for (content, status) in [
        (format!("{good}nonsense: true\n"), "serving pulls; the new configuration was refused, see the log"),
        (good, "serving pulls"),
    ] {
        fs::write(&file, content).expect("the configuration");
        node.machine.run("systemctl", &["reload", SERVICE]);
        node.machine.wait_for("StatusText", |text| text == status).await;
        assert_eq!(node.machine.property("MainPID"), process);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_without_its_socket_listens_by_itself_and_brings_containerd_along() {
    // The daemon asks the cloud which domains there are, so that nobody knows them before it has a login.
    let node = Node::boot_with(|config| without_domains(&config)).await;
    let machine = &node.machine;
    assert_eq!(machine.run("systemd-analyze", &["verify", SERVICE, SOCKET, HOSTS]), "");
    machine.run("systemctl", &["start", SERVICE]);
    assert_eq!(machine.property("ActiveState"), "active");
    // Root sends containerd to the daemon, once it is ready.
    node.wait_for_entry(true).await;
    node.wait_until_ready().await;
    node.pull_while(async || {}).await;
    // The daemon knows root through its own user namespace, and nobody else gets to its socket.
    let ask = format!("echo {DOMAIN} | ACR_PULL_PROXY_CONFIG=/none acr-pull-proxy docker-credential get");
    assert!(machine.run("sh", &["-c", &ask]).contains("\"Secret\":"), "root of the node gets the login");
    let directory = machine.run("stat", &["-c", "%a %U", "/run/acr-pull-proxy"]);
    assert_eq!(directory, "700 acr-pull-proxy");
    machine.run("systemctl", &["stop", SERVICE]);
    assert_eq!(machine.property("Result"), "success");
    // The README's drop-in takes the entries out whenever the daemon is stopped.
    assert!(!node.hosts_file().exists());
}

fn without_domains(config: &str) -> String {
    config.lines().filter(|line| !line.trim_start().starts_with("domains:")).map(|line| format!("{line}\n")).collect()
}
