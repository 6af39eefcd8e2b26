//! skopeo, podman, buildah and docker as they are run on a node, each with a place of its own.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::json;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::outside::Outside;
use crate::support::program::Place;
use crate::support::{DOMAIN, LIMIT, POLL};

/// Runs a program to its end.
pub(super) async fn run(command: Command) -> Output {
    let mut command = command;
    command.stdin(Stdio::null());
    let run = move || command.output().expect("the program is there (tests/run names its Debian package)");
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// Both streams of a program that has ended, for people.
pub(super) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A program that has nothing of this machine but its programs, and `place` for its home.
pub(super) fn program(name: &str, place: &Place) -> Command {
    let mut command = Command::new(name);
    let path =
        [place.path().as_os_str(), OsStr::new("/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin")].join(OsStr::new(":"));
    // Nothing is reached but this machine, unless a test opens a way.
    command.env_clear().env("HTTPS_PROXY", "http://127.0.0.1:1").envs(place.variables());
    command.env("PATH", path).current_dir(place.path());
    command
}

/// The file in which `credHelpers` sends the registry's logins through the binary; docker, podman and skopeo share it.
pub(super) fn credentials_file(place: &Place) -> PathBuf {
    let file = place.path().join("config.json");
    fs::write(&file, json!({ "credHelpers": { DOMAIN: "acr-pull-proxy" } }).to_string()).expect("config.json");
    file
}

/// The configuration that sends pulls of the registry to the daemon, which is told the registry by the path.
pub(super) fn registries_conf(place: &Place, listen: SocketAddr) -> PathBuf {
    let file = place.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nprefix = \"{DOMAIN}\"\nlocation = \"{DOMAIN}\"\n\
         [[registry.mirror]]\nlocation = \"{listen}/{DOMAIN}\"\ninsecure = true\n"
    );
    fs::write(&file, text).expect("registries.conf");
    file
}

/// skopeo, which trusts unsigned images.
pub(super) fn skopeo(place: &Place) -> Command {
    let mut command = program("skopeo", place);
    command.arg("--insecure-policy");
    command
}

/// podman, with a storage that needs no kernel.
pub(super) fn podman(place: &Place) -> Command {
    let mut command = with_storage("podman", place);
    command.args(["--events-backend", "none"]);
    command
}

/// buildah, with such a storage.
pub(super) fn buildah(place: &Place) -> Command {
    with_storage("buildah", place)
}

fn with_storage(name: &str, place: &Place) -> Command {
    let policy = place.path().join("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).expect("policy.json");
    let mut command = program(name, place);
    command.args(["--storage-driver", "vfs", "--root"]).arg(place.path().join("root"));
    command.arg("--runroot").arg(place.path().join("run"));
    command
}

/// A Docker Engine of the test's own. Ends with the test.
#[derive(Debug)]
pub(super) struct Docker {
    child: Child,
    socket: PathBuf,
}

impl Docker {
    /// Starts one that reaches registries over `outside`, or none but those of this machine, and waits until it serves.
    /// Needs root.
    pub(super) async fn start(place: &Place, outside: Option<&Outside>) -> Self {
        let at = |name: &str| place.path().join(name);
        let socket = at("d.sock");
        let log = fs::File::create(at("dockerd.log")).expect("log");
        let mut command = program("dockerd", place);
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]);
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(at(name));
        }
        command.envs(outside.into_iter().flat_map(Outside::variables));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log);
        let child = command.spawn().expect("dockerd starts (Debian package docker.io, as root)");
        let docker = Self { child, socket };
        let served = async {
            while UnixStream::connect(&docker.socket).await.is_err() {
                sleep(POLL).await;
            }
        };
        if timeout(LIMIT, served).await.is_err() {
            panic!("dockerd: {}", fs::read_to_string(at("dockerd.log")).unwrap_or_default());
        }
        docker
    }

    /// The client, which looks for logins where [`credentials_file`] put the way to them.
    pub(super) fn client(&self, place: &Place) -> Command {
        let mut command = program("docker", place);
        command.env("DOCKER_CONFIG", place.path()).arg("--host").arg(format!("unix://{}", self.socket.display()));
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // SIGTERM, so that its containerd ends with it.
        if Command::new("kill").arg(self.child.id().to_string()).status().is_ok() {
            self.child.wait().ok();
        }
    }
}
