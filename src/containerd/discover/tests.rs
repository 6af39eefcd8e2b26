//! Which of the places is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Discovery, Lookup, discover};
use crate::containerd::Kind;

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
        Lookup { containerd: root.join("containerd"), root, config: None, certs_dir: None }
    }

    fn discover(&self) -> Discovery {
        discover(&self.lookup())
    }
}

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
            assert!(found.findings[0].fix.contains(&format!("/etc/rancher/{platform}/registries.yaml")));
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
