//! `hosts` of the real binary: what it prints, which exit code it ends with, what the files are then.

mod killed;
mod registries;
mod spegel;
mod watch;
mod with_containerd;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cloudsim::{CloudSim, Method};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::DOMAIN;
use crate::support::daemon::Daemon;
use crate::support::node::get;

/// What an admin has for one of the domains.
const ADMIN: &str = "# ask the storage team\n[host.\"https://cache.example\"]\n  capabilities = [\"pull\"]\n";

/// Directories of a node: configuration, certs.d, state.
struct Place {
    dir: TempDir,
    /// containerd's configuration; without one, certs.d is named.
    containerd_config: Option<PathBuf>,
}

impl Place {
    /// A node that serves `domains` and has no hosts.toml yet.
    fn serving(domains: &[&str]) -> Self {
        // In memory, where there is room: a run of the tests makes some ten thousand calls of fsync.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let config = format!(
            "instances:\n  - instanceId: cri-abcd1234efgh5678\n    regionId: cn-hangzhou\n    domains: {}\n",
            domains.join(",")
        );
        fs::write(dir.path().join("config.yaml"), config).unwrap();
        fs::create_dir(dir.path().join("certs.d")).unwrap();
        Self { dir, containerd_config: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, domain: &str) -> PathBuf {
        self.path("certs.d").join(domain).join("hosts.toml")
    }

    fn write(&self, domain: &str, text: &str) {
        let file = self.file(domain);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// `hosts <arguments>` with the paths of this node in the environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        self.environment(&mut command);
        command.arg("hosts").args(arguments);
        command
    }

    fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            // Whatever containerd this machine has is not asked.
            .env("PATH", "/nonexistent")
            .env("ACR_PULL_PROXY_CONFIG", self.path("config.yaml"))
            .env("ACR_PULL_PROXY_STATE_DIR", self.path("state"));
        match &self.containerd_config {
            Some(config) => command.env("ACR_PULL_PROXY_CONTAINERD_CONFIG", config),
            None => command.env("ACR_PULL_PROXY_CERTS_DIR", self.path("certs.d")),
        };
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, which must succeed; its standard output.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The texts of all files below certs.d.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        collect(&self.path("certs.d"), &mut files);
        files
    }
}

fn collect(directory: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.clone(), fs::read_to_string(path).unwrap());
        }
    }
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn install_status_and_uninstall_of_a_node() {
    let place = Place::serving(&["new.example.com", "kept.example.com"]);
    place.write("kept.example.com", ADMIN);
    let before = place.files();

    let plan = place.done(&["install", "--dry-run"]);
    assert!(plan.contains("--- /dev/null\n") && plan.contains("\n+[host.\"http://127.0.0.1:7080\"]\n"), "{plan}");
    assert!(plan.contains("\n # ask the storage team\n"), "{plan}");
    assert_eq!(place.files(), before);

    let told = place.done(&["install"]);
    assert!(told.contains("new.example.com/hosts.toml: created\n"), "{told}");
    assert!(told.contains("kept.example.com/hosts.toml: updated\n"), "{told}");
    let again = json(&place.done(&["install", "--output", "json"]));
    assert_eq!(again["files"][0]["action"], "unchanged");
    assert_eq!(again["dryRun"], false);

    let status = json(&place.done(&["status", "--output", "json"]));
    assert_eq!(status["domains"][0]["state"], "ours", "{status}");
    assert_eq!(status["domains"][1]["otherHosts"][0], "https://cache.example");
    assert!(place.done(&["status"]).contains("kept.example.com: ours; also https://cache.example\n"));

    fs::remove_file(place.path("config.yaml")).unwrap();
    place.done(&["uninstall"]);
    assert_eq!(place.files(), before, "uninstall needs no configuration");
}

