//! A real containerd reads what `hosts install` writes, and a daemon that is stopped, hung or replaced costs its node
//! no pull.
//!
//! The registry behind the daemon is played by a second daemon, which containerd asks when the first gives no answer.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use cloudsim::Method;
use cloudsim::image::Image;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::json;
use crate::support::containerd::Containerd;
use crate::support::daemon::Daemon;
use crate::support::node::get;
use crate::support::{DOMAIN, Node, REPOSITORY, TAG, cri};

/// What a pull may take longer where our entry leads nowhere than where there is none.
const TOLERATED: Duration = Duration::from_secs(1);

/// How long the daemon hangs before it is ended, as a watchdog would.
const HANG: Duration = Duration::from_secs(2);

/// Small enough that a pull is made of round trips, not of bytes.
const LAYER: usize = 256 * 1024;

/// A node with a containerd, a daemon, and something that answers in the registry's place.
struct Site {
    node: Node,
    registry: Daemon,
    containerd: Containerd,
}

impl Site {
    async fn start() -> Self {
        let node = Node::with(Method::WorkerRole, Image::random(3, LAYER, 7)).await;
        let registry = Daemon::start(&node.cloud.node_config(Method::WorkerRole)).await;
        Self { node, registry, containerd: Containerd::start().await }
    }

    /// A file of the admin's that leads to the registry, as the name of the domain does elsewhere.
    fn write_admins_file(&self) {
        let dir = self.containerd.certs_dir().join(DOMAIN);
        fs::create_dir_all(&dir).unwrap();
        let registry = format!("http://{}", self.registry.listen);
        let text = format!(
            "server = \"{registry}\"\n\n# the cache\n[host.\"{registry}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
        );
        fs::write(dir.join("hosts.toml"), text).unwrap();
    }

    /// `hosts <arguments>`, told nothing but where this containerd has its configuration. It finds the program by PATH,
    /// as the tests do, so all of them can be run with another containerd in front.
    fn hosts(&self, arguments: &[&str]) -> String {
        let dir = self.containerd.certs_dir();
        let dir = dir.parent().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"))
            .env("ACR_PULL_PROXY_CONTAINERD_CONFIG", dir.join("config.toml"))
            .env("ACR_PULL_PROXY_STATE_DIR", dir.join("proxy-state"))
            .env("ACR_PULL_PROXY_CONFIG", self.node.daemon.config_file())
            .env("ACR_PULL_PROXY_LISTEN", self.node.daemon.listen.to_string())
            .arg("hosts")
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Pulls the image anew, and tells how long that took.
    #[expect(clippy::print_stdout, reason = "the figures are wanted where somebody asks for them")]
    async fn pull(&self, what: &str) -> Duration {
        let name = format!("{DOMAIN}/{REPOSITORY}:{TAG}");
        let images = self.containerd.ctr(&["--namespace", "k8s.io", "images", "ls", "--quiet"]).await;
        for image in String::from_utf8(images.stdout).unwrap().lines() {
            self.containerd.ctr(&["--namespace", "k8s.io", "images", "rm", "--sync", image]).await;
        }
        let start = Instant::now();
        let pulled = cri::pull_image(&self.containerd.socket(), &name).await;
        let took = start.elapsed();
        assert!(pulled.is_ok(), "{what}: {pulled:?}\n{}", self.containerd.log());
        println!("pull with the daemon {what}: {took:?}");
        took
    }

    /// Requests that a daemon has answered.
    async fn requests(daemon: &Daemon) -> f64 {
        let (_, metrics) = get(daemon.admin, "/metrics").await;
        let of_family = metrics.lines().filter(|line| line.starts_with("acr_pull_proxy_requests_total{"));
        of_family.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }
}

/// Check 17 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn containerd_reads_what_install_writes_and_no_more_after_uninstall() {
    let site = Site::start().await;
    site.write_admins_file();
    let file = site.containerd.certs_dir().join(DOMAIN).join("hosts.toml");
    let before = fs::read_to_string(&file).unwrap();

