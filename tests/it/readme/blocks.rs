//! Every fenced block of the README files, and the test that runs it or holds it against the code.
//!
//! A block that nobody has put into [`BLOCKS`] fails a test, and so does an entry without its block or without its test.
//! `text` is for pictures and messages; nothing else goes untested.

use std::fs;
use std::path::{Path, PathBuf};

/// A block that a test covers.
#[derive(Debug)]
pub(crate) struct Block {
    page: &'static str,
    language: &'static str,
    /// What it starts with: as much as tells it from the others.
    start: &'static str,
    /// The function which runs it or holds it against the code.
    test: &'static str,
}

const fn block(page: &'static str, language: &'static str, start: &'static str, test: &'static str) -> Block {
    Block { page, language, start, test }
}

const TOP: &str = "README.md";
const SYSTEMD: &str = "systemd/README.md";
const DAEMONSET: &str = "daemonset/README.md";

const ON_A_NODE: &str = "the_service_is_installed_verified_upgraded_and_removed_as_its_readme_says";
const IN_A_CLUSTER: &str = "every_kubectl_command_names_what_the_manifests_hold";
const IN_HOSTS_TOML: &str = "containerd_is_sent_to_the_daemon_as_the_readme_shows";
const MOVING: &str = "who_moves_as_the_readme_says_has_a_good_configuration";
const KEYS: &str = "every_configuration_in_the_readme_is_a_good_one";
const NETWORKS: &str = "what_the_readme_shows_is_what_is_tested";

pub(crate) const DEMO: Block = block(TOP, "sh", "cargo run --release", "the_demonstration_runs");
pub(crate) const TESTS: Block = block(TOP, "sh", "tests/run", "all_tests_are_run_by_the_script_that_the_readme_names");
pub(crate) const MOVE: Block = block(TOP, "sh", "kubectl -n kube-system get configmap", MOVING);
pub(crate) const HOSTS: Block = block(TOP, "console", "# acr-pull-proxy hosts status", IN_HOSTS_TOML);
pub(crate) const ENTRY: Block = block(TOP, "toml", "server = \"", IN_HOSTS_TOML);
pub(crate) const WITHDRAW: Block = block(
    TOP,
    "ini",
    "# systemctl edit",
    "the_service_without_its_socket_listens_by_itself_and_brings_containerd_along",
);
pub(crate) const CONFIGURATION: Block = block(TOP, "yaml", "instances:", KEYS);

pub(crate) const BESIDE_SPEGEL: Block =
    block(TOP, "toml", "server = '", "in_either_order_ours_is_asked_behind_spegels_and_each_goes_without_the_other");
pub(crate) const PUBLIC: Block = block(TOP, "yaml", "# Public endpoint", NETWORKS);
pub(crate) const PEERING: Block = block(TOP, "yaml", "# VPC peering", NETWORKS);
pub(crate) const CEN: Block = block(TOP, "yaml", "# Cloud Enterprise Network", NETWORKS);
pub(crate) const BLOB_PROXY: Block = block(TOP, "yaml", "network:\n  blobProxy", KEYS);
pub(crate) const DFDAEMON: Block =
    block(TOP, "yaml", "# dfdaemon", "blobs_are_handed_to_the_port_that_dfdaemon_is_given");
pub(crate) const CLIENT_AUTH: Block = block(TOP, "yaml", "clientAuth:", KEYS);
pub(crate) const TLS: Block = block(TOP, "yaml", "tls:", KEYS);
pub(crate) const PODMAN: Block =
    block(TOP, "toml", "[[registry]]", "podman_and_skopeo_are_sent_to_the_daemon_as_the_readme_shows");

pub(crate) const BUILDKIT: Block =
    block(TOP, "toml", "[registry.", "buildkit_is_sent_to_the_daemon_as_the_readme_shows");

pub(crate) const DOCKER: Block =
    block(TOP, "sh", "docker pull", "docker_pulls_through_the_daemon_by_its_address_as_the_readme_shows");

pub(crate) const INSTALL: Block =
    block(SYSTEMD, "sh", "install -m 0755 acr-pull-proxy /usr/local/bin/\ninstall", ON_A_NODE);