#[test]
fn a_change_by_hand_is_kept_and_told() {
    let place = Place::serving(&["new.example.com"]);
    place.done(&["install"]);
    let edited = fs::read_to_string(place.file("new.example.com")).unwrap().replace("\"pull\", ", "");
    place.write("new.example.com", &edited);
    let output = place.run(&["install"]);
    assert!(output.status.success() && stderr(&output).contains("--force"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(place.file("new.example.com")).unwrap(), edited);
    place.done(&["install", "--force"]);
    assert_ne!(fs::read_to_string(place.file("new.example.com")).unwrap(), edited);
}

#[test]
fn below_a_directory_that_is_named_nothing_else_need_be_writable() {
    let place = Place::serving(&["new.example.com"]);
    place.write("_default", ADMIN);
    let before = place.files();
    let run = |command: &str| place.command(&[command]).env_remove("ACR_PULL_PROXY_STATE_DIR").output().unwrap();
    assert!(run("install").status.success());
    assert!(place.path("certs.d/.acr-pull-proxy/hosts.json").exists(), "the record is beside the entries");
    assert!(run("uninstall").status.success());
    assert_eq!(place.files(), before);
    assert!(!place.path("certs.d/.acr-pull-proxy").exists(), "nothing is left");
}

#[test]
fn what_containerd_would_ignore_is_refused_with_2_and_the_lines_to_paste() {
    let place = Place::serving(&["new.example.com"]);
    let file = place.path("containerd.toml");
    let section = "[plugins.'io.containerd.cri.v1.images'.registry]";
    fs::write(&file, format!("version = 3\n{section}\nconfig_path = '/etc/containerd/certs.d:/etc/docker/certs.d'\n"))
        .unwrap();
    let mut command = place.command(&["install", "--containerd-config", file.to_str().unwrap()]);
    let output = command.env_remove("ACR_PULL_PROXY_CERTS_DIR").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains("transfer service") && told.contains("config_path = \"/etc/containerd/certs.d\""), "{told}");

    let mut command = place.command(&["status", "--output", "json", "--containerd-config", file.to_str().unwrap()]);
    let output = command.env_remove("ACR_PULL_PROXY_CERTS_DIR").output().unwrap();
    assert!(output.status.success(), "status tells, it does not refuse: {}", stderr(&output));
    assert_eq!(json(std::str::from_utf8(&output.stdout).unwrap())["findings"][0]["kind"], "joinedConfigPath");
}

#[test]
fn a_file_that_cannot_take_the_entry_is_exit_code_1_and_the_others_are_written() {
    let place = Place::serving(&["broken.example.com", "new.example.com"]);
    place.write("broken.example.com", "server = ");
    let output = place.run(&["install"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("broken.example.com/hosts.toml: is not TOML"), "{}", stderr(&output));
    assert!(place.file("new.example.com").exists());
}

#[test]
fn the_client_token_stands_in_the_file_and_in_nothing_that_is_printed() {
    let place = Place::serving(&["new.example.com"]);
    let token = "c2VjcmV0LWNsaWVudC10b2tlbg";
    fs::write(place.path("token"), format!("{token}\n")).unwrap();
    fs::set_permissions(place.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let config = fs::read_to_string(place.path("config.yaml")).unwrap();
    let auth = format!("clientAuth:\n  tokenFile: {}\n", place.path("token").display());
    fs::write(place.path("config.yaml"), config + &auth).unwrap();
    for arguments in [
        &["print"][..],
        &["install", "--dry-run"],
        &["install"],
        &["status"],
        &["install", "--output", "json"],
        &["uninstall", "--dry-run"],
    ] {
        let output = place.run(arguments);
        let said = [&output.stdout[..], &output.stderr].concat();
        assert!(output.status.success() && !String::from_utf8(said).unwrap().contains(token), "{arguments:?}");
    }
    assert!(place.done(&["print"]).contains("    Authorization = \"***\"\n"));
    let text = fs::read_to_string(place.file("new.example.com")).unwrap();
    assert!(text.contains(&format!("    Authorization = \"Bearer {token}\"\n")), "{text}");
}

#[test]
fn without_a_daemon_to_ask_the_unknown_domains_are_named_and_nothing_is_taken_away() {
    let place = Place::serving(&["old.example.com"]);
    place.done(&["install"]);
    let config = "admin: 127.0.0.1:1\ninstances:\n  - instanceId: cri-abcd1234efgh5678\n    regionId: cn-hangzhou\n";
    fs::write(place.path("config.yaml"), config).unwrap();
    let output = place.run(&["install"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cri-abcd1234efgh5678"), "{}", stderr(&output));
    let output = place.run(&["install", "--wait", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("not ready within 1 s"), "{}", stderr(&output));
    assert!(place.file("old.example.com").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn discovered_domains_are_asked_of_the_running_daemon() {
    let cloud = CloudSim::start().await.unwrap();
    let config = cloud.node_config(Method::WorkerRole);
    let lines = config.lines().filter(|line| !line.trim_start().starts_with("domains:"));
    let daemon = Daemon::start(&lines.map(|line| format!("{line}\n")).collect::<String>()).await;
    let place = Place::serving(&[]);
    let admin = daemon.admin.to_string();
    let file = daemon.config_file();
    place.done(&["install", "--wait", "20", "--admin", &admin, "--config", file.to_str().unwrap()]);
    let (_, status) = get(daemon.admin, "/status").await;
    assert!(status.contains(DOMAIN), "{status}");
    assert!(place.file(DOMAIN).exists(), "{:?}", place.files());
}
