//! `hosts install --watch` and `--best-effort`: what a node gets from whoever starts the daemon.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cloudsim::{CloudSim, Method};
use tokio::time::{sleep, timeout};

use super::{ADMIN, Place, stderr};
use crate::support::daemon::Daemon;
use crate::support::{DOMAIN, LIMIT, POLL};

/// A second domain, which the daemon is told to serve later.
const OTHER: &str = "other.example.com";

/// A run that stays; ended with the test.
pub(super) struct Watcher {
    pub(super) child: Child,
    pub(super) place: Place,
}

impl Watcher {
    pub(super) fn start(place: Place, config: &Path) -> Self {
        let log = File::create(place.path("log")).unwrap();
        let mut command = place.command(&["install", "--watch", "--config", config.to_str().unwrap()]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.spawn().unwrap(), place }
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.place.path("log")).unwrap()
    }

    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                sleep(POLL).await;
            }
        };
        timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("{what}: {}\n{:?}", self.log(), self.place.files()));
    }

    pub(super) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn without_domains(config: &str) -> String {
    config.lines().filter(|line| !line.trim_start().starts_with("domains:")).map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_installs_what_the_daemon_serves_as_soon_as_it_is_ready_and_again_when_that_changes() {
    let cloud = CloudSim::start().await.unwrap();
    let [listen, admin] = [free_address(), free_address()];
    let named = cloud.node_config_at(Method::WorkerRole, &listen, &admin);
    let place = Place::serving(&[]);
    let config = place.path("config.yaml");
    fs::write(&config, without_domains(&named)).unwrap();
    let mut watcher = Watcher::start(place, &config);
    watcher.until("it waits", |watcher| watcher.log().contains("waiting until the daemon")).await;
    assert!(watcher.place.files().is_empty());

    let daemon = Daemon::start(&without_domains(&named)).await;
    watcher.until("a discovered domain is installed", |watcher| watcher.place.file(DOMAIN).exists()).await;
    let text = fs::read_to_string(watcher.place.file(DOMAIN)).unwrap();
    assert!(text.contains(&format!("[host.\"http://{listen}\"]")), "{text}");

    // The daemon goes over to another configuration by itself; the watch follows the daemon, not the file.
    let more = named.replace("domains:", &format!("domains: {OTHER},"));
    assert!(more.contains(&format!("{OTHER}, ")), "{more}");
    fs::write(daemon.config_file(), &more).unwrap();
    watcher.until("a new domain is installed", |watcher| watcher.place.file(OTHER).exists()).await;
    fs::write(daemon.config_file(), &named).unwrap();
    watcher.until("one that is served no more is taken out", |watcher| !watcher.place.file(OTHER).exists()).await;

    fs::remove_file(watcher.place.file(DOMAIN)).unwrap();
    watcher.signal("HUP");
    watcher.until("what was taken away comes back", |watcher| watcher.place.file(DOMAIN).exists()).await;

    daemon.stop();
    watcher.signal("TERM");
    let ended = tokio::task::block_in_place(|| watcher.child.wait()).unwrap();
    assert!(ended.success(), "{ended}: {}", watcher.log());
    assert!(watcher.place.file(DOMAIN).exists(), "a daemon that restarts is not gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_past_one_bad_file_and_tells_it_once() {
    let cloud = CloudSim::start().await.unwrap();
    let config = cloud.node_config(Method::WorkerRole).replace("domains:", &format!("domains: {OTHER},"));
    let daemon = Daemon::start(&config).await;
    let file = place_with_admin_of(&daemon, &config);
    let place = Place::serving(&[]);
    place.write(OTHER, "server = ");
    let watcher = Watcher::start(place, file.path());
    watcher.until("the other is installed", |watcher| watcher.place.file(DOMAIN).exists()).await;
    for _ in 0..2 {
        fs::remove_file(watcher.place.file(DOMAIN)).unwrap();
        watcher.signal("HUP");
        watcher.until("all files are gone through again", |watcher| watcher.place.file(DOMAIN).exists()).await;
    }
    assert_eq!(watcher.log().matches("is not TOML").count(), 1, "{}", watcher.log());

    fs::remove_file(watcher.place.file(OTHER)).unwrap();
    watcher.signal("HUP");
    watcher.until("a file that can be written is", |watcher| watcher.place.file(OTHER).exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_can_write_nothing_ends_so_that_somebody_sees_it() {
    let cloud = CloudSim::start().await.unwrap();
    let config = cloud.node_config(Method::WorkerRole);
    let daemon = Daemon::start(&config).await;
    let file = place_with_admin_of(&daemon, &config);
    let place = Place::serving(&[]);
    // All its domains: one would be enough for it to stay.
    for domain in served(&config) {
        place.write(&domain, "server = ");
    }
    let mut watcher = Watcher::start(place, file.path());
    let child = &mut watcher.child;
    let ended = tokio::task::block_in_place(|| child.wait()).unwrap();
    assert_eq!(ended.code(), Some(1), "{}", watcher.log());
    assert!(watcher.log().contains("is not TOML"), "{}", watcher.log());
}

#[test]
fn at_its_best_it_tells_what_it_cannot_do_and_the_daemon_can_start() {
    let place = Place::serving(&["broken.example.com", "new.example.com"]);
    place.write("broken.example.com", "server = ");
    let output = place.run(&["install", "--best-effort"]);
    assert!(output.status.success() && stderr(&output).contains("is not TOML"), "{}", stderr(&output));
    assert!(place.file("new.example.com").exists());

    let place = Place::serving(&[]);
    let config = "admin: 127.0.0.1:1\ninstances:\n  - instanceId: cri-abcd1234efgh5678\n    regionId: cn-hangzhou\n";
    fs::write(place.path("config.yaml"), config).unwrap();
    let output = place.run(&["install", "--best-effort"]);
    assert!(output.status.success() && stderr(&output).contains("no served domain is known"), "{}", stderr(&output));

    fs::write(place.path("config.yaml"), "instances: nonsense\n").unwrap();
    assert_eq!(place.run(&["install", "--best-effort"]).status.code(), Some(2), "the daemon would not start either");
}

#[test]
fn what_makes_no_sense_together_is_wrong_usage() {
    let place = Place::serving(&["new.example.com"]);
    place.write("new.example.com", ADMIN);
    for other in ["--dry-run", "--rotate-token", "--best-effort"] {
        assert_eq!(place.run(&["install", "--watch", other]).status.code(), Some(2), "{other}");
    }
}

/// The configuration of a daemon with the addresses that it was given.
pub(super) fn place_with_admin_of(daemon: &Daemon, config: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines = config.lines().map(|line| match line.split_once(':') {
        Some(("admin", _)) => format!("admin: {}\n", daemon.admin),
        _ => format!("{line}\n"),
    });
    fs::write(file.path(), lines.collect::<String>()).unwrap();
    file
}

pub(super) fn served(config: &str) -> Vec<String> {
    let line = config.lines().find_map(|line| line.trim_start().strip_prefix("domains:")).expect("domains");
    line.trim().trim_matches(['[', ']']).split(',').map(|domain| domain.trim().to_owned()).collect()
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}
