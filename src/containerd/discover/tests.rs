//! Which of the places is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{Discovery, Lookup, discover};
use crate::clock::{Clock, SystemClock};
use crate::containerd::Kind;

/// Where entries lead.
const MIRROR: &str = "http://127.0.0.1:7999";

struct Node {
    root: TempDir,
}

impl Node {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A containerd that answers as asked for.
    fn containerd(&self, version: &str, dump: &str) {
        let dump = self.write("dump", dump);
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n--version) echo containerd github.com/containerd/containerd {version} 0 ;;\n\
             'config dump') cat {} ;;\nesac\n",
            dump.display()
        );
        let script = self.write("containerd.sh", &script);
        // Made by a process of its own: a file that this one had open for writing could not be run while another test
        // starts a process.
        let made = Command::new("install").args(["-m", "755"]).arg(script).arg(self.lookup().containerd).status();
        assert!(made.unwrap().success());
    }

    fn lookup(&self) -> Lookup {
        let root = self.root.path().to_path_buf();
        Lookup { containerd: root.join("containerd"), root, mirror: Some(MIRROR.to_owned()), ..Lookup::default() }
    }

    /// A process called containerd that was started ten minutes ago.
    fn process(&self, id: u32, command: &str) {
        self.write(&format!("proc/{id}/comm"), "containerd\n");
        self.write(&format!("proc/{id}/cmdline"), &(command.replace(' ', "\0") + "\0"));
        let stat = format!("{id} (containerd) S{} 360000 0 0\n", " 1".repeat(18));
        self.write(&format!("proc/{id}/stat"), &stat);
        self.write("proc/uptime", "4200.00 8000.00\n");
    }

    /// How long ago a file was written.
    fn written(&self, path: &str, ago: Duration) {
        let file = fs::File::options().write(true).open(self.root.path().join(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + now() - ago).unwrap();
    }

    fn discover(&self) -> Discovery {
        discover(&self.lookup())
    }
}

/// The time since 1970.
fn now() -> Duration {
    Duration::from_millis(SystemClock.now().as_millisecond().unsigned_abs())
}

const MINUTE: Duration = Duration::from_secs(60);

fn config(path: &str) -> String {
    format!("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = '{path}'\n")
}

#[test]
fn containerd_itself_is_asked_first() {
    let node = Node::new();
    node.write("etc/containerd/config.toml", &config("/from/file"));
    node.containerd("v1.7.24", &config("/from/dump"));
    let found = node.discover();
    assert_eq!(found.certs_dir.root(), Some(Path::new("/from/dump")));
    assert_eq!(found.source, "containerd config dump");
    assert_eq!(found.version.unwrap().to_string(), "1.7.24");
    assert!(found.findings.is_empty());
}

#[test]
fn without_the_program_its_files_are_read_with_their_imports() {
    let node = Node::new();
    node.write(
        "etc/containerd/config.toml",
        &format!("imports = ['conf.d/*.toml', 'absent.toml']\n{}", config("/main")),
    );
    assert_eq!(node.discover().certs_dir.root(), Some(Path::new("/main")));
    node.write("etc/containerd/conf.d/90-last.toml", &config("/last"));
    node.write("etc/containerd/conf.d/10-first.toml", &config("/first"));
    node.write("etc/containerd/conf.d/README", "not TOML at all");
    let found = node.discover();
    assert_eq!(found.certs_dir.root(), Some(Path::new("/last")));
    assert_eq!(found.version, None);
}

#[test]
fn files_that_import_each_other_come_to_an_end() {
    let node = Node::new();
    node.write("etc/containerd/config.toml", &format!("imports = ['config.toml']\n{}", config("/main")));
    assert_eq!(node.discover().certs_dir.root(), Some(Path::new("/main")));
}

#[test]
fn a_directory_that_is_rewritten_at_each_start_is_refused() {
    for platform in ["k3s", "rke2"] {
        let node = Node::new();
        node.containerd("v2.1.4", &config("/of/another/containerd"));
        let path = format!("var/lib/rancher/{platform}/agent/etc/containerd/config.toml");
        let path = node.write(&path, &config("/var/lib/rancher/certs.d"));
        for found in [node.discover(), discover(&Lookup { config: Some(path), ..node.lookup() })] {
            assert_eq!(found.certs_dir.root(), Some(Path::new("/var/lib/rancher/certs.d")));
            assert_eq!(found.findings[0].kind, Kind::Rewritten);
            let fix = &found.findings[0].fix;
            assert!(fix.contains(&format!("/etc/rancher/{platform}/registries.yaml")), "{fix}");
            assert!(fix.ends_with(&format!("- \"{MIRROR}\"")), "{fix}");
        }
    }
}

#[test]
fn what_the_user_says_beats_what_is_found() {
    let node = Node::new();
    node.write("var/lib/rancher/k3s/agent/etc/containerd/config.toml", &config("/k3s"));
    let file = node.write("elsewhere.toml", &config("/said"));
    let found = discover(&Lookup { config: Some(file), ..node.lookup() });
    assert_eq!((found.certs_dir.root(), found.findings.len()), (Some(Path::new("/said")), 0));
    let found = discover(&Lookup { certs_dir: Some("/directly".into()), ..node.lookup() });
    assert_eq!((found.certs_dir.root(), found.findings.len()), (Some(Path::new("/directly")), 0));
}

