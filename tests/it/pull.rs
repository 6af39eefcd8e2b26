//! `pull`: a whole image through the running daemon, and what a person reads when it does not come.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use serde_json::Value;

use crate::support::program::on_a_terminal;
use crate::support::{DOMAIN, Node, REPOSITORY, TAG};

/// Characters of the name of a bar.
const NAME: usize = "sha256:0123456789ab".len();

/// How long a blob takes where its bar is to be seen: several times the interval at which bars are drawn.
const DRAWN: Duration = Duration::from_millis(300);

async fn pull(arguments: Vec<String>) -> Output {
    let command = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        // A proxy for the outside has no business between a node and its own daemon.
        command.env_clear().env("http_proxy", "http://127.0.0.1:1").arg("pull").args(arguments).output().unwrap()
    };
    tokio::task::spawn_blocking(command).await.unwrap()
}

fn through(node: &Node, image: &str, more: &[&str]) -> Vec<String> {
    let mirror = format!("http://{}", node.daemon.listen);
    [&[image, "--mirror", &mirror], more].concat().iter().map(ToString::to_string).collect()
}

fn image() -> String {
    format!("{DOMAIN}/{REPOSITORY}:{TAG}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_for_each_blob_in_a_pipe_and_a_summary() {
    let node = Node::start().await;
    let output = pull(through(&node, &image(), &[])).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().filter(|line| line.starts_with("sha256:")).count(), 4, "{text}");
    assert!(text.contains("every digest verified"), "{text}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_names_every_blob_of_the_platform_that_was_asked_for() {
    let node = Node::start().await;
    let ask = async |platform: &str| -> Value {
        let output = pull(through(&node, &image(), &["--output", "json", "--platform", platform])).await;
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (amd64, arm64) = (ask("linux/amd64").await, ask("linux/arm64").await);
    for answer in [&amd64, &arm64] {
        assert_eq!(answer["ok"], true, "{answer}");
        assert_eq!(answer["blobs"].as_array().unwrap().len(), 4);
        for blob in answer["blobs"].as_array().unwrap() {
            let stored = node.image.blobs.iter().find(|(digest, _)| blob["digest"] == digest.as_str()).unwrap();
            assert_eq!(blob["bytes"], stored.1.len());
        }
    }
    assert_ne!(amd64["digest"], arm64["digest"]);
    assert_eq!(ask("plan9/mips").await["next"], "name one that it has with --platform");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_found_out_and_who_is_to_look_for_them() {
    let node = Node::start().await;
    node.cloud.fault(Fault::on(Service::Oss, Effect::WrongBytes));
    let output = pull(through(&node, &image(), &["--output", "json"])).await;
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["error"].as_str().unwrap().starts_with("Invalid digest. Expected sha256:"), "{answer}");
    assert!(answer["who"] == "network" && answer["next"].as_str().unwrap().starts_with("pull again"), "{answer}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_for_each_blob_on_a_terminal_and_none_is_left_at_the_end() {
    let node = Node::start().await;
    // Slow enough that a bar is drawn before the blob is there.
    node.cloud.fault(Fault::on(Service::Oss, Effect::Delay(DRAWN)));
    let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    command.env_clear().env("NO_COLOR", "1").arg("pull").args(through(&node, &image(), &[]));
    let (code, text) = tokio::task::spawn_blocking(move || on_a_terminal(&command)).await.unwrap();
    assert_eq!(code, Some(0), "{text}");
    let bars = bars(&text);
    let known = |name: &String| node.image.blobs.iter().any(|(digest, _)| digest.starts_with(name));
    assert!(bars.len() == 4 && bars.iter().all(known), "{bars:?} in {text}");
    // What is drawn is taken away again: behind the last bar, only the summary.
    let end = text.rsplit_once("\u{1b}[").unwrap().1;
    assert!(end.contains("pulled ") && end.contains("every digest verified") && !end.contains('['), "{end}");
    node.finish().await;
}

/// The names of the blobs that bars were drawn for, which come before the bars.
fn bars(text: &str) -> BTreeSet<String> {
    let before = text.match_indices(" [").map(|(at, _)| text.split_at(at).0);
    let names = before.map(|text| text.chars().skip(text.chars().count().saturating_sub(NAME)).collect());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_in_the_daemons_words_with_the_next_step() {
    let node = Node::start().await;
    let unknown = pull(through(&node, &format!("{DOMAIN}/team/none:v1"), &[])).await;
    let text = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text.contains("check the image name: not found in the registry") && text.contains("doctor --image"),
        "{text}"
    );
    let json = pull(through(&node, "registry.example.com/a:b", &["--output", "json"])).await;
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["ok"], json["error"].as_str()),
        (&Value::Bool(false), Some("acr-pull-proxy: this registry is not served here"))
    );
    node.finish().await;
}

#[tokio::test]
async fn without_a_daemon_it_says_so_and_a_wrong_name_is_wrong_usage() {
    // Bound and let go of again: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mirror = format!("http://127.0.0.1:{port}");
    let output = pull(vec![image(), "--mirror".into(), mirror.clone()]).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(&format!("the daemon does not answer at {mirror}")) && text.contains("start it"), "{text}");
    assert_eq!(pull(vec!["No/Such:Name:x".into(), "--mirror".into(), mirror]).await.status.code(), Some(2));
    assert_eq!(pull(vec![image(), "--mirror".into(), "nowhere".into()]).await.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_without_certificate_authorities_is_told_what_to_install() {
    let node = Node::start().await;
    let none = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    command.env_clear().env("SSL_CERT_DIR", none.path()).env("SSL_CERT_FILE", none.path().join("none.pem"));
    command.arg("pull").args(through(&node, &image(), &[]));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("install ca-certificates"), "{told}");
    node.finish().await;
}