pub(crate) const ACCESS_KEY: Block = block(SYSTEMD, "sh", "install -D -m 0644 access-key.conf", ON_A_NODE);
pub(crate) const KUBELET: Block = block(SYSTEMD, "sh", "install -D -m 0644 credential-provider.yaml", ON_A_NODE);
pub(crate) const VERIFY: Block = block(SYSTEMD, "sh", "systemctl status acr-pull-proxy", ON_A_NODE);
pub(crate) const UPGRADE: Block =
    block(SYSTEMD, "sh", "install -m 0755 acr-pull-proxy /usr/local/bin/\nsystemctl", ON_A_NODE);
pub(crate) const REMOVE: Block = block(SYSTEMD, "sh", "systemctl disable --now acr-pull-proxy-hosts", ON_A_NODE);

pub(crate) const TREE: Block = block(DAEMONSET, "", "base/", "the_directories_of_the_daemonset_are_those_it_names");
pub(crate) const OVERLAY: Block =
    block(DAEMONSET, "sh", "acr-pull-proxy check --config", "an_overlay_is_checked_as_the_readme_says");
pub(crate) const KEY_FILES: Block = block(DAEMONSET, "sh", "install -d -o 65521", ON_A_NODE);
pub(crate) const ROLLOUT: Block = block(DAEMONSET, "sh", "kubectl -n kube-system rollout", IN_A_CLUSTER);
pub(crate) const DELETE: Block = block(DAEMONSET, "sh", "kubectl delete --cascade", IN_A_CLUSTER);

const BLOCKS: &[Block] = &[
    DEMO,
    TESTS,
    MOVE,
    HOSTS,
    ENTRY,
    WITHDRAW,
    CONFIGURATION,
    BESIDE_SPEGEL,
    PUBLIC,
    PEERING,
    CEN,
    BLOB_PROXY,
    DFDAEMON,
    CLIENT_AUTH,
    TLS,
    PODMAN,
    BUILDKIT,
    DOCKER,
    INSTALL,
    ACCESS_KEY,
    KUBELET,
    VERIFY,
    UPGRADE,
    REMOVE,
    TREE,
    OVERLAY,
    KEY_FILES,
    ROLLOUT,
    DELETE,
];

impl Block {
    /// Its lines, as they stand on the page today.
    pub(crate) fn text(&self) -> String {
        let found = fenced(self.page).into_iter().filter(|found| self.is(found)).collect::<Vec<_>>();
        let [only] = &found[..] else { panic!("{} blocks of {} start with '{}'", found.len(), self.page, self.start) };
        only.text.clone()
    }

    fn is(&self, found: &Found) -> bool {
        found.language == self.language && found.text.starts_with(self.start)
    }
}

/// A block as it was found.
#[derive(Debug)]
struct Found {
    language: String,
    text: String,
}

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The fenced blocks of a page, without the indentation of a list that they stand in.
fn fenced(page: &str) -> Vec<Found> {
    let text = fs::read_to_string(root().join(page)).expect(page);
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((indent, language)) = line.split_once("```") else { continue };
        assert!(indent.trim().is_empty(), "{page}: a fence within a line: {line}");
        let within = lines.by_ref().take_while(|line| line.trim() != "```");
        let text = within.map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned() + "\n").collect();
        blocks.push(Found { language: language.to_owned(), text });
    }
    blocks
}

/// The README files of the repository: at the top and one directory below.
fn pages() -> Vec<String> {
    let directories = fs::read_dir(root()).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let below = directories.map(|directory| format!("{directory}/{TOP}"));
    below.chain([TOP.to_owned()]).filter(|page| root().join(page).is_file()).collect()
}

/// The source of all tests here.
fn sources(directory: &Path) -> String {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(&path).unwrap() });
    texts.collect()
}

#[test]
fn every_block_is_covered_by_a_test() {
    for page in pages() {
        for found in fenced(&page).iter().filter(|found| found.language != "text") {
            let known = BLOCKS.iter().filter(|block| block.page == page && block.is(found)).count();
            let (language, text) = (&found.language, &found.text);
            assert_eq!(known, 1, "{page}: nobody tests this, or more than one; see blocks.rs\n{language}\n{text}");
        }
    }
    let sources = sources(&root().join("tests/it"));
    for block in BLOCKS {
        assert!(!block.text().is_empty());
        assert!(sources.contains(&format!("fn {}()", block.test)), "there is no test {}", block.test);
    }
}