#[test]
fn what_cannot_be_read_is_told_with_what_was_tried() {
    let node = Node::new();
    fs::create_dir_all(node.root.path().join("etc/containerd/cert.d")).unwrap();
    let finding = node.discover().findings.remove(0);
    assert_eq!(finding.kind, Kind::Unreadable);
    assert!(finding.text.contains("etc/containerd/config.toml"), "{}", finding.text);
    assert!(finding.fix.contains("--certs-dir") && finding.fix.contains("etc/containerd/cert.d"), "{}", finding.fix);
    let broken = node.write("broken.toml", "version = ");
    let found = discover(&Lookup { config: Some(broken), ..node.lookup() });
    assert_eq!(found.findings[0].kind, Kind::Unreadable);
    assert_eq!(found.certs_dir.root(), None);
}

#[test]
fn a_configuration_beside_a_named_directory_is_examined_and_the_directory_held_against_it() {
    let node = Node::new();
    let certs_dir = node.write("mounted/.keep", "").parent().unwrap().to_path_buf();
    let section = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n";
    let found = |config_path: &str| {
        let config = node.write("config.toml", &format!("{section}config_path = '{config_path}'\n"));
        discover(&Lookup { certs_dir: Some(certs_dir.clone()), config: Some(config), ..node.lookup() })
    };
    let kinds = |found: &Discovery| found.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>();

    let joined = found("/etc/containerd/certs.d:/etc/docker/certs.d");
    assert_eq!((kinds(&joined), joined.certs_dir.root()), (vec![Kind::JoinedConfigPath], Some(certs_dir.as_path())));

    let here = node.root.path().join("of-the-node");
    std::os::unix::fs::symlink(&certs_dir, &here).unwrap();
    assert_eq!(kinds(&found(here.to_str().unwrap())), [], "one directory under two names, as in a container");
    let other = node.write("other/.keep", "").parent().unwrap().to_path_buf();
    let elsewhere = found(other.to_str().unwrap());
    assert_eq!(kinds(&elsewhere), [Kind::Elsewhere]);
    assert!(elsewhere.findings[0].text.contains(other.to_str().unwrap()), "{elsewhere:?}");
    assert_eq!(kinds(&found("/nowhere/in/this/container")), [], "what cannot be seen is not judged");
}

#[test]
fn beside_a_named_directory_what_cannot_be_known_is_told_and_refuses_nothing() {
    let node = Node::new();
    let found = |config: PathBuf| {
        discover(&Lookup { certs_dir: Some("/host/certs.d".into()), config: Some(config), ..node.lookup() })
    };
    for (config, doubt) in
        [(node.write("config.toml", "version = 3\n"), "no config_path"), ("/nowhere.toml".into(), "cannot be read")]
    {
        let found = found(config);
        assert!(found.findings.is_empty() && found.source.contains(doubt), "{found:?}");
    }
}

/// Check 17 (`tests/it/peers.rs`).
#[test]
fn a_configuration_that_is_newer_than_the_containerd_that_runs_is_told() {
    let node = Node::new();
    node.write("etc/containerd/config.toml", &format!("imports = ['conf.d/*.toml']\n{}", config("/main")));
    node.write("etc/containerd/conf.d/10-mirrors.toml", &config("/import"));
    node.process(7, "/usr/bin/containerd");
    let kinds = || node.discover().findings.iter().map(|finding| finding.kind).collect::<Vec<_>>();
    for (main, import, expected) in [
        (20, 20, &[][..]),
        (5, 20, &[Kind::NotRestarted]),
        (20, 5, &[Kind::NotRestarted]),
        // Written and restarted in one breath.
        (10, 10, &[]),
    ] {
        node.written("etc/containerd/config.toml", MINUTE * main);
        node.written("etc/containerd/conf.d/10-mirrors.toml", MINUTE * import);
        assert_eq!(kinds(), expected, "{main} {import}");
    }
    let finding = |node: &Node| node.discover().findings.remove(0);
    node.written("etc/containerd/conf.d/10-mirrors.toml", MINUTE);
    let told = finding(&node);
    assert!(told.text.contains("10-mirrors.toml") && told.fix.starts_with("restart containerd"), "{told:?}");
    assert!(!told.kind.is_in_the_way(), "an entry that is written now is read after the restart");
    // A containerd with another configuration says nothing about this one.
    node.process(7, "/usr/bin/containerd --config /other.toml");
    let this = node.root.path().join("etc/containerd/config.toml");
    assert!(discover(&Lookup { config: Some(this), ..node.lookup() }).findings.is_empty());
}

#[test]
fn the_file_that_containerd_was_started_with_is_the_one_that_is_read() {
    let node = Node::new();
    node.write("etc/containerd/config.toml", &config("/usual"));
    node.write("opt/containerd.toml", &config("/other"));
    let root = || node.discover().certs_dir.root().unwrap().to_path_buf();
    node.process(9, "containerd --config /var/run/docker/containerd/containerd.toml");
    assert_eq!(root(), Path::new("/usual"), "dockerd's own has no CRI plugin");
    node.process(10, "containerd --config /opt/containerd.toml --log-level info");
    assert_eq!(root(), Path::new("/other"));
    assert!(node.discover().source.ends_with("opt/containerd.toml"));
    node.process(8, "containerd");
    assert_eq!(root(), Path::new("/usual"), "where one runs with the usual file, that is the node's");
}
