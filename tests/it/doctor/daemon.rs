//! What is said of the running daemon, of an image that does not come through it, and how it looks on a terminal.

use std::process::Command;

use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::{Role, setup};
use cloudsim::{CloudSim, Method};

use super::{command, find, findings, image, node, with_config};
use crate::support::program::on_a_terminal;
use crate::support::{LIMIT, Node, TAG, manifest};

/// What turns a word green, in a terminal's language.
const GREEN: &str = "\u{1b}[32mok";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_comes_with_wrong_bytes_is_not_blamed_on_a_right_that_is_there() {
    let node = node(Method::Rrsa).await;
    node.cloud.fault(Fault::on(Service::Oss, Effect::WrongBytes));
    let (ok, found) = findings(&node, &["--image", &image()]).await;
    let pull = find(&found, "pull");
    assert!(!ok && pull["outcome"] == "failed" && pull["who"] == "network", "{pull}");
    assert!(pull["text"].as_str().unwrap().contains("Invalid digest. Expected sha256:"), "{pull}");
    assert!(pull["cause"].as_str().unwrap().contains("not those of the digest"), "{pull}");
    assert!(!pull["fix"].as_str().unwrap().contains("cr:PullRepository"), "{pull}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_told_in_the_daemons_words() {
    let node = node(Method::Rrsa).await;
    let (ok, found) = findings(&node, &["--image", &image().replace(":v1", ":v0")]).await;
    let pull = find(&found, "pull");
    assert!(!ok && pull["text"].as_str().unwrap().contains("not found in the registry"), "{pull}");
    assert!(pull["who"].is_null() && pull["fix"].as_str().unwrap().starts_with("correct what failed above"), "{pull}");
    node.cloud.directory().remove_permission(setup::PULL_ROLE, "cr:PullRepository");
    let (_, found) = findings(&node, &["--image", &image().replace("team/app", "base/app")]).await;
    let pull = find(&found, "pull");
    assert!(pull["who"] == "account B" && pull["text"].as_str().unwrap().contains("cr:PullRepository"), "{pull}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_last_error_says_who_has_to_act_and_a_refused_reload_what_to_correct() {
    let cloud = CloudSim::start().await.unwrap();
    cloud.directory().edit_role(setup::PULL_ROLE, |role| *role = Role::new(setup::PULL_ROLE));
    let mut node = Node::around(cloud, Method::Rrsa, Image::random(1, 1024, 1)).await;
    node.mirror.get(&manifest(TAG)).await.expect(403);
    let good = tempfile::NamedTempFile::new().unwrap();
    let config = std::fs::read_to_string(node.daemon.config_file()).unwrap();
    std::fs::write(good.path(), &config).unwrap();
    std::fs::write(node.daemon.config_file(), config + "blobs:\n  conections: 4\n").unwrap();
    node.daemon.wait_for_line(LIMIT, |line| line["msg"] == "the new configuration is refused").await;
    let (ok, found) = with_config(&node, good.path()).await;
    let error = find(&found, "last error");
    assert!(!ok && error["outcome"] == "warning" && error["who"] == "account A or B", "{error}");
    assert!(error["cause"].as_str().unwrap().contains("one of two halves"), "{error}");
    assert!(error["fix"].as_str().unwrap().contains(setup::PULL_ROLE) && error["requestId"].is_string(), "{error}");
    let reload = find(&found, "reload");
    assert!(reload["text"].as_str().unwrap().contains("conections"), "{reload}");
    assert!(reload["cause"].as_str().unwrap().contains("goes on with the one before it"), "{reload}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_without_the_configured_certificate_is_not_told_to_be_started() {
    let node = node(Method::Rrsa).await;
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(at.join("tls.crt"), made.cert.pem()).unwrap();
    let config = std::fs::read_to_string(node.daemon.config_file()).unwrap();
    let (at, file) = (at.display(), directory.path().join("config.yaml"));
    let tls = format!("tls:\n  certFile: {at}/tls.crt\n  keyFile: {at}/tls.key\n  caFile: {at}/tls.crt\n");
    std::fs::write(&file, config + &tls).unwrap();
    let (ok, found) = with_config(&node, &file).await;
    let daemon = find(&found, "daemon");
    assert!(!ok && daemon["text"].as_str().unwrap().contains("there is no TLS with it"), "{daemon}");
    assert!(daemon["fix"].as_str().unwrap().contains("tls.caFile"), "{daemon}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colour_is_for_a_terminal_that_wants_it() {
    let node = node(Method::Rrsa).await;
    let certs = tempfile::tempdir().unwrap();
    let doctor = || command(&node, &["--certs-dir", certs.path().to_str().unwrap()]);
    let shown = async |program: Command| tokio::task::spawn_blocking(move || on_a_terminal(&program)).await.unwrap();
    let (code, text) = shown(doctor()).await;
    assert!(text.contains(GREEN) && text.contains("\u{1b}[1;31mFAIL\u{1b}[0m  hosts.toml"), "{text}");
    assert_eq!(code, Some(1), "as without a terminal");
    let mut plain = doctor();
    plain.env("NO_COLOR", "1");
    let (_, text) = shown(plain).await;
    assert!(text.contains("ok    token file") && !text.contains('\u{1b}'), "{text}");
    node.finish().await;
}
