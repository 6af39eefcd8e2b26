//! Whole directories: what is there after install, and after uninstall.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::{Action, Installer, Outcome};
use crate::containerd::{CertsDir, Entry, NodeError, Record, Server, State};
use crate::oci::RegistryHost;
use crate::secret::Secret;

const DOMAINS: [&str; 3] = ["new.example.com", "kept.example.com", "port.example.com:5000"];
const ADMIN: &str = "# mine\n[host.\"https://cache.example\"]\n";

/// A node with a directory of hosts and one of state.
struct Node {
    dir: TempDir,
    entry: Entry,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("certs.d")).unwrap();
        Self { dir, entry: Entry::new("127.0.0.1:7080".parse().unwrap()) }
    }

    fn certs_dir(&self) -> CertsDir {
        CertsDir::new(vec![self.dir.path().join("certs.d")])
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join("certs.d").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join("certs.d").join(path)).unwrap()
    }

    fn installer(&self, force: bool) -> Installer {
        Installer::new(self.certs_dir(), Record::open(&self.dir.path().join("state")).unwrap(), force)
    }

    fn install(&self, domains: &[&str], force: bool) -> Vec<Outcome> {
        let domains: Vec<_> = domains
            .iter()
            .map(|domain| RegistryHost::parse(domain).unwrap())
            .map(|domain| (domain.clone(), Server::Fallback(domain)))
            .collect();
        self.installer(force).install(&domains, &self.entry, true).unwrap()
    }

    fn uninstall(&self, force: bool) -> Vec<Outcome> {
        self.installer(force).uninstall().unwrap()
    }

    fn state(&self, domain: &str) -> State {
        let domain = RegistryHost::parse(domain).unwrap();
        self.certs_dir().state(&domain, &self.entry, &Server::Fallback(domain.clone())).state
    }

    /// Every path below certs.d with its mode, and its text where it is a file.
    fn everything(&self) -> BTreeMap<String, (u32, Option<String>)> {
        let mut found = BTreeMap::new();
        collect(&self.dir.path().join("certs.d"), "", &mut found);
        found
    }
}

fn collect(directory: &Path, prefix: &str, found: &mut BTreeMap<String, (u32, Option<String>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        found.insert(name.clone(), (mode, fs::read_to_string(&path).ok()));
        if path.is_dir() {
            collect(&path, &format!("{name}/"), found);
        }
    }
}

fn actions(outcomes: &[Outcome]) -> Vec<Action> {
    outcomes.iter().map(|outcome| outcome.result.as_ref().unwrap().action).collect()
}

/// Check 16 (`tests/it/peers.rs`).
#[test]
fn uninstall_restores_the_directory_byte_for_byte_and_mode_for_mode() {
    let node = Node::new();
    node.write("kept.example.com/hosts.toml", ADMIN);
    node.write("kept.example.com/ca.pem", "a certificate");
    let kept = node.dir.path().join("certs.d/kept.example.com/hosts.toml");
    fs::set_permissions(&kept, Permissions::from_mode(0o640)).unwrap();
    node.write("empty.example.com/hosts.toml", "");
    node.write("_default/hosts.toml", ADMIN);
    node.write("port.example.com:5000/hosts.toml", ADMIN);
    let before = node.everything();

    let domains = [&DOMAINS[..], &["empty.example.com"]].concat();
    let installed = node.install(&domains, false);
    assert_eq!(actions(&installed), [Action::Created, Action::Updated, Action::Updated, Action::Updated]);
    for domain in &domains {
        assert_eq!(node.state(domain), State::Ours, "{domain}");
    }
    let after = node.everything();
    assert_eq!(after["new.example.com"].0, 0o755);
    assert_eq!(after["new.example.com/hosts.toml"].0, 0o644);
    assert_eq!(after["kept.example.com/hosts.toml"].0, 0o640, "the mode of the admin stays");
    assert_eq!(after["_default/hosts.toml"], before["_default/hosts.toml"]);

    assert_eq!(actions(&node.install(&domains, false)), [Action::Unchanged; 4]);
    assert_eq!(node.everything(), after);

    assert_eq!(node.uninstall(false).len(), 4);
    assert_eq!(node.everything(), before);
    assert!(fs::read_dir(node.dir.path().join("state")).unwrap().next().is_none(), "nothing is left to remember");
    assert!(node.uninstall(false).is_empty());
}

#[test]
fn without_its_record_uninstall_goes_by_the_markers() {
    let node = Node::new();
    node.write("kept.example.com/hosts.toml", ADMIN);
    let before = node.everything();
    node.install(&DOMAINS, false);
    fs::remove_dir_all(node.dir.path().join("state")).unwrap();
    node.install(&DOMAINS, false);
    node.uninstall(false);
    assert_eq!(node.everything(), before);
}

#[test]
fn what_was_changed_by_hand_stands_until_forced() {
    let node = Node::new();
    let domain = "new.example.com";
    node.install(&[domain], false);
    let edited = node.read("new.example.com/hosts.toml").replace("\"pull\", ", "");
    node.write("new.example.com/hosts.toml", &edited);
    node.write("kept.example.com/hosts.toml", "[host.\"http://127.0.0.1:7080\"]\n");
    let domains = [domain, "kept.example.com"];

    assert_eq!(node.state(domain), State::ChangedByHand);
    assert_eq!(node.state("kept.example.com"), State::ChangedByHand);
    assert_eq!(actions(&node.install(&domains, false)), [Action::Kept; 2]);
    assert_eq!(actions(&node.uninstall(false)), [Action::Kept]);
    assert_eq!(node.read("new.example.com/hosts.toml"), edited);

    assert_eq!(actions(&node.install(&domains, true)), [Action::Updated; 2]);
    assert_eq!(node.state("kept.example.com"), State::Ours);
    node.uninstall(false);
    assert_eq!(node.read("kept.example.com/hosts.toml"), "[host.\"http://127.0.0.1:7080\"]\n", "as it was by hand");
    assert_eq!(node.state(domain), State::Absent);
}

