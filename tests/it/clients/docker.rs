//! Docker Engine of the kind that takes mirrors for Docker Hub only: with a login of ours, or with the daemon as its
//! registry.

use super::outside::Outside;
use super::programs::{Docker, credentials_file, run, told};
use super::{finish, name, node};
use crate::readme::blocks;
use crate::support::network::PUBLIC;
use crate::support::{DOMAIN, REPOSITORY, TAG};

#[tokio::test(flavor = "multi_thread")]
async fn docker_pulls_an_image_with_the_login_of_the_daemon() {
    let (node, place) = node().await;
    let outside = Outside::of(&node.cloud).await;
    let docker = Docker::start(&place, Some(&outside)).await;
    credentials_file(&place);
    let mut pull = docker.client(&place);
    pull.args(["pull", &name()]);
    let output = run(pull).await;
    assert!(output.status.success(), "{}", told(&output));
    drop(docker);
    finish(node, &place).await;
}

/// Without a way to the registry itself, and without a login: what comes has come through the daemon.
#[tokio::test(flavor = "multi_thread")]
async fn docker_pulls_through_the_daemon_by_its_address_as_the_readme_shows() {
    let (node, place) = node().await;
    let docker = Docker::start(&place, None).await;
    let ours = blocks::DOCKER.text().replace("127.0.0.1:7080", &node.daemon.listen.to_string());
    let ours = ours.replace(PUBLIC, DOMAIN).replace("team/app:v1", &format!("{REPOSITORY}:{TAG}"));
    for line in ours.lines() {
        let mut command = docker.client(&place);
        command.args(line.strip_prefix("docker ").expect("a command of docker").split(' '));
        let output = run(command).await;
        assert!(output.status.success(), "{line}: {}", told(&output));
    }
    let mut inspect = docker.client(&place);
    inspect.args(["image", "inspect", "--format", "{{len .RootFS.Layers}}", &name()]);
    let output = run(inspect).await;
    assert_eq!(told(&output).trim(), node.image.layers.len().to_string(), "it is there under its own name");

    let mut absent = docker.client(&place);
    absent.args(["pull", &format!("{}/{DOMAIN}/{REPOSITORY}:none", node.daemon.listen)]);
    let output = run(absent).await;
    assert!(!output.status.success() && told(&output).contains("manifest unknown"), "{}", told(&output));
    drop(docker);
    node.finish().await;
}