    site.hosts(&["install"]);
    let status = json(&site.hosts(&["status", "--output", "json"]));
    assert_eq!(status["certsDir"].as_str(), site.containerd.certs_dir().to_str());
    assert!(status["containerd"].is_string() && status["findings"].as_array().unwrap().is_empty(), "{status}");
    site.pull("serving").await;
    let through_us = Site::requests(&site.node.daemon).await;
    assert!(through_us >= 5.0, "{through_us} requests: HEAD, manifest, config, three layers");
    assert!(Site::requests(&site.registry).await == 0.0, "containerd asked the admin's host before ours");

    // ctr has its own way to the directory.
    let certs = site.containerd.certs_dir();
    let name = format!("{DOMAIN}/{REPOSITORY}:{TAG}");
    let pulled = site.containerd.ctr(&["images", "pull", "--hosts-dir", certs.to_str().unwrap(), &name]).await;
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    assert!(Site::requests(&site.node.daemon).await > through_us);
    assert!(Site::requests(&site.registry).await == 0.0);

    let asked = Site::requests(&site.node.daemon).await;
    site.hosts(&["uninstall"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    site.pull("out of hosts.toml").await;
    assert!(Site::requests(&site.node.daemon).await == asked, "nothing comes to us any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_and_fallback_files_of_our_own_are_read_too() {
    let site = Site::start().await;
    for arguments in [&["install"][..], &["install", "--strict"]] {
        let asked = Site::requests(&site.node.daemon).await;
        site.hosts(arguments);
        site.pull("serving").await;
        assert!(Site::requests(&site.node.daemon).await > asked, "{arguments:?}");
    }
    site.hosts(&["uninstall"]);
    assert!(fs::read_dir(site.containerd.certs_dir()).unwrap().next().is_none(), "the directory was ours");
}

/// Check 18 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_gone_costs_a_pull_less_than_a_second() {
    let site = Site::start().await;
    site.write_admins_file();
    site.pull("not installed").await;
    let without = site.pull("not installed").await;
    site.hosts(&["install"]);
    site.pull("serving").await;

    // Hung: connections are still taken, by the kernel, and nobody answers. Its end is what a watchdog does.
    site.node.daemon.signal("STOP");
    let pid = site.node.daemon.pid().to_string();
    let watchdog = async {
        tokio::time::sleep(HANG).await;
        Command::new("kill").args(["-s", "KILL", &pid]).stderr(Stdio::null()).status().unwrap();
    };
    let (hung, ()) = tokio::join!(site.pull("hung for 2 s, then killed"), watchdog);
    assert!(hung >= HANG / 2, "it did hang: {hung:?}");
    assert!(hung < HANG + without + TOLERATED, "{hung:?}");

    let stopped = site.pull("stopped").await;
    assert!(stopped < without + TOLERATED, "{stopped:?} instead of {without:?}");

    // Its port is taken by another program: a port that is free for sure, which is then the one our entry names.
    for (what, answer) in [
        ("replaced by a web server", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        (
            "replaced by one that wants a login",
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
                                                Content-Length: 0\r\nConnection: close\r\n\r\n",
        ),
        ("replaced by another protocol", "SSH-2.0-OpenSSH_9.2\r\n"),
        ("replaced by one that hangs up", ""),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        site.hosts(&["install", "--listen", &listener.local_addr().unwrap().to_string()]);
        let (accepted, mut connections) = tokio::sync::mpsc::unbounded_channel();
        let other = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                accepted.send(()).ok();
                let mut head = [0; 4096];
                // The request comes in one piece; what it says does not matter.
                if stream.read(&mut head).await.is_err() {
                    continue;
                }
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        let took = site.pull(what).await;
        assert!(took < without + TOLERATED, "{what}: {took:?} instead of {without:?}");
        assert!(connections.try_recv().is_ok(), "{what}: containerd did not come by");
        other.abort();
    }
}