#[test]
fn edits_beside_our_entry_outlive_it() {
    let node = Node::new();
    node.write("kept.example.com/hosts.toml", ADMIN);
    node.install(&["kept.example.com", "new.example.com"], false);
    for domain in ["kept.example.com", "new.example.com"] {
        let path = format!("{domain}/hosts.toml");
        node.write(&path, &(node.read(&path) + "[host.\"https://added.example\"]\n"));
    }
    node.uninstall(false);
    assert_eq!(node.read("kept.example.com/hosts.toml"), ADMIN.to_owned() + "[host.\"https://added.example\"]\n");
    assert_eq!(node.read("new.example.com/hosts.toml"), "[host.\"https://added.example\"]\n");
}

#[test]
fn a_domain_that_is_served_no_more_loses_its_entry() {
    let node = Node::new();
    node.install(&["new.example.com", "old.example.com"], false);
    symlink("old.example.com", node.dir.path().join("certs.d/alias.example.com")).unwrap();
    assert_eq!(actions(&node.install(&["new.example.com"], false)), [Action::Unchanged, Action::Removed]);
    assert_eq!(node.state("old.example.com"), State::Absent);
}

#[test]
fn a_file_with_the_client_token_is_for_root_only() {
    let mut node = Node::new();
    node.write("kept.example.com/hosts.toml", ADMIN);
    let before = node.everything();
    node.entry = node.entry.clone().with_token(Secret::new("t0ken")).unwrap();
    node.install(&["new.example.com", "kept.example.com"], false);
    let after = node.everything();
    for path in ["new.example.com/hosts.toml", "kept.example.com/hosts.toml"] {
        let (mode, text) = &after[path];
        assert_eq!(*mode, 0o600, "{path}");
        assert!(text.as_ref().unwrap().contains("Authorization = \"Bearer t0ken\""), "{path}");
    }
    node.uninstall(false);
    assert_eq!(node.everything(), before);
}

#[test]
fn one_bad_file_keeps_no_other_from_being_written() {
    let node = Node::new();
    node.write("broken.example.com/hosts.toml", "server = ");
    node.write("certificates.example.com/ca.crt", "PEM");
    let certs = node.dir.path().join("certs.d");
    symlink("broken.example.com", certs.join("link.example.com")).unwrap();
    let domains = ["broken.example.com", "certificates.example.com", "link.example.com", "new.example.com"];
    let outcomes = node.install(&domains, false);
    let results: Vec<_> = outcomes.iter().map(|outcome| &outcome.result).collect();
    assert!(matches!(results[0], Err(NodeError::Merge { .. })), "{results:?}");
    assert!(matches!(results[1], Err(NodeError::DockerCertificates(_))), "{results:?}");
    assert!(matches!(results[2], Err(NodeError::Link(_))), "{results:?}");
    assert!(results[3].is_ok(), "{results:?}");
    assert_eq!(node.read("broken.example.com/hosts.toml"), "server = ");
}

#[test]
fn status_tells_what_hides_an_entry_from_containerd() {
    let node = Node::new();
    let second = node.dir.path().join("second");
    node.write("other.example.com/hosts.toml", ADMIN);
    node.install(&["new.example.com", "port.example.com:5000"], false);
    assert_eq!(node.state("other.example.com"), State::OtherEntries);
    assert_eq!(node.state("absent.example.com"), State::Absent);

    // Another root in front, as in config_path = "second:certs.d": its _default wins over every exact match behind it.
    let domain = RegistryHost::parse("new.example.com").unwrap();
    let roots = CertsDir::new(vec![second.clone(), node.dir.path().join("certs.d")]);
    let state = || roots.state(&domain, &node.entry, &Server::Fallback(domain.clone())).state;
    assert_eq!(state(), State::Ours, "the first root has nothing for it");
    fs::create_dir_all(second.join("_default")).unwrap();
    assert_eq!(state(), State::Shadowed { by: second.join("_default") });
    assert_eq!(roots.file(&domain), second.join("new.example.com/hosts.toml"), "where it will be seen");
    fs::create_dir_all(second.join("new.example.com")).unwrap();
    assert_eq!(state(), State::Shadowed { by: second.join("new.example.com") }, "a bare directory hides it, too");

    let moved = Entry::new("127.0.0.1:7090".parse().unwrap());
    let outdated = node.certs_dir().state(&domain, &moved, &Server::Fallback(domain.clone()));
    assert_eq!(outdated.state, State::Outdated);
}

#[test]
fn leftovers_of_a_run_that_was_killed_are_removed() {
    let node = Node::new();
    node.write("kept.example.com/hosts.toml", ADMIN);
    let before = node.everything();
    node.write(".acr-pull-proxy.new.d/hosts.toml", "half");
    node.write(".acr-pull-proxy.old.d/hosts.toml", "gone");
    node.write("kept.example.com/.acr-pull-proxy.new", "half");
    node.uninstall(false);
    assert_eq!(node.everything(), before);
}
