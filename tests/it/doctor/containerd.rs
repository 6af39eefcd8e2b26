//! What is said of containerd: set-ups that work are no failures, and one that does not ask the daemon is found out.

mod with_containerd;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloudsim::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::{find, findings, node};
use crate::support::{DOMAIN, Node};

/// Our entries as 'hosts install' writes them where it cannot ask containerd for its version, as in a container.
fn installed(node: &Node) -> TempDir {
    let certs = tempfile::tempdir().unwrap();
    let mut install = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    install.env_clear().args(["hosts", "install", "--config"]).arg(node.daemon.config_file());
    install.args(["--listen", &node.daemon.listen.to_string(), "--certs-dir"]).arg(certs.path());
    assert!(install.output().unwrap().status.success());
    certs
}

/// A file of containerd below a root of the test's own.
fn write(root: &Path, path: &str, text: &str) -> PathBuf {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// The findings beside a containerd that says it is of this version.
fn beside(version: &str, node: &Node, arguments: &[&str]) -> (bool, Vec<Value>) {
    let program = tempfile::tempdir().unwrap();
    let says = format!("containerd github.com/containerd/containerd/v2 {version} 0");
    let script = write(program.path(), "script", &format!("#!/bin/sh\necho {says}\n"));
    // Made by a process of its own: a file that this one had open for writing could not be run while another test starts
    // a process.
    let made = Command::new("install").args(["-m", "755"]).arg(script).arg(program.path().join("containerd")).status();
    assert!(made.unwrap().success());
    let mut doctor = super::command(node, &[&["--output", "json"], arguments].concat());
    super::read(node, &doctor.env("PATH", program.path()).output().unwrap())
}

fn text<'a>(finding: &'a Value, key: &str) -> &'a str {
    finding[key].as_str().unwrap_or_else(|| panic!("no '{key}' in {finding}"))
}

