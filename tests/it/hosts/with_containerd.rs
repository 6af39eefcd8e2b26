//! A real containerd reads what `hosts install` writes, and a daemon that is stopped, hung or replaced costs its node
//! no pull.
//!
//! The registry behind the daemon is played by a second daemon, which containerd asks when the first gives no answer.

use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use cloudsim::Method;
use cloudsim::image::Image;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::json;
use crate::support::containerd::Containerd;
use crate::support::daemon::Daemon;
use crate::support::node::requests;
use crate::support::{DOMAIN, LIMIT, Node, REPOSITORY, TAG};

/// What a pull may take longer where our entry leads nowhere than where there is none.
const TOLERATED: Duration = Duration::from_secs(1);

/// How long the daemon hangs before it is ended, as a watchdog would.
const HANG: Duration = Duration::from_secs(2);

/// How long one is held by a daemon that hangs and that nothing ends; containerd before 2.3 has no limit of its own.
const HELD: Duration = Duration::from_secs(5);

/// Small enough that a pull is made of round trips, not of bytes.
const LAYER: usize = 256 * 1024;

/// A node with a containerd, a daemon, and something that answers in the registry's place.
pub(super) struct Site {
    pub(super) node: Node,
    pub(super) registry: Daemon,
    pub(super) containerd: Containerd,
}

impl Site {
    pub(super) async fn start() -> Self {
        let node = Node::with(Method::WorkerRole, Image::random(3, LAYER, 7)).await;
        let registry = Daemon::start(&node.cloud.node_config(Method::WorkerRole)).await;
        Self { node, registry, containerd: Containerd::start().await }
    }

    /// A file of the admin's that leads to the registry, as the name of the domain does elsewhere.
    fn write_admins_file(&self) -> PathBuf {
        let dir = self.containerd.certs_dir().join(DOMAIN);
        fs::create_dir_all(&dir).unwrap();
        let registry = format!("http://{}", self.registry.listen);
        let text = format!(
            "server = \"{registry}\"\n\n# the cache\n[host.\"{registry}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
        );
        let file = dir.join("hosts.toml");
        fs::write(&file, text).unwrap();
        file
    }

    /// `hosts <arguments>`, told nothing but where this containerd has its configuration. It finds the program by PATH,
    /// as the tests do, so all of them can be run with another containerd in front.
    pub(super) fn hosts(&self, arguments: &[&str]) -> String {
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
    pub(super) async fn pull(&self, what: &str) -> Duration {
        let (pulled, took) = self.try_pull(what).await;
        assert!(pulled.is_ok(), "{what}: {pulled:?}\n{}", self.containerd.log());
        took
    }

    /// The same where the pull must fail.
    async fn refused(&self, what: &str) -> Duration {
        let (pulled, took) = self.try_pull(what).await;
        assert!(pulled.is_err(), "{what}: {pulled:?}");
        took
    }

    #[expect(clippy::print_stdout, reason = "the figures are wanted where somebody asks for them")]
    async fn try_pull(&self, what: &str) -> (Result<String, String>, Duration) {
        let name = format!("{DOMAIN}/{REPOSITORY}:{TAG}");
        let (pulled, took) = self.containerd.pull_anew(&name).await;
        println!("pull with the daemon {what}: {took:?} {}", pulled.as_ref().err().map_or("", String::as_str));
        (pulled, took)
    }

    /// Hung: connections are still taken, by the kernel, and nobody answers. Its end is what a watchdog does.
    async fn hang_and_kill(&self) {
        self.node.daemon.signal("STOP");
        let pid = self.node.daemon.pid().to_string();
        tokio::time::sleep(HANG).await;
        Command::new("kill").args(["-s", "KILL", &pid]).stderr(Stdio::null()).status().unwrap();
    }
}

/// Check 17 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn containerd_reads_what_install_writes_and_no_more_after_uninstall() {
    let site = Site::start().await;
    let file = site.write_admins_file();
    let before = fs::read_to_string(&file).unwrap();

    site.hosts(&["install"]);
    let status = json(&site.hosts(&["status", "--output", "json"]));
    assert_eq!(status["certsDir"].as_str(), site.containerd.certs_dir().to_str());
    assert!(status["containerd"].is_string() && status["findings"].as_array().unwrap().is_empty(), "{status}");
    site.pull("serving").await;
    let through_us = requests(&site.node.daemon).await;
    assert!(through_us >= 5.0, "{through_us} requests: HEAD, manifest, config, three layers");
    assert!(requests(&site.registry).await == 0.0, "containerd asked the admin's host before ours");

