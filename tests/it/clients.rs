//! Clients that are not containerd: the real programs, with a login of ours or with the daemon as their mirror.

mod docker;
mod fallback;
mod outside;
mod programs;
mod shapes;

use std::process::Command;

use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use serde_json::{Value, json};

use crate::readme::blocks;
use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::program::Place;
use crate::support::{DOMAIN, Node, REPOSITORY, TAG};
use outside::Outside;
use programs::{buildah, credentials_file, podman, registries_conf, run, skopeo, told};

fn name() -> String {
    format!("{DOMAIN}/{REPOSITORY}:{TAG}")
}

/// A node whose daemon hands logins out at the place.
async fn node() -> (Node, Place) {
    let (cloud, place) = (CloudSim::start().await.expect("a cloud"), Place::new());
    let image = Image::random(3, 64 * 1024, 12);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    let socket = place.arguments();
    let daemon = Daemon::with(&cloud.node_config(Method::Rrsa), &[&socket[0], &socket[1]]).await;
    let mirror = Mirror::at(daemon.listen);
    (Node { cloud, image, daemon, mirror }, place)
}

/// Ends a test of a program that used a login: the realm gave it bearers, and no file has kept anything.
async fn finish(node: Node, place: &Place) {
    assert_eq!(node.cloud.journal().count_action("GetAuthorizationToken"), 1, "the daemon's login was used");
    assert!(node.cloud.journal().authorizations_at(Service::Oss).is_empty());
    place.expect_nothing_written(&node.cloud.issued_secrets());
    node.finish().await;
}

#[test]
fn podman_and_skopeo_are_sent_to_the_daemon_as_the_readme_shows() {
    let place = Place::new();
    let file = registries_conf(&place, "127.0.0.1:7080".parse().expect("an address"));
    let written = std::fs::read_to_string(file).expect("what podman and skopeo are given here");
    // Here, podman asks for the domain of the VPC.
    assert_eq!(written.replace("-vpc.", "."), blocks::PODMAN.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_an_image_with_the_login_of_the_daemon() {
    let (node, place) = node().await;
    let outside = Outside::of(&node.cloud).await;
    let copy = |name: String| {
        let mut command = skopeo(&place);
        command.envs(outside.variables()).args(["copy", "--authfile"]).arg(credentials_file(&place));
        command.arg(format!("docker://{name}")).arg("dir:copied");
        command
    };
    let output = run(copy(name())).await;
    assert!(output.status.success(), "{}", told(&output));
    // skopeo has verified the digests of what it wrote.
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(place.path().join("copied/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
    finish(node, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pulls_an_image_with_the_login_of_the_daemon() {
    pulls_with_the_login(podman).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buildah_pulls_an_image_with_the_login_of_the_daemon() {
    pulls_with_the_login(buildah).await;
}

/// A pull by a program that takes its login from the credential helper, and goes to registry and bucket itself.
async fn pulls_with_the_login(program: fn(&Place) -> Command) {
    let (node, place) = node().await;
    let outside = Outside::of(&node.cloud).await;
    let mut command = program(&place);
    command.envs(outside.variables()).args(["pull", "--signature-policy"]).arg(place.path().join("policy.json"));
    command.arg("--authfile").arg(credentials_file(&place)).arg(name());
    let output = run(command).await;
    assert!(output.status.success(), "{}", told(&output));
    finish(node, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buildah_pulls_through_the_daemon_as_its_mirror() {
    let (node, place) = node().await;
    let mut command = buildah(&place);
    command.arg("--registries-conf").arg(registries_conf(&place, node.daemon.listen));
    command.args(["pull", "--signature-policy"]).arg(place.path().join("policy.json")).arg(name());
    let output = run(command).await;
    assert!(output.status.success(), "{}", told(&output));
    node.finish().await;
}

/// Without a way to the registry itself, and without a login: what comes has come through the daemon.
#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_through_the_daemon_as_its_mirror() {
    let (node, place) = node().await;
    for format in ["dir:as-it-is", "oci:converted"] {
        let mut command = skopeo(&place);
        command.arg("--registries-conf").arg(registries_conf(&place, node.daemon.listen));
        command.args(["copy", &format!("docker://{}", name()), format]);
        let output = run(command).await;
        assert!(output.status.success(), "{}", told(&output));
    }
    let mut absent = skopeo(&place);
    absent.arg("--registries-conf").arg(registries_conf(&place, node.daemon.listen));
    absent.args(["inspect", &format!("docker://{DOMAIN}/{REPOSITORY}:none")]);
    let output = run(absent).await;
    assert!(!output.status.success() && told(&output).contains("manifest unknown"), "{}", told(&output));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pulls_by_tag_and_by_digest_through_the_daemon_as_its_mirror() {
    let (node, place) = node().await;
    let (digest, _) = &node.image.manifests[0];
    for name in [name(), format!("{DOMAIN}/{REPOSITORY}@{digest}")] {
        let mut command = podman(&place);
        command.arg("--registries-conf").arg(registries_conf(&place, node.daemon.listen));
        command.args(["pull", "--signature-policy"]).arg(place.path().join("policy.json")).arg(&name);
        let output = run(command).await;
        assert!(output.status.success(), "{name}: {}", told(&output));
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_helper_speaks_the_protocol() {
    let (node, place) = node().await;
    let login = place.credential_helper("get", &format!("https://{DOMAIN}")).await;
    assert_eq!((login.status.code(), login.stderr.len()), (Some(0), 0));
    let login: Value = serde_json::from_slice(&login.stdout).unwrap();
    assert_eq!(login["ServerURL"], format!("https://{DOMAIN}"));
    let field = |name: &str| login[name].as_str().unwrap();
    assert!(node.cloud.directory().login(field("Username"), field("Secret"), node.cloud.clock().now()).is_some());

    for (action, subject, code, answer) in [
        ("get", "https://index.docker.io/v1/", 1, "credentials not found in native keychain"),
        ("get", "", 1, "no credentials server URL"),
        ("list", "", 0, "{}"),
        (
            "store",
            &json!({"ServerURL": DOMAIN, "Username": "u", "Secret": "typed"}).to_string(),
            1,
            "stores and erases none",
        ),
        ("erase", DOMAIN, 1, "stores and erases none"),
    ] {
        let output = place.credential_helper(action, subject).await;
        let answered = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{action}: {answered}");
        assert!(answered.contains(answer) && answered.lines().count() == 1, "{action}: {answered}");
        assert!(output.stderr.is_empty(), "{action}");
    }
    finish(node, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_helper_says_what_failed_where_its_callers_look() {
    let place = Place::new();
    let output = place.credential_helper("get", DOMAIN).await;
    let answered = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(answered.contains("no daemon answers") && answered.lines().count() == 1, "{answered}");
}
