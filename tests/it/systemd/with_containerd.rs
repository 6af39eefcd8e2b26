//! A real containerd is sent to a daemon that cannot start, or that is restarted: it waits for neither.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cloudsim::Method;
use tokio::time::{sleep, timeout};

use super::{Node, SERVICE, SOCKET};
use crate::support::containerd::Containerd;
use crate::support::daemon::Daemon;
use crate::support::{DOMAIN, LIMIT, POLL, REPOSITORY, TAG};

/// What a pull may take longer than where there is no entry of ours.
const TOLERATED: Duration = Duration::from_secs(1);

/// Nobody listens there, as where the registry does not let this node in.
const REFUSES: &str = "http://127.0.0.1:1";

/// How often the service is restarted under pulls.
const RESTARTS: usize = 3;

/// A key that is no key.
const WRONG: &str = "nonsense: true\n";

/// A drop-in with which systemd cannot start the daemon, whatever its configuration: a place that is not there is to be
/// shown to it.
const NO_PLACE: &str = "[Service]\nBindReadOnlyPaths=/nowhere\n";

/// A booted machine, and a containerd that reads its `hosts.toml`.
struct Site {
    node: Node,
    containerd: Containerd,
}

impl Site {
    /// The admin's file names nobody to ask beside the daemon.
    async fn boot() -> Self {
        let node = Node::boot().await;
        let file = node.hosts_file();
        let directory = file.parent().unwrap();
        fs::create_dir_all(directory).unwrap();
        fs::write(&file, admins_file(REFUSES)).unwrap();
        let containerd = Containerd::start().await;
        symlink(directory, containerd.certs_dir().join(DOMAIN)).unwrap();
        Self { node, containerd }
    }

    /// Starts the service by hand, with its socket, and waits until containerd is sent to it.
    async fn start(&self) {
        self.node.machine.run("systemctl", &["start", SOCKET, SERVICE]);
        self.node.wait_for_entry(true).await;
    }

    async fn pull(&self) -> (Result<String, String>, Duration) {
        self.containerd.pull_anew(&format!("{DOMAIN}/{REPOSITORY}:{TAG}")).await
    }

    /// The same, of an image that must come.
    async fn pulled(&self, when: &str) -> Duration {
        let (pulled, took) = self.pull().await;
        assert!(pulled.is_ok(), "{when}: {pulled:?}\n{}", self.containerd.log());
        took
    }

    /// From now on the admin's file names another server.
    fn change_server(&self, from: &str, to: &str) {
        let file = self.node.hosts_file();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    }

    /// Writes a drop-in of the service, or takes it away.
    fn drop_in(&self, text: Option<&str>) {
        let file = self.node.machine.path(&format!("etc/systemd/system/{SERVICE}.d/broken.conf"));
        match text {
            Some(text) => fs::write(file, text).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
        self.node.machine.run("systemctl", &["daemon-reload"]);
    }
}

/// containerd 1.6 asks a `server` only where there is a host, too.
fn admins_file(server: &str) -> String {
    format!("server = \"{server}\"\n\n[host.\"{server}\"]\n  capabilities = [\"pull\", \"resolve\"]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_cannot_start_holds_no_pull_says_why_and_serves_once_corrected() {
    let site = Site::boot().await;
    let machine = &site.node.machine;
    let registry = Daemon::start(&site.node.cloud.node_config(Method::WorkerRole)).await;
    let registry = format!("http://{}", registry.listen);
    site.change_server(REFUSES, &registry);
    let without = site.pulled("without us").await;
    site.start().await;

    let file = machine.path("etc/acr-pull-proxy/config.yaml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{good}{WRONG}")).unwrap();
    machine.run("systemctl", &["restart", SERVICE]);
    let told = machine.property("StatusText");
    assert!(told.starts_with("not serving") && told.contains("nonsense"), "{told}");
    let took = site.pulled("wrong configuration").await;
    assert!(took < without + TOLERATED, "{took:?}, without us {without:?}");
    // Where the registry gives nothing, the event of the pod says what is wrong here.
    site.change_server(&registry, REFUSES);
    let reason = site.pull().await.0.expect_err("nobody has the image");
    assert!(reason.contains("503") && reason.contains("node: wrong configuration: nonsense"), "{reason}");
    fs::write(&file, good).unwrap();
    machine.wait_for("StatusText", |text| text == "serving pulls").await;
    site.pulled("corrected").await;

    // A key that was not there when the daemon started.
    let key = machine.path("etc/acr-pull-proxy/credentials/access-key-id");
    let id = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    machine.run("systemctl", &["restart", SERVICE]);
    let reason = site.pull().await.0.expect_err("the daemon has no key");
    assert!(reason.contains("503") && reason.contains("access-key-id"), "{reason}");
    fs::write(&key, id).unwrap();
    machine.run("systemctl", &["restart", SERVICE]);
    site.pulled("with its key").await;

    // What systemd cannot start answers nobody, so nobody is sent to it.
    site.drop_in(Some(NO_PLACE));
    assert!(machine.try_run("systemctl", &["restart", SERVICE]).is_err());
    site.node.wait_for_entry(false).await;
    site.change_server(REFUSES, &registry);
    let took = site.pulled("not started by systemd").await;
    assert!(took < without + TOLERATED, "{took:?}, without us {without:?}");
    site.change_server(&registry, REFUSES);
    site.drop_in(None);
    site.node.wait_for_entry(true).await;
    site.pulled("started again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_fails_no_pull_of_containerd_though_the_registry_refuses_it() {
    let site = Site::boot().await;
    site.start().await;
    let (pulls, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let pulling = async {
        while !ended.load(Ordering::SeqCst) {
            site.pulled("under restarts").await;
            pulls.fetch_add(1, Ordering::SeqCst);
        }
    };
    let restarting = async {
        for _ in 0..RESTARTS {
            let (before, goal) = (site.node.machine.property("MainPID"), pulls.load(Ordering::SeqCst) + 1);
            site.node.machine.run("systemctl", &["--no-block", "restart", SERVICE]);
            site.node.machine.wait_for("MainPID", |process| process != "0" && process != before).await;
            site.node.machine.wait_for("StatusText", |text| text == "serving pulls").await;
            let more = async {
                while pulls.load(Ordering::SeqCst) < goal {
                    sleep(POLL).await;
                }
            };
            timeout(LIMIT, more).await.expect("pulls go on");
        }
        ended.store(true, Ordering::SeqCst);
    };
    tokio::join!(pulling, restarting);
}
