//! Pulls by a real containerd, through the CRI and through `ctr`, of images that are then run.
//!
//! The mirror is also the last host (`server`), so nothing can pass it by.

use cloudsim::Method;
use cloudsim::fault::{Effect, Fault};
use cloudsim::image::{Format, Image, ImageBuilder, Layer};
use cloudsim::journal::Service;

use crate::support::containerd::Containerd;
use crate::support::cri;
use crate::support::{DOMAIN, Node, REPOSITORY, TAG};

/// One layer that fits into no buffer on its way.
const LARGE_LAYER: usize = 64 * 1024 * 1024;

/// What the runnable image prints.
const GREETING: &str = "hello from account B";

fn image_name() -> String {
    format!("{DOMAIN}/{REPOSITORY}:{TAG}")
}

async fn containerd_of(node: &Node) -> Containerd {
    let containerd = Containerd::start().await;
    containerd.send_pulls_to(DOMAIN, &format!("http://{}", node.daemon.listen));
    containerd
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_pulled_through_the_cri_runs() {
    let image = Image::busybox().expect("a static busybox (Debian package busybox-static)");
    let node = Node::with(Method::Rrsa, image).await;
    let containerd = containerd_of(&node).await;
    let pulled = cri::pull_image(&containerd.socket(), &image_name()).await;
    assert!(pulled.as_ref().is_ok_and(|id| id.starts_with("sha256:")), "{pulled:?}\n{}", containerd.log());

    let name = image_name();
    let run = containerd.ctr(&["--namespace", "k8s.io", "run", "--rm", &name, "greeting"]).await;
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), GREETING, "{}", String::from_utf8_lossy(&run.stderr));
    assert!(node.cloud.journal().authorizations_at(Service::Oss).is_empty());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_layers_come_through_ctr_whole() {
    let layers = [Layer::random(LARGE_LAYER, 1), Layer::random(LARGE_LAYER, 2), Layer::random(1024, 3)];
    for format in [Format::Oci, Format::Docker] {
        let node =
            Node::with(Method::WorkerRole, ImageBuilder::new().format(format).layers(layers.clone()).build()).await;
        let containerd = containerd_of(&node).await;
        let certs = containerd.certs_dir();
        let certs = certs.to_str().expect("a plain path");
        let pull = containerd.ctr(&["images", "pull", "--hosts-dir", certs, &image_name()]).await;
        assert!(pull.status.success(), "{format:?}: {}", String::from_utf8_lossy(&pull.stderr));
        node.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_survives_blobs_that_break_on_the_way() {
    let node = Node::with(Method::Rrsa, Image::random(2, 8 * 1024 * 1024, 5)).await;
    let containerd = containerd_of(&node).await;
    let cut = node.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(3_000_000)).times(3));
    let reset = node.cloud.fault(Fault::on(Service::Oss, Effect::ResetAfter(1_000_000)).times(2));
    cri::pull_image(&containerd.socket(), &image_name()).await.expect("pulled");
    assert_eq!(node.cloud.faults().struck(cut) + node.cloud.faults().struck(reset), 5);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_failure_reaches_the_event_of_the_pod() {
    let cloud = cloudsim::CloudSim::start().await.expect("a cloud");
    let image = Image::random(1, 1024, 6);
    cloud.push(cloudsim::ram::setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    cloud.directory().remove_permission(cloudsim::ram::setup::PULL_ROLE, "cr:PullRepository");
    let node = Node::around(cloud, Method::Rrsa, image).await;
    let containerd = containerd_of(&node).await;
    let refused = cri::pull_image(&containerd.socket(), &image_name()).await.expect_err("no right to pull");
    assert!(refused.contains("403") && refused.contains("cr:PullRepository"), "{refused}");
    node.finish().await;
}
