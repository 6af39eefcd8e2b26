//! A containerd of the test's own: private root, state, socket and certs directory; gone with the test.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::time::Instant;

/// How long a fresh containerd may take until its socket answers.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How often the socket is tried meanwhile; nothing tells us when it is there.
const START_POLL: Duration = Duration::from_millis(50);

/// A running containerd.
#[derive(Debug)]
pub(crate) struct Containerd {
    dir: TempDir,
    child: Child,
}

impl Containerd {
    /// Starts one, and waits until it serves.
    ///
    /// Fails the test where containerd or runc is missing or the user is not root: whoever runs the tests without them
    /// leaves these tests out by name, so that none of them counts as passed without having run.
    pub(crate) async fn start() -> Self {
        Self::start_by(Command::new("containerd")).await
    }

    /// The same, by a command that becomes containerd with the arguments that are added to it.
    pub(crate) async fn start_by(mut command: Command) -> Self {
        let dir = tempfile::Builder::new().prefix("ctrd").tempdir().expect("a directory for containerd");
        let path = dir.path();
        fs::create_dir(path.join("certs.d")).expect("certs.d");
        fs::write(path.join("config.toml"), config(path)).expect("config.toml");
        let log = File::create(path.join("log")).expect("log");
        let child = command
            .arg("--config")
            .arg(path.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Its shims end with its group.
            .process_group(0)
            .spawn()
            .expect("containerd starts (Debian packages containerd and runc, as root)");
        let mut containerd = Self { dir, child };
        containerd.wait_until_served().await;
        containerd
    }

    async fn wait_until_served(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        while UnixStream::connect(self.socket()).await.is_err() {
            let ended = self.child.try_wait().expect("containerd can be waited for");
            assert!(ended.is_none() && Instant::now() < deadline, "containerd: {ended:?}\n{}", self.log());
            tokio::time::sleep(START_POLL).await;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The gRPC socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("c.sock")
    }

    /// Where it keeps what it stores.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The directory that `config_path` names.
    pub(crate) fn certs_dir(&self) -> PathBuf {
        self.dir.path().join("certs.d")
    }

    /// The configuration it was started with.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    /// Writes the `hosts.toml` that sends pulls of `domain` to the daemon at `mirror`, and nowhere else (`server` is
    /// the mirror too, so that a pull that passes has passed through it).
    pub(crate) fn send_pulls_to(&self, domain: &str, mirror: &str) {
        let dir = self.certs_dir().join(domain);
        fs::create_dir_all(&dir).expect("directory of the domain");
        let text = format!("server = \"{mirror}\"\n\n[host.\"{mirror}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
        fs::write(dir.join("hosts.toml"), text).expect("hosts.toml");
    }

    /// Runs `ctr` against it.
    pub(crate) async fn ctr(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new("ctr");
        command.arg("--address").arg(self.socket()).args(arguments).kill_on_drop(true);
        command.output().await.expect("ctr runs")
    }

    /// Pulls an image through the CRI as if it had none, and tells how long that took.
    pub(crate) async fn pull_anew(&self, name: &str) -> (Result<String, String>, Duration) {
        let images = self.ctr(&["--namespace", "k8s.io", "images", "ls", "--quiet"]).await;
        for image in String::from_utf8(images.stdout).expect("names").lines() {
            self.ctr(&["--namespace", "k8s.io", "images", "rm", "--sync", image]).await;
        }
        let start = Instant::now();
        let pulled = super::cri::pull_image(&self.socket(), name).await;
        (pulled, start.elapsed())
    }

    /// What containerd logged, for a failing test.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // SIGTERM first, so that it unmounts its snapshots; the directory could not be removed otherwise.
        let pid = self.pid().to_string();
        if Command::new("kill").arg(&pid).status().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// The options that matter: nothing of the machine's own containerd is shared. `tests/containerds` adds to them how a newer
/// containerd is to pull.
#[expect(clippy::disallowed_methods, reason = "set by whoever runs the tests with another containerd")]
fn config(dir: &Path) -> String {
    let more = std::env::var("ACR_PULL_PROXY_TEST_CONTAINERD").unwrap_or_default();
    let dir = dir.display();
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
[grpc]
  address = "{dir}/c.sock"
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{dir}/certs.d"
[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"
{more}
"#
    )
}