/// Check 17 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_containerd_that_does_not_ask_the_daemon_is_found_out() {
    let node = node(Method::Rrsa).await;
    let empty = tempfile::tempdir().unwrap();
    let (ok, found) = findings(&node, &["--certs-dir", empty.path().to_str().unwrap()]).await;
    let entry = find(&found, "hosts.toml");
    assert!(!ok && entry["fix"].as_str().unwrap().contains("hosts install"), "{entry}");
    let mirrors = "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"a.b\"]\n  endpoint = [\"http://c\"]\n";
    let both =
        format!("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/x\"\n{mirrors}");
    let config = empty.path().join("config.toml");
    for (text, part) in [
        ("version = 2\n", "no config_path"),
        ("version = 2\ndisabled_plugins = [\"cri\"]\n", "without its CRI plugin"),
        (both.as_str(), "with which its CRI plugin does not load"),
    ] {
        std::fs::write(&config, text).unwrap();
        let (ok, found) = findings(&node, &["--containerd-config", config.to_str().unwrap()]).await;
        let containerd = find(&found, "containerd");
        assert!(!ok && containerd["text"].as_str().unwrap().contains(part), "{containerd}");
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_written_without_knowing_the_version_is_good() {
    let node = node(Method::Rrsa).await;
    let certs = installed(&node);
    let (ok, found) = beside("v2.1.4", &node, &["--certs-dir", certs.path().to_str().unwrap()]);
    assert!(ok, "{found:#?}");
    assert!(text(find(&found, "containerd"), "text").starts_with("containerd 2.1.4 reads "), "{found:#?}");
    assert_eq!(find(&found, "hosts.toml")["outcome"], "ok");
    node.finish().await;
}

/// Check 17 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn several_directories_are_told_where_containerd_takes_them_for_one() {
    let node = node(Method::Rrsa).await;
    let root = tempfile::tempdir().unwrap();
    let images = "plugins.\"io.containerd.cri.v1.images\"";
    let joined = format!("version = 3\n[{images}.registry]\n  config_path = \"/a:/b\"\n");
    let file = write(root.path(), "config.toml", &joined);
    let arguments = ["--containerd-config", file.to_str().unwrap()];
    let (ok, found) = beside("v2.2.0", &node, &arguments);
    let containerd = find(&found, "containerd");
    assert!(!ok && containerd["outcome"] == "failed", "{containerd}");
    assert!(text(containerd, "text").contains("config_path is '/a:/b'"), "{containerd}");
    assert!(text(containerd, "fix").contains("config_path = \"/etc/containerd/certs.d\""), "{containerd}");
    // As 2.2 has it by itself, and as one has it that reads both.
    fs::write(&file, "version = 3\n").unwrap();
    let (_, found) = beside("v2.2.0", &node, &arguments);
    assert!(text(find(&found, "containerd"), "text").contains("'/etc/containerd/certs.d:/etc/docker/certs.d'"));
    fs::write(&file, joined.replace("[", &format!("[{images}]\nuse_local_image_pull = true\n["))).unwrap();
    let (_, found) = beside("v2.2.0", &node, &arguments);
    assert_eq!(find(&found, "containerd")["outcome"], "ok");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_hand_is_a_warning_with_the_flag_that_undoes_it() {
    let node = node(Method::Rrsa).await;
    let certs = installed(&node);
    let file = certs.path().join(DOMAIN).join("hosts.toml");
    let changed = fs::read_to_string(&file).unwrap().replace("[\"pull\", \"resolve\"]", "[\"pull\"]");
    fs::write(&file, changed).unwrap();
    let (ok, found) = findings(&node, &["--certs-dir", certs.path().to_str().unwrap()]).await;
    let entry = found.iter().find(|finding| finding["outcome"] == "warning").unwrap_or(&Value::Null);
    assert!(ok && entry["step"] == "hosts.toml", "{found:#?}");
    assert!(text(entry, "text").contains("changed by hand") && text(entry, "fix").contains("--force"), "{entry}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_k3s_the_files_that_it_wrote_are_judged_and_registries_yaml_is_printed_for_this_daemon() {
    let node = node(Method::Rrsa).await;
    let root = tempfile::tempdir().unwrap();
    let certs = root.path().join("certs.d");
    let config =
        format!("version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '{}'\n", certs.display());
    let config = write(root.path(), "var/lib/rancher/k3s/agent/etc/containerd/config.toml", &config);
    let arguments = ["--containerd-config", config.to_str().unwrap()];
    let (ok, found) = findings(&node, &arguments).await;
    let entry = find(&found, "hosts.toml");
    let listen = node.daemon.listen;
    assert!(!ok && entry["outcome"] == "failed", "{entry}");
    assert!(text(entry, "fix").contains(&format!("- \"http://{listen}\"")), "{entry}");
    assert!(text(entry, "fix").contains("/etc/rancher/k3s/registries.yaml"), "{entry}");
    // Once it was restarted with that.
    for domain in [DOMAIN, "demo-registry.cn-hangzhou.cr.aliyuncs.com", "images.example.com"] {
        let hosts = format!(
            "# File generated by k3s. DO NOT EDIT.\nserver = \"https://{domain}/v2\"\n\n[host.\"http://{listen}/v2\"]\n  \
             capabilities = [\"pull\", \"resolve\"]\n"
        );
        write(&certs, &format!("{domain}/hosts.toml"), &hosts);
    }
    let (ok, found) = findings(&node, &arguments).await;
    assert!(ok, "{found:#?}");
    for step in ["containerd", "hosts.toml"] {
        assert_eq!(find(&found, step)["outcome"], "ok", "{step}");
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_containerd_cannot_be_seen_the_last_sentence_does_not_say_that_everything_works() {
    let node = node(Method::Rrsa).await;
    let output = super::doctor(&node, &["--containerd-config", "/nowhere/config.toml"]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("-     containerd: cannot read /nowhere/config.toml"), "{told}");
    let last = "Not known from here: whether containerd asks the daemon; run this on the node, or name its directory \
                with --certs-dir.\n";
    assert!(told.ends_with(last), "{told}");
    node.finish().await;
}