    // ctr has its own way to the directory.
    let certs = site.containerd.certs_dir();
    let name = format!("{DOMAIN}/{REPOSITORY}:{TAG}");
    let pulled = site.containerd.ctr(&["images", "pull", "--hosts-dir", certs.to_str().unwrap(), &name]).await;
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    assert!(requests(&site.node.daemon).await > through_us);
    assert!(requests(&site.registry).await == 0.0);

    let asked = requests(&site.node.daemon).await;
    site.hosts(&["uninstall"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    site.pull("out of hosts.toml").await;
    assert!(requests(&site.node.daemon).await == asked, "nothing comes to us any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_and_fallback_files_of_our_own_are_read_too() {
    let site = Site::start().await;
    for arguments in [&["install"][..], &["install", "--strict"]] {
        let asked = requests(&site.node.daemon).await;
        site.hosts(arguments);
        site.pull("serving").await;
        assert!(requests(&site.node.daemon).await > asked, "{arguments:?}");
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

    let (hung, ()) = tokio::join!(site.pull("hung for 2 s, then killed"), site.hang_and_kill());
    assert!(hung >= HANG / 2, "it did hang: {hung:?}");
    assert!(hung < HANG + without + TOLERATED, "{hung:?}");

    let stopped = site.pull("stopped").await;
    assert!(stopped < without + TOLERATED, "{stopped:?} instead of {without:?}");

    for (what, answer) in OTHERS {
        let mut other = Other::start(answer).await;
        site.hosts(&["install", "--listen", &other.address]);
        let took = site.pull(what).await;
        assert!(took < without + TOLERATED, "{what}: {took:?} instead of {without:?}");
        assert!(other.connections.try_recv().is_ok(), "{what}: containerd did not come by");
    }
}

/// Check 18 (`tests/it/peers.rs`). As on a machine that is paused, or where there is no watchdog.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_stays_hung_holds_the_pulls_that_reach_it_and_no_others_and_answers_when_it_goes_on() {
    let site = Site::start().await;
    site.write_admins_file();
    site.hosts(&["install"]);
    site.pull("serving").await;

    site.node.daemon.signal("STOP");
    let mut held = pin!(site.pull("hung until it goes on"));
    assert!(timeout(HELD, &mut held).await.is_err(), "nobody hung");
    site.hosts(&["uninstall"]);
    let beside = site.pull("hung, and out of hosts.toml").await;
    assert!(beside < HELD, "{beside:?}");
    assert!(timeout(Duration::ZERO, &mut held).await.is_err(), "it went on without the daemon");
    site.node.daemon.signal("CONT");
    timeout(LIMIT, held).await.expect("it goes on");

    site.hosts(&["install"]);
    let asked = requests(&site.node.daemon).await;
    site.pull("serving again").await;
    assert!(requests(&site.node.daemon).await > asked, "it serves as before");
}

/// Check 18 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn with_strict_a_pull_fails_at_once_where_the_daemon_is_gone_and_works_again_after_uninstall() {
    let site = Site::start().await;
    site.hosts(&["install", "--strict"]);
    site.pull("serving, strict").await;
    let asked = requests(&site.registry).await;

    let (refused, ()) = tokio::join!(site.refused("hung for 2 s, then killed, strict"), site.hang_and_kill());
    assert!(refused > HANG / 2 && refused < HANG + TOLERATED, "{refused:?}");
    assert!(site.refused("stopped, strict").await < TOLERATED);
    for (what, answer) in OTHERS {
        let mut other = Other::start(answer).await;
        site.hosts(&["install", "--strict", "--listen", &other.address]);
        assert!(site.refused(&format!("{what}, strict")).await < TOLERATED, "{what}");
        assert!(other.connections.try_recv().is_ok(), "{what}: containerd did not come by");
    }
    assert!(requests(&site.registry).await == asked, "nothing passes the daemon by");

    // What the unit of an operator who wants this does when the service stops.
    site.hosts(&["uninstall"]);
    // A containerd without our entry asks the name of the domain, for which this file stands here.
    site.write_admins_file();
    site.pull("out of hosts.toml").await;
}

/// What else may listen where the daemon did, and what it answers.
pub(super) const OTHERS: [(&str, &str); 4] = [
    ("replaced by a web server", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    (
        "replaced by one that wants a login",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n",
    ),
    ("replaced by another protocol", "SSH-2.0-OpenSSH_9.2\r\n"),
    ("replaced by one that hangs up", ""),
];

/// Another program at the address that our entry names: at a port that is free for sure.
pub(super) struct Other {
    pub(super) address: String,
    pub(super) connections: mpsc::UnboundedReceiver<()>,
    task: JoinHandle<()>,
}

impl Other {
    pub(super) async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (accepted, connections) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
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
        Self { address, connections, task }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.task.abort();
    }
}
