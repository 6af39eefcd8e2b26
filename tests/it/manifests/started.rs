//! What the containers of the pods do when they are run, with the arguments that the manifests give them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cloudsim::{CloudSim, Method};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{items, path, pod};
use crate::support::daemon::{Daemon, PROGRAM};
use crate::support::node::get;
use crate::support::{DOMAIN, LIMIT, POLL};

/// Where containerd of an ordinary node reads its mirrors from.
const CERTS_DIR: &str = "/etc/containerd/certs.d";

/// A node as its containers see it.
struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    /// One whose containerd has this in its configuration behind `config_path =`.
    fn with(config_path: &str) -> Self {
        let node = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(node.path("certs.d")).unwrap();
        let config =
            format!("version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = {config_path}\n");
        fs::write(node.path("config.toml"), config).unwrap();
        node
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn hosts_toml(&self, domain: &str) -> std::path::PathBuf {
        self.path("certs.d").join(domain).join("hosts.toml")
    }

    /// A container of the DaemonSet of an overlay.
    fn container(&self, overlay: &str, kind: &str, number: usize, config: &Path) -> Command {
        let arguments = items(&pod(overlay)[kind][number]["args"]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command.env_clear().env("PATH", "/nonexistent").env("ACR_PULL_PROXY_CONFIG", config);
        // Whoever runs this may not give a file to another group.
        let arguments = arguments.iter().filter_map(Value::as_str).filter(|word| !word.starts_with("--token-group"));
        command.args(arguments.map(|word| {
            let word = word.replace("/host/certs.d", self.path("certs.d").to_str().unwrap());
            word.replace("/etc/containerd", self.dir.path().to_str().unwrap())
        }));
        command
    }

    fn init(&self, overlay: &str) -> String {
        let config = path("daemonset/overlays/rrsa/config.yaml");
        let output = self.container(overlay, "initContainers", 0, &config).output().expect("the daemon");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{overlay}: {told}");
        told
    }
}

#[test]
fn the_init_container_sends_containerd_to_the_daemon_and_the_cleanup_takes_that_back() {
    let node = Node::with(&format!("'{CERTS_DIR}'"));
    let file = node.hosts_toml("demo-registry.cn-hangzhou.cr.aliyuncs.com");
    node.init("rrsa");
    let lax = fs::read_to_string(&file).expect("hosts.toml");
    assert!(lax.contains("[host.\"http://127.0.0.1:7080\"]"), "{lax}");
    node.init("rrsa");
    assert_eq!(fs::read_to_string(&file).expect("hosts.toml"), lax, "a second start changes nothing");
    node.init("everything");
    assert_ne!(fs::read_to_string(&file).expect("hosts.toml"), lax, "strict");
    node.init("cleanup");
    assert_eq!(fs::read_dir(node.path("certs.d")).unwrap().count(), 0, "nothing is left");
}

#[test]
fn one_bad_file_does_not_keep_the_daemon_off_the_node() {
    let node = Node::with(&format!("'{CERTS_DIR}'"));
    let bad = node.hosts_toml("demo-registry.cn-hangzhou.cr.aliyuncs.com");
    fs::create_dir(bad.parent().unwrap()).unwrap();
    fs::write(&bad, "server = ").unwrap();
    assert!(node.init("rrsa").contains("is not TOML"));
    assert!(node.hosts_toml("demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com").exists());
}

#[test]
fn what_containerd_would_not_read_is_told_by_the_pod_and_the_daemon_runs() {
    let node = Node::with(&format!("'{CERTS_DIR}:/etc/docker/certs.d'"));
    assert!(node.init("rrsa").contains("transfer service"));
    let config = path("daemonset/overlays/rrsa/config.yaml");
    let watch = node.container("rrsa", "containers", 1, &config).output().unwrap();
    assert_eq!(watch.status.code(), Some(2), "the container ends, which the pod's status shows with its last lines");
    let told = String::from_utf8(watch.stderr).unwrap();
    assert!(told.contains("config_path = \"/etc/containerd/certs.d\""), "{told}");
    assert_eq!(fs::read_dir(node.path("certs.d")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_without_domains_starts_and_its_domains_are_installed_when_the_cloud_has_named_them() {
    let cloud = CloudSim::start().await.unwrap();
    let config = cloud.node_config(Method::Rrsa);
    let config: String =
        config.lines().filter(|line| !line.contains("domains:")).map(|line| format!("{line}\n")).collect();
    let node = Node::with(&format!("'{CERTS_DIR}'"));
    let file = node.path("acr-pull-proxy.yaml");
    fs::write(&file, &config).unwrap();
    let init = node.container("rrsa", "initContainers", 0, &file).env("ACR_PULL_PROXY_ADMIN", "127.0.0.1:1").output();
    let init = init.unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    assert_eq!(fs::read_dir(node.path("certs.d")).unwrap().count(), 0);

    let daemon = Daemon::start(&config).await;
    let mut watch = node.container("rrsa", "containers", 1, &file);
    watch.env("ACR_PULL_PROXY_ADMIN", daemon.admin.to_string()).stdin(Stdio::null());
    let _watch = Running(watch.spawn().unwrap());
    let installed = async {
        while !node.hosts_toml(DOMAIN).exists() {
            sleep(POLL).await;
        }
    };
    timeout(LIMIT, installed).await.expect("hosts.toml of the domain that the cloud has named");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_sees_whether_containerd_of_its_node_is_sent_to_it() {
    let cloud = CloudSim::start().await.unwrap();
    let config = cloud.node_config(Method::Rrsa);
    let node = Node::with(&format!("'{CERTS_DIR}'"));
    let serve = pod("rrsa")["containers"][0].clone();
    let mounts = items(&serve["volumeMounts"]);
    let mount = mounts.iter().find(|mount| mount["name"] == "certs").expect("the directory of the node");
    assert_eq!(mount["readOnly"], true);
    let environment = items(&serve["env"]);
    let named =
        environment.iter().find(|variable| variable["name"] == "ACR_PULL_PROXY_CERTS_DIR").expect("where it is");
    assert_eq!(named["value"], mount["mountPath"]);

    let mut program = Command::new("env");
    program.arg(format!("ACR_PULL_PROXY_CERTS_DIR={}", node.path("certs.d").display())).arg(PROGRAM);
    let daemon = Daemon::through(&config, program).await;
    let until = async |good: bool| {
        let seen = async {
            loop {
                let status: Value = serde_json::from_str(&get(daemon.admin, "/status").await.1).unwrap();
                if status["containerd"]["domains"][0]["good"] == good {
                    return;
                }
                sleep(POLL).await;
            }
        };
        timeout(LIMIT, seen).await.unwrap_or_else(|_| panic!("it is not told to be {good}"));
    };
    until(false).await;
    let file = node.path("acr-pull-proxy.yaml");
    fs::write(&file, &config).unwrap();
    let mut init = node.container("rrsa", "initContainers", 0, &file);
    let output = init.env("ACR_PULL_PROXY_LISTEN", daemon.listen.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    until(true).await;
    daemon.stop();
}

/// A container that stays; ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
