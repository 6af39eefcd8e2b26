//! What stands beside the daemon: nginx, haproxy, docker-registry, and wrk to ask them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cloudsim::ram::setup;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::conditions::{installed, root};
use crate::node::{HTTPS, Node};
use crate::part::LeftOut;
use crate::support::{DOMAIN, processor_seconds};

/// How long a peer may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How often it is tried meanwhile; nothing tells us when it is there.
const START_POLL: Duration = Duration::from_millis(20);

/// How much of a peer's log is shown where the benchmark fails: the same complaint stands there many times.
const LOG_LINES: usize = 5;

/// A running peer with a directory of its own; ended and gone when dropped.
pub(crate) struct Peer {
    child: Child,
    /// Where it is asked.
    pub(crate) listen: SocketAddr,
    files: TempDir,
}

impl Peer {
    /// Starts a program with a configuration that is written around a free port and a directory. `command` gets the file.
    pub(crate) async fn start(
        program: &'static str,
        configuration: impl FnOnce(SocketAddr, &str) -> String,
        command: impl FnOnce(&str) -> Command,
    ) -> Result<Self, LeftOut> {
        if !installed(program) {
            return Err(LeftOut(format!("{program} is not installed")));
        }
        let files = tempfile::tempdir().expect("a directory");
        let directory = files.path().to_str().expect("a plain path").to_owned();
        let listen = free_port();
        let file = format!("{directory}/configuration");
        fs::write(&file, configuration(listen, &directory)).expect("a configuration");
        let log = fs::File::create(files.path().join("log")).expect("a log");
        let mut command = command(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("an installed program starts");
        let mut peer = Self { child, listen, files };
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(listen).await.is_err() {
            let ended = peer.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none() && Instant::now() < deadline, "{program}: {ended:?}\n{}", peer.log());
            sleep(START_POLL).await;
        }
        Ok(peer)
    }

    /// nginx; `servers` is what stands between the braces of `http`.
    pub(crate) async fn nginx(
        workers: &str,
        servers: impl FnOnce(SocketAddr, &str) -> String,
    ) -> Result<Self, LeftOut> {
        let configuration = |listen, directory: &str| {
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {directory}/{kind};\n"))
                .concat();
            format!(
                "user root;\nworker_processes {workers};\ndaemon off;\npid {directory}/pid;\nerror_log {directory}/log;\n\
                 events {{ worker_connections 1024; }}\nhttp {{\n{temporary}access_log off;\nsendfile on;\n\
                 tcp_nodelay on;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;\n{}\n}}\n",
                servers(listen, directory)
            )
        };
        let command = |file: &str| {
            let mut command = Command::new("nginx");
            command.args(["-c", file]);
            command
        };
        Self::start("nginx", configuration, command).await
    }

    /// docker-registry as a pull-through proxy of the simulated registry, with a login of its own.
    pub(crate) async fn docker_registry(node: &Node) -> Result<Self, LeftOut> {
        if !root() || node.cloud.tls_addr().port() != HTTPS {
            return Err(LeftOut(format!("docker-registry finds the cloud as root and on port {HTTPS} only")));
        }
        let (user, password) = node.cloud.login(setup::INSTANCE).expect("the instance");
        let configuration = |listen, directory: &str| {
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {directory}/store}}}}\nhttp: {{addr: \"{listen}\"}}\n\
                 proxy: {{remoteurl: \"https://{DOMAIN}\", username: {user}, password: \"{password}\"}}\n"
            )
        };
        let command = |file: &str| {
            let mut command = node.on_the_cloud("docker-registry");
            command.args(["serve", file]);
            command
        };
        Self::start("docker-registry", configuration, command).await
    }

    /// Processor time of all its processes so far.
    pub(crate) fn processor_seconds(&self) -> f64 {
        family(self.child.id()).into_iter().map(processor_seconds).sum()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log().lines().take(LOG_LINES).collect::<Vec<_>>().join("\n"));
        }
        // SIGTERM, so that a master takes its workers with it.
        let pid = self.child.id().to_string();
        if Command::new("kill").arg(&pid).status().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// A process and all that descend from it.
fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let descendants = children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(family);
    std::iter::once(pid).chain(descendants).collect()
}

/// A port that was free a moment ago; these programs cannot be told to take any.
pub(crate) fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

/// What wrk found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    /// Milliseconds.
    pub(crate) median: f64,
    /// Milliseconds.
    pub(crate) p99: f64,
}

/// Asks for the paths in turn, again and again, over `connections`, for `seconds`.
pub(crate) async fn wrk(base: &str, paths: &[String], headers: &[String], connections: usize, seconds: u64) -> Load {
    let script = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&script, in_turn(paths)).expect("a script");
    let mut command = tokio::process::Command::new("wrk");
    let (connections, seconds) = (connections.to_string(), seconds.to_string());
    command.args(["--latency", "-t1", "-c", &connections, "-d", &seconds, "-s"]).arg(script.path());
    headers.iter().for_each(|header| {
        command.args(["-H", header]);
    });
    let output = command.arg(base).output().await.expect("wrk runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{base}: {text}");
    let after = |name: &str| {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
    };
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
    Load {
        requests: requests.unwrap_or_else(|| panic!("no requests in {text}")),
        per_second: after("Requests/sec:").parse().expect("a number"),
        median: milliseconds(&after("50%")),
        p99: milliseconds(&after("99%")),
    }
}

/// What makes wrk go round the paths. The requests are made beforehand, so that they cost the same for few and for many.
fn in_turn(paths: &[String]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| format!("{path:?}")).collect();
    format!(
        "local paths = {{ {} }}\nlocal requests, turn = {{}}, 0\n\
         init = function() for at, path in ipairs(paths) do requests[at] = wrk.format('GET', path) end end\n\
         request = function() turn = turn % #requests + 1; return requests[turn] end\n",
        paths.join(", ")
    )
}

/// `1.25ms`, `830.00us`, `1.02s`.
fn milliseconds(text: &str) -> f64 {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    let found = units.iter().find_map(|(unit, worth)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * worth));
    found.unwrap_or_else(|| panic!("{text} is no time"))
}
